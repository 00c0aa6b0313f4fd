//! The course over the ladder: humps, and arms that go the other way.

use super::super::verdict::{Hump, humps};
use super::super::{capitalised, listed};
use super::{Caveat, clear, say};
use crate::report::collate::rows::Summary;
use crate::report::study::{DEFAULT_ARM, Study, steps_text};
use crate::report::summarise::measure;

pub(super) fn hump(study: &Study) -> Option<Caveat> {
    let humps = humps(study);
    let (clear, unclear): (Vec<_>, Vec<_>) = humps.iter().partition(|hump| hump.clear);
    let numbers = |hump: &&Hump<'_>| {
        let value = |row: &Summary| hump.measure.show(row.estimate);
        format!(
            "{} ({} at {} steps; {} at the first rung, {} at the last)",
            hump.measure.label,
            value(hump.peak),
            steps_text(hump.peak.step.unwrap_or(0)),
            value(hump.first),
            value(hump.last)
        )
    };
    let name = |hump: &&Hump<'_>| hump.measure.label.to_string();
    let (told, rest) = if clear.is_empty() {
        unclear.split_at(unclear.len().min(1))
    } else {
        clear.split_at(clear.len().min(2))
    };
    if told.is_empty() {
        return None;
    }
    let mut text = format!(
        "Path dependence {} inside the ladder for {}",
        if clear.is_empty() {
            "seems largest (clearly above the last rung, not above the first)"
        } else {
            "is clearly largest"
        },
        listed(&told.iter().map(numbers).collect::<Vec<_>>())
    );
    if !rest.is_empty() {
        text += &format!("; likewise for {}", listed(&rest.iter().map(name).collect::<Vec<_>>()));
    }
    if !clear.is_empty() && !unclear.is_empty() {
        text += &format!(
            "; clearly above the last rung but not above the first for {}",
            listed(&unclear.iter().map(name).collect::<Vec<_>>())
        );
    }
    text += ". The contrast of late with early rungs averages over this shape, and a straight trend would hide it.";
    say("A hump, not a slope", text)
}

/// First to last rung that an arm shares with the default one, for a measure.
fn ends(study: &Study, arm: &str, id: &str) -> Option<(f64, f64)> {
    let rungs = study.rungs_of(arm, id);
    let (first, last) = (rungs.first()?, rungs.last()?);
    (first.step != last.step).then_some((first.estimate, last.estimate))
}

pub(super) fn arms_turn(study: &Study) -> Option<Caveat> {
    let mut told = Vec::new();
    for arm in study.arms.iter().filter(|arm| *arm != DEFAULT_ARM) {
        let mut turned = Vec::new();
        for id in ["ood_agreement", "ood_accuracy_sd", "ood_error_barrier", "profile_distance"] {
            let (Some(measure), Some(here), Some(there)) =
                (measure::find(id), ends(study, arm, id), ends(study, DEFAULT_ARM, id))
            else {
                continue;
            };
            // A default that does not clearly go anywhere has no sign to turn.
            if clear(study, &measure) && (here.1 - here.0) * (there.1 - there.0) < 0.0 {
                turned.push(format!("{} {} → {}", measure.label, measure.show(here.0), measure.show(here.1)));
            }
        }
        if !turned.is_empty() {
            told.push(format!("with {arm}, {}", listed(&turned)));
        }
    }
    match told.is_empty() {
        true => None,
        false => say(
            "The sign depends on the setting",
            format!(
                "{}: the opposite of the default arm between its first and last rung.",
                capitalised(&told.join("; "))
            ),
        ),
    }
}
