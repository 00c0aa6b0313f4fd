//! The table of all runs, each with its key and the command that says why it differs from the run before it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::rows::RunScore;
use crate::study::{Study, steps_text};
use crate::summarise::measure::shown;

/// Runs on the page; the table `runs` has all.
const ON_PAGE: usize = 1_000;
/// Digits of a key that the store takes for it.
const SHORT: usize = 12;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) arm: String,
    pub(crate) pretraining_seed: u64,
    pub(crate) step: String,
    pub(crate) finetuning_seed: u64,
    pub(crate) id: String,
    pub(crate) ood: String,
    pub(crate) failed: bool,
    /// Explains how it differs from the run before it; empty for the first, and for runs that are in no store.
    pub(crate) explain: String,
}

/// The runs of a study in order, and how many are left out.
pub(crate) fn lines(study: &Study) -> (Vec<Line>, usize) {
    let is_stored = !study.facts.iter().any(|fact| fact.subject == "import");
    type Place<'a> = (usize, u64, u64, u64, &'a str);
    let mut runs: BTreeMap<Place<'_>, Vec<&RunScore>> = BTreeMap::new();
    for run in study.runs.iter().filter(|run| run.case.is_empty()) {
        let arm = study.arms.iter().position(|arm| *arm == run.arm).unwrap_or(study.arms.len());
        let place = (arm, run.pretraining_seed, run.step, run.finetuning_seed, run.run.as_str());
        runs.entry(place).or_default().push(run);
    }
    let more = runs.len().saturating_sub(ON_PAGE);
    let mut lines: Vec<Line> = Vec::new();
    let mut before: Option<&str> = None;
    for scores in runs.values().take(ON_PAGE) {
        let run = scores[0];
        let accuracy = |split: Option<&str>| {
            let row = scores.iter().find(|score| Some(score.split.as_str()) == split);
            row.map_or(String::new(), |row| shown(row.accuracy, 3))
        };
        lines.push(Line {
            name: if is_stored { short(&run.run).into() } else { run.run.clone() },
            arm: run.arm.clone(),
            pretraining_seed: run.pretraining_seed,
            step: if study.knows_steps() { steps_text(run.step) } else { String::new() },
            finetuning_seed: run.finetuning_seed,
            id: accuracy(Some("id")),
            ood: accuracy(study.ood()),
            failed: run.failed,
            explain: match before.filter(|_| is_stored) {
                Some(before) => format!("samebasin store explain {} {}", short(before), short(&run.run)),
                None => String::new(),
            },
        });
        before = Some(&run.run);
    }
    (lines, more)
}

/// The beginning of a key.
fn short(key: &str) -> &str {
    key.get(..SHORT).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Fact;
    use crate::synthetic::{Course, Size, study};

    #[test]
    fn each_run_is_there_once() {
        let mut study = study(Course::Falls, Size { arms: false, ..Size::FULL });
        let (found, more) = lines(&study);
        assert_eq!((found.len(), more), (study.count_runs(|_| true), 0));
        assert!(found[0].explain.is_empty() && found[1].explain.starts_with("samebasin store explain "));
        assert!(!found[0].id.is_empty() && !found[0].ood.is_empty());
        let imported = Fact { subject: "import".into(), name: "file".into(), value: "x.csv".into() };
        study.observed.facts.push(imported);
        assert!(lines(&study).0.iter().all(|line| line.explain.is_empty()));
    }
}
