//! The course of a measure over the ladder: slope and hump.
//!
//! Each is computed within a pretraining seed and averaged over them, with the intervals of
//! [`crate::estimate`]: seeds are resampled, or compared, with all their rungs. The primary contrast of a
//! study (late against early) is [`crate::estimate::contrast`]; a trend is secondary, since a course that
//! rises and falls has no slope worth the name.

use std::collections::BTreeMap;

use crate::Error;
use crate::estimate::{self, Estimate, Interval, Ladder, Options, Statistic};

/// Changes whenever a trend changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("trend", VERSION).and(estimate::versions())
}

/// Where each checkpoint stands: `(pretraining seed, rung)` to held-out loss, loss still to go, logarithm of
/// the step, ...
pub type Positions = BTreeMap<(u64, u64), f64>;

/// Least-squares slope of the statistic against `positions`,
/// `sum (x - mean x)(y - mean y) / sum (x - mean x)^2` over the rungs of a pretraining seed, averaged over
/// pretraining seeds. Against held-out loss, a measure that falls as pretraining converges has a positive
/// slope.
///
/// # Errors
/// As [`estimate::of_course`]; [`Error::NoPosition`]; [`Error::TooFew`] below three rungs;
/// [`Error::NoFigure`] if all positions are equal.
pub fn slope(
    ladder: &Ladder,
    statistic: Statistic,
    rungs: &[u64],
    positions: &Positions,
    options: &Options,
) -> Result<Estimate, Error> {
    if rungs.len() < 3 {
        return Err(Error::TooFew { what: "rungs of a trend", found: rungs.len(), needed: 3 });
    }
    let mut x: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for &pretraining in ladder.pretraining() {
        let position = |&rung: &u64| {
            positions.get(&(pretraining, rung)).copied().ok_or(Error::NoPosition { pretraining, rung })
        };
        x.insert(pretraining, rungs.iter().map(position).collect::<Result<_, Error>>()?);
    }
    let course = |pretraining: &[u64], rows: &[&[f64]]| {
        pretraining.iter().zip(rows).map(|(pretraining, row)| least_squares(&x[pretraining], row)).collect()
    };
    estimate::of_course(ladder, statistic, rungs, &course, options)
}

/// A course that turns inside the ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hump {
    /// The interior rung at which the statistic, averaged over pretraining seeds, is largest, or smallest.
    pub rung: u64,
    /// How far it lies beyond both ends there, above the higher or below the lower. There is a hump where the whole
    /// interval lies above 0.
    pub height: Estimate,
}

/// Which way a hump points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Up: the largest value.
    Peak,
    /// Down: the smallest.
    Dip,
}

/// Looks for a hump over `rungs`, in the order given: does the statistic peak (or dip) at an interior rung, beyond
/// both ends?
///
/// The largest of several noisy figures is too large. So the peak rung of a pretraining seed is chosen by the
/// *others*, and its height `f(p, peak) - max(f(p, first), f(p, last))` taken from its own runs: noise that
/// makes a peak cannot make its height. The interval is therefore that of [`Interval::SeedT`] whatever
/// `options` ask for: a bootstrap that draws a seed twice lets it choose for itself.
///
/// # Errors
/// As [`estimate::of_course`]; [`Error::TooFew`] below three rungs or two pretraining seeds.
pub fn hump(
    ladder: &Ladder,
    statistic: Statistic,
    rungs: &[u64],
    turn: Turn,
    options: &Options,
) -> Result<Hump, Error> {
    let sign = if turn == Turn::Peak { 1.0 } else { -1.0 };
    if rungs.len() < 3 {
        return Err(Error::TooFew { what: "rungs of a hump", found: rungs.len(), needed: 3 });
    }
    let seeds = ladder.pretraining().len();
    if seeds < 2 {
        return Err(Error::TooFew { what: "pretraining seeds", found: seeds, needed: 2 });
    }
    let last = rungs.len() - 1;
    let course = |pretraining: &[u64], rows: &[&[f64]]| {
        let upward: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().map(|value| sign * value).collect()).collect();
        let figure = |(own, row): (&u64, &Vec<f64>)| {
            let others = pretraining.iter().zip(&upward).filter(|(other, _)| *other != own);
            row[peak(others.map(|(_, row)| row.as_slice()))] - row[0].max(row[last])
        };
        pretraining.iter().zip(&upward).map(figure).collect()
    };
    let height = estimate::of_course(ladder, statistic, rungs, &course, &options.with(Interval::SeedT))?;
    let row = |&pretraining: &u64| -> Vec<f64> {
        rungs
            .iter()
            .map(|&rung| ladder.value(statistic, pretraining, rung).map_or(f64::NAN, |x| sign * x))
            .collect()
    };
    let rows: Vec<Vec<f64>> = ladder.pretraining().iter().map(row).collect();
    Ok(Hump { rung: rungs[peak(rows.iter().map(Vec::as_slice))], height })
}

