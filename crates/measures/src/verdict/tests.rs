//! A golden for each verdict.

use super::*;
use crate::contrasts::{SeedFigure, over_seeds};

/// A contrast over six pretraining seeds with this mean and standard error.
fn contrast(estimate: f64, standard_error: f64) -> Contrast {
    let spread = standard_error * 6.0_f64.sqrt() / (6.0_f64 / 5.0).sqrt();
    let figure = |seed: u64| {
        let sign = if seed.is_multiple_of(2) { 1.0 } else { -1.0 };
        SeedFigure { seed, value: estimate + sign * spread, within: None, n_pairs: 30 }
    };
    over_seeds(&(0..6).map(figure).collect::<Vec<_>>(), 0.95).unwrap()
}

fn evidence(outcomes: (f64, f64), equal: Option<(f64, f64)>) -> Evidence {
    Evidence {
        path_variance: Some(contrast(outcomes.0, outcomes.1)),
        equal_accuracy: equal.map(|(estimate, se)| contrast(estimate, se)),
        shared: None,
        logit_spread: None,
        turn: None,
        manipulation: Manipulation {
            late_accuracy: Some(contrast(0.93, 0.01)),
            majority: 0.5,
            gain: Some(contrast(1.0, 0.1)),
        },
    }
}

fn read(evidence: &Evidence) -> Verdict {
    verdict(evidence, &Plan::default())
}

#[test]
fn less_and_more() {
    assert_eq!(read(&evidence((-0.08, 0.01), Some((-0.04, 0.01)))), Verdict::Less);
    assert_eq!(read(&evidence((0.08, 0.01), Some((0.04, 0.01)))), Verdict::More);
}

#[test]
fn less_needs_the_adjusted_p() {
    let mut study = evidence((-0.08, 0.025), Some((-0.04, 0.01)));
    assert_eq!(read(&study), Verdict::Less);
    study.path_variance.as_mut().unwrap().p_adjusted = 0.06;
    assert!(matches!(read(&study), Verdict::Inconclusive { open: Open::Outcomes, .. }));
}

#[test]
fn only_accuracy() {
    let silent = read(&evidence((-0.08, 0.01), Some((-0.001, 0.002))));
    assert!(matches!(silent, Verdict::OnlyAccuracy { falls: true, within_margin: true, .. }), "{silent:?}");
    let wide = read(&evidence((-0.08, 0.01), Some((-0.001, 0.02))));
    assert!(matches!(wide, Verdict::OnlyAccuracy { within_margin: false, .. }), "{wide:?}");
    // At equal accuracy late runs differ more: raw agreement does not outvote it.
    let against = read(&evidence((-0.08, 0.01), Some((0.04, 0.01))));
    assert!(matches!(against, Verdict::OnlyAccuracy { falls: true, .. }), "{against:?}");
}

#[test]
fn no_change_is_shown_and_not_assumed() {
    assert_eq!(read(&evidence((0.001, 0.002), Some((0.0, 0.002)))), Verdict::NoChange);
    // Significant, and within the margin on both counts.
    assert_eq!(read(&evidence((-0.003, 0.0005), Some((-0.003, 0.0005)))), Verdict::NoChange);
    assert!(matches!(read(&evidence((0.001, 0.002), None)), Verdict::Inconclusive { .. }));
}

#[test]
fn inconclusive_says_what_could_have_been_detected() {
    let Verdict::Inconclusive { open: Open::Outcomes, smallest_effect: Some(effect) } =
        read(&evidence((-0.02, 0.02), Some((0.0, 0.01))))
    else {
        panic!("not inconclusive")
    };
    // Six seeds, power .8: noncentrality 3.53 or so, whatever the estimate.
    assert!((effect / 0.02 - 3.53).abs() < 0.05, "{effect}");
    let unmatched = read(&evidence((-0.08, 0.01), None));
    assert_eq!(unmatched, Verdict::Inconclusive { open: Open::EqualAccuracy, smallest_effect: None });
}

#[test]
fn hump() {
    let turn = Turn { rung: 600, height: contrast(0.05, 0.01), predicts: true };
    let mut study = evidence((0.001, 0.002), Some((0.0, 0.002)));
    study.turn = Some(turn);
    assert_eq!(read(&study), Verdict::Hump { rung: 600 });
    study.turn = Some(Turn { predicts: false, ..turn });
    assert_eq!(read(&study), Verdict::NoChange);
    study.turn = Some(Turn { height: contrast(-0.05, 0.01), ..turn });
    assert_eq!(read(&study), Verdict::NoChange);
    // The primary contrast was fixed beforehand.
    let mut less = evidence((-0.08, 0.01), Some((-0.04, 0.01)));
    less.turn = Some(turn);
    assert_eq!(read(&less), Verdict::Less);
}

#[test]
fn unmeasured() {
    let mut study = evidence((-0.08, 0.01), Some((-0.04, 0.01)));
    study.manipulation.late_accuracy = Some(contrast(0.52, 0.01));
    assert_eq!(read(&study), Verdict::Unmeasured { failed: Failed::NotAboveMajority });
    let mut study = evidence((-0.08, 0.01), Some((-0.04, 0.01)));
    study.manipulation.gain = Some(contrast(0.1, 0.1));
    assert_eq!(read(&study), Verdict::Unmeasured { failed: Failed::NoGain });
    study.manipulation.gain = None;
    assert_eq!(read(&study), Verdict::Less);
    study.path_variance = None;
    assert_eq!(read(&study), Verdict::Unmeasured { failed: Failed::NoContrast });
}

#[test]
fn other_scales_are_told_apart() {
    let mut study = evidence((-0.08, 0.01), None);
    study.shared = Some(contrast(0.2, 0.01));
    study.logit_spread = Some(contrast(0.7, 0.1));
    assert_eq!(scales(&study, 0.05), [Some(Points::Less), Some(Points::More)]);
    study.shared = Some(contrast(0.0, 0.01));
    study.logit_spread = None;
    assert_eq!(scales(&study, 0.05), [Some(Points::Neither), None]);
}
