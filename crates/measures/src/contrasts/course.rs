//! The course of a measure over a ladder: trend, rank correlation, and monotone against unimodal shape.
//!
//! - slope on the logarithm of the loss still to go, within a pretraining seed, without the untrained rung (it
//!   holds most of the sum of squares of the positions);
//! - Spearman's rank correlation within a pretraining seed;
//! - shapes by prediction: the mean course of all seeds but one is fitted by a constant, a monotone course
//!   (least squares, pool adjacent violators; Barlow et al. 1972) and a unimodal one (the best of all
//!   turns), and each predicts the seed left out. A more flexible shape fits better always, and predicts
//!   better only where it is real. Levels of seeds are taken out first: shapes are compared, not heights.

use super::SeedFigure;
use crate::trend::least_squares;

/// Changes whenever a figure changes.
pub const VERSION: u32 = 1;

/// The slope of `values` on `ln(to_go)` over the rungs that are trained and have a loss to go, as a figure of
/// this pretraining seed; `None` with fewer than three such rungs or equal positions.
///
/// # Panics
/// If the lists differ in length.
#[must_use]
pub fn slope_to_go(seed: u64, steps: &[u64], to_go: &[f64], values: &[f64]) -> Option<SeedFigure> {
    assert!(steps.len() == to_go.len() && to_go.len() == values.len(), "a course of different lengths");
    let kept = (0..steps.len()).filter(|&i| steps[i] > 0 && to_go[i] > 0.0 && values[i].is_finite());
    let (x, y): (Vec<f64>, Vec<f64>) = kept.map(|i| (to_go[i].ln(), values[i])).unzip();
    let value = if x.len() < 3 { f64::NAN } else { least_squares(&x, &y) };
    value.is_finite().then_some(SeedFigure { seed, value, within: None, n_pairs: 0 })
}

/// Leave-one-seed-out errors of three shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shapes {
    /// Root mean square error of a constant.
    pub constant: f64,
    /// That of a monotone course, rising or falling.
    pub monotone: f64,
    /// That of a course that rises to a peak and falls, or falls to a dip and rises.
    pub unimodal: f64,
    /// Position in the list of rungs at which the unimodal course fitted to all seeds is highest, or lowest.
    pub turn: usize,
    /// True if that turn is a peak.
    pub peak: bool,
}

impl Shapes {
    /// True if the unimodal course predicts best.
    #[must_use]
    pub fn prefers_a_turn(&self) -> bool {
        self.unimodal < self.monotone && self.unimodal < self.constant
    }
}

/// Compares shapes over `courses`, one for each pretraining seed, all at the same rungs in order. `None` with fewer than
/// three seeds or rungs, or a value that is not finite.
///
/// # Panics
/// If the courses differ in length.
#[must_use]
pub fn shapes(courses: &[Vec<f64>]) -> Option<Shapes> {
    let rungs = courses.first()?.len();
    assert!(courses.iter().all(|course| course.len() == rungs), "courses over different rungs");
    if courses.len() < 3 || rungs < 3 || courses.iter().flatten().any(|value| !value.is_finite()) {
        return None;
    }
    let centred: Vec<Vec<f64>> = courses
        .iter()
        .map(|course| {
            let level = course.iter().sum::<f64>() / rungs as f64;
            course.iter().map(|value| value - level).collect()
        })
        .collect();
    let mut errors = [0.0; 3];
    for (out, course) in centred.iter().enumerate() {
        let others = mean_course(centred.iter().enumerate().filter(|(seed, _)| *seed != out).map(|(_, c)| c));
        let fits = [vec![0.0; rungs], monotone(&others), unimodal(&others).fit];
        for (error, fit) in errors.iter_mut().zip(&fits) {
            *error += squares(fit, course);
        }
    }
    let [constant, monotone, unimodal_error] =
        errors.map(|error| (error / (courses.len() * rungs) as f64).sqrt());
    let Unimodal { turn, peak, .. } = unimodal(&mean_course(centred.iter()));
    Some(Shapes { constant, monotone, unimodal: unimodal_error, turn, peak })
}

