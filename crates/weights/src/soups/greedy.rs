//! The greedy soup (Wortsman et al. 2022, algorithm 1): members are considered from best to worst by held-out
//! score, and each stays if the soup with it scores well enough.
//!
//! Costs `2n - 1` scorings for n members, and the memory of one model. A trial soup is the mean of the members kept and the candidate,
//! formed anew in member order: it does not drift with the trials before it, and a greedy soup that keeps all
//! is the uniform soup to the byte.

use std::sync::Arc;

use super::{RULE, Rule, uniform};
use crate::members::Members;
use crate::merges::ANY;
use crate::methods::{Base, How, Method, Score};
use crate::parameters::Plan;
use crate::{Error, Weights};

/// Best first, each kept if the soup's score allows it.
pub static METHOD: Method = Method {
    name: "greedy",
    about: "Best first, each kept if the soup's held-out accuracy allows it (Wortsman et al. 2022)",
    version: 1,
    parameters: &[RULE],
    base: Base::Unused,
    random: false,
    members: ANY,
    how: How::Selection(soup),
};

/// A soup and how it came about.
#[derive(Clone, Debug)]
pub struct Soup {
    /// The mean of the members kept.
    pub soup: Weights,
    /// Indices of the members kept, ascending.
    pub kept: Vec<usize>,
    /// The members in the order in which they were considered; empty for a method that does not select.
    pub trace: Vec<Considered>,
}

/// What happened to one member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Considered {
    /// Index of the member.
    pub member: usize,
    /// Held-out score of the member alone.
    pub score: f64,
    /// Held-out score of the soup tried: the members kept so far and this one.
    pub soup_score: f64,
    /// Whether it stayed.
    pub kept: bool,
}

/// Greedy soup of `members` under `score`, larger is better. Members of equal score are considered in the order given,
/// those whose score is not a number last.
fn soup(members: &Members<'_>, plan: &Plan, score: &mut Score<'_>) -> Result<Soup, Error> {
    let scores = scores(members, score)?;
    in_order(members, &best_first(&scores), &scores, Rule::of(plan), score)
}

/// The score of each member alone.
pub(super) fn scores(members: &Members<'_>, score: &mut Score<'_>) -> Result<Vec<f64>, Error> {
    let mut model = Weights::zeros(Arc::clone(members.layout()));
    let mut scores = Vec::with_capacity(members.len());
    for member in 0..members.len() {
        members.read(member, &mut model)?;
        scores.push(score(&model).map_err(Error::Score)?);
    }
    Ok(scores)
}

/// Members from the best score to the worst, those whose score is not a number last.
pub(super) fn best_first(scores: &[f64]) -> Vec<usize> {
    let rank = |member: &usize| if scores[*member].is_nan() { f64::NEG_INFINITY } else { scores[*member] };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    order
}

/// Considers `members` in `order`, given the score of each alone.
pub(super) fn in_order(
    members: &Members<'_>,
    order: &[usize],
    scores: &[f64],
    rule: Rule,
    score: &mut Score<'_>,
) -> Result<Soup, Error> {
    let (&first, others) = order.split_first().ok_or(Error::Empty)?;
    let mut kept = vec![first];
    let mut best = scores[first];
    let mut trace = vec![Considered { member: first, score: best, soup_score: best, kept: true }];
    let mut trial = Weights::zeros(Arc::clone(members.layout()));
    for &member in others {
        let mut with = kept.clone();
        with.insert(with.partition_point(|&other| other < member), member);
        uniform::mean_of(members, &with, &mut trial)?;
        let soup_score = score(&trial).map_err(Error::Score)?;
        let keep = rule.keeps(soup_score, best);
        if keep {
            (kept, best) = (with, soup_score);
        }
        trace.push(Considered { member, score: scores[member], soup_score, kept: keep });
    }
    uniform::mean_of(members, &kept, &mut trial)?;
    Ok(Soup { soup: trial, kept, trace })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parameters::Value;
    use crate::tests::weights;

    /// Members whose first value is the given one; the score is higher the nearer it is to `target`.
    fn points(values: &[f32]) -> Vec<Weights> {
        let point = |&value: &f32| {
            let mut weights = weights(0);
            weights.values[0] = value;
            weights
        };
        values.iter().map(point).collect()
    }

    fn cook(values: &[f32], rule: &str, target: f64) -> Soup {
        let members = points(values);
        let members: Vec<&Weights> = members.iter().collect();
        let mut plan = Plan::default();
        plan.values.insert("rule".into(), vec![Value::Name(rule.into())]);
        // A first value of 90 has a score that is not a number.
        let mut score = |weights: &Weights| {
            let first = f64::from(weights.values[0]);
            Ok(if first == 90.0 { f64::NAN } else { -(first - target).abs() })
        };
        METHOD.select(&Members::of(&members).unwrap(), &plan, &mut score).unwrap()
    }

    #[test]
    fn by_hand() {
        // Target 0. Best first: 1, then -2 (mean -0.5: better), 3 (mean 2/3: worse), 8 (worse).
        let found = cook(&[8.0, 1.0, -2.0, 3.0], "not-worse", 0.0);
        assert_eq!(found.kept, [1, 2]);
        assert_eq!(found.soup.values[0], -0.5);
        let trace: Vec<(usize, bool)> = found.trace.iter().map(|step| (step.member, step.kept)).collect();
        assert_eq!(trace, [(1, true), (2, true), (3, false), (0, false)]);
        assert_eq!(found.trace[1].soup_score, -0.5);
        assert_eq!(found.trace[1].score, -2.0);
    }

    #[test]
    fn the_rules_differ_on_ties() {
        assert_eq!(cook(&[1.0, 1.0, 1.0], "not-worse", 0.0).kept, [0, 1, 2]);
        assert_eq!(cook(&[1.0, 1.0, 1.0], "better", 0.0).kept, [0]);
    }

    #[test]
    fn broken_scores_stay_out() {
        let found = cook(&[90.0, 1.0, 3.0], "not-worse", 0.0);
        assert_eq!(found.kept, [1]);
        assert_eq!(found.trace[2].member, 0, "{:?}", found.trace);
    }

    #[test]
    fn failures_come_through() {
        let members = points(&[1.0]);
        let members = Members::of(&[&members[0]]).unwrap();
        let mut broken = |_: &Weights| Err("no power".into());
        let error = METHOD.select(&members, &Plan::default(), &mut broken).unwrap_err();
        assert_eq!(error.to_string(), "no power");
    }

    proptest! {
        #[test]
        fn never_worse_than_the_best(values in prop::collection::vec(-9.0..9.0_f32, 1..8), target in -3.0..3.0_f64) {
            for rule in ["not-worse", "better"] {
                let found = cook(&values, rule, target);
                let score = -(f64::from(found.soup.values[0]) - target).abs();
                let best = values.iter().map(|&v| -(f64::from(v) - target).abs()).fold(f64::NEG_INFINITY, f64::max);
                prop_assert!(score >= best);
                // The trace tells the same story as the soup.
                let last = found.trace.iter().rev().find(|step| step.kept).unwrap();
                prop_assert_eq!(last.soup_score, score);
                let members = points(&values);
                let kept: Vec<&Weights> = found.kept.iter().map(|&member| &members[member]).collect();
                let mean = uniform::METHOD.merge(&Members::of(&kept).unwrap(), &Plan::default()).unwrap();
                prop_assert_eq!(mean.values, found.soup.values);
            }
        }
    }
}
