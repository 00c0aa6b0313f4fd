//! A study in memory: its tables and what they are about.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use measures::estimate::Interval;

use crate::html::{self, Edition};
use crate::observed::{Observed, bytes};
use crate::rows::{Correlation, MeasureCell, RunScore, SelectionGain, Spread, Summary};
use crate::summarise::evidence::{self, Reading, Split};
use crate::summarise::{self, frames, group, measure, multiplicity, selection, spread};
use crate::words::answer::{Answer, answer};
use crate::{Error, terminal};

/// The name of the arm that the others are compared with.
pub const DEFAULT_ARM: &str = "default";

/// The name of straight lines among the paths between runs: the only path that measures and figures read.
pub const LINEAR: &str = "linear";

/// What is asked of a study: fixed before the results are seen.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Title of the page.
    pub title: String,
    /// Last step that counts as early; by default the lower half of the default arm's rungs is early.
    pub early_until: Option<u64>,
    /// First step that counts as late; by default the last two rungs are late.
    pub late_from: Option<u64>,
    /// How intervals are made.
    pub interval: Interval,
    /// Changes of path variance up to this are no change.
    pub margin: f64,
}

impl Plan {
    /// The plan with its defaults written out for a ladder with these steps.
    ///
    /// # Errors
    /// [`Error::Overlap`] if early and late rungs overlap.
    pub fn resolved(self, steps: impl IntoIterator<Item = u64>) -> Result<Self, Error> {
        let steps: Vec<u64> = steps.into_iter().collect::<BTreeSet<u64>>().into_iter().collect();
        let split = summarise::default_split(&steps);
        let early_until = self.early_until.or(split.map(|(early, _)| early));
        let late_from = self.late_from.or(split.map(|(_, late)| late));
        match (early_until, late_from) {
            (Some(early_until), Some(late_from)) if early_until >= late_from => {
                Err(Error::Overlap { early_until, late_from })
            }
            _ => Ok(Self { early_until, late_from, ..self }),
        }
    }
}

/// Two scores of the same runs: value, lower and upper end of the 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Together {
    /// Pearson's correlation.
    pub(crate) pearson: Option<[f64; 3]>,
    /// Standard deviation of this score over that of the other.
    pub(crate) sd_ratio: Option<[f64; 3]>,
}

/// Everything that a report says comes from here.
#[derive(Clone, Debug)]
pub struct Study {
    pub(crate) title: String,
    /// Rungs up to here are early: the last step, included.
    pub(crate) early_until: u64,
    /// Rungs from here on are late: the first step, included.
    pub(crate) late_from: u64,
    pub(crate) interval: Interval,
    /// Names of the arms, the default one first.
    pub(crate) arms: Vec<String>,
    /// Numbers of results of each stage that went in, by stage name; empty if nobody counted them.
    pub(crate) sources: BTreeMap<String, usize>,
    pub(crate) observed: Observed,
    pub(crate) selections: Vec<SelectionGain>,
    pub(crate) spreads: Vec<Spread>,
    pub(crate) correlations: Vec<Correlation>,
    pub(crate) cells: Vec<MeasureCell>,
    pub(crate) summary: Vec<Summary>,
    /// The verdict and what it was read from.
    pub(crate) reading: Reading,
}

/// The observed tables are read as if they were the study's own: `study.runs`.
impl Deref for Study {
    type Target = Observed;

    fn deref(&self) -> &Observed {
        &self.observed
    }
}

