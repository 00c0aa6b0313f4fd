//! Contrasts of late and early rungs over pretraining seeds.
//!
//! The independent units are pretraining seeds. [`over_seeds`] turns one figure for each of them into an
//! estimate; [`matched`] and [`at_value`] make the figures at equal accuracy (or equal anything else);
//! [`equivalence`] asks whether a contrast is within a margin; [`course`] looks at whole ladders;
//! [`sensitivity`] at what one seed does; [`skewed`] at data that are not symmetric.

pub mod at_value;
pub mod course;
pub mod equivalence;
pub mod matched;
pub mod sensitivity;
pub mod skewed;

use crate::{Error, quantiles};

/// Changes whenever a contrast changes.
pub const VERSION: u32 = 1;

/// What fine-tuning seeds alone leave open of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Within {
    /// Standard error.
    pub standard_error: f64,
    /// Its degrees of freedom.
    pub df: f64,
}

impl Within {
    /// The jackknife, `sqrt((K-1)/K sum_k (D_(k) - mean)^2)`, from the figures without each of `K` units;
    /// `None` with fewer than two or a figure that is not finite.
    #[must_use]
    pub fn jackknife(left_out: &[f64]) -> Option<Self> {
        let k = left_out.len() as f64;
        let mean = left_out.iter().sum::<f64>() / k;
        let squares: f64 = left_out.iter().map(|figure| (figure - mean).powi(2)).sum();
        let standard_error = ((k - 1.0) / k * squares).sqrt();
        (k > 1.0 && standard_error.is_finite()).then_some(Self { standard_error, df: k - 1.0 })
    }

    /// That of a sum or difference of independent figures: variances and degrees of freedom add.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { standard_error: self.standard_error.hypot(other.standard_error), df: self.df + other.df }
    }
}

/// The figure of one pretraining seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedFigure {
    /// Pretraining seed.
    pub seed: u64,
    /// The figure.
    pub value: f64,
    /// What its fine-tuning seeds leave open, where known.
    pub within: Option<Within>,
    /// Pairs of runs behind it.
    pub n_pairs: usize,
}

impl SeedFigure {
    /// Late less early.
    #[must_use]
    pub fn difference(seed: u64, late: crate::estimands::Figure, early: crate::estimands::Figure) -> Self {
        let within = late.within.zip(early.within).map(|(late, early)| late.and(early));
        Self { seed, value: late.value - early.value, within, n_pairs: late.n_pairs + early.n_pairs }
    }
}

/// The source of variance that sets an interval's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WidthFrom {
    /// Spread over pretraining seeds.
    Between,
    /// What the fine-tuning seeds alone leave open, which is more.
    Within,
}

/// A contrast with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// Mean over pretraining seeds.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Standard error that the interval rests on.
    pub standard_error: f64,
    /// Degrees of freedom of the interval's t.
    pub df: f64,
    /// Two-sided p of "no change".
    pub p: f64,
    /// The same after adjustment for multiplicity; equal to `p` until [`crate::multiplicity::adjust`].
    pub p_adjusted: f64,
    /// The source of variance that sets the width.
    pub width_from: WidthFrom,
    /// Pairs of runs behind it, over all pretraining seeds.
    pub n_pairs: usize,
    /// Pretraining seeds behind it.
    pub n_seeds: usize,
}

impl Contrast {
    fn new(estimate: f64, within: Within, level: f64, width_from: WidthFrom) -> Self {
        let Within { standard_error, df } = within;
        let half = quantiles::student(f64::midpoint(1.0, level), df) * standard_error;
        let p = two_sided(estimate, standard_error, df);
        Self {
            estimate,
            low: estimate - half,
            high: estimate + half,
            standard_error,
            df,
            p,
            p_adjusted: p,
            width_from,
            n_pairs: 0,
            n_seeds: 0,
        }
    }

    /// True if the adjusted p is below `alpha` and the estimate positive.
    #[must_use]
    pub fn rises(&self, alpha: f64) -> bool {
        self.p_adjusted < alpha && self.estimate > 0.0
    }

    /// True if the adjusted p is below `alpha` and the estimate negative.
    #[must_use]
    pub fn falls(&self, alpha: f64) -> bool {
        self.p_adjusted < alpha && self.estimate < 0.0
    }
}

/// Two-sided p of Student's t; without spread 0 or, at 0 itself, 1.
pub(crate) fn two_sided(estimate: f64, standard_error: f64, df: f64) -> f64 {
    if standard_error > 0.0 {
        2.0 * quantiles::student_cdf(-(estimate / standard_error).abs(), df)
    } else if estimate == 0.0 {
        1.0
    } else {
        0.0
    }
}

