//! Do two models answer alike?
//!
//! Raw agreement rises with accuracy alone: two independent models that are right with .98 agree on .96. Two
//! corrections are offered. [`kappa`] asks how much more often they agree than two models that answer each
//! label as often as these do, whatever the example (Cohen 1960). [`chance_corrected`] asks how much more
//! often they agree than two *independent models of these accuracies*: it is the error consistency of Geirhos
//! et al. 2020 ("Beyond accuracy") where there are two labels, and 0 when the errors of one model say nothing
//! about those of the other. Only the second one says whether two good models share their mistakes.

/// Changes whenever an agreement or a distance changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("agreement", VERSION)
}

/// Share of examples on which both predict the same, 0 to 1.
///
/// # Panics
/// If they differ in length or are empty.
#[must_use]
pub fn agreement(a: &[u32], b: &[u32]) -> f64 {
    assert_eq!(a.len(), b.len(), "predictions for {} and {} examples", a.len(), b.len());
    assert!(!a.is_empty(), "agreement on no examples");
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

/// Cohen's kappa, `(o - e)/(1 - e)` with observed agreement `o` and `e = sum_k p_a(k) p_b(k)` from the share
/// of each label among the predictions. At most 1; `None` if both give one and the same label throughout.
///
/// # Panics
/// As [`agreement`].
#[must_use]
pub fn kappa(a: &[u32], b: &[u32]) -> Option<f64> {
    let observed = agreement(a, b);
    let classes = a.iter().chain(b).max().map_or(0, |&class| class as usize + 1);
    let mut counts = vec![[0.0_f64; 2]; classes];
    for (&a, &b) in a.iter().zip(b) {
        counts[a as usize][0] += 1.0;
        counts[b as usize][1] += 1.0;
    }
    let n = a.len() as f64;
    corrected(observed, counts.iter().map(|[a, b]| a * b).sum::<f64>() / (n * n))
}

/// Agreement that two independent models of accuracies `a` and `b` would show on a task of `c` labels:
/// `a b + (1-a)(1-b)/(c-1)`, wrong answers spread evenly over the wrong labels. Exact for two labels.
///
/// # Panics
/// If `c < 2`.
#[must_use]
pub fn expected_of_independent(a: f64, b: f64, c: usize) -> f64 {
    assert!(c >= 2, "agreement over {c} labels");
    a * b + (1.0 - a) * (1.0 - b) / (c - 1) as f64
}

/// Agreement beyond that of independent models of the same accuracies, `(o - e)/(1 - e)` with `e` of
/// [`expected_of_independent`]. 1 for identical answers, 0 for independent errors, below 0 for errors that
/// avoid each other; `None` if both are always right, when nothing is left to share.
///
/// Where errors are few this divides by a small number: report it with its interval.
///
/// # Panics
/// As [`agreement`], if `labels` has another length, or if `c < 2`.
#[must_use]
pub fn chance_corrected(a: &[u32], b: &[u32], labels: &[u32], c: usize) -> Option<f64> {
    let [right_a, right_b] = [a, b].map(|predictions| agreement(predictions, labels));
    corrected(agreement(a, b), expected_of_independent(right_a, right_b, c))
}

fn corrected(observed: f64, expected: f64) -> Option<f64> {
    (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
}

/// Mean Jensen-Shannon distance of two models' predicted distributions `[n, c]`, 0 to 1: per row
/// `sqrt(1/2 KL(p|m) + 1/2 KL(q|m))` with `m = (p+q)/2` and logarithms to base 2 (Endres and Schindelin
/// 2003).
///
/// # Panics
/// If they differ in length, are empty, or are not rows of `c`.
#[must_use]
pub fn jensen_shannon_distance(p: &[f64], q: &[f64], c: usize) -> f64 {
    assert_eq!(p.len(), q.len(), "distributions of {} and {} values", p.len(), q.len());
    assert!(
        c > 0 && !p.is_empty() && p.len().is_multiple_of(c),
        "{} probabilities are not rows of {c}",
        p.len()
    );
    // Against the midpoint no logarithm is of zero but where its factor is zero too.
    let term = |p: f64, m: f64| if p > 0.0 { p * (p / m).log2() } else { 0.0 };
    let row = |(p, q): (&[f64], &[f64])| {
        let divergence: f64 = p
            .iter()
            .zip(q)
            .map(|(&p, &q)| {
                let m = f64::midpoint(p, q);
                f64::midpoint(term(p, m), term(q, m))
            })
            .sum();
        // Rounding can leave a divergence of -1e-17 between equal distributions.
        divergence.max(0.0).sqrt()
    };
    p.chunks_exact(c).zip(q.chunks_exact(c)).map(row).sum::<f64>() / (p.len() / c) as f64
}

/// How many examples a set of models settles among itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanimity {
    /// Examples that every model gets right.
    pub always_right: usize,
    /// Examples that no model gets right.
    pub always_wrong: usize,
    /// Examples in all.
    pub n: usize,
}

/// Counts the examples that all, and that none, of `models` get right.
///
/// # Panics
/// If there is no model, or one has predictions for another number of examples.
#[must_use]
pub fn unanimity(models: &[&[u32]], labels: &[u32]) -> Unanimity {
    assert!(!models.is_empty(), "unanimity of no models");
    let mut counts = Unanimity { always_right: 0, always_wrong: 0, n: labels.len() };
    for predictions in models {
        assert_eq!(
            predictions.len(),
            labels.len(),
            "{} predictions, {} labels",
            predictions.len(),
            labels.len()
        );
    }
    for (i, &label) in labels.iter().enumerate() {
        let right = models.iter().filter(|predictions| predictions[i] == label).count();
        counts.always_right += usize::from(right == models.len());
        counts.always_wrong += usize::from(right == 0);
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use random::Stream;

    use super::*;

    /// Cohen's kappa of the textbook table 20/5/10/15: observed .7, expected .5, kappa .4.
    #[test]
    fn published_kappa() {
        let cells = [(1, 1, 20), (1, 0, 5), (0, 1, 10), (0, 0, 15)];
        let (a, b): (Vec<u32>, Vec<u32>) = cells.iter().flat_map(|&(a, b, n)| vec![(a, b); n]).unzip();
        assert!((kappa(&a, &b).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(kappa(&[1, 1], &[1, 1]), None);
    }

    #[test]
    fn independent_errors_are_no_agreement() {
        let mut stream = Stream::new(0, "independent errors");
        for c in [2_u32, 5] {
            let labels: Vec<u32> = (0..40_000).map(|_| stream.below(c as usize) as u32).collect();
            let mut model = |accuracy: f64| -> Vec<u32> {
                let answer = |&label: &u32| match stream.bernoulli(accuracy) {
                    true => label,
                    false => (label + 1 + stream.below(c as usize - 1) as u32) % c,
                };
                labels.iter().map(answer).collect()
            };
            let (a, b) = (model(0.9), model(0.8));
            assert!(chance_corrected(&a, &b, &labels, c as usize).unwrap().abs() < 0.02);
            // Kappa calls the same two models alike, because both are right so often.
            assert!(kappa(&a, &b).unwrap() > 0.4);
            assert_eq!(chance_corrected(&a, &a, &labels, c as usize), Some(1.0));
        }
    }

    #[test]
    fn perfect_models_share_no_errors() {
        assert_eq!(chance_corrected(&[0, 1], &[0, 1], &[0, 1], 2), None);
        assert_eq!(chance_corrected(&[0, 1], &[1, 0], &[0, 1], 2), Some(0.0));
    }

    #[test]
    fn distances_at_the_ends() {
        assert_eq!(jensen_shannon_distance(&[1.0, 0.0], &[0.0, 1.0], 2), 1.0);
        assert_eq!(jensen_shannon_distance(&[0.2, 0.8], &[0.2, 0.8], 2), 0.0);
        // scipy.spatial.distance.jensenshannon([1, 0], [.5, .5]) = 0.46450140402245893 in nats.
        let nats = jensen_shannon_distance(&[1.0, 0.0], &[0.5, 0.5], 2) * std::f64::consts::LN_2.sqrt();
        assert!((nats - 0.464_501_404_022_458_93).abs() < 1e-12);
    }

    #[test]
    fn unanimity_by_hand() {
        let counts = unanimity(&[&[0, 1, 1], &[0, 1, 0]], &[0, 0, 1]);
        assert_eq!(counts, Unanimity { always_right: 1, always_wrong: 1, n: 3 });
    }

    proptest! {
        #[test]
        fn two_labels_are_error_consistency(rows in prop::collection::vec((0..2_u32, 0..2_u32, 0..2_u32), 1..50)) {
            let a: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let b: Vec<u32> = rows.iter().map(|row| row.1).collect();
            let labels: Vec<u32> = rows.iter().map(|row| row.2).collect();
            // Geirhos et al.: kappa of "right or wrong" with expectation a b + (1-a)(1-b).
            let right = |p: &[u32]| -> Vec<u32> {
                p.iter().zip(&labels).map(|(p, y)| u32::from(p == y)).collect()
            };
            let consistency = kappa(&right(&a), &right(&b));
            match (chance_corrected(&a, &b, &labels, 2), consistency) {
                (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-9),
                // Both always right or both always wrong.
                (found, expected) => prop_assert!(found.is_none() || expected.is_none()),
            }
        }

        #[test]
        fn distance_is_symmetric(a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
            let (p, q) = ([a, 1.0 - a], [b, 1.0 - b]);
            let there = jensen_shannon_distance(&p, &q, 2);
            prop_assert_eq!(there, jensen_shannon_distance(&q, &p, 2));
            prop_assert!((0.0..=1.0).contains(&there));
        }
    }
}
