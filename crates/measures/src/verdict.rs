//! The verdict: does the path of fine-tuning matter less late than early?
//!
//! Two sentences, never one from raw agreement alone, for agreement rises with accuracy:
//!
//! 1. *Outcomes*: late less early path variance, with its Holm-adjusted p.
//! 2. *Path at equal accuracy*: the contrast of pairs matched on accuracy ([`crate::contrasts::matched`]), or, where
//!    no late pair has an early one of its accuracy, what lies beyond accuracy
//!    ([`crate::estimands::latent::beyond_accuracy`]); both in units of path variance.
//!
//! The rule, in this order:
//!
//! | verdict | where |
//! |---|---|
//! | [`Verdict::Unmeasured`] | late accuracy is not above the majority with its interval, or pretraining gained nothing |
//! | [`Verdict::Less`] | path variance falls, *and* falls at equal accuracy |
//! | [`Verdict::More`] | path variance rises, *and* rises at equal accuracy |
//! | [`Verdict::Hump`] | an inner rung lies beyond both ends, and a turn predicts left-out seeds best |
//! | [`Verdict::NoChange`] | both contrasts lie within the margin (two one-sided tests) |
//! | [`Verdict::OnlyAccuracy`] | path variance moves, and at equal accuracy it does not move with it |
//! | [`Verdict::Inconclusive`] | none of these, with the effect that could have been detected |
//!
//! A move that is significant but within the margin on both counts is no change. `Less` and `More` need the second contrast
//! to be significant, not just silent: if silence sufficed, every study in which accuracy alone rises would say "less".
//! The second contrast is tested only after the first (a fixed sequence), at the full level, so that the chance of a false `Less` or
//! `More` is at most `alpha`. `shared` and `logit_spread` decide nothing, since both depend on accuracy under a constant latent
//! correlation; [`scales`] says which way they point, to be printed with the verdict.

use crate::contrasts::{Contrast, equivalence};
use crate::planner::effect;

#[cfg(test)]
mod tests;

/// Changes whenever a verdict changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on, the figures that its evidence is made of among them.
#[must_use]
pub fn versions() -> versions::Versions {
    use crate::{contrasts, estimands, multiplicity};
    versions::Versions::of("verdict", VERSION)
        .and(versions::Versions::of("contrasts", contrasts::VERSION))
        .and(versions::Versions::of("matched", contrasts::matched::VERSION))
        .and(versions::Versions::of("course", contrasts::course::VERSION))
        .and(versions::Versions::of("equivalence", equivalence::VERSION))
        .and(versions::Versions::of("effect", effect::VERSION))
        .and(versions::Versions::of("latent", estimands::latent::VERSION))
        .and(versions::Versions::of("logit_spread", estimands::logit_spread::VERSION))
        .and(versions::Versions::of("multiplicity", multiplicity::VERSION))
}

/// The manipulation check: did pretraining do anything that the task can show?
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manipulation {
    /// Late accuracy with its interval, as an estimate over pretraining seeds. `None` where unknown.
    pub late_accuracy: Option<Contrast>,
    /// Share of the most frequent label.
    pub majority: f64,
    /// What pretraining gained from early to late rungs, signed so that more is better: the fall of held-out
    /// loss, say. `None` where unknown.
    pub gain: Option<Contrast>,
}

/// A turn within the ladder, on a scale that accuracy does not move (at equal accuracy, or `shared`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// The rung of the turn.
    pub rung: u64,
    /// How far it lies beyond both ends ([`crate::trend::hump`]).
    pub height: Contrast,
    /// A unimodal course predicts left-out seeds best ([`crate::contrasts::course::Shapes::prefers_a_turn`]).
    pub predicts: bool,
}

/// All that the verdict is read from. Contrasts are late less early.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Path variance, `p_adjusted` by Holm over the primaries of the plan.
    pub path_variance: Option<Contrast>,
    /// Path variance at equal accuracy.
    pub equal_accuracy: Option<Contrast>,
    /// Pooled error consistency: a rise means less dependence on the path.
    pub shared: Option<Contrast>,
    /// Spread of logit accuracies: a fall means less dependence on the path.
    pub logit_spread: Option<Contrast>,
    /// The most marked turn, if one was looked for.
    pub turn: Option<Turn>,
    /// The manipulation check.
    pub manipulation: Manipulation,
}

/// What is fixed before the results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Changes of path variance up to this are no change.
    pub margin: f64,
    /// Level of the tests.
    pub alpha: f64,
    /// Power at which the detectable effect is stated.
    pub power: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { margin: 0.01, alpha: 0.05, power: 0.8 }
    }
}

