//! The shape of a loss along the line between two models.
//!
//! Values `L_i` lie at positions `0 = alpha_0 < ... < alpha_{n-1} = 1` of
//! `theta(alpha) = (1-alpha) theta_a + alpha theta_b`. With the chord
//! `C_i = (1-alpha_i) L_0 + alpha_i L_{n-1}`:
//!
//! - barrier = `max(0, max_i [L_i - C_i])`,
//! - over the mean = `max_i L_i - (L_0 + L_{n-1})/2` (Frankle et al. 2020, "Linear Mode Connectivity and the
//!   Lottery Ticket Hypothesis"),
//! - over the maximum = `max_i L_i - max(L_0, L_{n-1})`,
//! - convexity gap = the largest barrier over all stretches `i..=j` of the grid, each against its own chord
//!   (Juneja et al. 2023, "Linear Connectivity Reveals Generalization Strategies"),
//! - area = trapezoid rule over `L - min L`.
//!
//! They rank pairs differently, so all are reported. The same functions serve cross-entropy, error and
//! expected error: anything that is better when smaller. A value that is not finite (a path through a region
//! where a model overflows) makes every summary NaN instead of hiding in a maximum.

pub mod refinement;
pub mod shape;

/// Changes whenever a summary of a path changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("path", VERSION)
}

/// A path in numbers. Units are those of the values; only `alpha_of_max` is a position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathSummary {
    /// Largest height above the chord, never negative.
    pub barrier: f64,
    /// Supremum less the mean of the ends, never negative.
    pub over_mean: f64,
    /// Supremum less the higher end, never negative.
    pub over_max: f64,
    /// Largest chord barrier over all stretches of the path, at least `barrier`.
    pub convexity_gap: f64,
    /// Area under the path above its own minimum.
    pub area: f64,
    /// Largest value on the path, ends included.
    pub max: f64,
    /// Where the largest value is, 0 to 1; the first of several.
    pub alpha_of_max: f64,
}

/// All summaries of one path.
///
/// # Panics
/// As [`barrier`].
#[must_use]
pub fn summarise(alphas: &[f64], values: &[f64]) -> PathSummary {
    check(alphas, values);
    if !values.iter().all(|value| value.is_finite()) {
        let nan = f64::NAN;
        return PathSummary {
            barrier: nan,
            over_mean: nan,
            over_max: nan,
            convexity_gap: nan,
            area: nan,
            max: nan,
            alpha_of_max: nan,
        };
    }
    let (first, last) = (values[0], values[values.len() - 1]);
    let mut top = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[top] {
            top = i;
        }
    }
    let max = values[top];
    PathSummary {
        barrier: barrier(alphas, values),
        over_mean: max - f64::midpoint(first, last),
        over_max: max - first.max(last),
        convexity_gap: convexity_gap(alphas, values),
        area: area(alphas, values),
        max,
        alpha_of_max: alphas[top],
    }
}

/// Largest height above the chord between the ends, `max(0, max_i [L_i - C_i])`; NaN if a value is not
/// finite.
///
/// `alphas` need not begin at 0 or end at 1: the chord spans whatever stretch is given.
///
/// # Panics
/// If there are fewer than two points, a value without a position, or `alphas` does not increase.
#[must_use]
pub fn barrier(alphas: &[f64], values: &[f64]) -> f64 {
    check(alphas, values);
    if !values.iter().all(|value| value.is_finite()) {
        return f64::NAN;
    }
    stretch_barrier(alphas, values)
}

/// Largest chord barrier over all contiguous stretches; NaN if a value is not finite. Costs O(n^3) for n
/// points.
///
/// # Panics
/// As [`barrier`].
#[must_use]
pub fn convexity_gap(alphas: &[f64], values: &[f64]) -> f64 {
    check(alphas, values);
    if !values.iter().all(|value| value.is_finite()) {
        return f64::NAN;
    }
    let mut gap = 0.0_f64;
    for from in 0..values.len() - 1 {
        for to in from + 2..values.len() {
            gap = gap.max(stretch_barrier(&alphas[from..=to], &values[from..=to]));
        }
    }
    gap
}

/// Area between the path and its minimum by the trapezoid rule; NaN if a value is not finite.
///
/// # Panics
/// As [`barrier`].
#[must_use]
pub fn area(alphas: &[f64], values: &[f64]) -> f64 {
    check(alphas, values);
    if !values.iter().all(|value| value.is_finite()) {
        return f64::NAN;
    }
    let floor = values.iter().copied().fold(f64::INFINITY, f64::min);
    let strip = |i: usize| (alphas[i + 1] - alphas[i]) * (f64::midpoint(values[i], values[i + 1]) - floor);
    (0..values.len() - 1).map(strip).sum()
}

fn stretch_barrier(alphas: &[f64], values: &[f64]) -> f64 {
    let end = values.len() - 1;
    let length = alphas[end] - alphas[0];
    let mut highest = 0.0_f64;
    for i in 1..end {
        let chord = (values[0] * (alphas[end] - alphas[i]) + values[end] * (alphas[i] - alphas[0])) / length;
        highest = highest.max(values[i] - chord);
    }
    highest
}

