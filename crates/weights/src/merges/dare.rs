//! DARE (Yu et al. 2024, "Language models are super Mario"): each value of a task vector is kept with probability
//! `density` and divided by it, else dropped. The sum of what is kept follows, `theta_0 + lambda sum_i w_i tau_i`, or with
//! an election of signs as in TIES the sum of what agrees. The expectation over seeds of the first is task arithmetic.
//!
//! The mask of the i-th model is stream i of `dare/TENSOR` of the seed, so the merge depends on the order of the
//! models, and adding one at the end leaves the others' masks alone.

use super::{ANY, DENSITY, SCALE, WEIGHT, thin};
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;

/// Random drop and rescale, then the sum.
pub static METHOD: Method = Method {
    name: "dare",
    about: "The same of a random part of each difference, rescaled (Yu et al. 2024)",
    version: 2,
    parameters: &[DENSITY, SCALE.or(0.4), WEIGHT],
    base: Base::Required,
    random: true,
    members: ANY,
    how: How::Tensors(|tensor, settings, out| merge(tensor, settings, false, out)),
};

/// Random drop and rescale, then the sum of what agrees in sign.
pub static TIES: Method = Method {
    name: "dare-ties",
    about: "The same, of the values of one sign (Yu et al. 2024 with Yadav et al. 2023)",
    version: 1,
    parameters: &[DENSITY, SCALE.or(0.4), WEIGHT],
    base: Base::Required,
    random: true,
    members: ANY,
    how: How::Tensors(|tensor, settings, out| merge(tensor, settings, true, out)),
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, elect: bool, out: &mut [f32]) -> Result<(), Error> {
    let drop = |vector: &thin::Vector<'_>, factors: &mut [f32]| {
        let density = settings.of("density", vector.member);
        let mut mask = vector.stream("dare", settings);
        let kept = (1.0 / density) as f32;
        factors.fill_with(|| if mask.bernoulli(density) { kept } else { 0.0 });
        Ok(())
    };
    thin::merge(tensor, settings, thin::Rule { elect, mean: false }, drop, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merges::task_arithmetic;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::tests::weights;

    fn plan(density: f64, scale: f64, seed: u64) -> Plan {
        Plan::default().with("density", density).with("scale", scale).seeded(seed)
    }

    #[test]
    fn is_task_arithmetic_on_average() {
        let (base, a, b) = (weights(0), weights(1), weights(2));
        let expected = over(&task_arithmetic::METHOD, &base, &[&a, &b], &Plan::default().with("scale", 0.5));
        let mut mean = vec![0.0; base.values.len()];
        for seed in 0..4_000 {
            let found = over(&METHOD, &base, &[&a, &b], &plan(0.7, 0.5, seed));
            mean.iter_mut().zip(&found.values).for_each(|(mean, value)| *mean += f64::from(*value) / 4e3);
        }
        for (mean, expected) in mean.iter().zip(&expected.values) {
            assert!((mean - f64::from(*expected)).abs() < 0.08, "{mean} {expected}");
        }
    }

    #[test]
    fn values_are_kept_or_dropped() {
        let (base, model) = (weights(0), weights(1));
        let found = over(&METHOD, &base, &[&model], &plan(0.5, 1.0, 3));
        for ((&found, &base), &model) in found.values.iter().zip(&base.values).zip(&model.values) {
            let doubled = base + 2.0 * (model - base);
            assert!(found == base || (found - doubled).abs() < 1e-5);
        }
        assert_eq!(found.values, over(&METHOD, &base, &[&model], &plan(0.5, 1.0, 3)).values);
        assert_ne!(found.values, over(&METHOD, &base, &[&model], &plan(0.5, 1.0, 4)).values);
    }
}
