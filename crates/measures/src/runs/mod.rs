//! Statistics of a published list of runs: scores, and how many of the runs are right on each example.
//!
//! [`spread`] and [`ratio`] say how widely scores vary, [`correlation`] whether two scores go together,
//! [`items`] what the runs have in common example by example, [`net`] how much of the variance of accuracies
//! is of the runs, [`groups`] how well a score separates two groups. What choosing by a held-out score buys
//! is in [`crate::selection`].

pub mod correlation;
pub mod groups;
pub mod items;
pub mod net;
pub mod ratio;
pub mod spread;

/// A figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}
