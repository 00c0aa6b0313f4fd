//! Coarser labels: a model's answers over its own labels, read as answers over fewer.
//!
//! A model of entailment, neutral and contradiction is asked whether a sentence is entailed or not. Both rules return
//! scores that [`crate::scores::scores`] takes as logits, so that everything downstream is the same with pooling as
//! without it.

/// Changes whenever a pooled number changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("pooling", VERSION)
}

/// How the logits of the labels that fall together become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The largest: the pooled prediction is the pool of the prediction (McCoy et al. 2019, who read a prediction of
    /// neutral or contradiction as non-entailment).
    Max,
    /// The logarithm of their summed exponentials: the pooled probability is the sum of the probabilities.
    Sum,
}

/// Logits `[n, c]` of `c` labels as logits `[n, k]` of coarser ones, row-major: label `j` falls into class `of[j]`, and
/// `k` is one more than the highest class.
///
/// With `J` the labels of a class: `max_J z_j`, or `ln sum_J exp z_j`, formed in `f64`. A class of one label keeps its
/// logit, and one with a logit that is not a number is not a number.
///
/// # Panics
/// If `of` is empty, leaves out a class below its highest, or the logits are not rows of `c`.
#[must_use]
pub fn pool(logits: &[f32], of: &[usize], rule: Rule) -> Vec<f32> {
    let c = of.len();
    assert!(c > 0 && logits.len().is_multiple_of(c), "{} logits are not rows of {c}", logits.len());
    let k = of.iter().max().map_or(0, |&class| class + 1);
    assert!(
        (0..k).all(|class| of.contains(&class)),
        "no label falls into one of the classes below {k}: {of:?}"
    );
    let mut out = Vec::with_capacity(logits.len() / c * k);
    let mut members = Vec::with_capacity(c);
    for row in logits.chunks_exact(c) {
        for class in 0..k {
            members.clear();
            members.extend(row.iter().zip(of).filter(|&(_, &of)| of == class).map(|(&logit, _)| logit));
            out.push(pooled(&members, rule));
        }
    }
    out
}

fn pooled(members: &[f32], rule: Rule) -> f32 {
    // `f32::max` passes over what is not a number; a broken model must not look sound.
    if members.iter().any(|logit| logit.is_nan()) {
        return f32::NAN;
    }
    let max = members.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if rule == Rule::Max || members.len() == 1 || max.is_infinite() {
        return max;
    }
    let sum: f64 = members.iter().map(|&logit| (f64::from(logit) - f64::from(max)).exp()).sum();
    (f64::from(max) + sum.ln()) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scores::{predictions, probabilities};

    const OF: [usize; 3] = [0, 1, 1];

    #[test]
    fn by_hand() {
        let logits = [1.0, 2.0, 3.0, 5.0, 4.0, 4.0];
        assert_eq!(pool(&logits, &OF, Rule::Max), [1.0, 3.0, 5.0, 4.0]);
        let sum = pool(&logits, &OF, Rule::Sum);
        assert!((f64::from(sum[1]) - (2_f64.exp() + 3_f64.exp()).ln()).abs() < 1e-6, "{sum:?}");
        // 2 exp(4) < exp(5): the two rules may differ, and here do not.
        assert_eq!(sum[2], 5.0);
        assert!(sum[3] < 5.0);
    }

    /// 1.0 beats .7 and .7 each, but not their sum.
    #[test]
    fn the_rules_differ() {
        let logits = [1.0, 0.7, 0.7];
        assert_eq!(predictions(&pool(&logits, &OF, Rule::Max), 2), [0]);
        assert_eq!(predictions(&pool(&logits, &OF, Rule::Sum), 2), [1]);
    }

    #[test]
    fn extremes_stay_what_they_are() {
        for rule in [Rule::Max, Rule::Sum] {
            assert!(pool(&[0.0, f32::NAN, 1.0], &OF, rule)[1].is_nan());
            assert_eq!(pool(&[0.0, f32::NEG_INFINITY, f32::NEG_INFINITY], &OF, rule)[1], f32::NEG_INFINITY);
            assert_eq!(pool(&[0.0, 3e38, 1.0], &OF, rule), [0.0, 3e38]);
        }
    }

    #[test]
    #[should_panic(expected = "no label falls into")]
    fn every_class_has_a_label() {
        let _ = pool(&[0.0, 1.0], &[0, 2], Rule::Max);
    }

    proptest! {
        /// Against probabilities that are summed and maximised as such, in `f64`.
        #[test]
        fn naive(
            logits in prop::collection::vec(-9.0..9.0_f32, 12),
            of in prop::sample::select(vec![[0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 2, 2], [0, 1, 2, 3], [1, 1, 1, 0]]),
        ) {
            let k = of.iter().max().unwrap() + 1;
            let summed = probabilities(&pool(&logits, &of, Rule::Sum), k);
            let largest = predictions(&pool(&logits, &of, Rule::Max), k);
            let p = probabilities(&logits, 4);
            for row in 0..3 {
                for class in 0..k {
                    let naive: f64 = (0..4).filter(|&j| of[j] == class).map(|j| p[row * 4 + j]).sum();
                    prop_assert!((summed[row * k + class] - naive).abs() < 1e-6);
                }
            }
            let own = predictions(&logits, 4);
            let naive: Vec<u32> = own.iter().map(|&label| of[label as usize] as u32).collect();
            prop_assert_eq!(largest, naive);
        }
    }
}
