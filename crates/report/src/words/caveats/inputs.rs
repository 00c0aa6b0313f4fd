//! Runs that failed, and what the study lacks.

use super::super::{counted, listed};
use super::{Caveat, say};
use crate::study::{DEFAULT_ARM, Study};
use crate::summarise::measure::{MEASURES, Measure, Sign};

pub(super) fn failed_runs(study: &Study) -> Option<Caveat> {
    let failed = study.count_runs(|run| run.failed);
    (failed > 0).then(|| {
        let all = study.count_runs(|_| true);
        Caveat {
            title: "Failed runs".into(),
            text: format!(
                "{failed} of {} did no better than the commonest label on held-out data. They are in every figure and \
                 estimate but the soups, which leave them out unless told otherwise, or unless all runs of a checkpoint failed.",
                counted(all, "run")
            ),
        }
    })
}

/// What the gate of fetched ladders found.
pub(super) fn ladder_findings(study: &Study) -> Option<Caveat> {
    let of_gate = |fact: &&crate::rows::Fact| fact.subject == "ladder" && fact.name == "finding";
    let findings: Vec<&str> = study.facts.iter().filter(of_gate).map(|fact| fact.value.as_str()).collect();
    match findings.is_empty() {
        true => None,
        false => say(
            "The ladder is not what it should be",
            format!(
                "The check of the fetched checkpoints found: {}. Rungs that are copies or out of place flatten a course.",
                findings.join("; ")
            ),
        ),
    }
}

pub(super) fn missing(study: &Study) -> Option<Caveat> {
    let mut absent = Vec::new();
    let mut note = |empty: bool, what: &str| {
        if empty {
            absent.push(what.to_owned());
        }
    };
    note(
        study.ladder.is_empty(),
        "ladders (no held-out pretraining loss: convergence is given in steps alone)",
    );
    note(study.paths.is_empty(), "interpolations (no barriers)");
    note(study.soups.is_empty(), "soups");
    note(study.interventions.is_empty(), "interventions (no profiles)");
    note(study.ood().is_none(), "out-of-distribution splits");
    let unmeasured: Vec<&Measure> = MEASURES
        .iter()
        .filter(|measure| {
            measure.sign != Sign::Neither && study.rungs_of(DEFAULT_ARM, &measure.id).is_empty()
        })
        .collect();
    if absent.is_empty() {
        return None;
    }
    let labels: Vec<String> = unmeasured.iter().map(|measure| measure.label.to_string()).collect();
    let lost = if labels.is_empty() {
        String::new()
    } else {
        format!(" Not measured, therefore: {}.", listed(&labels))
    };
    say("What this study lacks", format!("Among the inputs there are no {}.{lost}", listed(&absent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    #[test]
    fn failed_runs_are_counted_once_each() {
        let mut study = study(Course::Falls, Size { arms: false, ..Size::FULL });
        let key = study.runs[0].run.clone();
        study.observed.runs.iter_mut().filter(|run| run.run == key).for_each(|run| run.failed = true);
        let caveat = failed_runs(&study).unwrap();
        assert!(caveat.text.starts_with("1 of 126 runs did no better"), "{}", caveat.text);
    }
}
