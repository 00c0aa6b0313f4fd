//! The greedy soup (Wortsman et al. 2022, algorithm 1): members are considered from best to worst by held-out
//! score, and each stays if the soup with it scores well enough.
//!
//! Costs `2n - 1` scorings for n members. A trial soup is the mean of the members kept and the candidate,
//! formed anew in member order: it does not drift with the trials before it, and a greedy soup that keeps all
//! is the uniform soup to the byte.

use serde::{Deserialize, Serialize};

use super::uniform;
use crate::{Error, Weights};

/// Changes whenever a soup, or which members it keeps, changes.
pub const VERSION: u32 = 1;

/// When a candidate stays in the soup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// If the soup's score does not fall (`>=`): the paper.
    NotWorse,
    /// Only if the soup's score rises (`>`): the released code.
    Better,
}

impl Rule {
    /// Whether a soup that scores `with` the candidate and `without` it keeps the candidate; a score that is
    /// not a number never does.
    fn keeps(self, with: f64, without: f64) -> bool {
        match self {
            Self::NotWorse => with >= without,
            Self::Better => with > without,
        }
    }
}

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

/// Greedy soup of `members` under `score`, larger is better. Members of equal score are considered in the
/// order given, those whose score is not a number last.
///
/// # Errors
/// [`Error::Empty`] without members, [`Error`] if two differ in structure, and whatever `score` fails with.
pub fn soup<E: From<Error>>(
    members: &[&Weights],
    rule: Rule,
    score: &mut impl FnMut(&Weights) -> Result<f64, E>,
) -> Result<Soup, E> {
    let scores = members.iter().map(|member| score(member)).collect::<Result<Vec<f64>, E>>()?;
    let rank = |member: &usize| if scores[*member].is_nan() { f64::NEG_INFINITY } else { scores[*member] };
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    in_order(members, &order, &scores, rule, score)
}

/// Considers `members` in `order`, given the score of each alone.
pub(super) fn in_order<E: From<Error>>(
    members: &[&Weights],
    order: &[usize],
    scores: &[f64],
    rule: Rule,
    score: &mut impl FnMut(&Weights) -> Result<f64, E>,
) -> Result<Soup, E> {
    let (&first, others) = order.split_first().ok_or(Error::Empty)?;
    for member in members {
        members[0].layout().same(member.layout())?;
    }
    let mut kept = vec![first];
    let mut best = scores[first];
    let mut trace = vec![Considered { member: first, score: best, soup_score: best, kept: true }];
    let mut trial = members[first].clone();
    for &member in others {
        let mut with = kept.clone();
        with.insert(with.partition_point(|&other| other < member), member);
        mean_of(members, &with, &mut trial);
        let soup_score = score(&trial)?;
        let keep = rule.keeps(soup_score, best);
        if keep {
            (kept, best) = (with, soup_score);
        }
        trace.push(Considered { member, score: scores[member], soup_score, kept: keep });
    }
    mean_of(members, &kept, &mut trial);
    Ok(Soup { soup: trial, kept, trace })
}

fn mean_of(members: &[&Weights], chosen: &[usize], out: &mut Weights) {
    let chosen: Vec<&Weights> = chosen.iter().map(|&index| members[index]).collect();
    uniform::mean_into(&chosen, &mut out.values);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::tests::weights;

    #[derive(Debug, PartialEq)]
    enum Failure {
        Weights(String),
        Scorer,
    }

    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Weights(error.to_string())
        }
    }

    impl From<Infallible> for Failure {
        fn from(never: Infallible) -> Self {
            match never {}
        }
    }

    /// Members whose first value is the given one; the score is higher the nearer it is to `target`.
    fn points(values: &[f32]) -> Vec<Weights> {
        let point = |&value: &f32| {
            let mut weights = weights(0);
            weights.values[0] = value;
            weights
        };
        values.iter().map(point).collect()
    }

    fn cook(values: &[f32], rule: Rule, target: f64) -> Soup {
        let members = points(values);
        let members: Vec<&Weights> = members.iter().collect();
        let mut score = |weights: &Weights| -> Result<f64, Failure> {
            Ok(-(f64::from(weights.values[0]) - target).abs())
        };
        soup(&members, rule, &mut score).unwrap()
    }

    #[test]
    fn by_hand() {
        // Target 0. Best first: 1, then -2 (mean -0.5: better), 3 (mean 2/3: worse), 8 (worse).
        let found = cook(&[8.0, 1.0, -2.0, 3.0], Rule::NotWorse, 0.0);
        assert_eq!(found.kept, [1, 2]);
        assert_eq!(found.soup.values[0], -0.5);
        let trace: Vec<(usize, bool)> = found.trace.iter().map(|step| (step.member, step.kept)).collect();
        assert_eq!(trace, [(1, true), (2, true), (3, false), (0, false)]);
        assert_eq!(found.trace[1].soup_score, -0.5);
        assert_eq!(found.trace[1].score, -2.0);
    }

    #[test]
    fn the_rules_differ_on_ties() {
        assert_eq!(cook(&[1.0, 1.0, 1.0], Rule::NotWorse, 0.0).kept, [0, 1, 2]);
        assert_eq!(cook(&[1.0, 1.0, 1.0], Rule::Better, 0.0).kept, [0]);
    }

    #[test]
    fn broken_scores_stay_out() {
        let found = cook(&[f32::NAN, 1.0, f32::INFINITY], Rule::NotWorse, 0.0);
        assert_eq!(found.kept, [1]);
        assert_eq!(found.trace[1].member, 0, "{:?}", found.trace);
    }

    #[test]
    fn failures_come_through() {
        let members = points(&[1.0]);
        let mut broken = |_: &Weights| -> Result<f64, Failure> { Err(Failure::Scorer) };
        assert_eq!(soup(&[&members[0]], Rule::Better, &mut broken).unwrap_err(), Failure::Scorer);
        let none = soup(&[], Rule::Better, &mut broken).unwrap_err();
        assert_eq!(none, Failure::Weights("no weights given".into()));
    }

    proptest! {
        #[test]
        fn never_worse_than_the_best(values in prop::collection::vec(-9.0..9.0_f32, 1..8), target in -3.0..3.0_f64) {
            for rule in [Rule::NotWorse, Rule::Better] {
                let found = cook(&values, rule, target);
                let score = -(f64::from(found.soup.values[0]) - target).abs();
                let best = values.iter().map(|&v| -(f64::from(v) - target).abs()).fold(f64::NEG_INFINITY, f64::max);
                prop_assert!(score >= best);
                // The trace tells the same story as the soup.
                let last = found.trace.iter().rev().find(|step| step.kept).unwrap();
                prop_assert_eq!(last.soup_score, score);
                let members = points(&values);
                let kept: Vec<&Weights> = found.kept.iter().map(|&member| &members[member]).collect();
                prop_assert_eq!(uniform::soup(&kept).unwrap().values, found.soup.values);
            }
        }
    }
}
