//! The answer: a headline and two sentences, with numbers and how sure they are.

use super::verdict::{Direction, Verdict, humps, primary, verdict};
use super::{capitalised, change_text, counted, listed};
use crate::rows::Summary;
use crate::study::{DEFAULT_ARM, Study, steps_text};
use crate::summarise::measure::{self, Measure, PRIMARY, shown};

/// The answer as it stands on top of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The answer in one sentence.
    pub headline: String,
    /// What it rests on: numbers, and how sure they are.
    pub sentences: Vec<String>,
}

/// The answer of a study.
pub(crate) fn answer(study: &Study) -> Answer {
    let verdict = verdict(study);
    let headline = match verdict {
        Verdict::Falls => "The path matters less as pretraining converges.",
        Verdict::Rises => "The path matters more as pretraining converges.",
        Verdict::Mixed => "The path matters less by one measure and more by another.",
        Verdict::Hump => {
            "The path matters most in the middle of pretraining; its end is not clearly different from its start."
        }
        Verdict::Unclear => "No clear effect of pretraining on how much the path matters.",
        Verdict::Unmeasured => "This study cannot say how the path's importance changes.",
    };
    let sentences = match verdict {
        Verdict::Unmeasured => vec![unmeasured(study)],
        Verdict::Hump => vec![hump(study), sureness(study, verdict)],
        _ => vec![contrast(study, verdict), sureness(study, verdict)],
    };
    Answer { headline: headline.into(), sentences }
}

fn unmeasured(study: &Study) -> String {
    match study.steps(DEFAULT_ARM).len() {
        0 => "No evaluated fine-tuning runs are among the inputs.".into(),
        1 => {
            "All runs start from one rung of the ladder: there is no early and no late one to compare.".into()
        }
        _ => format!(
            "None of its primary measures ({}) is known both at an early rung (at most {} steps) and at a late one \
             (at least {} steps).",
            listed(
                &PRIMARY.map(|id| measure::find(id).map_or(String::new(), |measure| measure.label.into()))
            ),
            steps_text(study.early_until),
            steps_text(study.late_from)
        ),
    }
}

/// The contrast that shows the verdict best: the first primary one that goes its way.
fn told(study: &Study, verdict: Verdict) -> Option<(Measure, &Summary, Direction)> {
    let wanted = match verdict {
        Verdict::Falls | Verdict::Mixed => Direction::Less,
        Verdict::Rises => Direction::More,
        _ => Direction::Open,
    };
    primary(study).into_iter().find(|(_, _, direction)| *direction == wanted)
}

/// The first sentence: that contrast, from early to late.
fn contrast(study: &Study, verdict: Verdict) -> String {
    let Some((measure, row, direction)) = told(study, verdict) else { return String::new() };
    let of = |kind| study.estimate(DEFAULT_ARM, kind, None, &measure.id);
    let values = match (of("early"), of("late")) {
        (Some(early), Some(late)) => format!(
            " goes from {} to {}: a change of {}",
            measure.show(early.estimate),
            measure.show(late.estimate),
            change_text(&measure, row)
        ),
        _ => format!(" changes by {}", change_text(&measure, row)),
    };
    let null = match (direction, row.lower) {
        (Direction::Open, Some(_)) => ", which may be none",
        _ => "",
    };
    format!(
        "From {} to {}, {}{values}{null}.",
        rung_text(study, true),
        rung_text(study, false),
        explained(&measure)
    )
}