/// Interior position at which the sum of the rows is largest, the first of several.
fn peak<'a>(rows: impl Iterator<Item = &'a [f64]>) -> usize {
    let mut totals: Vec<f64> = Vec::new();
    for row in rows {
        totals.resize(row.len(), 0.0);
        totals.iter_mut().zip(row).for_each(|(total, value)| *total += value);
    }
    (2..totals.len() - 1).fold(1, |best, rung| if totals[rung] > totals[best] { rung } else { best })
}

/// Least-squares slope of `y` on `x`; NaN if all `x` are equal.
///
/// # Panics
/// If they differ in length.
#[must_use]
pub fn least_squares(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "{} positions, {} values", x.len(), y.len());
    let (mean_x, mean_y) = (estimate::mean(x), estimate::mean(y));
    let (mut xx, mut xy) = (0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        xx += (x - mean_x).powi(2);
        xy += (x - mean_x) * (y - mean_y);
    }
    xy / xx
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;
    use crate::estimate::Cell;

    const RUNGS: [u64; 5] = [0, 100, 300, 1000, 3000];

    /// Pretraining seeds x 5 rungs x 6 runs around a course.
    fn ladder(seeds: u64, course: [f64; 5], noise: f64, draw: u64) -> Ladder {
        let mut stream = Stream::at(3, "trend test", draw);
        let mut cells = Vec::new();
        for pretraining in 0..seeds {
            let level = stream.normal();
            for (rung, value) in RUNGS.into_iter().zip(course) {
                let runs = (0..6).map(|seed| (seed, level + value + noise * stream.normal())).collect();
                cells.push(Cell { pretraining, rung, runs, pairs: Vec::new() });
            }
        }
        Ladder::new(&cells).unwrap()
    }

    /// `ln(1 + step)` of every rung.
    fn log_steps(ladder: &Ladder) -> Positions {
        let of_seed =
            |&seed: &u64| ladder.rungs().iter().map(move |&rung| ((seed, rung), (rung as f64).ln_1p()));
        ladder.pretraining().iter().flat_map(of_seed).collect()
    }

    #[test]
    fn a_line_has_its_slope() {
        assert_eq!(least_squares(&[0.0, 1.0, 2.0], &[1.0, 3.0, 5.0]), 2.0);
    }

    #[test]
    fn slopes_are_found() {
        let positions = log_steps(&ladder(4, [0.0; 5], 0.0, 0));
        let course = RUNGS.map(|rung| 0.25 * (rung as f64).ln_1p());
        let exact =
            slope(&ladder(4, course, 0.0, 0), Statistic::Mean, &RUNGS, &positions, &Options::default())
                .unwrap();
        assert!((exact.value - 0.25).abs() < 1e-9 && exact.upper - exact.lower < 1e-9, "{exact:?}");
        for interval in [Interval::SeedT, Interval::Percentile, Interval::Bca] {
            let options = Options { resamples: 500, ..Options::default().with(interval) };
            let found =
                slope(&ladder(4, course, 0.5, 0), Statistic::Mean, &RUNGS, &positions, &options).unwrap();
            assert!(found.above(0.0) && found.below(0.5), "{found:?}");
        }
    }

    #[test]
    fn missing_positions_are_named() {
        let ladder = ladder(2, [0.0; 5], 1.0, 0);
        let mut positions = log_steps(&ladder);
        positions.remove(&(1, 300));
        let message =
            slope(&ladder, Statistic::Mean, &RUNGS, &positions, &Options::default()).unwrap_err().to_string();
        assert_eq!(message, "pretraining seed 1, rung 300: there is no position to compare with");
        positions.insert((1, 300), 0.0);
        positions.values_mut().for_each(|x| *x = 1.0);
        assert_eq!(
            slope(&ladder, Statistic::Mean, &RUNGS, &positions, &Options::default()),
            Err(Error::NoFigure)
        );
    }

    #[test]
    fn humps_are_found_and_not_invented() {
        let find = |ladder: &Ladder, turn| hump(ladder, Statistic::Mean, &RUNGS, turn, &Options::default());
        let there = find(&ladder(5, [0.0, 3.0, 1.0, 0.5, 0.0], 0.5, 1), Turn::Peak).unwrap();
        assert_eq!(there.rung, 100);
        assert!(there.height.above(1.0), "{there:?}");
        let under = find(&ladder(5, [0.0, -3.0, -1.0, -0.5, 0.0], 0.5, 1), Turn::Dip).unwrap();
        assert!(under.rung == 100 && under.height.above(1.0), "{under:?}");
        let slope = ladder(5, [0.0, 1.0, 2.0, 3.0, 4.0], 0.5, 2);
        for turn in [Turn::Peak, Turn::Dip] {
            assert!(find(&slope, turn).unwrap().height.below(0.0), "{turn:?}");
        }
        // On flat courses "the whole interval is above 0" must be rare: 2.5 % at most, fewer since the higher
        // end is taken off.
        let invented = (0..400)
            .filter(|&draw| find(&ladder(3, [0.0; 5], 1.0, draw), Turn::Peak).unwrap().height.above(0.0));
        assert!(invented.count() <= 14);
        assert!(find(&ladder(1, [0.0; 5], 1.0, 0), Turn::Peak).is_err());
    }
}
