//! The course of a measure over the ladder: slope, rank correlation, hump.
//!
//! Each is computed within a pretraining seed and averaged over them, with the intervals of
//! [`crate::estimate`]: seeds are resampled, or compared, with all their rungs. The primary contrast of a
//! study (late against early) is [`crate::estimate::contrast`]; a trend is secondary, since a course that
//! rises and falls has no slope worth the name.

use std::collections::BTreeMap;

use crate::estimate::{self, Estimate, Interval, Ladder, Options, Statistic};
use crate::{Error, scores};

/// Changes whenever a trend changes.
pub const VERSION: u32 = 1;

/// Where each checkpoint stands: `(pretraining seed, rung)` to held-out loss, loss still to go, logarithm of
/// the step, ...
pub type Positions = BTreeMap<(u64, u64), f64>;

/// `ln(1 + step)` of every rung of a ladder.
#[must_use]
pub fn log_steps(ladder: &Ladder) -> Positions {
    let of_seed = |&pretraining: &u64| {
        ladder.rungs().iter().map(move |&rung| ((pretraining, rung), (rung as f64).ln_1p()))
    };
    ladder.pretraining().iter().flat_map(of_seed).collect()
}

/// Rank correlations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Kendall's tau-b: [`kendall`].
    Kendall,
    /// Spearman's rho: [`spearman`].
    Spearman,
}

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
    against(ladder, statistic, rungs, positions, options, &least_squares)
}

/// Rank correlation of the statistic with `positions` over the rungs of a pretraining seed, averaged over
/// pretraining seeds, -1 to 1. A measure that is the same at all rungs has none: it counts as 0.
///
/// # Errors
/// As [`slope`].
pub fn rank_correlation(
    ladder: &Ladder,
    statistic: Statistic,
    rungs: &[u64],
    positions: &Positions,
    rank: Rank,
    options: &Options,
) -> Result<Estimate, Error> {
    let correlate = match rank {
        Rank::Kendall => kendall,
        Rank::Spearman => spearman,
    };
    let or_none = |x: &[f64], y: &[f64]| correlate(x, y).unwrap_or(0.0);
    Ok(against(ladder, statistic, rungs, positions, options, &or_none)?.clamped(-1.0, 1.0))
}

fn against(
    ladder: &Ladder,
    statistic: Statistic,
    rungs: &[u64],
    positions: &Positions,
    options: &Options,
    relate: &dyn Fn(&[f64], &[f64]) -> f64,
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
        pretraining.iter().zip(rows).map(|(pretraining, row)| relate(&x[pretraining], row)).collect()
    };
    estimate::of_course(ladder, statistic, rungs, &course, options)
}

/// A course that rises and falls again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hump {
    /// The interior rung at which the statistic, averaged over pretraining seeds, is largest.
    pub rung: u64,
    /// Height of the peak above the higher end. There is a hump where the whole interval lies above 0.
    pub height: Estimate,
}

/// Looks for a hump over `rungs`, in the order given: does the statistic peak at an interior rung, above both
/// ends?
///
/// The largest of several noisy figures is too large. So the peak rung of a pretraining seed is chosen by the
/// *others*, and its height `f(p, peak) - max(f(p, first), f(p, last))` taken from its own runs: noise that
/// makes a peak cannot make its height. The interval is therefore that of [`Interval::SeedT`] whatever
/// `options` ask for: a bootstrap that draws a seed twice lets it choose for itself.
///
/// # Errors
/// As [`estimate::of_course`]; [`Error::TooFew`] below three rungs or two pretraining seeds.
pub fn hump(ladder: &Ladder, statistic: Statistic, rungs: &[u64], options: &Options) -> Result<Hump, Error> {
    if rungs.len() < 3 {
        return Err(Error::TooFew { what: "rungs of a hump", found: rungs.len(), needed: 3 });
    }
    let seeds = ladder.pretraining().len();
    if seeds < 2 {
        return Err(Error::TooFew { what: "pretraining seeds", found: seeds, needed: 2 });
    }
    let last = rungs.len() - 1;
    let course = |pretraining: &[u64], rows: &[&[f64]]| {
        let figure = |(own, row): (&u64, &&[f64])| {
            let others = pretraining.iter().zip(rows).filter(|(other, _)| *other != own).map(|(_, row)| *row);
            row[peak(&others.collect::<Vec<_>>())] - row[0].max(row[last])
        };
        pretraining.iter().zip(rows).map(figure).collect()
    };
    let height = estimate::of_course(ladder, statistic, rungs, &course, &options.with(Interval::SeedT))?;
    let row = |&pretraining: &u64| -> Vec<f64> {
        rungs.iter().map(|&rung| ladder.value(statistic, pretraining, rung).unwrap_or(f64::NAN)).collect()
    };
    let rows: Vec<Vec<f64>> = ladder.pretraining().iter().map(row).collect();
    Ok(Hump { rung: rungs[peak(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())], height })
}

