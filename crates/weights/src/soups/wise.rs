//! WiSE-FT (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"): the fine-tuned model pulled back
//! towards the one it started from, `(1-alpha) theta_0 + alpha theta_1`.

use std::sync::Arc;

use crate::paths::linear;
use crate::{Error, Weights};

/// Changes whenever the weights change; the line's own version is that of [`linear::PATH`].
pub const VERSION: u32 = 1;

/// `(1-alpha) start + alpha finetuned`: `alpha` 0 is the start, 1 the fine-tuned model, both to the bit.
///
/// # Errors
/// As [`crate::paths::Path::at`].
pub fn wise_ft(start: &Weights, finetuned: &Weights, alpha: f64) -> Result<Weights, Error> {
    let mut out = Weights::zeros(Arc::clone(start.layout()));
    linear::PATH.at(start, finetuned, alpha, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::weights;

    #[test]
    fn lies_on_the_line() {
        let (start, finetuned) = (weights(1), weights(2));
        assert_eq!(wise_ft(&start, &finetuned, 0.0).unwrap().values, start.values);
        assert_eq!(wise_ft(&start, &finetuned, 1.0).unwrap().values, finetuned.values);
        let quarter = wise_ft(&start, &finetuned, 0.25).unwrap().values[0];
        assert!((quarter - (0.75 * start.values[0] + 0.25 * finetuned.values[0])).abs() < 1e-6);
    }
}
