//! Every definition of a barrier in use, signed, beside the clipped ones of [`super::PathSummary`].
//!
//! With the chord `C(alpha)` between the ends and `h_i = L_i - C(alpha_i)` at inner points:
//!
//! - signed maximum: `max_i h_i`, below 0 where the whole path lies under the chord;
//! - midpoint: `h` at alpha 1/2 (Neyshabur et al. 2020), interpolated between neighbours if the grid has none;
//! - dip: `max(0, -min_i h_i)`, how far the path lies under the chord;
//! - over the mean (Frankle et al. 2020) and over the maximum of the ends, signed;
//! - chord at the argmax of the raw values (Altintas et al.): `h` where `L` itself is largest.

use super::{check, convexity_gap};

/// Changes whenever a shape changes.
pub const VERSION: u32 = 1;

/// Fewest points from which a convexity gap is computed: a coarse grid misses most stretches.
pub const GAP_POINTS: usize = 11;

/// A path by every definition. Units are those of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Largest height above the chord at inner points, signed.
    pub signed: f64,
    /// The same, never negative.
    pub clipped: f64,
    /// Position of `signed`, the first of several.
    pub alpha: f64,
    /// Height above the chord in the middle.
    pub midpoint: f64,
    /// Depth under the chord, never negative.
    pub dip: f64,
    /// Largest inner value less the mean of the ends, signed.
    pub over_mean: f64,
    /// Largest inner value less the higher end, signed.
    pub over_max: f64,
    /// Height above the chord where the raw value is largest, ends included: 0 if that is an end.
    pub at_raw_maximum: f64,
    /// Largest chord barrier over all stretches; `None` below [`GAP_POINTS`] points.
    pub convexity_gap: Option<f64>,
}

/// All definitions for one series. `None` with fewer than three points or a value that is not finite.
///
/// # Panics
/// If positions and values differ in number, or positions do not increase.
#[must_use]
pub fn shape(alphas: &[f64], values: &[f64]) -> Option<Shape> {
    check(alphas, values);
    let end = values.len() - 1;
    if end < 2 || !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let length = alphas[end] - alphas[0];
    let chord = |at: f64| (values[0] * (alphas[end] - at) + values[end] * (at - alphas[0])) / length;
    let height = |i: usize| values[i] - chord(alphas[i]);
    let first_max = |of: &dyn Fn(usize) -> f64, range: std::ops::Range<usize>| {
        range.reduce(|best, i| if of(i) > of(best) { i } else { best }).expect("a path has points")
    };
    let top = first_max(&height, 1..end);
    let raw_inner = values[first_max(&|i| values[i], 1..end)];
    let lowest = (1..end).map(height).fold(f64::INFINITY, f64::min);
    let raw = first_max(&|i| values[i], 0..end + 1);
    let middle = f64::midpoint(alphas[0], alphas[end]);
    let after = alphas.partition_point(|alpha| *alpha < middle);
    let share = (middle - alphas[after - 1]) / (alphas[after] - alphas[after - 1]);
    Some(Shape {
        signed: height(top),
        clipped: height(top).max(0.0),
        alpha: alphas[top],
        midpoint: (1.0 - share) * values[after - 1] + share * values[after] - chord(middle),
        dip: (-lowest).max(0.0),
        over_mean: raw_inner - f64::midpoint(values[0], values[end]),
        over_max: raw_inner - values[0].max(values[end]),
        at_raw_maximum: if raw == 0 || raw == end { 0.0 } else { height(raw) },
        convexity_gap: (values.len() >= GAP_POINTS).then(|| convexity_gap(alphas, values)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_differ() {
        // Chord 0, 1, 2, 3, 4 of a path that rises: heights 1, -0.5, 0.8.
        let alphas = [0.0, 0.25, 0.5, 0.75, 1.0];
        let found = shape(&alphas, &[0.0, 2.0, 1.5, 3.8, 4.0]).unwrap();
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        near(found.signed, 1.0);
        near(found.alpha, 0.25);
        near(found.midpoint, -0.5);
        near(found.dip, 0.5);
        near(found.over_mean, 1.8);
        near(found.over_max, -0.2);
        near(found.at_raw_maximum, 0.0);
        assert_eq!(found.convexity_gap, None);
        let under = shape(&[0.0, 0.4, 1.0], &[1.0, 0.2, 1.0]).unwrap();
        near(under.signed, -0.8);
        near(under.clipped, 0.0);
        near(under.midpoint, 1.0 / 6.0 * 1.0 + 5.0 / 6.0 * 0.2 - 1.0);
        let eleven: Vec<f64> = (0..11).map(|i| f64::from(i) / 10.0).collect();
        let bowl: Vec<f64> = eleven.iter().map(|x| (x - 0.5) * (x - 0.5)).collect();
        assert!(shape(&eleven, &bowl).unwrap().convexity_gap.unwrap() < 1e-12);
        assert_eq!(shape(&[0.0, 1.0], &[0.0, 0.0]), None);
        assert_eq!(shape(&[0.0, 0.5, 1.0], &[0.0, f64::NAN, 0.0]), None);
    }
}
