//! DELLA (Deep et al. 2024): values of a task vector are kept at random, the larger the likelier. In each row of a
//! matrix (a vector is one row) the probability rises with the rank of the magnitude, evenly from `density - epsilon` to
//! `density + epsilon`; what is kept is divided by its probability. Then signs are elected and the mean of what agrees
//! is added, or the sum of all, times lambda.
//!
//! The masks are streams of their own for each tensor and model, as in DARE. A sort of each row for each model.

use super::{ANY, DENSITY, SCALE, WEIGHT, thin};
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::{Kind, Parameter, Settings};

/// Random drop by magnitude, then the mean of what agrees in sign.
pub static METHOD: Method = Method {
    name: "della",
    about: "As ties, of a random part of each difference, large values likelier (Deep et al. 2024)",
    version: 1,
    parameters: &[DENSITY, EPSILON, SCALE, WEIGHT],
    base: Base::Required,
    random: true,
    members: ANY,
    how: How::Tensors(|tensor, settings, out| {
        merge(tensor, settings, thin::Rule { elect: true, mean: true }, out)
    }),
};

/// Random drop by magnitude, then the sum.
pub static LINEAR: Method = Method {
    name: "della-linear",
    about: "The sum of a random part of each difference, large values likelier",
    version: 1,
    parameters: &[DENSITY, EPSILON, SCALE.or(0.4), WEIGHT],
    base: Base::Required,
    random: true,
    members: ANY,
    how: How::Tensors(|tensor, settings, out| {
        merge(tensor, settings, thin::Rule { elect: false, mean: false }, out)
    }),
};

const EPSILON: Parameter = Parameter {
    name: "epsilon",
    about: "How far the probability of a value to be kept is from density, down or up, at most",
    kind: Kind::Number {
        default: 0.15,
        expected: "at least 0 and below 1",
        valid: |x| (0.0..1.0).contains(&x),
    },
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, rule: thin::Rule, out: &mut [f32]) -> Result<(), Error> {
    let drop = |vector: &thin::Vector<'_>, factors: &mut [f32]| {
        let density = settings.of("density", vector.member);
        if density >= 1.0 {
            factors.fill(1.0);
            return Ok(());
        }
        let epsilon = settings.of("epsilon", vector.member);
        if density - epsilon <= 0.0 || density + epsilon >= 1.0 {
            let expected = "such that density - epsilon is above 0 and density + epsilon below 1";
            return Err(Error::Parameter { name: "epsilon", expected, value: epsilon });
        }
        let width = match tensor.shape {
            [_, inner @ ..] if !inner.is_empty() => inner.iter().product(),
            _ => tensor.len,
        };
        let mut mask = vector.stream("della", settings);
        for (row, factors) in vector.values.chunks(width.max(1)).zip(factors.chunks_mut(width.max(1))) {
            probabilities(row, density, epsilon, factors);
            for factor in factors {
                let probability = f64::from(*factor);
                *factor = if mask.bernoulli(probability) { (1.0 / probability) as f32 } else { 0.0 };
            }
        }
        Ok(())
    };
    thin::merge(tensor, settings, rule, drop, out)
}

/// Writes the probability of each value of a row to be kept; of equal magnitudes the first is the smaller.
fn probabilities(row: &[f32], density: f64, epsilon: f64, out: &mut [f32]) {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs()));
    let last = row.len().saturating_sub(1).max(1) as f64;
    for (rank, &place) in order.iter().enumerate() {
        out[place] = (density - epsilon + 2.0 * epsilon * rank as f64 / last) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merges::task_arithmetic;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::tests::weights;

    #[test]
    fn probabilities_rise_with_rank() {
        let mut found = [0.0; 5];
        probabilities(&[0.1, -5.0, 2.0, 0.0, -3.0], 0.5, 0.2, &mut found);
        for (found, expected) in found.iter().zip([0.4, 0.7, 0.5, 0.3, 0.6]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
    }

    #[test]
    fn is_task_arithmetic_on_average() {
        let (base, a) = (weights(0), weights(1));
        let expected = over(&task_arithmetic::METHOD, &base, &[&a], &Plan::default().with("scale", 0.5));
        let plan = Plan::default().with("scale", 0.5).with("density", 0.6).with("epsilon", 0.2);
        let mut mean = vec![0.0; base.values.len()];
        for seed in 0..4_000 {
            let found = over(&LINEAR, &base, &[&a], &plan.clone().seeded(seed));
            mean.iter_mut().zip(&found.values).for_each(|(mean, value)| *mean += f64::from(*value) / 4e3);
        }
        for (mean, expected) in mean.iter().zip(&expected.values) {
            assert!((mean - f64::from(*expected)).abs() < 0.08, "{mean} {expected}");
        }
    }

    #[test]
    fn impossible_probabilities_are_refused() {
        let (base, a) = (weights(0), weights(1));
        let members = crate::members::Members::of(&[&a]).unwrap().with_base(&base, &[true, true]).unwrap();
        let error = METHOD.merge(&members, &Plan::default().with("density", 0.1)).unwrap_err().to_string();
        assert!(error.starts_with("epsilon must be such that density - epsilon is above 0"), "{error}");
    }
}
