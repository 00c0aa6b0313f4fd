//! Ensembles of predictions: what averaging weights is compared with.
//!
//! Both functions return scores that [`crate::scores::scores`] takes as logits, `[n, c]` row-major.

use crate::scores;

/// Changes whenever an ensemble's numbers change.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("ensemble", VERSION).and(scores::versions())
}

/// Logarithm of the mean probability over models, `log 1/m sum_j softmax(z_j)`: the softmax of it is the
/// mean.
///
/// # Panics
/// If there is no model, two have different numbers of logits, or they are not rows of `c`.
#[must_use]
pub fn mean_of_probabilities(models: &[&[f32]], c: usize) -> Vec<f32> {
    let len = check(models, c);
    let mut log_p = vec![0.0; c];
    let mut all = vec![vec![0.0; c]; models.len()];
    let mut out = Vec::with_capacity(len);
    for row in 0..len / c {
        for (logits, kept) in models.iter().zip(&mut all) {
            scores::log_softmax(&logits[row * c..][..c], &mut log_p);
            kept.copy_from_slice(&log_p);
        }
        for class in 0..c {
            // In logarithms throughout, so that a class that every model all but excludes keeps a finite
            // score.
            let max = all.iter().map(|row| row[class]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = all.iter().map(|row| (row[class] - max).exp()).sum();
            out.push((max + (sum / models.len() as f64).ln()) as f32);
        }
    }
    out
}

/// Mean logit over models, `1/m sum_j z_j`: the softmax of it is the normalised geometric mean of the
/// probabilities.
///
/// # Panics
/// As [`mean_of_probabilities`].
#[must_use]
pub fn mean_of_logits(models: &[&[f32]], c: usize) -> Vec<f32> {
    let len = check(models, c);
    let mean = |i: usize| models.iter().map(|logits| f64::from(logits[i])).sum::<f64>() / models.len() as f64;
    (0..len).map(|i| mean(i) as f32).collect()
}

fn check(models: &[&[f32]], c: usize) -> usize {
    assert!(!models.is_empty(), "an ensemble of no models");
    let len = models[0].len();
    assert!(c > 0 && len.is_multiple_of(c), "{len} logits are not rows of {c}");
    for logits in models {
        assert_eq!(logits.len(), len, "models with {len} and {} logits", logits.len());
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::probabilities;

    #[test]
    fn probabilities_are_averaged() {
        let (a, b) = ([0.0, 2.0, -1.0, 5.0, 0.5, 0.25], [1.0, 0.0, 3.0, -2.0, 0.0, 1.0]);
        let found = probabilities(&mean_of_probabilities(&[&a, &b], 3), 3);
        let [p, q] = [a, b].map(|logits| probabilities(&logits, 3));
        for i in 0..6 {
            assert!((found[i] - f64::midpoint(p[i], q[i])).abs() < 1e-6);
        }
    }

    #[test]
    fn excluded_classes_stay_finite() {
        let found = mean_of_probabilities(&[&[0.0, 5000.0], &[0.0, 4000.0]], 2);
        assert!(found.iter().all(|score| score.is_finite()), "{found:?}");
    }

    #[test]
    fn logits_are_averaged() {
        assert_eq!(mean_of_logits(&[&[0.0, 2.0], &[1.0, 4.0]], 2), [0.5, 3.0]);
        assert_eq!(mean_of_logits(&[&[0.5, 2.0]], 2), [0.5, 2.0]);
    }

    /// Two sure models against one that is unsure: the probabilities let it be outvoted less than the logits
    /// do.
    #[test]
    fn the_two_differ() {
        let (sure, unsure) = ([0.0, 20.0], [1.0, 0.0]);
        let p = probabilities(&mean_of_probabilities(&[&sure, &unsure], 2), 2)[1];
        let z = probabilities(&mean_of_logits(&[&sure, &unsure], 2), 2)[1];
        assert!(p < 0.65 && z > 0.99);
    }
}
