//! The Karcher mean of the models' directions on the unit sphere, tensor by tensor: the point whose mean logarithm
//! `1/n sum_i theta_i / sin theta_i (u_i - cos theta_i m)` is zero, found by at most ten steps of the exponential map from
//! the normalised mean; the result has the mean of the lengths.
//!
//! The iterates are linear combinations of the models, so that only their products are needed: two passes. Tensors
//! shorter than 1e-5 have no direction and count in the length alone.

use super::ANY;
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;

/// The Karcher mean.
pub static METHOD: Method = Method {
    name: "karcher",
    about: "Karcher mean on a sphere: the point of least squared arcs to all models",
    version: 1,
    parameters: &[],
    base: Base::Unused,
    random: false,
    members: ANY,
    how: How::Tensors(merge),
};

/// Steps that are taken.
const STEPS: usize = 10;
/// Lengths and steps below this count as zero.
const TOLERANCE: f64 = 1e-5;

fn merge(tensor: &Tensor<'_>, _: &Settings, out: &mut [f32]) -> Result<(), Error> {
    match tensor.models() {
        1 => tensor.read(0, 0, out),
        _ => tensor.combine(&factors(&tensor.products()?), 0, out),
    }
}

/// Factors of the models.
fn factors(products: &[Vec<f64>]) -> Vec<f64> {
    let lengths: Vec<f64> = (0..products.len()).map(|i| products[i][i].sqrt()).collect();
    let valid: Vec<usize> = (0..lengths.len()).filter(|&i| lengths[i] > TOLERANCE).collect();
    let mut factors = vec![0.0; lengths.len()];
    if valid.is_empty() {
        return factors;
    }
    let n = valid.len();
    // Cosines between the directions; points are combinations of directions.
    let cosine = |i: usize, j: usize| products[valid[i]][valid[j]] / lengths[valid[i]] / lengths[valid[j]];
    let dots =
        |x: &[f64]| -> Vec<f64> { (0..n).map(|i| (0..n).map(|j| cosine(i, j) * x[j]).sum()).collect() };
    let length =
        |x: &[f64]| -> f64 { dots(x).iter().zip(x).map(|(dot, x)| dot * x).sum::<f64>().max(0.0).sqrt() };
    let mut mean = vec![1.0 / n as f64; n];
    let norm = length(&mean);
    if norm < TOLERANCE {
        mean.fill(0.0);
        mean[0] = 1.0;
    } else {
        mean.iter_mut().for_each(|x| *x /= norm);
    }
    for _ in 0..STEPS {
        let mut tangent = vec![0.0; n];
        for (i, dot) in dots(&mean).into_iter().enumerate() {
            let dot = dot.clamp(-1.0, 1.0);
            let angle = dot.acos();
            if angle < TOLERANCE {
                continue;
            }
            let factor = angle / angle.sin() / n as f64;
            tangent[i] += factor;
            (0..n).for_each(|j| tangent[j] -= factor * dot * mean[j]);
        }
        let step = length(&tangent);
        if step < TOLERANCE {
            break;
        }
        (0..n).for_each(|j| mean[j] = step.cos() * mean[j] + step.sin() / step * tangent[j]);
        let norm = length(&mean);
        mean.iter_mut().for_each(|x| *x /= norm);
    }
    let radius = lengths.iter().sum::<f64>() / lengths.len() as f64;
    for (mean, &i) in mean.iter().zip(&valid) {
        factors[i] = radius * mean / lengths[i];
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::factors;

    /// On a circle the Karcher mean is the mean angle.
    #[test]
    fn angles_are_averaged() {
        let angles = [0.1_f64, 0.4, 1.3];
        let products: Vec<Vec<f64>> =
            angles.iter().map(|a| angles.iter().map(|b| 4.0 * (a - b).cos()).collect()).collect();
        let found = factors(&products);
        let point = |part: fn(f64) -> f64| -> f64 {
            found.iter().zip(angles).map(|(factor, angle)| factor * 2.0 * part(angle)).sum()
        };
        let mean = angles.iter().sum::<f64>() / 3.0;
        assert!((point(f64::cos) - 2.0 * mean.cos()).abs() < 1e-9);
        assert!((point(f64::sin) - 2.0 * mean.sin()).abs() < 1e-9);
        assert_eq!(factors(&[vec![0.0, 0.0], vec![0.0, 0.0]]), [0.0, 0.0]);
    }
}
