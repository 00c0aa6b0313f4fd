//! Task arithmetic (Ilharco et al. 2023): `theta_0 + lambda sum_i tau_i`. A negative lambda unlearns. One
//! pass, `f64` per value.

use crate::{Error, Weights};

/// Changes whenever the merge changes.
pub const VERSION: u32 = 1;

/// `base + scale * sum (model - base)`.
///
/// # Errors
/// As [`super::Method::merge`].
pub fn merge(base: &Weights, models: &[&Weights], scale: f64) -> Result<Weights, Error> {
    super::check(base, models)?;
    crate::check_finite("scale", scale)?;
    let mut out = base.clone();
    for (i, value) in out.values.iter_mut().enumerate() {
        let start = f64::from(base.values[i]);
        let sum: f64 = models.iter().map(|model| f64::from(model.values[i]) - start).sum();
        *value = (start + scale * sum) as f32;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soups::uniform;
    use crate::tests::weights;

    /// With lambda = 1/n the sum of task vectors is the uniform soup.
    #[test]
    fn a_mean_of_task_vectors_is_the_soup() {
        let models: Vec<Weights> = (1..5).map(weights).collect();
        let models: Vec<&Weights> = models.iter().collect();
        let (found, soup) = (merge(&weights(0), &models, 0.25).unwrap(), uniform::soup(&models).unwrap());
        assert!(found.values.iter().zip(&soup.values).all(|(a, b)| (a - b).abs() < 1e-6));
        let negated = merge(&weights(0), &[&weights(1)], -1.0).unwrap();
        assert!((negated.values[0] - (2.0 * weights(0).values[0] - weights(1).values[0])).abs() < 1e-6);
    }
}
