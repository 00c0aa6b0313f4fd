//! Algebra on named tensors.
//!
//! A model's parameters are one flat `f32` buffer and a table of names ([`Layout`]). What a study does to weights
//! (walk the line between two models, average many, measure distances) is then one linear pass over memory.
//!
//! ```
//! use std::sync::Arc;
//! use weights::{Layout, Members, Method, Plan, Weights, paths};
//!
//! let mut layout = Layout::default();
//! layout.push("dense.weight", &[2, 2]);
//! let layout = Arc::new(layout);
//! let [mut a, mut b, mut middle] = [(); 3].map(|()| Weights::zeros(Arc::clone(&layout)));
//! a.values.copy_from_slice(&[0.0, 2.0, 4.0, 6.0]);
//! b.values.copy_from_slice(&[2.0, 4.0, 6.0, 8.0]);
//!
//! paths::Path::named("linear").unwrap().at(&a, &b, 0.5, &mut middle)?;
//! let soup = Method::named("uniform").unwrap().merge(&Members::of(&[&a, &b])?, &Plan::default())?;
//! assert_eq!(soup.values, middle.values);
//! # Ok::<(), weights::Error>(())
//! ```
//!
//! **This crate knows no model, task or disk.**

mod constants;
mod layout;
mod tensors;

pub mod distance;
pub mod members;
pub mod merges;
pub mod methods;
pub mod parameters;
pub mod paths;
pub mod pickle;
pub mod shards;
pub mod soups;
pub mod stored;

pub use layout::{Entry, Layout};
pub use members::Members;
pub use methods::Method;
pub use parameters::Plan;
pub use stored::Stored;
pub use tensors::Weights;

/// What can be wrong with named tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a safetensors file.
    #[error("not a safetensors file: {reason}")]
    Format {
        /// What the parser objected to.
        reason: String,
    },
    /// A file of PyTorch that cannot be read, or holds no tensors.
    #[error("not a PyTorch checkpoint that can be read: {reason}")]
    Pickle {
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the layout names is not there.
    #[error("tensor `{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor that the layout does not name.
    #[error("tensor `{name}` is not part of this model")]
    Unexpected {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape than its namesake.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// What is there.
        found: Vec<usize>,
        /// What should be.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a type that weights are not kept in.
    #[error("tensor `{name}` has type {dtype}, weights are F32, F16 or BF16")]
    Type {
        /// Its name.
        name: String,
        /// The stored type.
        dtype: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor `{name}` holds {value} at index {index}")]
    NotFinite {
        /// Its name.
        name: String,
        /// Position in the tensor's row-major order.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A sharded checkpoint whose files are not what its index says.
    #[error("the index of the shards: {reason}")]
    Index {
        /// Which tensor and which file, and what is wrong with them.
        reason: String,
    },
    /// Two sets of weights name different tensors.
    #[error("these weights differ in structure: {reason}")]
    Structure {
        /// The first difference.
        reason: String,
    },
    /// One of several models cannot be used.
    #[error("model {member}: {source}")]
    Member {
        /// Its index among the models, from 0.
        member: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The base of a merge cannot be used.
    #[error("the base: {source}")]
    Base {
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A method was given more or fewer models than it takes.
    #[error("{method} takes {}, not {found}", counted(*least, *most))]
    Members {
        /// The method.
        method: &'static str,
        /// Fewest models.
        least: usize,
        /// Most models.
        most: usize,
        /// What was given.
        found: usize,
    },
    /// A method that needs a base was given none.
    #[error("{method} needs the base that the models were fine-tuned from")]
    NoBase {
        /// The method.
        method: &'static str,
    },
    /// A method was given a parameter that it does not have.
    #[error("{name} has no effect with {method}")]
    NoParameter {
        /// The method.
        method: &'static str,
        /// The parameter.
        name: String,
    },
    /// A parameter has a value of the wrong kind.
    #[error("{name} must be {expected}, not {found}")]
    Choice {
        /// Its name.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A method that selects by scores was asked to merge without them, or one that does not was asked to select.
    #[error("{method} cannot be used here: some methods select by held-out scores, others do not")]
    Selects {
        /// The method.
        method: &'static str,
    },
    /// A model could not be scored.
    #[error("{0}")]
    Score(Box<dyn std::error::Error + Send + Sync>),
    /// A merge of one tensor is not defined.
    #[error("tensor `{name}`: {reason}")]
    Degenerate {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// An operation over several models was given none.
    #[error("no weights given")]
    Empty,
    /// A parameter of an operation is outside its range.
    #[error("{name} must be {expected}, not {value}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// Its range in words.
        expected: &'static str,
        /// What was given.
        value: f64,
    },
}

/// A range of numbers of models in words.
fn counted(least: usize, most: usize) -> String {
    match (least, most) {
        (1, 1) => "1 model".into(),
        (least, usize::MAX) => format!("at least {least} models"),
        (least, most) if least == most => format!("{least} models"),
        (least, most) => format!("{least} to {most} models"),
    }
}

/// Checks that a parameter is a number that can be computed with.
fn check_finite(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::Parameter { name, expected: "a finite number", value })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Layout, Weights};

    /// A matrix and a bias.
    pub(crate) fn layout() -> Arc<Layout> {
        let mut layout = Layout::default();
        layout.push("body.weight", &[2, 3]);
        layout.push("body.bias", &[3]);
        Arc::new(layout)
    }

    /// Standard normal weights of a seed.
    pub(crate) fn weights(seed: u64) -> Weights {
        let mut weights = Weights::zeros(layout());
        let mut stream = random::Stream::new(seed, "test weights");
        for value in &mut weights.values {
            *value = stream.normal() as f32;
        }
        weights
    }
}
