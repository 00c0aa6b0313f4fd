//! Euclidean norm and clipping of a whole gradient.

use crate::lanes::{Lanes, dispatched};

dispatched! {
    /// Sum of squares in `f64`, in a fixed order: eight running sums, then their sum.
    pub fn sum_of_squares(values: &[f32]) -> f64 = sum_of_squares_body
}

#[inline(always)]
fn sum_of_squares_body<V: Lanes>(values: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            let value = f64::from(value);
            *sum += value * value;
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(value) * f64::from(value);
    }
    sums.iter().sum()
}

/// Euclidean norm.
#[must_use]
pub fn norm(values: &[f32]) -> f64 {
    sum_of_squares(values).sqrt()
}

/// What to multiply a gradient of this norm by so that its norm is at most `limit` (Pascanu, Mikolov and Bengio
/// 2013), with PyTorch's `limit / (norm + 1e-6)`.
#[must_use]
pub fn clip_scale(norm: f64, limit: f64) -> f32 {
    (limit / (norm + 1e-6)).min(1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_sum(values in prop::collection::vec(-1e3_f32..1e3, 0..100)) {
            let truth: f64 = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            prop_assert!((sum_of_squares(&values) - truth).abs() <= 1e-12 * truth);
            // No fused operations: the instruction set does not change the sum.
            prop_assert_eq!(sum_of_squares(&values).to_bits(), sum_of_squares_body::<f32>(&values).to_bits());
        }
    }

    #[test]
    fn clipping() {
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert!((clip_scale(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert_eq!(clip_scale(0.0, 1.0), 1.0);
    }
}
