//! The stages of a study: thin programs that pass content-addressed artifacts to each other.
//!
//! ```
//! use stages::stage::command;
//!
//! // A stage's struct is its command line, its recipe and its help.
//! let command = command::<stages::finetune::Finetune>();
//! assert_eq!(command.get_name(), "samebasin-finetune");
//! assert!(command.get_arguments().any(|argument| argument.get_long() == Some("learning-rate")));
//! ```
//!
//! This is the only crate that knows both disk and mathematics. Each stage is a module of the same name as its
//! binary; [`stage`] is what they share, from the command line to the committed manifest.

pub mod stage;

pub mod data_files;
pub mod evaluate;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod finetune;
pub mod gauge;
#[cfg(feature = "report")]
pub mod import;
pub mod interpolate;
#[cfg(feature = "report")]
pub mod plan;
pub mod prepare;
pub mod pretrain;
#[cfg(feature = "report")]
pub mod report;
pub mod soup;

pub mod artifacts;
pub mod compute;
pub mod front_door;
pub mod init;
pub mod ladder;
pub mod rows;
mod running_text;

mod adapter;
mod checkpoint;
mod delivery;
mod export;
mod group;
mod image_facts;
mod labels;
mod sameness;
mod task_inputs;
mod walk;