/// Interior position at which the sum of the rows is largest, the first of several.
fn peak(rows: &[&[f64]]) -> usize {
    let total = |rung: usize| rows.iter().map(|row| row[rung]).sum::<f64>();
    let interior = 2..rows[0].len() - 1;
    interior.fold(1, |best, rung| if total(rung) > total(best) { rung } else { best })
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

/// Kendall's tau-b, `(concordant - discordant) / sqrt((n0 - ties_x)(n0 - ties_y))` over the `n0 = n(n-1)/2`
/// pairs of points; `None` if either list is constant.
///
/// # Panics
/// If they differ in length.
#[must_use]
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "{} positions, {} values", x.len(), y.len());
    let (mut score, mut untied_x, mut untied_y) = (0.0, 0.0, 0.0);
    for i in 0..x.len() {
        for j in i + 1..x.len() {
            let sign = |a: f64, b: f64| {
                if a < b {
                    1.0
                } else if a > b {
                    -1.0
                } else {
                    0.0_f64
                }
            };
            let (dx, dy) = (sign(x[i], x[j]), sign(y[i], y[j]));
            score += dx * dy;
            untied_x += dx.abs();
            untied_y += dy.abs();
        }
    }
    (untied_x > 0.0 && untied_y > 0.0).then(|| score / (untied_x * untied_y).sqrt())
}

/// Spearman's rho: the Pearson correlation of ranks, ties sharing their mean rank; `None` if either list is
/// constant.
///
/// # Panics
/// If they differ in length.
#[must_use]
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    scores::pearson(&ranks(x), &ranks(y))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |&value: &f64| {
        let below = values.iter().filter(|&&other| other < value).count();
        let equal = values.iter().filter(|&&other| other == value).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
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

    /// scipy's documented examples: kendalltau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]) =
    /// -0.47140452, spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) = 0.82078268.
    #[test]
    fn published_vectors() {
        let tau = kendall(&[12.0, 2.0, 1.0, 12.0, 2.0], &[1.0, 4.0, 7.0, 1.0, 0.0]).unwrap();
        assert!((tau + 0.471_404_520_791_031_7).abs() < 1e-12);
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap();
        assert!((rho - 0.820_782_681_668_123_3).abs() < 1e-12);
        assert_eq!(kendall(&[1.0, 1.0], &[0.0, 1.0]), None);
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
        let ladder = ladder(4, course, 0.0, 0);
        let tau = rank_correlation(
            &ladder,
            Statistic::Mean,
            &RUNGS,
            &positions,
            Rank::Kendall,
            &Options::default(),
        )
        .unwrap();
        assert!((tau.value - 1.0).abs() < 1e-12);
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
        let there =
            hump(&ladder(5, [0.0, 3.0, 1.0, 0.5, 0.0], 0.5, 1), Statistic::Mean, &RUNGS, &Options::default())
                .unwrap();
        assert_eq!(there.rung, 100);
        assert!(there.height.above(1.0), "{there:?}");
        let slope =
            hump(&ladder(5, [0.0, 1.0, 2.0, 3.0, 4.0], 0.5, 2), Statistic::Mean, &RUNGS, &Options::default())
                .unwrap();
        assert!(slope.height.below(0.0), "{slope:?}");
        // On flat courses "the whole interval is above 0" must be rare: 2.5 % at most, fewer since the higher
        // end is taken off.
        let invented = (0..400).filter(|&draw| {
            let flat = ladder(3, [0.0; 5], 1.0, draw);
            hump(&flat, Statistic::Mean, &RUNGS, &Options::default()).unwrap().height.above(0.0)
        });
        assert!(invented.count() <= 14);
        assert!(hump(&ladder(1, [0.0; 5], 1.0, 0), Statistic::Mean, &RUNGS, &Options::default()).is_err());
    }
}
