//! Architecture families on fused kernels, with Hugging Face names.
//!
//! A [`Model`] is a shape: a configuration, a head, and the table of its parameters in one flat `f32` buffer. The
//! parameters themselves are passed in, so that a path between two models or a soup needs no model of its own.
//! Forward and backward passes are written by hand on [`kernels`]; [`composite`] holds the same models as plain
//! candle operations, for other devices and as the oracle of the tests.
//!
//! **This crate knows no file, task or seed of a study.**
//!
//! ```
//! use models::{Config, Head, Inputs, Model, Targets, Workspace, mlp};
//!
//! let config = mlp::Config { input_size: 2, hidden_sizes: vec![4] };
//! let model = Model::new(Config::Mlp(config), Head::Classification { labels: 2 })?;
//! let weights = model.init(0);
//!
//! let inputs = Inputs::Dense { values: &[0.0, 1.0, 1.0, 0.0], width: 2 };
//! let targets = Targets::Classes(&[0, 1]);
//! model.check(&inputs, Some(&targets))?;
//!
//! let (mut gradient, mut workspace) = (vec![0.0; model.layout().len()], Workspace::default());
//! let mean = 1.0 / 2.0;
//! let tally =
//!     model.loss_and_gradient(&weights.values, &inputs, &targets, None, mean, &mut gradient, &mut workspace)?;
//! assert_eq!(tally.n, 2);
//! assert!(gradient.iter().any(|&value| value != 0.0));
//! # Ok::<(), models::Error>(())
//! ```

mod blocks;
mod config;
mod device;
mod error;
mod family;
mod fields;
mod head;
mod inputs;
mod maps;
mod model;
mod reading;
mod stack;
mod start;
mod transformer;

pub mod bert;
pub mod composite;
pub mod decoder;
pub mod mlp;
pub mod t5;

pub use config::Config;
pub use device::Device;
pub use error::Error;
pub use family::Objective;
pub use head::Head;
pub use inputs::{Dropout, Inputs, Targets, Tokens};
pub use kernels::cross_entropy::Tally;
pub use kernels::matmul::Precision;
pub use maps::LinearMap;
pub use model::{Model, Workspace};
pub use start::Draw;
