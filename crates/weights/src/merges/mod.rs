//! Merges: one model out of several that were fine-tuned from the same base.
//!
//! With base `theta_0` and task vectors `tau_i = theta_i - theta_0`. Every merge of a single model with scale, weight and
//! density 1 is the model itself.

pub mod arcee_fusion;
pub mod breadcrumbs;
pub mod dare;
pub mod della;
pub mod karcher;
pub mod linear;
pub mod model_stock;
pub mod multislerp;
pub mod nearswap;
pub mod nuslerp;
pub mod sce;
pub mod slerp;
pub mod task_arithmetic;
pub mod thin;
pub mod ties;

use crate::parameters::Parameter;

/// Any number of models.
pub(crate) const ANY: (usize, usize) = (1, usize::MAX);

/// `scale` of most merges.
const SCALE: Parameter = Parameter::number("scale", "Factor of the merged task vector (lambda)", 1.0);
/// `weight` of all merges that weigh their models.
const WEIGHT: Parameter = Parameter::number("weight", "Weight of a model's task vector", 1.0);
/// `density` of merges that thin task vectors.
const DENSITY: Parameter = Parameter::share("density", "Share of each task vector that is kept", 0.2);
