//! Task arithmetic (Ilharco et al. 2023): `theta_0 + lambda sum_i w_i tau_i`. A negative lambda unlearns. One pass, `f64`
//! per value.

use super::{ANY, SCALE, WEIGHT};
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;

/// The sum of task vectors.
pub static METHOD: Method = Method {
    name: "task-arithmetic",
    about: "The base plus the sum of all differences from it (Ilharco et al. 2023)",
    version: 1,
    parameters: &[SCALE.or(0.4), WEIGHT],
    base: Base::Required,
    random: false,
    members: ANY,
    how: How::Values(merge),
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, start: usize, out: &mut [f32]) -> Result<(), Error> {
    let (scale, weights) = (settings.get("scale"), settings.each("weight", tensor.models()));
    Tensor::in_blocks(start, out, |start, out| {
        let mut values = vec![0.0; out.len()];
        let mut sums = vec![0.0; out.len()];
        tensor.read_base(start, out)?;
        for (member, &weight) in weights.iter().enumerate() {
            tensor.read(member, start, &mut values)?;
            for ((sum, &value), &base) in sums.iter_mut().zip(&values).zip(&*out) {
                *sum += weight * (f64::from(value) - f64::from(base));
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = (f64::from(*out) + scale * sum) as f32;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::soups::uniform;
    use crate::tests::weights;
    use crate::{Weights, members::Members};

    /// With lambda = 1/n the sum of task vectors is the uniform soup.
    #[test]
    fn a_mean_of_task_vectors_is_the_soup() {
        let models: Vec<Weights> = (1..5).map(weights).collect();
        let models: Vec<&Weights> = models.iter().collect();
        let found = over(&METHOD, &weights(0), &models, &Plan::default().with("scale", 0.25));
        let soup = uniform::METHOD.merge(&Members::of(&models).unwrap(), &Plan::default()).unwrap();
        assert!(found.values.iter().zip(&soup.values).all(|(a, b)| (a - b).abs() < 1e-6));
        let negated = over(&METHOD, &weights(0), &[&weights(1)], &Plan::default().with("scale", -1.0));
        assert!((negated.values[0] - (2.0 * weights(0).values[0] - weights(1).values[0])).abs() < 1e-6);
    }
}
