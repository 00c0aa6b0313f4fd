//! The answer: a verdict in a headline, and one sentence for each question behind it.

use measures::contrasts::{Contrast, equivalence};
use measures::verdict::{Failed, Open, Points, Verdict, scales};

use super::{capitalised, counted, listed};
use crate::study::{DEFAULT_ARM, Study, steps_text};
use crate::summarise::evidence::Comparison;
use crate::summarise::measure::{self, PRIMARY, shown};

/// The answer as it stands on top of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The verdict.
    pub headline: String,
    /// What it rests on.
    pub sentences: Vec<String>,
}

/// The answer of a study.
pub(crate) fn answer(study: &Study) -> Answer {
    if let Some(answer) = super::scores::answer(study) {
        return answer;
    }
    let headline = headline(study);
    let sentences = match study.reading.verdict {
        Verdict::Unmeasured { failed } => vec![unmeasured(study, failed)],
        _ => [outcomes(study), equal_accuracy(study), detectable(study), Some(other_scales(study))]
            .into_iter()
            .flatten()
            .collect(),
    };
    Answer { headline, sentences }
}

fn headline(study: &Study) -> String {
    let alpha = study.reading.plan.alpha;
    match study.reading.verdict {
        Verdict::Less => "The path matters less as pretraining converges.".into(),
        Verdict::More => "The path matters more as pretraining converges.".into(),
        Verdict::NoChange => "How much the path matters does not change as pretraining converges.".into(),
        Verdict::OnlyAccuracy { falls: true, within_margin: true, .. } => {
            "Late runs are right more often, and agree more because of it; at equal accuracy they agree no more.".into()
        }
        Verdict::OnlyAccuracy { falls: true, at_equal_accuracy, .. } if at_equal_accuracy.rises(alpha) => {
            "Late runs are right more often, and agree more because of it; at equal accuracy they agree less.".into()
        }
        Verdict::OnlyAccuracy { falls: true, .. } => {
            "Late runs are right more often and agree more; that they do so at equal accuracy is not shown.".into()
        }
        Verdict::OnlyAccuracy { falls: false, within_margin: true, .. } => {
            "Late runs differ more in outcome, as their accuracies imply; at equal accuracy they differ no more.".into()
        }
        Verdict::OnlyAccuracy { falls: false, .. } => {
            "Late runs differ more in outcome; that they do so at equal accuracy is not shown.".into()
        }
        Verdict::Hump { rung } => {
            format!("The path matters most in the middle of pretraining, at {} steps.", steps_text(rung))
        }
        Verdict::Inconclusive { open: Open::Outcomes, .. } => {
            "Inconclusive: this study cannot say whether the path matters less as pretraining converges.".into()
        }
        Verdict::Inconclusive { open: Open::EqualAccuracy, .. } => {
            "Inconclusive: outcomes change with accuracy, and no comparison at equal accuracy is possible.".into()
        }
        Verdict::Unmeasured { failed: Failed::NotAboveMajority } => {
            "Unmeasured: the late models have not learned the task.".into()
        }
        Verdict::Unmeasured { failed: Failed::NoGain } => {
            "Unmeasured: pretraining gained nothing between the early and the late rungs.".into()
        }
        Verdict::Unmeasured { failed: Failed::NoContrast } => {
            "Unmeasured: this study has no early and late pairs to compare.".into()
        }
    }
}

/// Why a study cannot answer.
fn unmeasured(study: &Study, failed: Failed) -> String {
    let check = &study.reading.evidence.manipulation;
    match failed {
        Failed::NotAboveMajority => format!(
            "The accuracy of late runs is {}, and always giving the most frequent label scores {}: differences between \
             seeds would be differences between guesses.",
            check
                .late_accuracy
                .map_or(String::new(), |accuracy| with_interval(&accuracy, |value| shown(value, 3))),
            shown(check.majority, 3)
        ),
        Failed::NoGain => format!(
            "From the early to the late rungs the held-out loss falls by {}: the late models are not known to be any \
             closer to convergence.",
            check.gain.map_or(String::new(), |gain| with_interval(&gain, |value| shown(value, 3)))
        ),
        Failed::NoContrast => match study.steps(DEFAULT_ARM).len() {
            0 => "No evaluated fine-tuning runs are among the inputs.".into(),
            1 => "All runs start from one rung of the ladder: there is no early and no late one to compare."
                .into(),
            _ => format!(
                "Pairs of evaluated runs are needed both at an early rung (at most {} steps) and at a late one (at least \
                 {} steps), from two pretraining seeds or from three fine-tuning seeds.",
                steps_text(study.early_until),
                steps_text(study.late_from)
            ),
        },
    }
}