/// The mean over pretraining seeds with Student's t at `level`: over the figures with `P - 1` degrees of
/// freedom, or over what their fine-tuning seeds leave open (all known, variances added) if that is wider.
/// With one pretraining seed only the second is left, and holds for that one alone.
///
/// # Errors
/// [`Error::TooFew`] without a figure, or with one and nothing within; [`Error::Level`]; [`Error::NoFigure`] for a figure
/// that is not finite.
pub fn over_seeds(figures: &[SeedFigure], level: f64) -> Result<Contrast, Error> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Level { level });
    }
    let p = figures.len();
    let too_few = Error::TooFew { what: "pretraining seeds", found: p, needed: 2 };
    if p == 0 {
        return Err(too_few);
    }
    let estimate = figures.iter().map(|figure| figure.value).sum::<f64>() / p as f64;
    if !estimate.is_finite() {
        return Err(Error::NoFigure);
    }
    let all = figures.iter().map(|figure| figure.within).collect::<Option<Vec<Within>>>();
    let within = all.and_then(|all| all.into_iter().reduce(Within::and)).map(|sum| {
        let mean = Within { standard_error: sum.standard_error / p as f64, df: sum.df };
        Contrast::new(estimate, mean, level, WidthFrom::Within)
    });
    let squares: f64 = figures.iter().map(|figure| (figure.value - estimate).powi(2)).sum();
    let between = (p > 1).then(|| {
        let standard_error = (squares / (p - 1) as f64 / p as f64).sqrt();
        Contrast::new(estimate, Within { standard_error, df: (p - 1) as f64 }, level, WidthFrom::Between)
    });
    let wider = match (between, within) {
        (Some(between), Some(within)) if within.high > between.high => within,
        (Some(between), _) => between,
        (None, Some(within)) => within,
        (None, None) => return Err(too_few),
    };
    Ok(Contrast { n_pairs: figures.iter().map(|figure| figure.n_pairs).sum(), n_seeds: p, ..wider })
}

/// Interaction of two arms, `(late - early) of the first less that of the second`, over the pretraining seeds
/// that both have. A turn of the sign is shown only where its interval leaves out 0.
///
/// # Errors
/// As [`over_seeds`], over the common seeds.
pub fn interaction(arm: &[SeedFigure], default: &[SeedFigure], level: f64) -> Result<Contrast, Error> {
    let pair = |a: &SeedFigure| {
        let b = default.iter().find(|b| b.seed == a.seed)?;
        let within = a.within.zip(b.within).map(|(a, b)| a.and(b));
        Some(SeedFigure { value: a.value - b.value, within, n_pairs: a.n_pairs + b.n_pairs, ..*a })
    };
    over_seeds(&arm.iter().filter_map(pair).collect::<Vec<_>>(), level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[f64], within: Option<Within>) -> Vec<SeedFigure> {
        let of = |(seed, &value): (usize, &f64)| SeedFigure { seed: seed as u64, value, within, n_pairs: 15 };
        values.iter().enumerate().map(of).collect()
    }

    #[test]
    fn the_wider_source_sets_the_width() {
        let between = over_seeds(&figures(&[1.0, 2.0, 6.0], None), 0.95).unwrap();
        assert!((between.high - between.estimate - 4.302_652_7 * (7.0_f64 / 3.0).sqrt()).abs() < 1e-6);
        assert_eq!((between.width_from, between.n_pairs, between.df), (WidthFrom::Between, 45, 2.0));
        let wide = Within { standard_error: 9.0, df: 5.0 };
        let within = over_seeds(&figures(&[1.0, 2.0, 6.0], Some(wide)), 0.95).unwrap();
        assert_eq!((within.width_from, within.df), (WidthFrom::Within, 15.0));
        assert!((within.standard_error - 27.0_f64.sqrt()).abs() < 1e-12);
        assert!(within.p > between.p);
        assert!(over_seeds(&figures(&[1.0], None), 0.95).is_err());
        assert_eq!(over_seeds(&figures(&[1.0], Some(wide)), 0.95).unwrap().df, 5.0);
    }

    #[test]
    fn interactions_pair_the_seeds() {
        let (mut arm, default) = (figures(&[1.0, 2.0, 3.0], None), figures(&[0.0, 1.5, 2.0, 9.0], None));
        arm.reverse();
        let found = interaction(&arm, &default, 0.95).unwrap();
        assert!((found.estimate - 2.5 / 3.0).abs() < 1e-12 && found.n_seeds == 3);
    }
}
