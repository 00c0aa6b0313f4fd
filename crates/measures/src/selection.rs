//! What choosing the best of several seeds buys.
//!
//! Of `n` runs, `k` are trained and the one with the best held-out score is kept. The expected score elsewhere of what is kept,
//! over all `C(n, k)` sets of `k` runs, is exact: run `i`, the `r`-th best of all on the held-out set (from 0), is the best of
//! its set in `C(n - 1 - r, k - 1)` of them. With the held-out score itself in the place of the other this is the expected
//! validation performance of Dodge et al. 2019 (without replacement). Cost `O(n log n)`.

/// Changes whenever an expectation changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("selection", VERSION)
}

/// Expected `score` of the run with the highest `held_out` of `k` that are drawn without replacement; runs that tie are
/// kept with equal probability. `None` if there are fewer than `k` runs, `k` is 0, or a number is not finite.
///
/// # Panics
/// If the two lists differ in length.
#[must_use]
pub fn best_of(k: usize, held_out: &[f64], score: &[f64]) -> Option<f64> {
    assert_eq!(held_out.len(), score.len(), "{} held-out scores, {} scores", held_out.len(), score.len());
    let n = score.len();
    if k == 0 || n < k || held_out.iter().chain(score).any(|value| !value.is_finite()) {
        return None;
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| held_out[b].total_cmp(&held_out[a]));
    // Probability that the r-th best is the best of its set: C(n-1-r, k-1) / C(n, k), each from the one before.
    let mut probability = k as f64 / n as f64;
    let mut expected = 0.0;
    let mut rank = 0;
    while rank < n {
        let tied = order[rank..].iter().take_while(|&&run| held_out[run] == held_out[order[rank]]).count();
        let mean = order[rank..rank + tied].iter().map(|&run| score[run]).sum::<f64>() / tied as f64;
        for _ in 0..tied {
            expected += probability * mean;
            let left = n - 1 - rank;
            probability *=
                if left == 0 { 0.0 } else { (left as f64 - (k - 1) as f64).max(0.0) / left as f64 };
            rank += 1;
        }
    }
    Some(expected)
}

/// Runs in the order of `held_out`, best first, ties in the order given; `None` if a score is not finite. The mean of
/// another score over the first `k` is that of the best `k`.
#[must_use]
pub fn order(held_out: &[f64]) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..held_out.len()).collect();
    order.sort_by(|&a, &b| held_out[b].total_cmp(&held_out[a]));
    held_out.iter().all(|score| score.is_finite()).then_some(order)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Over all sets, one after the other.
    fn naive(k: usize, held_out: &[f64], score: &[f64]) -> f64 {
        let n = score.len();
        let (mut total, mut sets) = (0.0, 0.0);
        for set in 0_u32..1 << n {
            if set.count_ones() as usize != k {
                continue;
            }
            let members: Vec<usize> = (0..n).filter(|&run| set >> run & 1 == 1).collect();
            let best = members.iter().map(|&run| held_out[run]).fold(f64::NEG_INFINITY, f64::max);
            let kept: Vec<usize> = members.into_iter().filter(|&run| held_out[run] == best).collect();
            total += kept.iter().map(|&run| score[run]).sum::<f64>() / kept.len() as f64;
            sets += 1.0;
        }
        total / sets
    }

    #[test]
    fn by_hand() {
        let (held_out, score) = ([0.9, 0.7, 0.8], [0.1, 0.6, 0.5]);
        assert!((best_of(1, &held_out, &score).unwrap() - 0.4).abs() < 1e-15);
        assert_eq!(best_of(3, &held_out, &score), Some(0.1));
        // Sets {0,1}, {0,2} keep run 0, {1,2} keeps run 2.
        assert!((best_of(2, &held_out, &score).unwrap() - 0.7 / 3.0).abs() < 1e-15);
        assert_eq!(best_of(4, &held_out, &score), None);
        assert_eq!(best_of(0, &held_out, &score), None);
        assert_eq!(best_of(1, &[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn ordered_by_the_held_out_score() {
        assert_eq!(order(&[0.2, 0.9, 0.2, 0.5]), Some(vec![1, 3, 0, 2]));
        assert_eq!(order(&[0.2, f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn as_over_all_sets(runs in prop::collection::vec((0_u8..6, 0.0..1.0_f64), 1..9), k in 1_usize..9) {
            let held_out: Vec<f64> = runs.iter().map(|(held_out, _)| f64::from(*held_out)).collect();
            let score: Vec<f64> = runs.iter().map(|(_, score)| *score).collect();
            match best_of(k, &held_out, &score) {
                Some(found) => {
                    prop_assert!((found - naive(k, &held_out, &score)).abs() < 1e-12);
                }
                None => prop_assert!(k > runs.len()),
            }
        }
    }
}