/// "the early rungs (0, 100 and 300 steps; held-out loss 2.96)".
fn rung_text(study: &Study, early: bool) -> String {
    let inside = |step: u64| if early { step <= study.early_until } else { step >= study.late_from };
    let steps: Vec<u64> = study.steps(DEFAULT_ARM).into_iter().filter(|&step| inside(step)).collect();
    let losses: Vec<f64> = steps.iter().filter_map(|&step| study.loss_at(step)).collect();
    let loss = match losses.is_empty() {
        true => String::new(),
        false => format!("; held-out loss {}", shown(losses.iter().sum::<f64>() / losses.len() as f64, 2)),
    };
    let named = match (steps.as_slice(), early) {
        (few, _) if few.len() <= 4 => listed(&few.iter().map(|&step| steps_text(step)).collect::<Vec<_>>()),
        (_, true) => format!("at most {}", steps_text(study.early_until)),
        (_, false) => format!("at least {}", steps_text(study.late_from)),
    };
    let rungs = if steps.len() == 1 { "rung" } else { "rungs" };
    format!("the {} {rungs} ({named} steps{loss})", if early { "early" } else { "late" })
}

/// A primary measure in words that need no glossary.
fn explained(measure: &Measure) -> String {
    match measure.id.as_ref() {
        "ood_agreement" => {
            "the share of out-of-distribution examples on which two fine-tuning seeds agree".into()
        }
        "ood_error_barrier" => {
            "the rise of out-of-distribution error on the straight line between two fine-tuning seeds".into()
        }
        "profile_distance" => {
            "the distance between how two fine-tuning seeds respond to interventions".into()
        }
        _ => format!("the {}", measure.label),
    }
}

fn hump(study: &Study) -> String {
    let told: Vec<String> = humps(study)
        .iter()
        .filter(|hump| PRIMARY.contains(&hump.measure.id.as_ref()))
        .map(|hump| {
            let value = |row: &Summary| hump.measure.show(row.estimate);
            format!(
                "{} is {} at {} steps, against {} at the first rung and {} at the last",
                hump.measure.label,
                value(hump.peak),
                steps_text(hump.peak.step.unwrap_or(0)),
                value(hump.first),
                value(hump.last)
            )
        })
        .collect();
    format!("{}.", capitalised(&told.join("; ")))
}

/// The last sentence: what the other primary measures say, and what the intervals are over.
fn sureness(study: &Study, verdict: Verdict) -> String {
    let told = told(study, verdict).filter(|_| verdict != Verdict::Hump);
    let others: Vec<(Measure, &Summary, Direction)> = primary(study)
        .into_iter()
        .filter(|(measure, _, _)| told.as_ref().is_none_or(|(told, _, _)| told.id != measure.id))
        .collect();
    let direction = told.map_or(Direction::Open, |(_, _, direction)| direction);
    let of = |wanted: Direction| -> Vec<String> {
        let wanted = others.iter().filter(|(_, _, direction)| *direction == wanted);
        wanted.map(|(measure, row, _)| format!("{} {}", measure.label, change_text(measure, row))).collect()
    };
    let same = match others.iter().all(|(_, _, other)| *other == direction) {
        true => "the other primary measures point the same way",
        false => "pointing the same way",
    };
    let mut parts = Vec::new();
    let mut part = |wanted: Direction, text: &str| {
        let found = of(wanted);
        if !found.is_empty() {
            parts.push(format!("{text}: {}", listed(&found)));
        }
    };
    match direction {
        Direction::Open if verdict == Verdict::Hump => {
            part(Direction::Open, "between early and late rungs no primary measure can tell")
        }
        Direction::Open => part(Direction::Open, "the other primary measures cannot tell either"),
        Direction::Less => {
            part(Direction::Less, same);
            part(Direction::More, "the other way");
            part(Direction::Open, "undecided");
        }
        Direction::More => {
            part(Direction::More, same);
            part(Direction::Open, "undecided");
        }
    }
    parts.push(seeds_text(study));
    format!("{}.", capitalised(&parts.join("; ")))
}

