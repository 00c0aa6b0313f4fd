//! Barriers, agreement and seed-level statistics: numbers to numbers.
//!
//! [`path`], [`scores`], [`agreement`], [`mechanism`] and [`ensemble`] turn a model's numbers, or those of
//! two models, into a figure; [`pooling`] reads them over fewer labels first. [`estimate`] turns the figures of many seeds into an estimate with an interval,
//! [`trend`] does so for their course over a ladder of checkpoints, [`matching`] where something else is
//! equal, [`convergence`] says how far pretraining had come, [`planner`] how many seeds a claim needs,
//! [`cluster`] which models belong together.
//!
//! [`estimands`] say how much of a model depends on its fine-tuning seed, [`contrasts`] compare them late and
//! early, at equal accuracy too, [`multiplicity`] adjusts for the number of questions, and [`verdict`] reads
//! the answer off. [`components`] splits variance between crossed seeds; [`runs`] reads published lists.
//!
//! ```
//! use measures::estimands::path_variance::path_variance;
//! use measures::path::shape::shape;
//!
//! // Two runs, four examples, 1 where a run is right: they differ on one example.
//! let right = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0];
//! assert_eq!(path_variance(&right, 4).unwrap().value, 0.125);
//!
//! // The loss on a line between two models, and its barrier above the chord.
//! let path = shape(&[0.0, 0.5, 1.0], &[0.25, 1.0, 0.75]).unwrap();
//! assert_eq!(path.midpoint, 0.5);
//! ```
//!
//! **This crate knows no tensor, file or table.**

pub mod agreement;
pub mod ensemble;
pub mod estimands;
pub mod mechanism;
pub mod path;
pub mod pooling;
pub mod scores;

pub mod cluster;
pub mod components;
pub mod contrasts;
pub mod convergence;
pub mod estimate;
pub mod matching;
pub mod multibootstrap;
pub mod multiplicity;
pub mod planner;
pub mod runs;
pub mod selection;
pub mod trend;
pub mod verdict;

mod noncentral;
mod quantiles;

/// What can be wrong with the figures of a study.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too little data for the figure or its interval.
    #[error("{found} {what}, at least {needed} needed")]
    TooFew {
        /// What is too few.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        needed: usize,
    },
    /// Something comes twice.
    #[error("pretraining seed {pretraining}, rung {rung}: {name} is there twice")]
    Twice {
        /// Pretraining seed of the cell.
        pretraining: u64,
        /// Rung of the cell.
        rung: u64,
        /// What comes twice.
        name: String,
    },
    /// A value is NaN or infinite.
    #[error("pretraining seed {pretraining}, rung {rung}: value {value} is not finite")]
    NotFinite {
        /// Pretraining seed of the cell.
        pretraining: u64,
        /// Rung of the cell.
        rung: u64,
        /// The value.
        value: f64,
    },
    /// A pretraining seed lacks a rung that the figure needs.
    #[error("pretraining seed {pretraining} has no rung {rung}")]
    NoCell {
        /// The pretraining seed.
        pretraining: u64,
        /// The rung.
        rung: u64,
    },
    /// A statistic is not defined for a cell.
    #[error("pretraining seed {pretraining}, rung {rung}: too few runs or pairs for the statistic")]
    Undefined {
        /// Pretraining seed of the cell.
        pretraining: u64,
        /// Rung of the cell.
        rung: u64,
    },
    /// A pretraining seed has no position (held-out loss, step) at a rung.
    #[error("pretraining seed {pretraining}, rung {rung}: there is no position to compare with")]
    NoPosition {
        /// Pretraining seed of the cell.
        pretraining: u64,
        /// Rung of the cell.
        rung: u64,
    },
    /// The figure is not a number, as is a slope over equal positions.
    #[error("the figure is not defined for these values")]
    NoFigure,
    /// A confidence level outside 0 to 1.
    #[error("a confidence level lies between 0 and 1, not at {level}")]
    Level {
        /// What was given.
        level: f64,
    },
    /// A number outside its range.
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
