//! Shared errors: error consistency pooled over pairs (Geirhos et al. 2020, "Beyond accuracy").
//!
//! ```text
//! shared = sum_pairs (o - e) / sum_pairs (1 - e)
//! o = share of examples on which both are right or both wrong,  e = p_a p_b + (1-p_a)(1-p_b)
//! ```
//!
//! A ratio of sums: a pair at the ceiling, where `1 - e` is 0, adds nothing to either sum and is not a gap, as it
//! would be in a mean over pairs. With more than two labels see [`super::capa`].

use super::{Figure, Ratio, rows};

/// Changes whenever a figure changes.
pub const VERSION: u32 = 1;

/// Pooled error consistency of `right` `[runs, examples]`, values 0 or 1: 1 for identical errors, 0 for
/// independent ones. `None` if no pair has anything to share (all always right, or fewer than two runs).
///
/// # Panics
/// If `right` is not rows of `examples`.
#[must_use]
pub fn shared(right: &[f64], examples: usize) -> Option<Figure> {
    terms(right, examples).figure()
}

fn terms(right: &[f64], examples: usize) -> Ratio {
    let runs = rows(right, examples);
    let row = |run: usize| &right[run * examples..][..examples];
    let n = examples as f64;
    let accuracy: Vec<f64> = (0..runs).map(|run| row(run).iter().sum::<f64>() / n).collect();
    Ratio::of_pairs(runs, |a, b| {
        let same = row(a).iter().zip(row(b)).filter(|(a, b)| a == b).count() as f64 / n;
        let (p, q) = (accuracy[a], accuracy[b]);
        let expected = p * q + (1.0 - p) * (1.0 - q);
        (same - expected, 1.0 - expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_at_the_ceiling_is_not_a_gap() {
        let perfect = [1.0; 4];
        let other = [1.0, 1.0, 0.0, 1.0];
        let right = [perfect, perfect, other].concat();
        // Two pairs of a perfect run and another: o = e = 3/4. One perfect pair: nothing to share.
        let found = shared(&right, 4).unwrap();
        assert_eq!((found.value, found.n_pairs), (0.0, 3));
        assert_eq!(shared(&[perfect, perfect].concat(), 4), None);
        assert_eq!(shared(&[other, other].concat(), 4).unwrap().value, 1.0);
    }
}
