//! The straight line between two models, `theta(alpha) = (1-alpha) theta_a + alpha theta_b`.
//!
//! Each value is formed in `f64` and rounded once. Two equal weights therefore stay what they are at every `alpha`, and
//! walking the line backwards gives the same values wherever `1 - alpha` is exact. One pass over memory.

use super::Path;
use crate::Weights;

/// The straight line.
pub static PATH: Path =
    Path { name: "linear", about: "Straight line, (1 - alpha) a + alpha b", version: 1, point };

fn point(a: &Weights, b: &Weights, alpha: f64, out: &mut Weights) {
    between(&a.values, &b.values, alpha, &mut out.values);
}

/// Writes `(1-alpha) a + alpha b`.
pub(crate) fn between(a: &[f32], b: &[f32], alpha: f64, out: &mut [f32]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = ((1.0 - alpha) * f64::from(a) + alpha * f64::from(b)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PATH;
    use crate::paths::tests::at;
    use crate::tests::weights;

    proptest! {
        #[test]
        fn close_to_the_reference(seed in 0..1000_u64, alpha in -0.5..1.5_f64) {
            let (a, b) = (weights(seed), weights(seed + 1));
            for (i, value) in at(&PATH, &a, &b, alpha).into_iter().enumerate() {
                let (a, b) = (f64::from(a.values[i]), f64::from(b.values[i]));
                prop_assert!((f64::from(value) - (a + alpha * (b - a))).abs() < 1e-6);
            }
        }
    }
}
