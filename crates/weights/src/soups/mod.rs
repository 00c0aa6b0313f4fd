//! Soups: one model out of several, averaged in weight space (Wortsman et al. 2022, "Model soups").
//!
//! Held-out scores select, larger is better; what a soup is judged by (a test set, anything out of
//! distribution) must never select.

pub mod greedy;
pub mod random_order;
pub mod uniform;
pub mod wise;

use std::fmt;

use serde::{Deserialize, Serialize};
use versions::Versions;

pub use greedy::{Considered, Rule, Soup};

use crate::{Error, Weights};

/// The soups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// The mean of all: [`uniform`].
    Uniform,
    /// Best first, each kept if the soup's score allows it: [`greedy`].
    Greedy {
        /// When a model is kept.
        rule: Rule,
    },
    /// In random order, each kept if the soup's score allows it: [`random_order`].
    RandomOrder {
        /// When a model is kept.
        rule: Rule,
        /// Seed of the order.
        seed: u64,
    },
}

impl Method {
    /// Versions of the method and of what it rests on.
    #[must_use]
    pub fn versions(self) -> Versions {
        match self {
            Self::Uniform => Versions::of("uniform", uniform::VERSION),
            Self::Greedy { .. } => Versions::of("greedy", greedy::VERSION),
            Self::RandomOrder { .. } => {
                Versions::of("random-order", random_order::VERSION).and(random::versions())
            }
        }
    }

    /// Makes the soup; `score` is called only by the methods that select.
    ///
    /// # Errors
    /// [`Error`] if `members` is empty or they differ in structure, and whatever `score` fails with.
    pub fn soup<E: From<Error>>(
        self,
        members: &[&Weights],
        score: &mut impl FnMut(&Weights) -> Result<f64, E>,
    ) -> Result<Soup, E> {
        match self {
            Self::Uniform => {
                let kept = (0..members.len()).collect();
                Ok(Soup { soup: uniform::soup(members)?, kept, trace: Vec::new() })
            }
            Self::Greedy { rule } => greedy::soup(members, rule, score),
            Self::RandomOrder { rule, seed } => random_order::soup(members, rule, seed, score),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uniform => "uniform",
            Self::Greedy { .. } => "greedy",
            Self::RandomOrder { .. } => "random-order",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::weights;

    /// What every soup must do, whichever it is.
    #[test]
    fn conformance() {
        let rule = Rule::NotWorse;
        for method in [Method::Uniform, Method::Greedy { rule }, Method::RandomOrder { rule, seed: 3 }] {
            let mut score =
                |weights: &Weights| -> Result<f64, Error> { Ok(-f64::from(weights.values[0]).abs()) };
            let one = weights(7);
            let alone = method.soup(&[&one], &mut score).unwrap();
            assert_eq!(alone.soup.values, one.values, "{method}: a single model is its own soup");
            assert_eq!(alone.kept, [0], "{method}");
            let same = method.soup(&[&one, &one, &one], &mut score).unwrap();
            assert_eq!(same.soup.values, one.values, "{method}: the soup of copies is the copy");
            let none = method.soup(&[], &mut score);
            assert_eq!(none.unwrap_err().to_string(), "no weights given", "{method}");
        }
    }
}
