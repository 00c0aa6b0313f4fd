//! Path variance: how much outcomes depend on the fine-tuning seed.
//!
//! ```text
//! path_variance = K/(K-1) mean_i q_i (1 - q_i),    q_i = mean_k R[k, i]
//! ```
//!
//! The unbiased variance over runs of being right, averaged over examples. For right-or-wrong answers it is
//! half the share of examples on which exactly one of two runs is right; with two labels that is
//! `(1 - agreement)/2`. It falls as accuracy rises above one half, whatever the path does: read it beside the
//! contrast at equal accuracy.

use super::{Figure, rows};

/// Changes whenever a path variance changes.
pub const VERSION: u32 = 1;

/// Path variance of `right` `[runs, examples]`; `None` with fewer than two runs.
///
/// # Panics
/// If `right` is not rows of `examples`.
#[must_use]
pub fn path_variance(right: &[f64], examples: usize) -> Option<Figure> {
    let runs = rows(right, examples);
    let mut totals = vec![0.0; examples];
    for row in right.chunks_exact(examples) {
        totals.iter_mut().zip(row).for_each(|(total, value)| *total += value);
    }
    let of = |left_out: Option<usize>| {
        let k = (runs - usize::from(left_out.is_some())) as f64;
        let total = |i: usize| totals[i] - left_out.map_or(0.0, |run| right[run * examples + i]);
        let mean = (0..examples).map(|i| total(i) / k).map(|q| q * (1.0 - q)).sum::<f64>() / examples as f64;
        (k > 1.0).then(|| k / (k - 1.0) * mean)
    };
    if runs < 2 { None } else { Figure::jackknifed(runs, of) }
}

/// Path variance when run `k` counts `of_runs[k]` times and example `i` `of_examples[i]` times, as in a
/// bootstrap; pairs of a run with its copy do not count, so that resampling is unbiased. `None` if nothing is
/// left.
///
/// # Panics
/// If the counts do not fit the matrix.
#[must_use]
pub fn weighted(right: &[f64], of_runs: &[f64], of_examples: &[f64]) -> Option<f64> {
    let examples = of_examples.len();
    assert_eq!(right.len(), of_runs.len() * examples, "counts of another matrix");
    let (all, squares) = of_runs.iter().fold((0.0, 0.0), |(all, squares), m| (all + m, squares + m * m));
    let pairs = all * all - squares;
    let weight: f64 = of_examples.iter().sum();
    if pairs <= 0.0 || weight <= 0.0 {
        return None;
    }
    // Pairs of different runs in which the first is right and the second wrong.
    let one_right = |i: usize| {
        let (mut hits, mut copies) = (0.0, 0.0);
        for (run, m) in of_runs.iter().enumerate() {
            let value = right[run * examples + i];
            hits += m * value;
            copies += m * m * value * (1.0 - value);
        }
        hits * (all - hits) - copies
    };
    let sum: f64 =
        (0..examples).filter(|&i| of_examples[i] > 0.0).map(|i| of_examples[i] * one_right(i)).sum();
    Some(sum / (pairs * weight))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Half of the mean disagreement over pairs.
    fn naive(right: &[f64], examples: usize) -> f64 {
        let runs: Vec<&[f64]> = right.chunks(examples).collect();
        let (mut sum, mut n) = (0.0, 0.0);
        for a in 0..runs.len() {
            for b in 0..a {
                let differ = (0..examples).filter(|&i| runs[a][i] != runs[b][i]).count();
                sum += differ as f64 / examples as f64;
                n += 1.0;
            }
        }
        sum / n / 2.0
    }

    proptest! {
        #[test]
        fn half_the_disagreement(cells in prop::collection::vec(prop::collection::vec(prop::bool::ANY, 7), 3..7)) {
            let right: Vec<f64> = cells.iter().flatten().map(|&hit| f64::from(u8::from(hit))).collect();
            let found = path_variance(&right, 7).unwrap();
            prop_assert!((found.value - naive(&right, 7)).abs() < 1e-12);
            let once = weighted(&right, &vec![1.0; cells.len()], &[1.0; 7]).unwrap();
            prop_assert!((once - found.value).abs() < 1e-12);
            // A run that counts twice makes no pair with its copy.
            let mut counts = vec![1.0; cells.len()];
            counts[0] = 0.0;
            let without = weighted(&right, &counts, &[1.0; 7]).unwrap();
            prop_assert!((without - naive(&right[7..], 7)).abs() < 1e-12);
        }
    }

    #[test]
    fn one_run_has_none() {
        assert_eq!(path_variance(&[1.0, 0.0], 2), None);
        let two = path_variance(&[1.0, 0.0, 0.0, 0.0], 2).unwrap();
        assert_eq!((two.value, two.within), (0.25, None));
    }
}
