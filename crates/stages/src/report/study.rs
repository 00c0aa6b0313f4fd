//! A study in memory: its tables and what they are about.

use std::collections::BTreeSet;

use super::collate::rows::{
    InterventionEffect, MeasureCell, PairSplit, PathPoint, RunScore, Rung, SelectionGain, SoupScore, Summary,
};

/// The name of the arm that the others are compared with.
pub(crate) const DEFAULT_ARM: &str = "default";

/// Everything that a report says comes from here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Study {
    pub(crate) title: String,
    /// Rungs up to here are early: the last step, included.
    pub(crate) early_until: u64,
    /// Rungs from here on are late: the first step, included.
    pub(crate) late_from: u64,
    /// Names of the arms, the default one first.
    pub(crate) arms: Vec<String>,
    /// How many results of each stage went in, by stage name.
    pub(crate) sources: Vec<(String, usize)>,
    pub(crate) ladder: Vec<Rung>,
    pub(crate) runs: Vec<RunScore>,
    pub(crate) paths: Vec<PathPoint>,
    pub(crate) pairs: Vec<PairSplit>,
    pub(crate) soups: Vec<SoupScore>,
    pub(crate) interventions: Vec<InterventionEffect>,
    pub(crate) selections: Vec<SelectionGain>,
    pub(crate) cells: Vec<MeasureCell>,
    pub(crate) summary: Vec<Summary>,
}

impl Study {
    /// The estimate of a measure; `step` for kind `rung` only.
    pub(crate) fn estimate(
        &self,
        arm: &str,
        kind: &str,
        step: Option<u64>,
        measure: &str,
    ) -> Option<&Summary> {
        let wanted = |row: &&Summary| {
            row.arm == arm
                && row.kind == kind
                && row.measure == measure
                && (step.is_none() || row.step == step)
        };
        self.summary.iter().find(wanted)
    }

    /// A measure at each rung of an arm, in order of the steps.
    pub(crate) fn rungs_of(&self, arm: &str, measure: &str) -> Vec<&Summary> {
        let wanted = |row: &&Summary| row.arm == arm && row.kind == "rung" && row.measure == measure;
        let mut rungs: Vec<&Summary> = self.summary.iter().filter(wanted).collect();
        rungs.sort_by_key(|row| row.step);
        rungs
    }

    /// The cells of a measure in an arm.
    pub(crate) fn cells_of<'a>(
        &'a self,
        arm: &'a str,
        measure: &'a str,
    ) -> impl Iterator<Item = &'a MeasureCell> + 'a {
        self.cells.iter().filter(move |cell| cell.arm == arm && cell.measure == measure)
    }

    /// Steps of the rungs that were fine-tuned from in an arm.
    pub(crate) fn steps(&self, arm: &str) -> Vec<u64> {
        let evaluated = self.runs.iter().filter(|run| run.arm == arm).map(|run| run.step);
        let measured = self.cells.iter().filter(|cell| cell.arm == arm).map(|cell| cell.step);
        evaluated.chain(measured).collect::<BTreeSet<u64>>().into_iter().collect()
    }

    /// Seeds of pretraining in the whole study: the order that colours follow.
    pub(crate) fn pretraining_seeds(&self) -> Vec<u64> {
        let evaluated = self.runs.iter().map(|run| run.pretraining_seed);
        let measured = self.cells.iter().map(|cell| cell.pretraining_seed);
        evaluated.chain(measured).collect::<BTreeSet<u64>>().into_iter().collect()
    }

    /// Mean held-out loss of a rung, where its ladders are known.
    pub(crate) fn loss_at(&self, step: u64) -> Option<f64> {
        let losses: Vec<f64> =
            self.ladder.iter().filter(|rung| rung.step == step).map(|rung| rung.held_out_loss).collect();
        (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
    }

    /// Number of distinct fine-tuning runs that satisfy a condition.
    pub(crate) fn count_runs(&self, wanted: impl Fn(&RunScore) -> bool) -> usize {
        let runs: BTreeSet<&str> =
            self.runs.iter().filter(|run| wanted(run)).map(|run| run.run.as_str()).collect();
        runs.len()
    }

    /// The out-of-distribution split that the measures are about.
    pub(crate) fn ood(&self) -> Option<&str> {
        let evaluated = self.runs.iter().map(|run| run.split.as_str());
        primary_ood(evaluated.chain(self.pairs.iter().map(|pair| pair.split.as_str())))
    }
}

/// `ood` if it is there, else the first of the splits that start with `ood`.
pub(crate) fn primary_ood<'a>(splits: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    splits.filter(|split| split.starts_with("ood")).min()
}

/// Steps as people say them.
pub(crate) fn steps_text(step: u64) -> String {
    let digits = step.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Steps as an axis has room for.
pub(crate) fn steps_short(step: u64) -> String {
    match step {
        0..1_000 => step.to_string(),
        1_000..1_000_000 if step.is_multiple_of(100) => format!("{}k", step as f64 / 1e3),
        1_000_000.. if step.is_multiple_of(100_000) => format!("{}M", step as f64 / 1e6),
        _ => step.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_readable() {
        assert_eq!(
            [0, 999, 1_000, 6_000, 1_234_567].map(steps_text),
            ["0", "999", "1,000", "6,000", "1,234,567"]
        );
        assert_eq!(
            [0, 300, 1_000, 1_500, 1_234, 2_000_000].map(steps_short),
            ["0", "300", "1k", "1.5k", "1234", "2M"]
        );
    }

    #[test]
    fn the_plain_name_is_the_primary_one() {
        assert_eq!(primary_ood(["id", "ood-cases", "ood", "val"].into_iter()), Some("ood"));
        assert_eq!(primary_ood(["id", "ood-b", "ood-a"].into_iter()), Some("ood-a"));
        assert_eq!(primary_ood(["id"].into_iter()), None);
    }
}
