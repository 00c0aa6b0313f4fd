//! Model stock (Jang et al. 2024): the mean of the models, pulled back to the base as far as their task
//! vectors disagree. For each tensor `t mean_i theta_i + (1-t) theta_0` with `t = N cos/(1 + (N-1) cos)`,
//! where `cos` is the mean cosine between the task vectors of N models.
//!
//! A mean cosine below 0 counts as 0: the models have nothing in common there and the base stays. A tensor
//! that some model did not change has no angle to it; pairs without an angle do not count, and without any
//! pair the mean is taken.

use crate::{Error, Weights, distance, soups::uniform};

/// Changes whenever the merge changes.
pub const VERSION: u32 = 1;

/// Merges `models`. Costs `N^2/2` passes.
///
/// # Errors
/// As [`super::Method::merge`].
pub fn merge(base: &Weights, models: &[&Weights]) -> Result<Weights, Error> {
    super::check(base, models)?;
    let mut out = uniform::soup(models)?;
    for entry in base.layout().entries() {
        let range = entry.range();
        let start = &base.values[range.clone()];
        let tensors: Vec<&[f32]> = models.iter().map(|model| &model.values[range.clone()]).collect();
        let Some(share) = share(start, &tensors) else { continue };
        for (out, &start) in out.values[range].iter_mut().zip(start) {
            *out = (share * f64::from(*out) + (1.0 - share) * f64::from(start)) as f32;
        }
    }
    Ok(out)
}

/// `t` of one tensor; `None` if no two models have an angle between them.
fn share(base: &[f32], models: &[&[f32]]) -> Option<f64> {
    let lengths: Vec<f64> = models.iter().map(|model| distance::squared(model, base).sqrt()).collect();
    let (mut sum, mut pairs) = (0.0, 0.0);
    for i in 0..models.len() {
        for j in i + 1..models.len() {
            if lengths[i] > 0.0 && lengths[j] > 0.0 {
                sum += distance::dot(base, models[i], models[j]) / (lengths[i] * lengths[j]);
                pairs += 1.0;
            }
        }
    }
    let n = models.len() as f64;
    let cosine = (sum / pairs).clamp(0.0, 1.0);
    (pairs > 0.0).then(|| n * cosine / (1.0 + (n - 1.0) * cosine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::weights;

    #[test]
    fn shares_by_hand() {
        // 60 degrees: t = 2 (1/2) / (1 + 1/2) = 2/3.
        let near = |found: Option<f64>, expected: f64| {
            assert!((found.unwrap() - expected).abs() < 1e-6, "{found:?}")
        };
        near(share(&[0.0, 0.0], &[&[1.0, 0.0], &[0.5, 0.75_f32.sqrt()]]), 2.0 / 3.0);
        near(share(&[0.0, 0.0], &[&[1.0, 0.0], &[3.0, 0.0], &[2.0, 0.0]]), 1.0);
        near(share(&[0.0, 0.0], &[&[1.0, 0.0], &[0.0, 2.0]]), 0.0);
        near(share(&[0.0, 0.0], &[&[1.0, 0.0], &[-1.0, 0.0]]), 0.0);
        assert_eq!(share(&[0.0], &[&[0.0], &[1.0]]), None);
    }

    /// Pull-back along the segment from the base to the mean.
    #[test]
    fn lies_between_base_and_mean() {
        let base = weights(0);
        let models: Vec<Weights> = (1..4).map(weights).collect();
        let models: Vec<&Weights> = models.iter().collect();
        let found = merge(&base, &models).unwrap();
        let mean = uniform::soup(&models).unwrap();
        let tensors: Vec<&[f32]> = models.iter().map(|model| model.tensor("body.bias").unwrap()).collect();
        let t = share(base.tensor("body.bias").unwrap(), &tensors).unwrap();
        for i in base.layout().entry("body.bias").unwrap().range() {
            let expected = t * f64::from(mean.values[i]) + (1.0 - t) * f64::from(base.values[i]);
            assert!((f64::from(found.values[i]) - expected).abs() < 1e-6);
        }
    }
}