fn mean_course<'a>(courses: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let (mut sum, mut n) = (Vec::new(), 0.0);
    for course in courses {
        sum.resize(course.len(), 0.0);
        sum.iter_mut().zip(course).for_each(|(sum, value): (&mut f64, &f64)| *sum += value);
        n += 1.0;
    }
    sum.iter().map(|sum| sum / n).collect()
}

fn squares(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Least-squares fit that never falls: pool adjacent violators.
#[must_use]
pub fn isotonic(values: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &value in values {
        blocks.push((value, 1));
        while let [.., (a, n), (b, m)] = blocks[..] {
            if a <= b {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a * n as f64 + b * m as f64) / (n + m) as f64, n + m));
        }
    }
    blocks.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect()
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| -value).collect()
}

fn monotone(values: &[f64]) -> Vec<f64> {
    let (rising, falling) = (isotonic(values), negated(&isotonic(&negated(values))));
    if squares(&rising, values) <= squares(&falling, values) { rising } else { falling }
}

/// A course with one turn.
struct Unimodal {
    fit: Vec<f64>,
    /// Where the fit is highest, or lowest.
    turn: usize,
    peak: bool,
}

/// Best unimodal fit, upward or downward.
fn unimodal(values: &[f64]) -> Unimodal {
    let (mut best, mut least) = (None, f64::INFINITY);
    for peak in [true, false] {
        let upward = if peak { values.to_vec() } else { negated(values) };
        for last_rising in 1..values.len() - 1 {
            let mut fit = isotonic(&upward[..=last_rising]);
            fit.extend(negated(&isotonic(&negated(&upward[last_rising + 1..]))));
            let error = squares(&fit, &upward);
            if error < least - 1e-15 {
                least = error;
                let turn = (1..fit.len()).fold(0, |top, i| if fit[i] > fit[top] { i } else { top });
                best = Some(Unimodal { fit: if peak { fit } else { negated(&fit) }, turn, peak });
            }
        }
    }
    best.expect("a course of three finite values has an inner rung")
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;

    #[test]
    fn the_untrained_rung_is_left_out() {
        let to_go = [9.0, 2.7, 1.0, 0.4];
        let values: Vec<f64> = to_go.iter().map(|x: &f64| 2.0 * x.ln()).collect();
        let mut odd = values.clone();
        odd[0] = -99.0;
        let found = slope_to_go(3, &[0, 100, 300, 600], &to_go, &odd).unwrap();
        assert!((found.value - 2.0).abs() < 1e-12 && found.seed == 3);
        assert_eq!(slope_to_go(0, &[0, 1, 2], &to_go[..3], &values[..3]), None);
    }

    #[test]
    fn a_turn_is_found_where_there_is_one() {
        let mut stream = Stream::new(1, "shapes test");
        let mut courses = |truth: [f64; 5]| -> Vec<Vec<f64>> {
            (0..6)
                .map(|_| {
                    let level = stream.normal();
                    truth.iter().map(|value| level + value + 0.3 * stream.normal()).collect()
                })
                .collect()
        };
        let hump = shapes(&courses([0.0, 2.0, 3.0, 1.0, 0.0])).unwrap();
        assert!(hump.prefers_a_turn() && hump.turn == 2 && hump.peak, "{hump:?}");
        let dip = shapes(&courses([0.0, -3.0, -2.0, -1.0, 0.0])).unwrap();
        assert!(dip.prefers_a_turn() && !dip.peak, "{dip:?}");
        let slope = shapes(&courses([0.0, 1.0, 2.0, 3.0, 4.0])).unwrap();
        assert!(slope.monotone < slope.constant && !slope.prefers_a_turn(), "{slope:?}");
        assert_eq!(shapes(&courses([0.0; 5])[..2]), None);
    }
}
