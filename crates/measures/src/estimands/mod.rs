//! Estimands: what of a model depends on the seed of its fine-tuning.
//!
//! `right` is a matrix `[runs, examples]`, row-major: run `k` is right on example `i` (0 or 1), or its
//! probability of the right label. Raw agreement rises with accuracy alone, so no estimand here is read
//! alone: [`path_variance`] says how much *outcomes* depend on the seed, [`shared`] and [`logit_spread`] on
//! scales without a ceiling, [`latent`] what accuracy alone would predict, [`flip_agreement`] and
//! [`mod@profile`] whether two seeds react alike.

pub mod capa;
pub mod flip_agreement;
pub mod latent;
pub mod logit_spread;
pub mod path_variance;
pub mod profile;
pub mod shared;

use crate::contrasts::Within;

/// A statistic of the runs that start from one checkpoint, with what the runs alone leave open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The statistic.
    pub value: f64,
    /// Jackknife over the runs; `None` where the statistic is undefined without one of them.
    pub within: Option<Within>,
    /// Pairs of runs behind it.
    pub n_pairs: usize,
}

impl Figure {
    /// The statistic of all runs and, for the jackknife, without each: `of(None)` and `of(Some(k))`. `None`
    /// where the statistic of all runs is undefined.
    pub fn jackknifed(runs: usize, of: impl Fn(Option<usize>) -> Option<f64>) -> Option<Self> {
        let value = of(None)?;
        let without: Option<Vec<f64>> = (0..runs).map(|run| of(Some(run))).collect();
        let within = without.and_then(|figures| Within::jackknife(&figures));
        Some(Self { value, within, n_pairs: runs * runs.saturating_sub(1) / 2 })
    }
}

/// Sums over pairs of runs `numerator` and `denominator` of a ratio, by run, so that leaving one out is cheap.
pub(crate) struct Ratio {
    runs: usize,
    /// `(a, b, numerator, denominator)` of each pair.
    pub(crate) pairs: Vec<(usize, usize, f64, f64)>,
}

impl Ratio {
    /// Evaluates `of` for each pair of runs.
    pub(crate) fn of_pairs(runs: usize, of: impl Fn(usize, usize) -> (f64, f64)) -> Self {
        let mut pairs = Vec::with_capacity(runs * runs.saturating_sub(1) / 2);
        for a in 0..runs {
            for b in a + 1..runs {
                let (numerator, denominator) = of(a, b);
                pairs.push((a, b, numerator, denominator));
            }
        }
        Self { runs, pairs }
    }

    fn without(&self, left_out: Option<usize>) -> Option<f64> {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        for &(a, b, above, below) in &self.pairs {
            if left_out != Some(a) && left_out != Some(b) {
                numerator += above;
                denominator += below;
            }
        }
        (denominator > 1e-12).then(|| numerator / denominator)
    }

    /// The ratio of sums with its jackknife; `None` if the denominators sum to 0.
    pub(crate) fn figure(&self) -> Option<Figure> {
        Figure::jackknifed(self.runs, |left_out| self.without(left_out))
    }
}

/// Number of runs in a matrix of rows of `examples`.
///
/// # Panics
/// If there is no example, or `examples` does not divide the number of values.
pub(crate) fn rows(right: &[f64], examples: usize) -> usize {
    assert!(
        examples > 0 && right.len().is_multiple_of(examples),
        "{} values are not rows of {examples}",
        right.len()
    );
    right.len() / examples
}
