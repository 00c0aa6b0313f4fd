//! Paired timings: ours and the rival's by turns, so that what slows the machine down slows both.

use std::time::Instant;

/// Milliseconds of both, and the ratios of each turn.
pub(crate) struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// Takes `turns` turns: ours `n` times, then the rival's `n` times.
    pub(crate) fn take(
        turns: usize,
        n: usize,
        mut ours: impl FnMut(),
        mut theirs: impl FnMut(usize) -> Result<f64, String>,
    ) -> Result<Self, String> {
        let mut pairs = Self { ours: Vec::new(), theirs: Vec::new() };
        ours();
        for _ in 0..turns {
            let started = Instant::now();
            for _ in 0..n {
                ours();
            }
            pairs.ours.push(1e3 * started.elapsed().as_secs_f64() / n as f64);
            pairs.theirs.push(theirs(n)?);
        }
        Ok(pairs)
    }

    /// Our seconds for one piece of work: the median.
    pub(crate) fn seconds(&self) -> f64 {
        median(&self.ours) / 1e3
    }

    /// A line of the table: both medians, and the median and range of the ratios.
    pub(crate) fn line(&self, name: &str) -> String {
        let ratios: Vec<f64> =
            self.theirs.iter().zip(&self.ours).map(|(theirs, ours)| theirs / ours).collect();
        let sorted = sorted(&ratios);
        format!(
            "{name:<58} {:>9.2} {:>9.2} {:>7.2}x {:>6.2} to {:.2}",
            median(&self.ours),
            median(&self.theirs),
            median(&ratios),
            sorted[0],
            sorted[sorted.len() - 1]
        )
    }
}

/// What stands above the lines.
pub(crate) fn heading() -> String {
    format!(
        "{:<58} {:>9} {:>9} {:>8} {:>14}",
        "work (times in ms, ratio above 1: samebasin is faster)", "samebasin", "rival", "ratio", "range"
    )
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}