fn check(alphas: &[f64], values: &[f64]) {
    assert_eq!(alphas.len(), values.len(), "{} positions but {} values", alphas.len(), values.len());
    assert!(values.len() >= 2, "a path has two ends, not {} points", values.len());
    assert!(alphas.windows(2).all(|pair| pair[0] < pair[1]), "positions must increase: {alphas:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grid(n: usize) -> Vec<f64> {
        (0..n).map(|i| i as f64 / (n - 1) as f64).collect()
    }

    fn check(values: &[f64], barrier: f64, over_mean: f64, over_max: f64, gap: f64, area: f64) {
        let summary = summarise(&grid(values.len()), values);
        let found =
            [summary.barrier, summary.over_mean, summary.over_max, summary.convexity_gap, summary.area];
        let expected = [barrier, over_mean, over_max, gap, area];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{values:?}: {summary:?}, expected {expected}");
        }
    }

    #[test]
    fn published_vectors() {
        check(&[0.0, 1.0, 0.0, 1.0, 0.0], 1.0, 1.0, 1.0, 1.0, 0.5);
        check(&[3.0, 0.0, 1.0, 0.0, 3.0], 0.0, 0.0, 0.0, 1.0, 1.0);
        check(&[1.0, 3.0, 3.0], 1.0, 1.0, 0.0, 1.0, 1.5);
        check(&[2.0, 2.0], 0.0, 0.0, 0.0, 0.0, 0.0);
    }

    #[test]
    fn uneven_grids_use_their_own_chord() {
        let alphas = [0.0, 0.1, 1.0];
        assert!((barrier(&alphas, &[0.0, 1.0, 1.0]) - 0.9).abs() < 1e-12);
        assert!((area(&alphas, &[0.0, 1.0, 1.0]) - 0.95).abs() < 1e-12);
        assert_eq!(summarise(&alphas, &[0.0, 2.0, 1.0]).alpha_of_max, 0.1);
    }

    #[test]
    fn overflow_on_the_path_is_not_hidden() {
        for bad in [f64::NAN, f64::INFINITY] {
            let summary = summarise(&grid(3), &[0.0, bad, 0.0]);
            assert!(summary.barrier.is_nan() && summary.convexity_gap.is_nan() && summary.area.is_nan());
        }
    }

    /// The definition, word for word: the convexity gap is max over i < k < j of the height above the chord
    /// i-j.
    fn naive_gap(alphas: &[f64], values: &[f64]) -> f64 {
        let n = values.len();
        let mut gap = 0.0_f64;
        for i in 0..n {
            for j in i + 1..n {
                for k in i..=j {
                    let t = (alphas[k] - alphas[i]) / (alphas[j] - alphas[i]);
                    gap = gap.max(values[k] - ((1.0 - t) * values[i] + t * values[j]));
                }
            }
        }
        gap
    }

    fn path() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        prop::collection::vec((0.01..1.0_f64, -5.0..5.0_f64), 2..14).prop_map(|steps| {
            let total: f64 = steps[1..].iter().map(|(step, _)| step).sum();
            let mut at = 0.0;
            let mut alphas = vec![0.0];
            for (step, _) in &steps[1..] {
                at += step / total;
                alphas.push(at);
            }
            (alphas, steps.iter().map(|&(_, value)| value).collect())
        })
    }

    proptest! {
        #[test]
        fn reversal_changes_nothing((alphas, values) in path()) {
            let forward = summarise(&alphas, &values);
            let end = alphas[alphas.len() - 1];
            let alphas: Vec<f64> = alphas.iter().rev().map(|alpha| end - alpha).collect();
            let values: Vec<f64> = values.iter().rev().copied().collect();
            let backward = summarise(&alphas, &values);
            prop_assert!((forward.barrier - backward.barrier).abs() < 1e-9);
            prop_assert!((forward.convexity_gap - backward.convexity_gap).abs() < 1e-9);
            prop_assert!((forward.area - backward.area).abs() < 1e-9);
            prop_assert_eq!(forward.over_max, backward.over_max);
        }

        #[test]
        fn gap_is_the_definition_and_at_least_the_barrier((alphas, values) in path()) {
            let summary = summarise(&alphas, &values);
            prop_assert!((summary.convexity_gap - naive_gap(&alphas, &values)).abs() < 1e-9);
            prop_assert!(summary.convexity_gap >= summary.barrier);
            prop_assert!(summary.barrier >= summary.over_max - 1e-9, "the chord is below its higher end");
        }

        #[test]
        fn convex_paths_have_no_gap((alphas, _) in path(), centre in 0.0..1.0_f64, tilt in -3.0..3.0_f64) {
            let bowl = |alpha: &f64| (alpha - centre).powi(2) + tilt * alpha;
            let values: Vec<f64> = alphas.iter().map(bowl).collect();
            prop_assert!(convexity_gap(&alphas, &values) < 1e-9);
        }

        #[test]
        fn level_and_scale_follow((alphas, values) in path(), level in -3.0..3.0_f64, scale in 0.1..4.0_f64) {
            let moved: Vec<f64> = values.iter().map(|value| level + scale * value).collect();
            prop_assert!((barrier(&alphas, &moved) - scale * barrier(&alphas, &values)).abs() < 1e-9);
        }
    }
}
