//! Merges: one model out of several that were fine-tuned from the same base.
//!
//! With base `theta_0` and task vectors `tau_i = theta_i - theta_0`. Every merge of a single model with scale
//! (and density) 1 is the model itself.

pub mod dare;
pub mod model_stock;
pub mod slerp;
pub mod task_arithmetic;
pub mod ties;

use std::fmt;

use serde::{Deserialize, Serialize};
use versions::Versions;

use crate::{Error, Weights};

/// The merges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// Sum of task vectors: [`task_arithmetic`].
    TaskArithmetic {
        /// Factor of the sum (lambda).
        scale: f64,
    },
    /// Great arc between two models, tensor by tensor; the base is not used: [`slerp`].
    Slerp {
        /// Position on the arc, 0 to 1.
        alpha: f64,
    },
    /// Trim, elect signs, average those that agree: [`ties`].
    Ties {
        /// Share of each task vector that is kept, above 0, at most 1.
        density: f64,
        /// Factor of the merged task vector (lambda).
        scale: f64,
    },
    /// Random drop and rescale, then the sum: [`dare`].
    Dare {
        /// Share of each task vector that is kept, above 0, at most 1.
        density: f64,
        /// Factor of the sum (lambda).
        scale: f64,
        /// Seed of what is dropped.
        seed: u64,
    },
    /// Mean pulled back to the base as far as the models disagree: [`model_stock`].
    ModelStock,
}

impl Method {
    /// Versions of the method and of what it rests on.
    #[must_use]
    pub fn versions(self) -> Versions {
        match self {
            Self::TaskArithmetic { .. } => Versions::of("task-arithmetic", task_arithmetic::VERSION),
            Self::Slerp { .. } => Versions::of("slerp", slerp::VERSION),
            Self::Ties { .. } => Versions::of("ties", ties::VERSION),
            Self::Dare { .. } => Versions::of("dare", dare::VERSION).and(random::versions()),
            Self::ModelStock => Versions::of("model-stock", model_stock::VERSION),
        }
    }

    /// Merges `models`.
    ///
    /// # Errors
    /// [`Error::Empty`] without models; [`Error::Missing`], [`Error::Shape`] or [`Error::Structure`] if one
    /// does not hold the base's tensors; [`Error::Parameter`] for a parameter out of range or a
    /// [`Method::Slerp`] of other than two models.
    pub fn merge(self, base: &Weights, models: &[&Weights]) -> Result<Weights, Error> {
        match self {
            Self::TaskArithmetic { scale } => task_arithmetic::merge(base, models, scale),
            Self::Slerp { alpha } => match models {
                [a, b] => slerp::merge(a, b, alpha),
                _ => Err(Error::Parameter {
                    name: "the number of models",
                    expected: "2 for slerp",
                    value: models.len() as f64,
                }),
            },
            Self::Ties { density, scale } => ties::merge(base, models, density, scale),
            Self::Dare { density, scale, seed } => dare::merge(base, models, density, scale, seed),
            Self::ModelStock => model_stock::merge(base, models),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TaskArithmetic { .. } => "task-arithmetic",
            Self::Slerp { .. } => "slerp",
            Self::Ties { .. } => "ties",
            Self::Dare { .. } => "dare",
            Self::ModelStock => "model-stock",
        })
    }
}

fn check(base: &Weights, models: &[&Weights]) -> Result<(), Error> {
    if models.is_empty() {
        return Err(Error::Empty);
    }
    models.iter().try_for_each(|model| base.layout().same(model.layout()))
}

fn check_density(density: f64) -> Result<(), Error> {
    if density > 0.0 && density <= 1.0 {
        Ok(())
    } else {
        Err(Error::Parameter { name: "density", expected: "above 0 and at most 1", value: density })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;
    use crate::tests::weights;

    const OVER_A_BASE: [Method; 4] = [
        Method::TaskArithmetic { scale: 1.0 },
        Method::Ties { density: 1.0, scale: 1.0 },
        Method::Dare { density: 1.0, scale: 1.0, seed: 0 },
        Method::ModelStock,
    ];

    /// What every merge must do, whichever it is.
    #[test]
    fn conformance() {
        let (base, model) = (weights(1), weights(2));
        for method in OVER_A_BASE {
            assert_eq!(
                method.merge(&base, &[&model]).unwrap().values,
                model.values,
                "{method}: a model is its own merge"
            );
            assert_eq!(
                method.merge(&base, &[&base, &base]).unwrap().values,
                base.values,
                "{method}: nothing was learnt"
            );
            assert!(matches!(method.merge(&base, &[]), Err(Error::Empty)), "{method}");
            let mut layout = Layout::default();
            layout.push("other", &[1]);
            let stranger = Weights::zeros(std::sync::Arc::new(layout));
            assert!(
                matches!(method.merge(&base, &[&model, &stranger]), Err(Error::Missing { .. })),
                "{method}"
            );
        }
        let three = Method::Slerp { alpha: 0.5 }.merge(&base, &[&model, &model, &model]).unwrap_err();
        assert_eq!(three.to_string(), "the number of models must be 2 for slerp, not 3");
    }

    /// All but DARE, which drops by position in the list, take models as a set.
    #[test]
    fn order_does_not_matter() {
        let base = weights(1);
        let models: Vec<Weights> = (2..6).map(weights).collect();
        let forward: Vec<&Weights> = models.iter().collect();
        let backward: Vec<&Weights> = models.iter().rev().collect();
        for method in [OVER_A_BASE[0], Method::Ties { density: 0.4, scale: 0.7 }, Method::ModelStock] {
            let (a, b) = (method.merge(&base, &forward).unwrap(), method.merge(&base, &backward).unwrap());
            assert!(a.values.iter().zip(&b.values).all(|(a, b)| (a - b).abs() < 1e-6), "{method}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        let base = weights(1);
        for density in [0.0, 1.5, f64::NAN] {
            for method in
                [Method::Ties { density, scale: 1.0 }, Method::Dare { density, scale: 1.0, seed: 0 }]
            {
                assert!(matches!(method.merge(&base, &[&base]), Err(Error::Parameter { .. })), "{method:?}");
            }
        }
        let infinite = Method::TaskArithmetic { scale: f64::INFINITY }.merge(&base, &[&base]);
        assert!(matches!(infinite, Err(Error::Parameter { name: "scale", .. })));
    }
}
