//! Model stock (Jang et al. 2024): the mean of the models, pulled back to the base as far as their task vectors
//! disagree. For each tensor `t mean_i theta_i + (1-t) theta_0` with `t = N cos/(1 + (N-1) cos)`, where `cos` is the mean
//! cosine between the task vectors of N models.
//!
//! A mean cosine below 0 counts as 0: the models have nothing in common there and the base stays (mergekit extrapolates
//! away from the mean instead). A tensor that some model did not change has no angle to it; pairs without an angle do
//! not count, and without any pair the mean is taken. Two passes, and `N^2/2` products.

use super::ANY;
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;

/// The mean, pulled back to the base.
pub static METHOD: Method = Method {
    name: "model-stock",
    about: "The mean, pulled back to the base as far as models disagree (Jang et al. 2024)",
    version: 2,
    parameters: &[],
    base: Base::Required,
    random: false,
    members: ANY,
    how: How::Tensors(merge),
};

fn merge(tensor: &Tensor<'_>, _: &Settings, out: &mut [f32]) -> Result<(), Error> {
    match share(&tensor.products()?) {
        None => crate::soups::uniform::mean(tensor, 0, out),
        Some(share) => tensor.combine(&vec![share / tensor.models() as f64; tensor.models()], 0, out),
    }
}

/// `t` of one tensor, of the products of its task vectors; `None` if no two models have an angle between them.
fn share(products: &[Vec<f64>]) -> Option<f64> {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for i in 0..products.len() {
        for j in i + 1..products.len() {
            if products[i][i] > 0.0 && products[j][j] > 0.0 {
                sum += products[i][j] / (products[i][i].sqrt() * products[j][j].sqrt());
                pairs += 1.0;
            }
        }
    }
    let n = products.len() as f64;
    let cosine = (sum / pairs).clamp(0.0, 1.0);
    (pairs > 0.0).then(|| n * cosine / (1.0 + (n - 1.0) * cosine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::tests::weights;
    use crate::{Weights, distance};

    fn products(vectors: &[&[f32]]) -> Vec<Vec<f64>> {
        vectors.iter().map(|a| vectors.iter().map(|b| distance::product(a, b)).collect()).collect()
    }

    #[test]
    fn shares_by_hand() {
        // 60 degrees: t = 2 (1/2) / (1 + 1/2) = 2/3.
        let near = |vectors: &[&[f32]], expected: f64| {
            let found = share(&products(vectors));
            assert!((found.unwrap() - expected).abs() < 1e-6, "{found:?}");
        };
        near(&[&[1.0, 0.0], &[0.5, 0.75_f32.sqrt()]], 2.0 / 3.0);
        near(&[&[1.0, 0.0], &[3.0, 0.0], &[2.0, 0.0]], 1.0);
        near(&[&[1.0, 0.0], &[0.0, 2.0]], 0.0);
        near(&[&[1.0, 0.0], &[-1.0, 0.0]], 0.0);
        assert_eq!(share(&products(&[&[0.0], &[1.0]])), None);
    }

    /// Pull-back along the segment from the base to the mean.
    #[test]
    fn lies_between_base_and_mean() {
        let base = weights(0);
        let models: Vec<Weights> = (1..4).map(weights).collect();
        let found = over(&METHOD, &base, &models.iter().collect::<Vec<_>>(), &Plan::default());
        let range = base.layout().entry("body.bias").unwrap().range();
        let delta = |model: &Weights| -> Vec<f32> {
            range.clone().map(|i| model.values[i] - base.values[i]).collect()
        };
        let deltas: Vec<Vec<f32>> = models.iter().map(delta).collect();
        let deltas: Vec<&[f32]> = deltas.iter().map(Vec::as_slice).collect();
        let t = share(&products(&deltas)).unwrap();
        for i in range {
            let mean = models.iter().map(|model| f64::from(model.values[i])).sum::<f64>() / 3.0;
            let expected = t * mean + (1.0 - t) * f64::from(base.values[i]);
            assert!((f64::from(found.values[i]) - expected).abs() < 1e-6);
        }
    }
}
