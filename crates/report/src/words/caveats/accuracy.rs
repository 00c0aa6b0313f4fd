//! Differences in accuracy that may stand behind what looks like path dependence.

use super::super::verdict::{Direction, direction};
use super::super::{change_text, counted, listed};
use super::{Caveat, clear, say, value};
use crate::study::{DEFAULT_ARM, Study, steps_text};
use crate::summarise::matched;
use crate::summarise::measure::{self, PRIMARY, shown};

/// ID accuracies further apart than this do not match.
const MATCH: f64 = 0.02;

/// Arms that learn the task itself less well than the default one.
pub(super) fn unmatched_arms(study: &Study) -> Option<Caveat> {
    let mut told = Vec::new();
    for arm in study.arms.iter().filter(|arm| *arm != DEFAULT_ARM) {
        for row in study.rungs_of(arm, "id_accuracy") {
            let there = study.estimate(DEFAULT_ARM, "rung", row.step, "id_accuracy");
            if let Some(there) = there.filter(|there| there.estimate - row.estimate > MATCH) {
                told.push(format!(
                    "{arm} at {} steps ({} against {})",
                    steps_text(row.step.unwrap_or(0)),
                    shown(row.estimate, 3),
                    shown(there.estimate, 3)
                ));
            }
        }
    }
    match told.is_empty() {
        true => None,
        false => say(
            "Not matched in distribution",
            format!(
                "These arms learn the task itself less well, so that a difference out of distribution may be no more \
                 than that (ID accuracy): {}.",
                listed(&told)
            ),
        ),
    }
}

/// Better runs agree more because they are right: whether they agree more than equally good early ones.
pub(super) fn matched_pairs(study: &Study) -> Option<Caveat> {
    let accuracy = measure::named("ood_accuracy");
    let raw = study.estimate(DEFAULT_ARM, "late - early", None, &accuracy.id)?;
    let share = study.estimate(DEFAULT_ARM, "late", None, matched::SHARE)?;
    let changes: Vec<String> = PRIMARY
        .iter()
        .filter_map(|id| {
            let row = study.estimate(DEFAULT_ARM, matched::KIND, None, id)?;
            let measure = measure::named(id);
            Some(format!(
                "{} {} ({})",
                measure.label,
                change_text(&measure, row),
                counted(row.n_pretraining as usize, "pretraining seed")
            ))
        })
        .collect();
    let compared = match changes.is_empty() {
        true => {
            "Within a pretraining seed no early pair is as accurate as a late one (mean of the two within \
                 0.02), so that what is due to accuracy and what is not cannot be told apart by matching."
                .into()
        }
        false => format!(
            "For {} of late pairs an early pair of the same pretraining seed is as accurate (mean of the two within \
             0.02). Among those, late less early is: {}.",
            percent(share.estimate),
            listed(&changes)
        ),
    };
    say(
        "At equal OOD accuracy",
        format!(
            "From early to late, OOD accuracy changes by {}, and runs that are right more often agree more often. \
             {compared}",
            change_text(&accuracy, raw)
        ),
    )
}

fn percent(share: f64) -> String {
    format!("{} %", shown(100.0 * share, 0))
}

pub(super) fn ceiling(study: &Study) -> Option<Caveat> {
    let late = value(study, "late", "ood_accuracy").filter(|&accuracy| accuracy > 0.95)?;
    // A spread of accuracies below 1 with this mean cannot be larger, but for single runs that fail.
    say(
        "A ceiling",
        format!(
            "Late OOD accuracy is {}: its spread and its barriers have little room, and two good models agree because \
             both are right. Chance-corrected agreement takes that out.",
            shown(late, 3)
        ),
    )
}

pub(super) fn corrected_agreement(study: &Study) -> Option<Caveat> {
    let raw = value(study, "late - early", "ood_agreement")?;
    let corrected = study.estimate(DEFAULT_ARM, "late - early", None, "ood_chance_corrected")?;
    let measure = measure::named("ood_chance_corrected");
    let raw_is_clear = clear(study, &measure::named("ood_agreement"));
    if raw * corrected.estimate >= 0.0 || !(raw_is_clear || clear(study, &measure)) {
        return None;
    }
    let sure = match direction(&measure, corrected) {
        Direction::Open => ", though not clearly",
        _ => "",
    };
    let (up, down) = if raw > 0.0 { ("rises", "falls") } else { ("falls", "rises") };
    say(
        "Agreement beyond chance goes the other way",
        format!(
            "Raw OOD agreement {up}, but agreement beyond what the accuracies imply {down}{sure} ({}): what mistakes \
             late runs still make, they share {}.",
            change_text(&measure, corrected),
            if corrected.estimate < 0.0 { "less" } else { "more" }
        ),
    )
}
