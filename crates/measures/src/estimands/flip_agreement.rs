//! Flip agreement: do two seeds react alike to interventions?
//!
//! ```text
//! flip_agreement = sum_(interventions, pairs) (o - e) / sum_(interventions, pairs) (1 - e)
//! o = share of bases on which both flip or both keep,  e = f_a f_b + (1-f_a)(1-f_b),  f = share of flips
//! ```
//!
//! Cohen's kappa of flips, pooled over interventions as a ratio of sums: an intervention under which nobody
//! flips adds nothing, instead of an agreement of 1 or a gap.

use super::{Figure, Ratio, rows};

/// Changes whenever an agreement changes.
pub const VERSION: u32 = 1;

/// Flips of all runs under one intervention.
#[derive(Clone, Copy, Debug)]
pub struct Flips<'a> {
    /// `[runs, bases]`, row-major, 1 where the prediction changes.
    pub flips: &'a [f64],
    /// Number of bases.
    pub bases: usize,
}

/// Pooled kappa of flips; `None` if nobody flips anywhere, or everybody does.
///
/// # Panics
/// If a matrix is not rows of its bases, or the interventions have different numbers of runs.
#[must_use]
pub fn flip_agreement(interventions: &[Flips<'_>]) -> Option<Figure> {
    let runs = interventions.first().map_or(0, |first| rows(first.flips, first.bases));
    for of in interventions {
        assert_eq!(rows(of.flips, of.bases), runs, "interventions on different numbers of runs");
    }
    let term = |of: &Flips<'_>, a: usize, b: usize| {
        let [a, b] = [a, b].map(|run| &of.flips[run * of.bases..][..of.bases]);
        let n = of.bases as f64;
        let same = a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / n;
        let [p, q] = [a, b].map(|flips| flips.iter().sum::<f64>() / n);
        let expected = p * q + (1.0 - p) * (1.0 - q);
        (same - expected, 1.0 - expected)
    };
    let sum = |a: usize, b: usize| {
        interventions.iter().map(|of| term(of, a, b)).fold((0.0, 0.0), |sum, x| (sum.0 + x.0, sum.1 + x.1))
    };
    Ratio::of_pairs(runs, sum).figure()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reacts_to_adds_nothing() {
        let moved = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let still = [0.0; 6];
        let alone = flip_agreement(&[Flips { flips: &moved, bases: 4 }]).unwrap();
        let both =
            flip_agreement(&[Flips { flips: &moved, bases: 4 }, Flips { flips: &still, bases: 3 }]).unwrap();
        // Table 1 both, 1 only the first, 2 neither: o = 3/4, e = 1/2.
        assert_eq!((alone.value, both.value), (0.5, 0.5));
        assert_eq!(flip_agreement(&[Flips { flips: &still, bases: 3 }]), None);
    }
}
