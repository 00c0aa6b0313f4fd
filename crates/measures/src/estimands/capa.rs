//! Shared errors with more than two labels: CAPA (Goel et al. 2025, "Great Models Think Alike and this
//! Undermines AI Oversight").
//!
//! ```text
//! capa = sum_pairs (o - e) / sum_pairs (1 - e)
//! o = mean_i sum_c p_a(c|i) p_b(c|i),   e = p_a p_b + (1-p_a)(1-p_b)/(C-1),   p = mean_i p(y_i|i)
//! ```
//!
//! The hard form takes a prediction for a distribution with all its mass on one label: `o` is then the share
//! of equal predictions and `p` the accuracy. Pooled over pairs as a ratio of sums, as [`super::shared`].

use super::{Figure, Ratio, rows};

/// Changes whenever a figure changes.
pub const VERSION: u32 = 1;

/// CAPA of hard predictions `[runs, examples]` over `classes` labels; `None` if no pair has anything to share.
///
/// # Panics
/// If the shapes differ, or `classes < 2`.
#[must_use]
pub fn hard(predictions: &[u32], labels: &[u32], classes: usize) -> Option<Figure> {
    let n = labels.len();
    assert!(
        n > 0 && predictions.len().is_multiple_of(n),
        "{} predictions of {n} examples",
        predictions.len()
    );
    let row = |run: usize| &predictions[run * n..][..n];
    let equal = |a: &[u32], b: &[u32]| a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / n as f64;
    let runs = predictions.len() / n;
    let accuracy: Vec<f64> = (0..runs).map(|run| equal(row(run), labels)).collect();
    Ratio::of_pairs(runs, |a, b| term(equal(row(a), row(b)), accuracy[a], accuracy[b], classes)).figure()
}

/// CAPA of distributions `[runs, examples, classes]`; `None` if no pair has anything to share.
///
/// # Panics
/// If the shapes differ, or `classes < 2`.
#[must_use]
pub fn probabilistic(distributions: &[f64], labels: &[u32], classes: usize) -> Option<Figure> {
    let size = labels.len() * classes;
    let runs = rows(distributions, size);
    let n = labels.len() as f64;
    let row = |run: usize| &distributions[run * size..][..size];
    let right = |run: usize| {
        let of = |(example, &label): (usize, &u32)| row(run)[example * classes + label as usize];
        labels.iter().enumerate().map(of).sum::<f64>() / n
    };
    let right: Vec<f64> = (0..runs).map(right).collect();
    let same = |a: usize, b: usize| row(a).iter().zip(row(b)).map(|(p, q)| p * q).sum::<f64>() / n;
    Ratio::of_pairs(runs, |a, b| term(same(a, b), right[a], right[b], classes)).figure()
}

fn term(observed: f64, p: f64, q: f64, classes: usize) -> (f64, f64) {
    let expected = crate::agreement::expected_of_independent(p, q, classes);
    (observed - expected, 1.0 - expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_labels_are_error_consistency() {
        let labels = [0, 1, 1, 0, 1];
        let predictions = [0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1];
        let right: Vec<f64> =
            predictions.iter().enumerate().map(|(i, p)| f64::from(u8::from(*p == labels[i % 5]))).collect();
        let capa = hard(&predictions, &labels, 2).unwrap();
        let shared = super::super::shared::shared(&right, 5).unwrap();
        assert!((capa.value - shared.value).abs() < 1e-12, "{capa:?} {shared:?}");
        let one_hot: Vec<f64> = predictions.iter().flat_map(|&p| [f64::from(1 - p), f64::from(p)]).collect();
        let soft = probabilistic(&one_hot, &labels, 2).unwrap();
        assert!((soft.value - capa.value).abs() < 1e-12);
    }
}
