//! Barycentric interpolation of any number of models on a sphere (mergekit's multislerp), tensor by tensor: unit
//! vectors `u_i` are carried to the tangent space at their normalised weighed mean `m`, averaged there, and carried back
//! by the exponential map; the result has the weighed mean of the lengths. Around the base where one is given.
//!
//! All of it is a linear combination of the models whose factors follow from their products: two passes.

use super::{ANY, WEIGHT};
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;

/// Barycentric interpolation on a sphere.
pub static METHOD: Method = Method {
    name: "multislerp",
    about: "Weighed mean on a sphere, in the tangent space at the mean (mergekit)",
    version: 1,
    parameters: &[WEIGHT],
    base: Base::Optional,
    random: false,
    members: ANY,
    how: How::Tensors(merge),
};

/// Keeps lengths of zero apart from division.
const TINY: f64 = 1e-8;

fn merge(tensor: &Tensor<'_>, settings: &Settings, out: &mut [f32]) -> Result<(), Error> {
    if tensor.models() == 1 {
        return tensor.read(0, 0, out);
    }
    let weights = settings.each("weight", tensor.models());
    let total: f64 = weights.iter().sum();
    if total.abs() < TINY {
        return Err(Error::Parameter { name: "weight", expected: "of a sum other than 0", value: total });
    }
    let weights: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
    let factors = factors(&tensor.products()?, &weights).ok_or_else(|| Error::Degenerate {
        name: tensor.name.into(),
        reason: "the weighed models point in opposite directions and cancel; choose other weights",
    })?;
    tensor.combine(&factors, 0, out)
}

/// Factors of the models; none if their directions cancel, which two may.
fn factors(products: &[Vec<f64>], weights: &[f64]) -> Option<Vec<f64>> {
    let n = weights.len();
    let lengths: Vec<f64> = (0..n).map(|i| products[i][i].sqrt()).collect();
    // Models as factors of one another, units as multiples of models.
    let units: Vec<f64> = lengths.iter().map(|length| 1.0 / (length + TINY)).collect();
    let inner = |x: &[f64], y: &[f64]| -> f64 {
        (0..n).map(|i| (0..n).map(|j| x[i] * products[i][j] * y[j]).sum::<f64>()).sum()
    };
    let mean: Vec<f64> = (0..n).map(|i| weights[i] * units[i]).collect();
    let length = inner(&mean, &mean).max(0.0).sqrt();
    if length < TINY {
        return (n == 2).then(|| weights.to_vec());
    }
    let mean: Vec<f64> = mean.iter().map(|factor| factor / length).collect();
    let mut tangent = vec![0.0; n];
    for i in 0..n {
        let dot = units[i] * (0..n).map(|j| products[i][j] * mean[j]).sum::<f64>();
        tangent[i] += weights[i] * units[i];
        (0..n).for_each(|j| tangent[j] -= weights[i] * dot * mean[j]);
    }
    let angle = inner(&tangent, &tangent).max(0.0).sqrt() + TINY;
    let radius: f64 = (0..n).map(|i| weights[i] * lengths[i]).sum();
    Some((0..n).map(|i| radius * (mean[i] * angle.cos() + tangent[i] * angle.sin() / angle)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;
    use crate::parameters::Plan;
    use crate::tests::weights;

    /// Of two models with equal weights it is the middle of the arc, scaled to the mean length.
    #[test]
    fn two_meet_in_the_middle() {
        let (a, b) = (weights(1), weights(2));
        let found = METHOD.merge(&Members::of(&[&a, &b]).unwrap(), &Plan::default()).unwrap();
        for entry in a.layout().entries() {
            let (a, b) = (&a.values[entry.range()], &b.values[entry.range()]);
            let (of_a, of_b) = (crate::distance::product(a, a).sqrt(), crate::distance::product(b, b).sqrt());
            let sum: Vec<f64> =
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) / of_a + f64::from(b) / of_b).collect();
            let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
            for (found, sum) in found.values[entry.range()].iter().zip(&sum) {
                let expected = sum / length * f64::midpoint(of_a, of_b);
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}