/// Whether the outcome depends on the seed, early and late.
fn outcomes(study: &Study) -> Option<String> {
    let contrast = study.reading.evidence.path_variance?;
    let of = |kind| study.estimate(DEFAULT_ARM, kind, None, PRIMARY[0]);
    let (early, late) = (of("early")?, of("late")?);
    Some(format!(
        "Outcomes: from {} to {}, the path variance out of distribution (half the share of examples on which exactly one of \
         two seeds is right) goes from {} to {}, a change of {} ({} after correction for {}).",
        rung_text(study, true),
        rung_text(study, false),
        shown(early.estimate, 3),
        shown(late.estimate, 3),
        change(&contrast),
        p_text(contrast.p_adjusted),
        counted(PRIMARY.len(), "primary measure"),
    ))
}

/// What is left of the change at equal accuracy.
fn equal_accuracy(study: &Study) -> Option<String> {
    let reading = &study.reading;
    let contrast = reading.evidence.equal_accuracy?;
    let margin = reading.plan.margin;
    let judged = match equivalence::tost(&contrast, margin) < reading.plan.alpha {
        true => format!("no change within the margin of {}", shown(margin, 3)),
        false if contrast.falls(reading.plan.alpha) => {
            "late runs differ less than equally accurate early ones".into()
        }
        false if contrast.rises(reading.plan.alpha) => {
            "late runs differ more than equally accurate early ones".into()
        }
        false => "neither a change nor its absence is shown".into(),
    };
    Some(match reading.comparison? {
        Comparison::Matched { share } => format!(
            "At equal accuracy: {} % of late pairs have early pairs of the same pretraining seed whose accuracies are the same \
             within 0.02; against those, their path variance changes by {} ({}): {judged}.",
            shown(100.0 * share, 0),
            change(&contrast),
            p_text(contrast.p)
        ),
        Comparison::BeyondAccuracy => format!(
            "At equal accuracy: too few early pairs are as accurate as late ones to match them. If two seeds stayed as \
             correlated as they are early, the late accuracies alone would predict a path variance; the observed one differs \
             from it by {} ({}): {judged}.",
            change(&contrast),
            p_text(contrast.p)
        ),
    })
}

/// The effect that an inconclusive study would have detected.
fn detectable(study: &Study) -> Option<String> {
    let Verdict::Inconclusive { smallest_effect: Some(effect), .. } = study.reading.verdict else {
        return None;
    };
    Some(format!(
        "A study of this size and scatter detects a change of path variance of {} or more in 8 of 10 cases.",
        shown(effect, 3)
    ))
}

/// Which way the scales without a ceiling point, and what the intervals are over.
fn other_scales(study: &Study) -> String {
    let evidence = &study.reading.evidence;
    let points = scales(evidence, study.reading.plan.alpha);
    let named = [("ood_shared", evidence.shared), ("ood_logit_spread", evidence.logit_spread)];
    let told: Vec<String> = named
        .into_iter()
        .zip(points)
        .filter_map(|((id, contrast), points)| {
            let reading = match points? {
                Points::Less => "the path matters less",
                Points::More => "the path matters more",
                Points::Neither => "inconclusive",
            };
            Some(format!("{} {} ({reading})", measure::named(id).label, change(&contrast?)))
        })
        .collect();
    let mut parts = Vec::new();
    if !told.is_empty() {
        parts.push(format!("on scales without a ceiling: {}", listed(&told)));
    }
    parts.push(seeds_text(study));
    format!("{}.", capitalised(&parts.join("; ")))
}

/// `−0.044 [−0.061, −0.027]`.
fn change(contrast: &Contrast) -> String {
    with_interval(contrast, |value| match value {
        value if value > 0.0 => format!("+{}", shown(value, 3)),
        value => shown(value, 3),
    })
}

fn with_interval(contrast: &Contrast, show: impl Fn(f64) -> String) -> String {
    format!("{} [{}, {}]", show(contrast.estimate), show(contrast.low), show(contrast.high))
}

fn p_text(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {}", shown(p, 3)) }
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
mod tests;
