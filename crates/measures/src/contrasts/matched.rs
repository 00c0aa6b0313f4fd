//! Late and early pairs of runs at equal accuracy: caliper matching with replacement (Rosenbaum and Rubin
//! 1985), within a pretraining seed.
//!
//! Two runs agree the more, the higher the mean of their accuracies and the smaller the difference. So a late
//! pair is matched with all early pairs whose mean *and* absolute difference are within a caliper of its own:
//!
//! ```text
//! D(p) = mean over late pairs that have matches of [value - mean value of its matches]
//! ```
//!
//! Arms that differ in the task alone (a data axis) are pooled on each side: they bring early runs as accurate as the
//! late ones. Within the caliper late pairs still tend to be a little more accurate; `adjusted` takes that out with the
//! slopes of value on mean and difference within matched sets (Rubin 1973; Abadie and Imbens 2011). Any
//! covariate will do in the place of accuracy: an in-distribution score, a held-out loss, a distance.

use std::collections::BTreeSet;

use super::{SeedFigure, Within};

/// Changes whenever a matched contrast changes.
pub const VERSION: u32 = 1;

/// A pair of runs of one checkpoint and arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Its runs, numbered over all arms of one rung and pretraining seed: what the jackknife leaves out.
    pub runs: (usize, usize),
    /// Mean of the two covariates.
    pub mean: f64,
    /// Absolute difference of the two.
    pub difference: f64,
    /// What is compared: path variance of the pair, say.
    pub value: f64,
}

/// How far matches may lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calipers {
    /// On the mean of the two covariates.
    pub mean: f64,
    /// On their absolute difference.
    pub difference: f64,
}

impl Default for Calipers {
    fn default() -> Self {
        Self { mean: 0.02, difference: 0.02 }
    }
}

/// The matched contrast of one pretraining seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matched {
    /// Mean over late pairs that have matches of their value less that of their matches.
    pub difference: f64,
    /// The same with what is left of the covariates' differences taken out.
    pub adjusted: f64,
    /// Share of the late pairs that have matches, 0 to 1.
    pub share: f64,
    /// Late pairs that have matches.
    pub n_pairs: usize,
    /// Mean covariate of the matched late pairs, and of their matches.
    pub means: [f64; 2],
    /// Jackknife over late and over early runs of `adjusted`.
    pub within: Option<Within>,
}

impl Matched {
    /// The adjusted contrast as the figure of a pretraining seed.
    #[must_use]
    pub fn figure(&self, seed: u64) -> SeedFigure {
        SeedFigure { seed, value: self.adjusted, within: self.within, n_pairs: self.n_pairs }
    }
}

/// Matches `late` with `early` pairs; `None` if no late pair has a match. Costs `late * early`, with the
/// jackknife times the number of runs.
#[must_use]
pub fn matched(late: &[Pair], early: &[Pair], calipers: Calipers, jackknife: bool) -> Option<Matched> {
    let whole = without(late, early, calipers, [None, None])?;
    let runs =
        |pairs: &[Pair]| pairs.iter().flat_map(|pair| [pair.runs.0, pair.runs.1]).collect::<BTreeSet<_>>();
    let side = |side: usize, pairs: &[Pair]| {
        let figure = |run: usize| {
            let mut left_out = [None, None];
            left_out[side] = Some(run);
            without(late, early, calipers, left_out).map(|found| found.adjusted)
        };
        Within::jackknife(&runs(pairs).into_iter().map(figure).collect::<Option<Vec<f64>>>()?)
    };
    let within = if jackknife { side(0, late).zip(side(1, early)).map(|(a, b)| a.and(b)) } else { None };
    Some(Matched { within, ..whole })
}

/// Sums of squares and products of covariates and value within matched sets.
#[derive(Default)]
struct Slopes {
    xx: [[f64; 2]; 2],
    xy: [f64; 2],
}

impl Slopes {
    fn add(&mut self, x: [f64; 2], y: f64) {
        for i in 0..2 {
            self.xy[i] += x[i] * y;
            for j in 0..2 {
                self.xx[i][j] += x[i] * x[j];
            }
        }
    }

