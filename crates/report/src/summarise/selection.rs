//! What choosing among seeds by the held-out score buys, at each checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use measures::selection::best_of;

use crate::rows::{RunScore, SelectionGain};

/// Seeds to choose from: as many as people train (Stiennon et al. 2020 took 3 to 10).
const BEST_OF: std::ops::RangeInclusive<usize> = 1..=10;

/// Runs of one checkpoint are chosen among; a run counts if it has a score on `val` and on the split.
pub(crate) fn gains(runs: &[RunScore]) -> Vec<SelectionGain> {
    let whole = || runs.iter().filter(|run| run.case.is_empty());
    let score = |run: &RunScore| run.score.unwrap_or(run.accuracy);
    let held_out: BTreeMap<&str, f64> =
        whole().filter(|run| run.split == "val").map(|run| (run.run.as_str(), score(run))).collect();
    let groups: BTreeSet<(&str, u64, u64, &str)> = whole()
        .filter(|run| run.split != "val")
        .map(|run| (run.arm.as_str(), run.pretraining_seed, run.step, run.split.as_str()))
        .collect();
    let mut gains = Vec::new();
    for (arm, pretraining_seed, step, split) in groups {
        let of_group = |run: &&RunScore| {
            (run.arm.as_str(), run.pretraining_seed, run.step, run.split.as_str())
                == (arm, pretraining_seed, step, split)
        };
        let members: Vec<&RunScore> =
            whole().filter(of_group).filter(|run| held_out.contains_key(run.run.as_str())).collect();
        let chosen_by: Vec<f64> = members.iter().map(|run| held_out[run.run.as_str()]).collect();
        let scores: Vec<f64> = members.iter().map(|run| score(run)).collect();
        let n = scores.len();
        if n < 2 {
            continue;
        }
        let mean = scores.iter().sum::<f64>() / n as f64;
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        for k in BEST_OF {
            let Some(expected) = best_of(k, &chosen_by, &scores) else { continue };
            gains.push(SelectionGain {
                arm: arm.to_owned(),
                pretraining_seed,
                step,
                split: split.to_owned(),
                metric: members[0].metric.clone(),
                seeds: n as u64,
                best_of: k as u64,
                expected,
                mean,
                sd: (squares / (n - 1) as f64).sqrt(),
            });
        }
    }
    gains
}
