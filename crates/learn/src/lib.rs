//! The training loop, its optimiser and schedules, and scoring.
//!
//! A run is a pure function of its starting weights, its batches (numbered by step, not drawn from a mutable
//! generator) and its [`Recipe`]: stopping after any step, saving the [`State`] and going on gives the same bytes
//! as going straight through, on one thread or many.
//!
//! ```
//! use learn::Schedule;
//!
//! // Ten steps of warm-up, then down to 0 behind the last of a hundred.
//! assert_eq!(Schedule::Linear.factor(4, 10, 100), 0.5);
//! assert_eq!(Schedule::Linear.factor(10, 10, 100), 1.0);
//! assert_eq!(Schedule::Linear.factor(55, 10, 100), 0.5);
//! ```
//!
//! **This crate knows no key, flag or folder.**

mod device;
mod gradient;
mod host;
mod lora;
mod optimiser;
mod order;
mod schedule;
mod scoring;
mod state;
mod training;

pub use gradient::Trainer;
pub use lora::{ALL_LINEAR, Adapter, LORA_VERSION, Lora};
pub use optimiser::AdamW;
pub use order::{Order, Shuffle};
pub use schedule::Schedule;
pub use scoring::{Scorer, masked_tally, sequence_tally};
pub use state::State;
pub use training::{Progress, Recipe, Scope, train};

use versions::Versions;

/// Changes whenever a training run of the same recipe yields other bytes.
pub const TRAINING_VERSION: u32 = 1;

/// Changes whenever scoring the same weights on the same examples yields other numbers.
pub const SCORING_VERSION: u32 = 1;

/// Versions of training a model of this family: of the loop, of the random streams, and of the model's passes.
#[must_use]
pub fn training_versions(config: &models::Config) -> Versions {
    Versions::of("training", TRAINING_VERSION).and(random::versions()).and(config.versions())
}

/// Versions of scoring a model of this family: of the scoring loop and of the model's passes.
#[must_use]
pub fn scoring_versions(config: &models::Config) -> Versions {
    Versions::of("scoring", SCORING_VERSION).and(config.versions())
}

/// Versions of low-rank adaptation.
#[must_use]
pub fn lora_versions() -> Versions {
    Versions::of("lora", LORA_VERSION).and(random::versions())
}

/// What can go wrong while a model learns or is scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The loss or the gradient is no longer a number.
    #[error(
        "diverged at step {step}: the {what} is {value} (learning rate {learning_rate:e}); lower the learning rate, or clip"
    )]
    Diverged {
        /// Optimiser steps taken before it was seen.
        step: u64,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The offending value.
        value: f64,
        /// The learning rate of that step.
        learning_rate: f64,
    },
    /// A hyper-parameter outside its range.
    #[error("{name} is {value}, {range}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// A target of low-rank adaptation that names nothing.
    #[error("no linear map of the layers is called `{target}`; there are {known}")]
    Target {
        /// What was given.
        target: String,
        /// Last parts of the names that there are.
        known: String,
    },
    /// Fewer examples than one batch needs.
    #[error("{examples} training examples cannot fill a batch of {batch}")]
    TooFewExamples {
        /// Examples at hand.
        examples: usize,
        /// Examples in a batch.
        batch: usize,
    },
    /// A saved state does not belong to this run.
    #[error("saved training state does not fit: {reason}")]
    State {
        /// Why.
        reason: String,
    },
    /// The model refused its input.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// The weights do not fit.
    #[error(transparent)]
    Weights(#[from] weights::Error),
}
