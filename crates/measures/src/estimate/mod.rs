//! Estimates over seeds, with intervals that respect how the seeds are nested.
//!
//! A study has `P` pretraining seeds; each has a checkpoint at every rung of a ladder; `K` fine-tuning seeds
//! start from every checkpoint. So the independent units are few: runs of one checkpoint share its
//! pretraining, and `K` seeds make `K(K-1)/2` pairs that are not independent at all. Every figure here has
//! the form
//!
//! ```text
//! f(p, r) = a statistic of the runs or pairs of one cell             (`Statistic`)
//! D(p)    = g(f(p, r_1), f(p, r_2), ...)                             (late - early, a slope, a peak ...)
//! value   = 1/P sum_p D(p)
//! ```
//!
//! so that the rungs of one pretraining seed stay together: what all its rungs share cancels in a contrast.
//!
//! # Which interval
//!
//! [`Interval::SeedT`] is the default: Student's t with `P - 1` degrees of freedom over the `D(p)`, never
//! narrower than what the fine-tuning seeds alone leave open. The sample variance of the `D(p)` holds both
//! sources of variance in their right proportion, whatever that is, so the interval is exact for normal
//! `D(p)`, and its width is honest: with three pretraining seeds t is 4.3, not 1.96. [`Interval::Percentile`]
//! is the hierarchical bootstrap (Davison and Hinkley 1997, 3.8; the multi-bootstrap of Sellam et al. 2022
//! where nested) and [`Interval::Bca`] its bias-corrected, accelerated form (Efron 1987). With three units at
//! the upper level a bootstrap is too narrow.
//!
#![doc = include_str!("coverage.md")]

pub(crate) mod bootstrap;
#[cfg(test)]
mod coverage;
mod ladder;
mod seed_t;
mod statistic;

use std::fmt;

pub use ladder::{Cell, Ladder};
pub use statistic::Statistic;

use crate::contrasts::WidthFrom;
use crate::{Error, quantiles};

/// Changes whenever an estimate or an interval changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("estimate", VERSION).and(random::versions())
}

/// The interval that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// Student's t over pretraining seeds; see the module.
    #[default]
    SeedT,
    /// Percentiles of the hierarchical bootstrap.
    Percentile,
    /// Bias-corrected and accelerated percentiles of the hierarchical bootstrap.
    Bca,
}

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Student's t over the pretraining seeds.
    SeedT,
    /// Student's t from the jackknife over fine-tuning seeds, where there is one pretraining seed: holds for
    /// that one alone.
    WithinT,
    /// Exact chi-square for one standard deviation, where there is one pretraining seed: holds for that one
    /// alone.
    ChiSquare,
    /// Percentiles of the hierarchical bootstrap.
    Percentile,
    /// Bias-corrected and accelerated percentiles of the hierarchical bootstrap.
    Bca,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SeedT => "seed-t",
            Self::WithinT => "within-t",
            Self::ChiSquare => "chi-square",
            Self::Percentile => "percentile",
            Self::Bca => "bca",
        })
    }
}

/// What decides an interval besides the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The interval wanted.
    pub interval: Interval,
    /// Confidence level, between 0 and 1.
    pub level: f64,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Seed of the resampling streams.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { interval: Interval::SeedT, level: 0.95, resamples: 2_000, seed: 0 }
    }
}

impl Options {
    /// The same with another interval.
    #[must_use]
    pub fn with(self, interval: Interval) -> Self {
        Self { interval, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(Error::Level { level: self.level });
        }
        if self.interval != Interval::SeedT && self.resamples < 100 {
            return Err(Error::TooFew { what: "bootstrap resamples", found: self.resamples, needed: 100 });
        }
        Ok(())
    }
}

/// A figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
    /// Confidence level of the interval.
    pub level: f64,
    /// Standard error that the interval rests on (bootstrap: sd of the resampled figures).
    pub standard_error: f64,
    /// Degrees of freedom of the interval's t, and the source of variance that sets its width; `None` where it has no t.
    pub t: Option<(f64, WidthFrom)>,
    /// Pretraining seeds.
    pub n_pretraining: usize,
    /// Fine-tuning seeds of the cell that has the fewest.
    pub n_finetuning: usize,
    /// How the interval was made.
    pub method: Method,
}

