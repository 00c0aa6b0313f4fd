//! What must be said with the answer. Each caveat looks at the data and speaks only where it applies.

use std::collections::BTreeMap;

use super::verdict::{Direction, Hump, direction, humps};
use super::{capitalised, counted, listed};
use crate::report::collate::rows::Summary;
use crate::report::study::{DEFAULT_ARM, Study, steps_text};
use crate::report::summarise::measure::{self, MEASURES, Measure, PRIMARY, Sign, shown};

/// A caveat: what it is about, and what the data say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caveat {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// ID accuracies further apart than this do not match.
const MATCH: f64 = 0.02;

/// All caveats that apply, the weightiest first.
pub(crate) fn caveats(study: &Study) -> Vec<Caveat> {
    let all = [
        few_seeds,
        hump,
        reversing_seeds,
        arms_turn,
        match_lost,
        ceiling,
        corrected_agreement,
        soups,
        greedy_keeps_one,
        small_barriers,
        distance,
        failed_runs,
        missing,
    ];
    all.iter().filter_map(|caveat| caveat(study)).collect()
}

fn say(title: &str, text: String) -> Option<Caveat> {
    Some(Caveat { title: title.into(), text })
}

fn value(study: &Study, kind: &str, id: &str) -> Option<f64> {
    study.estimate(DEFAULT_ARM, kind, None, id).map(|row| row.estimate)
}

fn few_seeds(study: &Study) -> Option<Caveat> {
    match study.pretraining_seeds().len() {
        0 => None,
        1 => say(
            "One pretraining seed",
            "Every rung comes from one pretraining run. The intervals cover fine-tuning seeds only; another run may \
             well behave differently, and nothing here measures by how much."
                .into(),
        ),
        n @ 2..=4 => {
            let bootstrapped = study.summary.iter().any(|row| row.method == "percentile" || row.method == "bca");
            let so = match bootstrapped {
                true => "Bootstrap intervals from so few are too narrow.",
                false => "The intervals pay for that with their width, and assume that seeds scatter normally.",
            };
            say(
                "Few pretraining seeds",
                format!("Pretraining seeds are a random effect, often as large as the one looked for, and there are only {n}. {so}"),
            )
        }
        _ => None,
    }
}