fn seeds_text(study: &Study) -> String {
    let pretraining = study.pretraining_seeds().len();
    let of_cells = study.cells.iter().filter(|cell| cell.arm == DEFAULT_ARM).map(|cell| cell.n_finetuning);
    let finetuning = of_cells.max().unwrap_or(0) as usize;
    match pretraining {
        1 => format!(
            "the 95 % intervals cover {} of a single pretraining run, and say nothing about other pretraining runs",
            counted(finetuning, "fine-tuning seed")
        ),
        _ => format!(
            "the 95 % intervals are over {pretraining} pretraining seeds with {} each",
            counted(finetuning, "fine-tuning seed")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    /// The sentences on four worlds whose path dependence is known.
    #[test]
    fn a_hit_a_reversal_a_null_and_a_hump_are_said_as_plainly() {
        let said = |course| {
            let answer = answer(&study(course, Size::FULL));
            format!("{}\n{}", answer.headline, answer.sentences.join("\n"))
        };
        assert_eq!(said(Course::Falls), FALLS);
        assert_eq!(said(Course::Rises), RISES);
        assert_eq!(said(Course::Flat), FLAT);
        assert_eq!(said(Course::Hump), HUMP);
    }

    const FALLS: &str = "The path matters less as pretraining converges.\n\
        From the early rungs (0, 100 and 300 steps; held-out loss 2.96) to the late rungs (2,000 and \
        6,000 steps; held-out loss 1.66), the share of out-of-distribution examples on which two \
        fine-tuning seeds agree goes from 0.803 to 0.955: a change of +0.152 [+0.132, +0.173].\n\
        The other primary measures point the same way: OOD error barrier −0.078 [−0.105, −0.050] and \
        invariance-profile distance −0.042 [−0.047, −0.036]; the 95 % intervals are over 3 pretraining \
        seeds with 6 fine-tuning seeds each.";
    const RISES: &str = "The path matters more as pretraining converges.\n\
        From the early rungs (0, 100 and 300 steps; held-out loss 2.97) to the late rungs (2,000 and \
        6,000 steps; held-out loss 1.66), the share of out-of-distribution examples on which two \
        fine-tuning seeds agree goes from 0.952 to 0.828: a change of −0.124 [−0.141, −0.106].\n\
        The other primary measures point the same way: OOD error barrier +0.076 [+0.054, +0.098] and \
        invariance-profile distance +0.035 [+0.030, +0.040]; the 95 % intervals are over 3 pretraining \
        seeds with 6 fine-tuning seeds each.";
    const FLAT: &str = "No clear effect of pretraining on how much the path matters.\n\
        From the early rungs (0, 100 and 300 steps; held-out loss 2.97) to the late rungs (2,000 and \
        6,000 steps; held-out loss 1.66), the share of out-of-distribution examples on which two \
        fine-tuning seeds agree goes from 0.871 to 0.873: a change of +0.002 [−0.033, +0.036], which \
        may be none.\n\
        The other primary measures cannot tell either: OOD error barrier +0.006 [−0.009, +0.021] and \
        invariance-profile distance +0.001 [−0.008, +0.009]; the 95 % intervals are over 3 pretraining \
        seeds with 6 fine-tuning seeds each.";
    const HUMP: &str = "The path matters most in the middle of pretraining; its end is not clearly different from its start.\n\
        OOD agreement is 0.794 at 600 steps, against 0.944 at the first rung and 0.936 at the last; \
        OOD error barrier is 0.106 at 600 steps, against 0.026 at the first rung and 0.022 at the \
        last; invariance-profile distance is 0.072 at 600 steps, against 0.033 at the first rung and \
        0.035 at the last.\n\
        Between early and late rungs no primary measure can tell: OOD agreement −0.002 [−0.014, \
        +0.009], OOD error barrier −0.004 [−0.022, +0.014] and invariance-profile distance +0.002 \
        [−0.004, +0.009]; the 95 % intervals are over 3 pretraining seeds with 6 fine-tuning seeds \
        each.";

    #[test]
    fn one_pretraining_seed_is_owned_up_to() {
        let size = Size { pretraining: 1, ..Size::FULL };
        let answer = answer(&study(Course::Falls, size));
        assert!(
            answer.sentences[1].contains("6 fine-tuning seeds of a single pretraining run"),
            "{answer:?}"
        );
    }
}
