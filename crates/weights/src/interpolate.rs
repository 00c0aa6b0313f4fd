//! The straight line between two models, `theta(alpha) = (1-alpha) theta_a + alpha theta_b`.
//!
//! Each value is formed in `f64` and rounded once. Two equal weights therefore stay what they are at every
//! `alpha`, and walking the line backwards gives the same values wherever `1 - alpha` is exact. One pass over
//! memory.

use crate::{Error, Weights};

/// Changes whenever a point of the line changes.
pub const VERSION: u32 = 1;

/// Writes the point at `alpha` of the line from `a` to `b` to `out`.
///
/// The ends are copies: `alpha` 0 gives `a` and 1 gives `b` to the bit, negative zeros included. Beyond them
/// the line goes on (`alpha` -0.5 or 1.5 extrapolates).
///
/// # Errors
/// [`Error::Missing`], [`Error::Shape`] or [`Error::Structure`] if the three do not hold the same tensors,
/// [`Error::Parameter`] if `alpha` is not finite.
pub fn lerp(a: &Weights, b: &Weights, alpha: f64, out: &mut Weights) -> Result<(), Error> {
    a.layout().same(b.layout())?;
    a.layout().same(out.layout())?;
    crate::check_finite("alpha", alpha)?;
    if alpha == 0.0 {
        out.values.copy_from_slice(&a.values);
    } else if alpha == 1.0 {
        out.values.copy_from_slice(&b.values);
    } else {
        for ((out, &a), &b) in out.values.iter_mut().zip(&a.values).zip(&b.values) {
            *out = ((1.0 - alpha) * f64::from(a) + alpha * f64::from(b)) as f32;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::Layout;
    use crate::tests::weights;

    fn at(a: &Weights, b: &Weights, alpha: f64) -> Vec<f32> {
        let mut out = Weights::zeros(Arc::clone(a.layout()));
        lerp(a, b, alpha, &mut out).unwrap();
        out.values
    }

    #[test]
    fn ends_are_verbatim() {
        let mut a = weights(1);
        a.values[0] = -0.0;
        let b = weights(2);
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(at(&a, &b, 0.0)), bits(a.values.clone()));
        assert_eq!(bits(at(&a, &b, 1.0)), bits(b.values.clone()));
    }

    #[test]
    fn other_structures_are_named() {
        let a = weights(1);
        let mut other = Layout::default();
        other.push("body.weight", &[3, 2]);
        other.push("body.bias", &[3]);
        let b = Weights::zeros(Arc::new(other));
        let mut out = a.clone();
        assert_eq!(
            lerp(&a, &b, 0.5, &mut out).unwrap_err().to_string(),
            "tensor `body.weight` has shape [3, 2], expected [2, 3]"
        );
        let message = lerp(&a, &a, f64::NAN, &mut out.clone()).unwrap_err().to_string();
        assert_eq!(message, "alpha must be a finite number, not NaN");
    }

    proptest! {
        #[test]
        fn close_to_the_reference(seed in 0..1000_u64, alpha in -0.5..1.5_f64) {
            let (a, b) = (weights(seed), weights(seed + 1));
            for (i, value) in at(&a, &b, alpha).into_iter().enumerate() {
                let (a, b) = (f64::from(a.values[i]), f64::from(b.values[i]));
                prop_assert!((f64::from(value) - (a + alpha * (b - a))).abs() < 1e-6);
            }
            prop_assert_eq!(at(&a, &a, alpha), a.values);
        }

        #[test]
        fn both_ways_meet(seed in 0..1000_u64, sixteenth in 0..=16_u32) {
            let (a, b) = (weights(seed), weights(seed + 1));
            let alpha = f64::from(sixteenth) / 16.0;
            prop_assert_eq!(at(&a, &b, alpha), at(&b, &a, 1.0 - alpha));
        }
    }
}
