//! The answer on studies whose truth is known: one golden headline for each verdict, and one whole answer.

use measures::contrasts::{SeedFigure, over_seeds};

use super::*;
use crate::synthetic::{Course, Size, study};

const SIX: Size = Size { pretraining: 6, ..Size::FULL };

fn headline_of(course: Course) -> String {
    answer(&study(course, SIX)).headline
}

#[test]
fn each_course_has_its_verdict() {
    assert_eq!(headline_of(Course::Falls), "The path matters less as pretraining converges.");
    assert_eq!(headline_of(Course::Rises), "The path matters more as pretraining converges.");
    assert_eq!(
        headline_of(Course::Flat),
        "How much the path matters does not change as pretraining converges."
    );
    assert_eq!(
        headline_of(Course::Hump),
        "The path matters most in the middle of pretraining, at 600 steps."
    );
}

/// Raw agreement rises here, and so it did under the rule that this one replaced.
#[test]
fn accuracy_alone_is_not_path_independence() {
    let answer = answer(&study(Course::Accuracy, SIX));
    let said = format!("{}\n{}", answer.headline, answer.sentences.join("\n"));
    assert_eq!(said, ACCURACY);
}

const ACCURACY: &str = "Late runs are right more often, and agree more because of it; at equal accuracy they agree no more.\n\
    Outcomes: from the early rungs (0, 100 and 300 steps; held-out loss 2.97) to the late rungs (2,000 and 6,000 steps; \
    held-out loss 1.66), the path variance out of distribution (half the share of examples on which exactly one of two \
    seeds is right) goes from 0.092 to 0.027, a change of −0.065 [−0.073, −0.056] (p < 0.001 after correction for 3 \
    primary measures).\n\
    At equal accuracy: 60 % of late pairs have early pairs of the same pretraining seed whose accuracies are the same \
    within 0.02; against those, their path variance changes by −0.001 [−0.003, +0.001] (p = 0.504): no change within the \
    margin of 0.010.\n\
    On scales without a ceiling: shared OOD errors −0.021 [−0.050, +0.008] (inconclusive) and logit spread of OOD \
    accuracy −0.250 [−0.357, −0.144] (the path matters less); the 95 % intervals are over 6 pretraining seeds with 6 \
    fine-tuning seeds each.";

/// A contrast at equal accuracy that shows nothing is not told as one that shows no change.
#[test]
fn what_is_not_shown_at_equal_accuracy_is_not_claimed() {
    let mut study = study(Course::Accuracy, SIX);
    let Verdict::OnlyAccuracy { falls, at_equal_accuracy, .. } = study.reading.verdict else {
        panic!("{:?}", study.reading.verdict);
    };
    study.reading.verdict = Verdict::OnlyAccuracy { falls, at_equal_accuracy, within_margin: false };
    let headline = answer(&study).headline;
    assert!(headline.ends_with("that they do so at equal accuracy is not shown."), "{headline}");
}

#[test]
fn one_pretraining_seed_is_owned_up_to() {
    let answer = answer(&study(Course::Falls, Size { pretraining: 1, ..Size::FULL }));
    let last = answer.sentences.last().expect("a sentence");
    assert!(last.contains("6 fine-tuning seeds of a single pretraining run"), "{answer:?}");
}

#[test]
fn what_was_not_measured_is_said_with_its_reason() {
    let mut unlearned = study(Course::Falls, SIX);
    let guess =
        |seed: u64| SeedFigure { seed, value: 0.5 + 0.01 * (seed % 2) as f64, within: None, n_pairs: 0 };
    unlearned.reading.evidence.manipulation.late_accuracy =
        over_seeds(&(0..6).map(guess).collect::<Vec<_>>(), 0.95).ok();
    unlearned.reading.verdict =
        measures::verdict::verdict(&unlearned.reading.evidence, &unlearned.reading.plan);
    let answer = answer(&unlearned);
    assert_eq!(answer.headline, "Unmeasured: the late models have not learned the task.");
    assert!(answer.sentences[0].contains("scores 0.500"), "{answer:?}");
}

#[test]
fn an_inconclusive_study_says_what_it_would_have_detected() {
    let mut study = study(Course::Flat, SIX);
    let wide = |seed: u64| SeedFigure {
        seed,
        value: if seed.is_multiple_of(2) { 0.1 } else { -0.09 },
        within: None,
        n_pairs: 0,
    };
    study.reading.evidence.path_variance = over_seeds(&(0..6).map(wide).collect::<Vec<_>>(), 0.95).ok();
    study.reading.evidence.turn = None;
    study.reading.verdict = measures::verdict::verdict(&study.reading.evidence, &study.reading.plan);
    let answer = answer(&study);
    assert!(answer.headline.starts_with("Inconclusive"), "{answer:?}");
    assert!(answer.sentences.iter().any(|sentence| sentence.contains("in 8 of 10 cases")), "{answer:?}");
}
