//! How accuracy varies over the fine-tuning runs of one checkpoint, and whether the scores of a run go together.
//!
//! Needs nothing but scores, so that published lists of runs, without predictions or weights, say what they can.

use std::collections::{BTreeMap, BTreeSet};

use measures::runs::{correlation, items, net, ratio, spread};

use crate::observed::Observed;
use crate::rows::{Correlation, ItemCount, RunScore, Spread};

/// Level of the intervals.
const LEVEL: f64 = 0.95;
/// Fewest runs for a bootstrap or a correlation.
pub(crate) const ENOUGH: usize = 10;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// Arm, pretraining seed, step: a checkpoint in an arm.
type Place<'a> = (&'a str, u64, u64);
/// Split and case.
type Score<'a> = (&'a str, &'a str);
/// The accuracy of each run on a split or case, by the run, and its number of examples.
type Accuracies<'a> = BTreeMap<&'a str, (f64, u64)>;

/// The scores of each checkpoint's runs.
fn checkpoints(runs: &[RunScore]) -> BTreeMap<Place<'_>, BTreeMap<Score<'_>, Accuracies<'_>>> {
    let mut found: BTreeMap<Place<'_>, BTreeMap<Score<'_>, Accuracies<'_>>> = BTreeMap::new();
    for run in runs {
        let scores = found.entry((&run.arm, run.pretraining_seed, run.step)).or_default();
        let accuracies = scores.entry((&run.split, &run.case)).or_default();
        accuracies.insert(&run.run, (run.accuracy, run.n));
    }
    found
}

/// The spread of every score that at least two runs of a checkpoint have.
pub(crate) fn spreads(observed: &Observed) -> Vec<Spread> {
    let mut rows = Vec::new();
    for (place, scores) in checkpoints(&observed.runs) {
        for (score, runs) in scores {
            let counts: Vec<&ItemCount> = match score.1 {
                "" => observed.items.iter().filter(|item| of_place(item, place, score.0)).collect(),
                _ => Vec::new(),
            };
            rows.extend(row(place, score, &runs, &counts));
        }
    }
    rows
}

fn of_place(item: &ItemCount, place: Place<'_>, split: &str) -> bool {
    (item.arm.as_str(), item.pretraining_seed, item.step) == place && item.split == split
}

fn row(
    (arm, pretraining_seed, step): Place<'_>,
    (split, case): Score<'_>,
    runs: &Accuracies<'_>,
    counts: &[&ItemCount],
) -> Option<Spread> {
    let accuracies: Vec<f64> = runs.values().map(|(accuracy, _)| *accuracy).collect();
    let sd = spread::chi_square(&accuracies, LEVEL).ok()?;
    let bca = match accuracies.len() >= ENOUGH {
        true => spread::bca(&accuracies, LEVEL, RESAMPLES, 0).ok(),
        false => None,
    };
    // Counts are of all runs, or of other runs than these.
    let right: Vec<usize> = counts
        .iter()
        .filter(|item| item.runs == accuracies.len() as u64)
        .map(|item| item.right as usize)
        .collect();
    let common = items::items(&right, accuracies.len());
    Some(Spread {
        arm: arm.into(),
        pretraining_seed,
        step,
        split: split.into(),
        case: case.into(),
        n: runs.values().map(|(_, n)| *n).max().unwrap_or(0),
        runs: accuracies.len() as u64,
        mean: accuracies.iter().sum::<f64>() / accuracies.len() as f64,
        minimum: accuracies.iter().copied().fold(f64::INFINITY, f64::min),
        maximum: accuracies.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        sd: sd.value,
        sd_lower: sd.low,
        sd_upper: sd.high,
        sd_bca_lower: bca.map(|bca| bca.low),
        sd_bca_upper: bca.map(|bca| bca.high),
        items: common.map(|common| common.examples as u64),
        right_in_all: common.map(|common| common.right_in_all as u64),
        right_in_none: common.map(|common| common.right_in_none as u64),
        disagreement: common.map(|common| common.disagreement),
        shared: common.and_then(|common| shared(&accuracies, common.disagreement)),
        net_variance: common.and_then(|_| net::net_variance(&accuracies, &right)).map(|net| net.net),
    })
}

/// Pooled error consistency of runs with these accuracies, from the mean disagreement of their pairs.
fn shared(accuracies: &[f64], disagreement: f64) -> Option<f64> {
    let n = accuracies.len() as f64;
    let pairs = n * (n - 1.0) / 2.0;
    let sum = |f: &dyn Fn(f64) -> f64| accuracies.iter().map(|&p| f(p)).sum::<f64>();
    // Over pairs, p_a p_b sums to half of (sum p)^2 less the sum of squares; likewise for errors.
    let over_pairs = |f: &dyn Fn(f64) -> f64| (sum(f).powi(2) - sum(&|p| f(p).powi(2))) / 2.0;
    let expected = over_pairs(&|p| p) + over_pairs(&|p| 1.0 - p);
    let below = pairs - expected;
    (below > 1e-12).then(|| (pairs * (1.0 - disagreement) - expected) / below)
}

