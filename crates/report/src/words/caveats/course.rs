//! The course over the ladder: humps, and arms that go the other way.

use super::super::verdict::{Hump, humps};
use super::super::{capitalised, listed};
use super::{Caveat, clear, say};
use crate::rows::Summary;
use crate::study::{DEFAULT_ARM, Study, steps_text};
use crate::summarise::measure;

pub(super) fn hump(study: &Study) -> Option<Caveat> {
    let humps = humps(study);
    let numbers = |hump: &Hump<'_>| {
        let value = |row: &Summary| hump.measure.show(row.estimate);
        let bound = |bound: Option<f64>| hump.measure.show_change(bound.unwrap_or(f64::NAN));
        format!(
            "{} ({} at {} steps; {} at the first rung, {} at the last; {} [{}, {}] beyond the nearer)",
            hump.measure.label,
            value(hump.peak),
            steps_text(hump.peak.step.unwrap_or(0)),
            value(hump.first),
            value(hump.last),
            value(hump.height),
            bound(hump.height.lower),
            bound(hump.height.upper)
        )
    };
    let (told, rest) = humps.split_at(humps.len().min(2));
    if told.is_empty() {
        return None;
    }
    let mut text = format!(
        "Path dependence is clearly largest inside the ladder for {}",
        listed(&told.iter().map(numbers).collect::<Vec<_>>())
    );
    if !rest.is_empty() {
        let names: Vec<String> = rest.iter().map(|hump| hump.measure.label.to_string()).collect();
        text += &format!("; likewise for {}", listed(&names));
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
            let measure = measure::named(id);
            let (Some(here), Some(there)) = (ends(study, arm, id), ends(study, DEFAULT_ARM, id)) else {
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