impl Estimate {
    /// True if the whole interval lies above `x`.
    #[must_use]
    pub fn above(&self, x: f64) -> bool {
        self.lower > x
    }

    /// True if the whole interval lies below `x`.
    #[must_use]
    pub fn below(&self, x: f64) -> bool {
        self.upper < x
    }

    /// Two-sided p of "the figure is 0", where the interval is a t.
    #[must_use]
    pub fn p(&self) -> Option<f64> {
        let (df, _) = self.t?;
        Some(match self.standard_error > 0.0 {
            true => 2.0 * quantiles::student_cdf(-(self.value / self.standard_error).abs(), df),
            false if self.value == 0.0 => 1.0,
            false => 0.0,
        })
    }

    /// The same on the scale of ratios: `exp` of the value and of both ends, for contrasts of [`Statistic::LogSd`]. The
    /// standard error stays that of the logarithm.
    #[must_use]
    pub fn exponentiated(self) -> Self {
        Self { value: self.value.exp(), lower: self.lower.exp(), upper: self.upper.exp(), ..self }
    }

    /// The interval cut to the values that the figure can take: an sd is not negative, an accuracy not above
    /// 1. Coverage does not change.
    #[must_use]
    pub fn clamped(self, low: f64, high: f64) -> Self {
        Self { lower: self.lower.clamp(low, high), upper: self.upper.clamp(low, high), ..self }
    }
}

/// The statistic at one rung, averaged over pretraining seeds.
///
/// # Errors
/// As [`of_course`].
pub fn at(ladder: &Ladder, statistic: Statistic, rung: u64, options: &Options) -> Result<Estimate, Error> {
    mean_of(ladder, statistic, &[rung], options)
}

/// The mean of the statistic over several rungs, averaged over pretraining seeds.
///
/// # Errors
/// As [`of_course`].
pub fn mean_of(
    ladder: &Ladder,
    statistic: Statistic,
    rungs: &[u64],
    options: &Options,
) -> Result<Estimate, Error> {
    let mean = |_: &[u64], rows: &[&[f64]]| rows.iter().map(|row| mean(row)).collect();
    of_course(ladder, statistic, rungs, &mean, options)
}

/// The contrast late - early: the mean of the statistic over `late` rungs less that over `early` ones, within
/// each pretraining seed, averaged over pretraining seeds.
///
/// # Errors
/// As [`of_course`].
pub fn contrast(
    ladder: &Ladder,
    statistic: Statistic,
    late: &[u64],
    early: &[u64],
    options: &Options,
) -> Result<Estimate, Error> {
    if late.is_empty() || early.is_empty() {
        return Err(Error::TooFew { what: "rungs on each side of a contrast", found: 0, needed: 1 });
    }
    let rungs = [late, early].concat();
    let difference = |_: &[u64], rows: &[&[f64]]| {
        rows.iter().map(|row| mean(&row[..late.len()]) - mean(&row[late.len()..])).collect()
    };
    of_course(ladder, statistic, &rungs, &difference, options)
}

/// What a course over the rungs comes down to: from the pretraining seeds and, for each, the statistic at the
/// rungs asked for, one figure for each pretraining seed. In a bootstrap a pretraining seed may come several
/// times, with other rows.
pub type Course<'a> = dyn Fn(&[u64], &[&[f64]]) -> Vec<f64> + 'a;

/// Any figure of the form in the module's documentation: the mean over pretraining seeds of what `course`
/// makes of the statistic at `rungs`.
///
/// # Errors
/// [`Error::NoCell`] if a pretraining seed lacks one of the rungs, [`Error::Undefined`] if the statistic is
/// not defined there (an sd of one run), [`Error::TooFew`] if there is nothing that an interval could rest
/// on, [`Error::Level`].
pub fn of_course(
    ladder: &Ladder,
    statistic: Statistic,
    rungs: &[u64],
    course: &Course<'_>,
    options: &Options,
) -> Result<Estimate, Error> {
    options.check()?;
    if rungs.is_empty() {
        return Err(Error::TooFew { what: "rungs", found: 0, needed: 1 });
    }
    let sample = ladder.sample(statistic, rungs, course)?;
    match options.interval {
        Interval::SeedT => seed_t::estimate(&sample, options.level),
        Interval::Percentile => bootstrap::percentile(&sample, options),
        Interval::Bca => bootstrap::bca(&sample, options),
    }
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