/// Every two scores of the checkpoints with enough runs.
pub(crate) fn correlations(observed: &Observed) -> Vec<Correlation> {
    let mut rows = Vec::new();
    for (place, scores) in checkpoints(&observed.runs) {
        let runs: BTreeSet<&str> = scores.values().flat_map(|runs| runs.keys().copied()).collect();
        if runs.len() < ENOUGH {
            continue;
        }
        let scores: Vec<_> = scores.into_iter().collect();
        for (i, (x, of_x)) in scores.iter().enumerate() {
            rows.extend(
                scores[i + 1..].iter().filter_map(|(y, of_y)| together(place, (*x, of_x), (*y, of_y))),
            );
        }
    }
    rows
}

fn together(
    (arm, pretraining_seed, step): Place<'_>,
    (x, of_x): (Score<'_>, &Accuracies<'_>),
    (y, of_y): (Score<'_>, &Accuracies<'_>),
) -> Option<Correlation> {
    let both = of_x.iter().filter_map(|(run, (x, _))| Some((*x, of_y.get(run)?.0)));
    let (xs, ys): (Vec<f64>, Vec<f64>) = both.unzip();
    if xs.len() < ENOUGH {
        return None;
    }
    let pearson = correlation::pearson(&xs, &ys, LEVEL).ok();
    let spearman = correlation::spearman(&xs, &ys, LEVEL).ok();
    let ratio = ratio::of_sds(&ys, &xs, LEVEL).ok();
    Some(Correlation {
        arm: arm.into(),
        pretraining_seed,
        step,
        split_x: x.0.into(),
        case_x: x.1.into(),
        split_y: y.0.into(),
        case_y: y.1.into(),
        runs: xs.len() as u64,
        pearson: pearson.map(|found| found.value),
        pearson_lower: pearson.map(|found| found.low),
        pearson_upper: pearson.map(|found| found.high),
        spearman: spearman.map(|found| found.value),
        spearman_lower: spearman.map(|found| found.low),
        spearman_upper: spearman.map(|found| found.high),
        sd_ratio: ratio.map(|found| found.value),
        sd_ratio_lower: ratio.map(|found| found.low),
        sd_ratio_upper: ratio.map(|found| found.high),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    /// Three runs on four examples, by hand: r = (3, 0, 1, 2) of 3.
    #[test]
    fn counts_of_right_runs_say_what_runs_share() {
        let mut observed = study(Course::Flat, Size::FULL).observed;
        let template = observed.runs.remove(0);
        let of = |run: &str, accuracy: f64| RunScore { run: run.into(), accuracy, n: 4, ..template.clone() };
        observed.runs = vec![of("a", 0.75), of("b", 0.5), of("c", 0.25)];
        let item = |(example, right): (usize, u64)| ItemCount {
            arm: template.arm.clone(),
            pretraining_seed: template.pretraining_seed,
            step: template.step,
            split: template.split.clone(),
            example: example.to_string(),
            right,
            runs: 3,
        };
        observed.items = [3, 0, 1, 2].into_iter().enumerate().map(item).collect();
        let rows = spreads(&observed);
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.items, row.right_in_all, row.right_in_none), (Some(4), Some(1), Some(1)));
        assert!((row.sd - 0.25).abs() < 1e-12 && row.sd_bca_lower.is_none());
        // Pairs: a b differ on one or two examples ...: 2 r (3 - r) / 6 summed over examples, over four.
        assert!((row.disagreement.unwrap() - 8.0 / 24.0).abs() < 1e-12);
        // Expected overlap: .5, .375 and .5 of the three pairs.
        let expected = [0.5, 0.375, 0.5];
        let above: f64 = expected.iter().map(|e| 2.0 / 3.0 - e).sum();
        let below: f64 = expected.iter().map(|e| 1.0 - e).sum();
        assert!((row.shared.unwrap() - above / below).abs() < 1e-12, "{row:?}");
        assert!((row.net_variance.unwrap() - (0.0625 - 1.0 / 24.0)).abs() < 1e-12);
        assert!(correlations(&observed).is_empty());
    }

    #[test]
    fn scores_that_go_together_are_told() {
        let mut observed = study(Course::Flat, Size::FULL).observed;
        let template = observed.runs.remove(0);
        let scores = |run: usize| {
            let x = run as f64 / 100.0;
            [("id", x), ("ood", 0.9 - 2.0 * x)].map(|(split, accuracy)| RunScore {
                run: run.to_string(),
                split: split.into(),
                accuracy,
                ..template.clone()
            })
        };
        observed.runs = (0..12).flat_map(scores).collect();
        let rows = correlations(&observed);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].split_x.as_str(), rows[0].split_y.as_str(), rows[0].runs), ("id", "ood", 12));
        assert!((rows[0].pearson.unwrap() + 1.0).abs() < 1e-9);
        assert!((rows[0].sd_ratio.unwrap() - 2.0).abs() < 1e-9);
        assert!(spreads(&observed).iter().all(|row| row.sd_bca_lower.is_some()));
    }
}
