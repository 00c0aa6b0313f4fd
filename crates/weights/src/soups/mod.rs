//! Soups: one model out of several, averaged in weight space (Wortsman et al. 2022, "Model soups").
//!
//! Held-out scores select, larger is better; what a soup is judged by (a test set, anything out of distribution)
//! must never select.

pub mod beam;
pub mod greedy;
pub mod random_order;
pub mod uniform;
pub mod wise;

pub use greedy::{Considered, Soup};

use crate::parameters::{Kind, Parameter, Plan};

/// When a selecting soup keeps a member.
pub(crate) const RULE: Parameter = Parameter {
    name: "rule",
    about: "When a selecting soup keeps a model",
    kind: Kind::Choice(&[
        ("not-worse", "If the soup does not get worse: the paper"),
        ("better", "Only if it gets better: the released code"),
    ]),
};

/// When a candidate stays in the soup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// If the soup's score does not fall (`>=`): the paper.
    NotWorse,
    /// Only if the soup's score rises (`>`): the released code.
    Better,
}

impl Rule {
    /// The rule that a plan asks for.
    pub(crate) fn of(plan: &Plan) -> Self {
        if plan.choice(&RULE) == "better" { Self::Better } else { Self::NotWorse }
    }

    /// Whether a soup that scores `with` the candidate and `without` it keeps the candidate; a score that is not a
    /// number never does.
    pub(crate) fn keeps(self, with: f64, without: f64) -> bool {
        match self {
            Self::NotWorse => with >= without,
            Self::Better => with > without,
        }
    }
}
