//! What soups, barriers and distances do not show.

use std::collections::BTreeMap;

use super::super::counted;
use super::{Caveat, clear, say, value};
use crate::rows::Summary;
use crate::study::{DEFAULT_ARM, LINEAR, Study, steps_text};
use crate::summarise::measure::{self, shown};

pub(super) fn soups(study: &Study) -> Option<Caveat> {
    let measure = measure::named("uniform_gain_mean");
    let (early, late) = (
        study.estimate(DEFAULT_ARM, "early", None, &measure.id)?,
        study.estimate(DEFAULT_ARM, "late", None, &measure.id)?,
    );
    let helps = |row: &Summary| row.lower.is_some_and(|lower| lower > 0.0);
    if helps(late) {
        return None;
    }
    say(
        "Soups do not clearly help",
        format!(
            "Averaging all fine-tuned weights changes OOD accuracy by {} early and {} late, relative to the mean run: \
             {} is not a gain.",
            measure.show_change(early.estimate),
            measure.show_change(late.estimate),
            if late.estimate > early.estimate { "less harm" } else { "this" }
        ),
    )
}

pub(super) fn greedy_keeps_one(study: &Study) -> Option<Caveat> {
    let greedy: BTreeMap<&str, u64> = study
        .soups
        .iter()
        .filter(|soup| soup.method == "greedy" && soup.offered > 1)
        .map(|soup| (soup.soup.as_str(), soup.kept))
        .collect();
    let one = greedy.values().filter(|&&kept| kept == 1).count();
    if one == 0 {
        return None;
    }
    say(
        "Greedy soups that are no soups",
        format!(
            "{one} of {} kept a single model: held-out accuracy chose it, no weights were averaged.",
            counted(greedy.len(), "greedy soup")
        ),
    )
}

pub(super) fn small_barriers(study: &Study) -> Option<Caveat> {
    let (id, ood) = (value(study, "late", "id_barrier")?, value(study, "late", "ood_error_barrier")?);
    let id_error = study
        .paths
        .iter()
        .filter(|point| {
            point.arm == DEFAULT_ARM
                && point.path == LINEAR
                && (0.0..=1.0).contains(&point.alpha)
                && point.step >= study.late_from
                && Some(point.split.as_str()) != study.ood()
        })
        .map(|point| 1.0 - point.accuracy)
        .fold(0.0_f64, f64::max);
    if id >= 0.1 || study.paths.is_empty() {
        return None;
    }
    say(
        "Barriers in distribution are small",
        format!(
            "Late runs look connected in distribution (cross-entropy barrier {} nats; error on no line above {}), while \
             out of distribution the error barrier is {}. Out of distribution, error is used and not cross-entropy, whose \
             barrier vanishes between ends that are confidently wrong.",
            shown(id, 3),
            shown(id_error, 3),
            shown(ood, 3)
        ),
    )
}

pub(super) fn distance(study: &Study) -> Option<Caveat> {
    let distance = measure::named("weight_distance");
    let rungs = study.rungs_of(DEFAULT_ARM, "weight_distance");
    let barriers = study.rungs_of(DEFAULT_ARM, "ood_error_barrier");
    let (from, to) = (rungs.iter().find(|row| row.step > Some(0))?, rungs.last()?);
    let barrier_then = barriers.iter().find(|row| row.step == from.step)?;
    let barrier_now = barriers.last()?;
    let parted = (to.estimate - from.estimate) * (barrier_now.estimate - barrier_then.estimate) < 0.0;
    let moved = (to.estimate - from.estimate).abs() > 0.01 * from.estimate.abs();
    let barrier_is_clear = clear(study, &measure::named("ood_error_barrier"));
    if !parted || !moved || !barrier_is_clear || from.step == to.step {
        return None;
    }
    say(
        "Distance is not the driver",
        format!(
            "From {} to {} steps the weights of two runs go from {} to {} apart while the OOD error barrier goes from {} \
             to {}.",
            steps_text(from.step.unwrap_or(0)),
            steps_text(to.step.unwrap_or(0)),
            distance.show(from.estimate),
            distance.show(to.estimate),
            shown(barrier_then.estimate, 3),
            shown(barrier_now.estimate, 3)
        ),
    )
}