/// Why a study cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The interval of late accuracy reaches down to the majority's share.
    NotAboveMajority,
    /// The gain of pretraining is not above 0 with its interval.
    NoGain,
    /// There is no contrast of path variance.
    NoContrast,
}

/// Which sentence is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Whether path variance changes.
    Outcomes,
    /// Path variance changes; whether it does at equal accuracy could not be compared.
    EqualAccuracy,
}

/// The answer of a study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The path matters less late.
    Less,
    /// The path matters more late.
    More,
    /// No change within the margin.
    NoChange,
    /// Late runs are right more (or less) often and agree accordingly; at equal accuracy they do not.
    OnlyAccuracy {
        /// Path variance falls, as it does when late runs are right more often than not, and more often.
        falls: bool,
        /// The contrast at equal accuracy.
        at_equal_accuracy: Contrast,
        /// That contrast lies within the margin: shown to be no change, not just not shown to be one.
        within_margin: bool,
    },
    /// The course turns at a rung.
    Hump {
        /// The rung.
        rung: u64,
    },
    /// The study cannot tell.
    Inconclusive {
        /// Which question is open.
        open: Open,
        /// Smallest change of path variance that this study detects with the plan's power; `None` where
        /// nothing could be compared.
        smallest_effect: Option<f64>,
    },
    /// The study did not measure it.
    Unmeasured {
        /// Why.
        failed: Failed,
    },
}

/// Reads the verdict off.
#[must_use]
pub fn verdict(evidence: &Evidence, plan: &Plan) -> Verdict {
    let Some(outcomes) = evidence.path_variance else {
        return Verdict::Unmeasured { failed: Failed::NoContrast };
    };
    if let Some(failed) = check(&evidence.manipulation) {
        return Verdict::Unmeasured { failed };
    }
    let alpha = plan.alpha;
    let within = |contrast: &Contrast| equivalence::tost(contrast, plan.margin) < alpha;
    let equal = evidence.equal_accuracy;
    let no_change = within(&outcomes) && equal.as_ref().is_some_and(within);
    if !no_change && outcomes.falls(alpha) && equal.is_some_and(|equal| equal.falls(alpha)) {
        return Verdict::Less;
    }
    if !no_change && outcomes.rises(alpha) && equal.is_some_and(|equal| equal.rises(alpha)) {
        return Verdict::More;
    }
    if let Some(turn) = evidence.turn.filter(|turn| turn.predicts && turn.height.rises(alpha)) {
        return Verdict::Hump { rung: turn.rung };
    }
    if no_change {
        return Verdict::NoChange;
    }
    let moved = outcomes.falls(alpha) || outcomes.rises(alpha);
    let smallest = |contrast: &Contrast| {
        effect::detectable(contrast.standard_error, contrast.df, alpha, plan.power).ok()
    };
    match (moved, equal) {
        (true, Some(equal)) => Verdict::OnlyAccuracy {
            falls: outcomes.estimate < 0.0,
            at_equal_accuracy: equal,
            within_margin: within(&equal),
        },
        (true, None) => Verdict::Inconclusive { open: Open::EqualAccuracy, smallest_effect: None },
        (false, _) => Verdict::Inconclusive { open: Open::Outcomes, smallest_effect: smallest(&outcomes) },
    }
}

fn check(manipulation: &Manipulation) -> Option<Failed> {
    if manipulation.late_accuracy.is_some_and(|accuracy| accuracy.low <= manipulation.majority) {
        Some(Failed::NotAboveMajority)
    } else if manipulation.gain.is_some_and(|gain| gain.low <= 0.0) {
        Some(Failed::NoGain)
    } else {
        None
    }
}

/// Which way a scale points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    /// Less dependence on the path.
    Less,
    /// More dependence on the path.
    More,
    /// Neither.
    Neither,
}

/// Which way `shared` and `logit_spread` point, `None` where unknown.
#[must_use]
pub fn scales(evidence: &Evidence, alpha: f64) -> [Option<Points>; 2] {
    let points =
        |contrast: Contrast, less_is_a_rise: bool| match (contrast.rises(alpha), contrast.falls(alpha)) {
            (true, _) => {
                if less_is_a_rise {
                    Points::Less
                } else {
                    Points::More
                }
            }
            (_, true) => {
                if less_is_a_rise {
                    Points::More
                } else {
                    Points::Less
                }
            }
            _ => Points::Neither,
        };
    [
        evidence.shared.map(|contrast| points(contrast, true)),
        evidence.logit_spread.map(|contrast| points(contrast, false)),
    ]
}