    /// Least squares; a covariate that does not vary has slope 0.
    fn solve(&self) -> [f64; 2] {
        let [[a, b], [_, d]] = self.xx;
        let determinant = a * d - b * b;
        if determinant > 1e-9 * a * d {
            return [
                (d * self.xy[0] - b * self.xy[1]) / determinant,
                (a * self.xy[1] - b * self.xy[0]) / determinant,
            ];
        }
        if a > 0.0 { [self.xy[0] / a, 0.0] } else { [0.0, if d > 0.0 { self.xy[1] / d } else { 0.0 }] }
    }
}

fn without(
    late: &[Pair],
    early: &[Pair],
    calipers: Calipers,
    left_out: [Option<usize>; 2],
) -> Option<Matched> {
    let kept = |pair: &&Pair, run: Option<usize>| run != Some(pair.runs.0) && run != Some(pair.runs.1);
    let (mut n, mut all) = (0, 0);
    let (mut value, mut gaps, mut means) = (0.0, [0.0; 2], [0.0; 2]);
    let mut slopes = Slopes::default();
    for pair in late.iter().filter(|pair| kept(pair, left_out[0])) {
        all += 1;
        let near = |other: &&Pair| {
            (other.mean - pair.mean).abs() <= calipers.mean
                && (other.difference - pair.difference).abs() <= calipers.difference
        };
        let set: Vec<&Pair> = early.iter().filter(|other| kept(other, left_out[1]) && near(other)).collect();
        if set.is_empty() {
            continue;
        }
        let mean_of =
            |of: fn(&Pair) -> f64| set.iter().map(|other| of(other)).sum::<f64>() / set.len() as f64;
        let centre = [mean_of(|pair| pair.mean), mean_of(|pair| pair.difference), mean_of(|pair| pair.value)];
        for other in &set {
            slopes.add([other.mean - centre[0], other.difference - centre[1]], other.value - centre[2]);
        }
        n += 1;
        value += pair.value - centre[2];
        gaps[0] += pair.mean - centre[0];
        gaps[1] += pair.difference - centre[1];
        means[0] += pair.mean;
        means[1] += centre[0];
    }
    let count = n as f64;
    let [on_mean, on_difference] = slopes.solve();
    (n > 0).then(|| Matched {
        difference: value / count,
        adjusted: (value - on_mean * gaps[0] - on_difference * gaps[1]) / count,
        share: count / f64::from(all),
        n_pairs: n,
        means: means.map(|mean| mean / count),
        within: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(runs: (usize, usize), mean: f64, difference: f64, value: f64) -> Pair {
        Pair { runs, mean, difference, value }
    }

    #[test]
    fn both_calipers_count() {
        let late =
            [pair((0, 1), 0.90, 0.00, 0.5), pair((0, 2), 0.80, 0.05, 0.7), pair((1, 2), 0.5, 0.0, 9.0)];
        let early =
            [pair((0, 1), 0.91, 0.01, 0.4), pair((0, 2), 0.90, 0.05, 99.0), pair((1, 2), 0.80, 0.06, 0.6)];
        let found = matched(&late, &early, Calipers::default(), false).unwrap();
        assert!((found.difference - 0.1).abs() < 1e-12, "{found:?}");
        assert!((found.share - 2.0 / 3.0).abs() < 1e-12 && found.n_pairs == 2);
        assert!(matched(&late[2..], &early, Calipers::default(), false).is_none());
    }

    /// Where the value is a plane in mean and difference, nothing is left at equal accuracy.
    #[test]
    fn adjustment_takes_out_what_calipers_leave() {
        let plane = |mean: f64, difference: f64| 0.5 - 0.4 * mean + 0.3 * difference;
        let grid = |from: f64| -> Vec<Pair> {
            let of = |i: usize| {
                let (mean, difference) = (from + 0.003 * (i % 10) as f64, 0.01 * (i / 10) as f64);
                pair((i, i + 1), mean, difference, plane(mean, difference))
            };
            (0..30).map(of).collect()
        };
        let found = matched(&grid(0.81), &grid(0.80), Calipers::default(), true).unwrap();
        assert!(found.difference < -0.001, "{found:?}");
        assert!(found.adjusted.abs() < 1e-9 && found.within.unwrap().standard_error < 1e-8);
        assert!(found.means[0] > found.means[1]);
    }
}