impl Study {
    /// Estimates everything that the tables allow, and returns the study with the Parquet bytes of all of its tables
    /// by name. `sources` counts the results of each stage that went in, if somebody did.
    ///
    /// # Errors
    /// [`Error::Table`] if a table cannot be written, [`Error::Overlap`] if early and late rungs overlap.
    pub fn new(
        observed: Observed,
        plan: Plan,
        sources: BTreeMap<String, usize>,
    ) -> Result<(Self, BTreeMap<&'static str, Vec<u8>>), Error> {
        let arms = arms(&observed);
        let plan = plan.resolved(default_steps(&observed))?;
        // Without a split there is one rung: nothing is early and nothing late.
        let (early_until, late_from) = (plan.early_until.unwrap_or(0), plan.late_from.unwrap_or(u64::MAX));
        let mut tables = observed.write()?;
        let mut observations = frames::observations(&tables)?;
        observations.extend(group::observations(&observed));
        let (cells, mut summary) = summarise::summarise(&observations, early_until, late_from, plan.interval);
        let verdict_plan = measures::verdict::Plan { margin: plan.margin, ..Default::default() };
        let reading = evidence::read(&observed, &summary, Split { early_until, late_from }, verdict_plan);
        summarise::replace(&mut summary, reading.rows());
        multiplicity::adjust(&mut summary);
        let selections = selection::gains(&observed.runs);
        let (spreads, correlations) = (spread::spreads(&observed), spread::correlations(&observed));
        tables.extend([bytes(&selections)?, bytes(&spreads)?, bytes(&correlations)?]);
        tables.extend([bytes(&cells)?, bytes(&summary)?]);
        let study = Self {
            title: plan.title,
            early_until,
            late_from,
            interval: plan.interval,
            arms,
            sources,
            observed,
            selections,
            spreads,
            correlations,
            cells,
            summary,
            reading,
        };
        Ok((study, tables))
    }

    /// The page, which needs nothing else to be read.
    ///
    /// # Errors
    /// [`Error::Template`], which is a bug.
    pub fn page(&self, edition: &Edition<'_>) -> Result<String, Error> {
        Ok(html::page(self, edition)?)
    }

    /// The answer and the primary contrast, as wide as a terminal.
    #[must_use]
    pub fn terminal(&self) -> String {
        terminal::text(self)
    }

    /// The answer in sentences.
    #[must_use]
    pub fn answer(&self) -> Answer {
        answer(self)
    }

    /// The estimate of a measure; `step` for kind `rung` only.
    pub(crate) fn estimate(
        &self,
        arm: &str,
        kind: &str,
        step: Option<u64>,
        measure: &str,
    ) -> Option<&Summary> {
        assert!(measure::is_known(measure), "no measure is called `{measure}`");
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
        assert!(measure::is_known(measure), "no measure is called `{measure}`");
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

    /// Whether there are early and late rungs to compare.
    pub(crate) fn has_split(&self) -> bool {
        self.late_from < u64::MAX
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

    /// False if nobody said from which step of pretraining the runs start: then all rows have step 0, and no ladder lists it.
    pub(crate) fn knows_steps(&self) -> bool {
        !self.ladder.is_empty() || self.runs.is_empty() || self.runs.iter().any(|run| run.step != 0)
    }

    /// How another score of the same runs goes with this one.
    pub(crate) fn together(&self, other: (&str, &str), row: &Spread) -> Option<Together> {
        let this = (row.split.as_str(), row.case.as_str());
        self.correlations.iter().find_map(|found| {
            let place = (found.arm.as_str(), found.pretraining_seed, found.step);
            if place != (row.arm.as_str(), row.pretraining_seed, row.step) {
                return None;
            }
            let x = (found.split_x.as_str(), found.case_x.as_str());
            let y = (found.split_y.as_str(), found.case_y.as_str());
            let three = |value: Option<f64>, low: Option<f64>, high: Option<f64>| Some([value?, low?, high?]);
            let ratio = three(found.sd_ratio, found.sd_ratio_lower, found.sd_ratio_upper);
            let sd_ratio = match ((x, y) == (other, this), (y, x) == (other, this)) {
                (true, _) => ratio,
                (_, true) => ratio.map(|[value, low, high]| [1.0 / value, 1.0 / high, 1.0 / low]),
                _ => return None,
            };
            let pearson = three(found.pearson, found.pearson_lower, found.pearson_upper);
            Some(Together { pearson, sd_ratio })
        })
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

/// Names of the arms, the default one first.
fn arms(observed: &Observed) -> Vec<String> {
    let of_runs = observed.runs.iter().map(|run| run.arm.as_str());
    let named = of_runs.chain(observed.pairs.iter().map(|pair| pair.arm.as_str()));
    let names: BTreeSet<(bool, &str)> = named.map(|arm| (arm != DEFAULT_ARM, arm)).collect();
    names.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// Steps of the rungs that the default arm has runs from.
pub(crate) fn default_steps(observed: &Observed) -> impl Iterator<Item = u64> {
    let of_runs = observed.runs.iter().filter(|run| run.arm == DEFAULT_ARM).map(|run| run.step);
    of_runs.chain(observed.pairs.iter().filter(|pair| pair.arm == DEFAULT_ARM).map(|pair| pair.step))
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