fn hump(study: &Study) -> Option<Caveat> {
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

/// Each pretraining seed's own late less early.
fn contrasts_by_seed(study: &Study, id: &str) -> BTreeMap<u64, f64> {
    let mean = |seed: u64, inside: &dyn Fn(u64) -> bool| {
        let values: Vec<f64> = study
            .cells_of(DEFAULT_ARM, id)
            .filter(|cell| cell.pretraining_seed == seed && inside(cell.step))
            .map(|cell| cell.value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let contrast = |seed: u64| {
        let late = mean(seed, &|step| step >= study.late_from)?;
        let early = mean(seed, &|step| step <= study.early_until)?;
        Some((seed, late - early))
    };
    study.pretraining_seeds().into_iter().filter_map(contrast).collect()
}

fn reversing_seeds(study: &Study) -> Option<Caveat> {
    let mut told = Vec::new();
    for measure in PRIMARY.iter().filter_map(|id| measure::find(id)) {
        let contrasts = contrasts_by_seed(study, &measure.id);
        let mean = contrasts.values().sum::<f64>() / contrasts.len().max(1) as f64;
        let against: Vec<String> = contrasts
            .iter()
            .filter(|(_, change)| **change * mean < 0.0)
            .map(|(seed, change)| format!("seed {seed} by {}", measure.show_change(*change)))
            .collect();
        if contrasts.len() > 1 && !against.is_empty() {
            told.push(format!(
                "{} (mean {}; {})",
                measure.label,
                measure.show_change(mean),
                listed(&against)
            ));
        }
    }
    match told.is_empty() {
        true => None,
        false => say(
            "Some pretraining seeds go the other way",
            format!("Late less early has the opposite sign in single pretraining runs: {}.", listed(&told)),
        ),
    }
}

/// Whether the primary contrast of a measure leaves out 0.
fn clear(study: &Study, measure: &Measure) -> bool {
    let row = study.estimate(DEFAULT_ARM, "late - early", None, &measure.id);
    row.is_some_and(|row| direction(measure, row) != Direction::Open)
}

/// First to last rung that an arm shares with the default one, for a measure.
fn ends(study: &Study, arm: &str, id: &str) -> Option<(f64, f64)> {
    let rungs = study.rungs_of(arm, id);
    let (first, last) = (rungs.first()?, rungs.last()?);
    (first.step != last.step).then_some((first.estimate, last.estimate))
}

fn arms_turn(study: &Study) -> Option<Caveat> {
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

fn match_lost(study: &Study) -> Option<Caveat> {
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

fn ceiling(study: &Study) -> Option<Caveat> {
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

fn corrected_agreement(study: &Study) -> Option<Caveat> {
    let raw = value(study, "late - early", "ood_agreement")?;
    let corrected = study.estimate(DEFAULT_ARM, "late - early", None, "ood_chance_corrected")?;
    let measure = measure::find("ood_chance_corrected")?;
    let raw_is_clear = measure::find("ood_agreement").is_some_and(|raw| clear(study, &raw));
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
            super::change_text(&measure, corrected),
            if corrected.estimate < 0.0 { "less" } else { "more" }
        ),
    )
}

fn soups(study: &Study) -> Option<Caveat> {
    let measure = measure::find("uniform_gain_mean")?;
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

fn greedy_keeps_one(study: &Study) -> Option<Caveat> {
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

fn small_barriers(study: &Study) -> Option<Caveat> {
    let (id, ood) = (value(study, "late", "id_barrier")?, value(study, "late", "ood_error_barrier")?);
    let id_error = study
        .paths
        .iter()
        .filter(|point| {
            point.arm == DEFAULT_ARM
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

fn distance(study: &Study) -> Option<Caveat> {
    let distance = measure::find("weight_distance")?;
    let rungs = study.rungs_of(DEFAULT_ARM, "weight_distance");
    let barriers = study.rungs_of(DEFAULT_ARM, "ood_error_barrier");
    let (from, to) = (rungs.iter().find(|row| row.step > Some(0))?, rungs.last()?);
    let barrier_then = barriers.iter().find(|row| row.step == from.step)?;
    let barrier_now = barriers.last()?;
    let parted = (to.estimate - from.estimate) * (barrier_now.estimate - barrier_then.estimate) < 0.0;
    let moved = (to.estimate - from.estimate).abs() > 0.01 * from.estimate.abs();
    let barrier_is_clear = measure::find("ood_error_barrier").is_some_and(|barrier| clear(study, &barrier));
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

fn failed_runs(study: &Study) -> Option<Caveat> {
    let failed = study.count_runs(|run| run.failed);
    (failed > 0).then(|| {
        let all = study.count_runs(|_| true);
        Caveat {
            title: "Failed runs".into(),
            text: format!(
                "{failed} of {} did no better than the commonest label on held-out data. They are in every figure and \
                 estimate but the soups, which leave them out unless told otherwise.",
                counted(all, "run")
            ),
        }
    })
}

fn missing(study: &Study) -> Option<Caveat> {
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
    use crate::report::synthetic::{Course, Size, study};

    fn titles(course: Course, size: Size) -> Vec<String> {
        caveats(&study(course, size)).into_iter().map(|caveat| caveat.title).collect()
    }

    #[test]
    fn each_caveat_speaks_where_it_applies() {
        let falls = titles(Course::Falls, Size::FULL);
        for title in [
            "Few pretraining seeds",
            "A hump, not a slope",
            "The sign depends on the setting",
            "Agreement beyond chance goes the other way",
            "Greedy soups that are no soups",
        ] {
            assert!(falls.iter().any(|known| known == title), "{title} is not among {falls:?}");
        }
        let bare =
            Size { pretraining: 6, soups: false, paths: false, ladder: false, arms: false, ..Size::FULL };
        let rises = titles(Course::Rises, bare);
        assert!(rises.contains(&"What this study lacks".to_owned()), "{rises:?}");
        for title in ["Few pretraining seeds", "One pretraining seed", "The sign depends on the setting"] {
            assert!(!rises.iter().any(|known| known == title), "{title} is among {rises:?}");
        }
    }

    #[test]
    fn failed_runs_are_counted_once_each() {
        let mut study = study(Course::Falls, Size { arms: false, ..Size::FULL });
        let key = study.runs[0].run.clone();
        study.runs.iter_mut().filter(|run| run.run == key).for_each(|run| run.failed = true);
        let caveat = failed_runs(&study).unwrap();
        assert!(caveat.text.starts_with("1 of 126 runs did no better"), "{}", caveat.text);
    }
}
