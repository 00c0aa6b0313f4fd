//! DARE (Yu et al. 2024, "Language models are super Mario"): each value of a task vector is kept with
//! probability `density` and divided by it, else dropped; then `theta_0 + lambda sum_i tau_i`. The
//! expectation over seeds is task arithmetic.
//!
//! The i-th model's mask is stream i of `dare` of the seed, so the merge depends on the order of the models,
//! and adding one at the end leaves the others' masks alone.

use random::Stream;

use crate::{Error, Weights};

/// Changes whenever the merge changes.
pub const VERSION: u32 = 1;

/// Merges `models`, keeping a random `density` share of each task vector and scaling their sum by `scale`.
///
/// # Errors
/// As [`super::Method::merge`].
pub fn merge(
    base: &Weights,
    models: &[&Weights],
    density: f64,
    scale: f64,
    seed: u64,
) -> Result<Weights, Error> {
    super::check(base, models)?;
    super::check_density(density)?;
    crate::check_finite("scale", scale)?;
    let mut masks: Vec<Stream> = (0..models.len() as u64).map(|i| Stream::at(seed, "dare", i)).collect();
    let mut out = base.clone();
    for (i, value) in out.values.iter_mut().enumerate() {
        let start = f64::from(base.values[i]);
        let mut sum = 0.0;
        for (model, mask) in models.iter().zip(&mut masks) {
            if mask.bernoulli(density) {
                sum += (f64::from(model.values[i]) - start) / density;
            }
        }
        *value = (start + scale * sum) as f32;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merges::task_arithmetic;
    use crate::tests::weights;

    #[test]
    fn is_task_arithmetic_on_average() {
        let (base, a, b) = (weights(0), weights(1), weights(2));
        let expected = task_arithmetic::merge(&base, &[&a, &b], 0.5).unwrap();
        let mut mean = vec![0.0; base.values.len()];
        for seed in 0..4_000 {
            let found = merge(&base, &[&a, &b], 0.7, 0.5, seed).unwrap();
            mean.iter_mut().zip(&found.values).for_each(|(mean, value)| *mean += f64::from(*value) / 4e3);
        }
        for (mean, expected) in mean.iter().zip(&expected.values) {
            assert!((mean - f64::from(*expected)).abs() < 0.08, "{mean} {expected}");
        }
    }

    #[test]
    fn values_are_kept_or_dropped() {
        let (base, model) = (weights(0), weights(1));
        let found = merge(&base, &[&model], 0.5, 1.0, 3).unwrap();
        let mut kept = Vec::new();
        for ((&found, &base), &model) in found.values.iter().zip(&base.values).zip(&model.values) {
            let doubled = base + 2.0 * (model - base);
            assert!(found == base || (found - doubled).abs() < 1e-5);
            kept.push(u8::from(found != base));
        }
        // A change of this mask changes merges: raise `VERSION` with it.
        assert_eq!(kept, [1, 0, 1, 0, 0, 0, 1, 1, 1]);
        assert_eq!(found.values, merge(&base, &[&model], 0.5, 1.0, 3).unwrap().values);
        assert_ne!(found.values, merge(&base, &[&model], 0.5, 1.0, 4).unwrap().values);
    }
}
