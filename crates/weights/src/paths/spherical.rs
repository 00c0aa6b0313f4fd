//! The great arc between two models, tensor by tensor (Shoemake 1985): with the angle `omega` between the two tensors,
//! `sin((1-alpha) omega)/sin omega a + sin(alpha omega)/sin omega b`.
//!
//! Where the tensors all but lie on one line (`|cos| > 0.9995`, or one is zero) the arc is not determined and the
//! straight line is taken, as is usual. Two passes over memory.

use super::{Path, linear};
use crate::{Weights, distance};

/// Changes whenever a point of an arc changes.
pub const VERSION: u32 = 1;

/// The great arc.
pub static PATH: Path =
    Path { name: "spherical", about: "Great arc, tensor by tensor (Shoemake 1985)", version: VERSION, point };

/// Above this cosine the straight line is taken.
const PARALLEL: f64 = 0.9995;

fn point(a: &Weights, b: &Weights, alpha: f64, out: &mut Weights) {
    for entry in a.layout().entries() {
        let range = entry.range();
        let (a, b, out) = (&a.values[range.clone()], &b.values[range.clone()], &mut out.values[range]);
        match shares([distance::product(a, a), distance::product(a, b), distance::product(b, b)], alpha) {
            None => linear::between(a, b, alpha, out),
            Some([of_a, of_b]) => {
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *out = (of_a * f64::from(a) + of_b * f64::from(b)) as f32;
                }
            }
        }
    }
}

/// Factors of two tensors at `alpha` of the arc, of their products `aa`, `ab` and `bb`; none where no arc is determined.
pub(crate) fn shares([aa, ab, bb]: [f64; 3], alpha: f64) -> Option<[f64; 2]> {
    let cosine = ab / (aa * bb).sqrt();
    // A tensor of zeros has no angle: its cosine is NaN.
    if cosine.is_nan() || cosine.abs() > PARALLEL {
        return None;
    }
    let omega = cosine.acos();
    Some([((1.0 - alpha) * omega).sin() / omega.sin(), (alpha * omega).sin() / omega.sin()])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::PATH;
    use crate::paths::tests::at;
    use crate::tests::weights;
    use crate::{Layout, Weights, distance};

    fn plane(x: f32, y: f32) -> Weights {
        let mut layout = Layout::default();
        layout.push("w", &[2]);
        let mut weights = Weights::zeros(Arc::new(layout));
        weights.values.copy_from_slice(&[x, y]);
        weights
    }

    #[test]
    fn by_hand() {
        let third = at(&PATH, &plane(1.0, 0.0), &plane(0.0, 1.0), 1.0 / 3.0);
        assert!((third[0] - 0.75_f32.sqrt()).abs() < 1e-6 && (third[1] - 0.5).abs() < 1e-6);
        assert_eq!(at(&PATH, &plane(2.0, 0.0), &plane(4.0, 0.0), 0.5), [3.0, 0.0]);
        assert_eq!(at(&PATH, &plane(0.0, 0.0), &plane(4.0, 0.0), 0.5), [2.0, 0.0]);
        // Beyond the end the arc goes on: twice a right angle is the opposite of the start.
        let beyond = at(&PATH, &plane(1.0, 0.0), &plane(0.0, 1.0), 2.0);
        assert!((beyond[0] + 1.0).abs() < 1e-6 && beyond[1].abs() < 1e-6, "{beyond:?}");
    }

    #[test]
    fn keeps_the_length_of_equally_long_tensors() {
        let (a, mut b) = (weights(1), weights(2));
        let zero = Weights::zeros(Arc::clone(a.layout()));
        let length = |w: &Weights, i: usize| distance::per_tensor(w, &zero).unwrap()[i].1;
        let factor = length(&a, 0) / length(&b, 0);
        b.tensor_mut("body.weight").unwrap().iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
        let mut middle = zero.clone();
        PATH.at(&a, &b, 0.3, &mut middle).unwrap();
        assert!((length(&middle, 0) / length(&a, 0) - 1.0).abs() < 1e-6);
    }

    proptest! {
        /// The formula term by term, over the whole of each tensor.
        #[test]
        fn close_to_the_reference(seed in 0..1000_u64, alpha in -0.5..1.5_f64) {
            let (a, b) = (weights(seed), weights(seed + 1));
            let found = at(&PATH, &a, &b, alpha);
            for entry in a.layout().entries() {
                let wide = |w: &Weights| w.values[entry.range()].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
                let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                let (a, b) = (wide(&a), wide(&b));
                let cosine = dot(&a, &b) / dot(&a, &a).sqrt() / dot(&b, &b).sqrt();
                let omega = cosine.acos();
                // An arc of all but 0 or 180 degrees is a line, or ill-conditioned.
                if cosine.abs() > 0.999 {
                    continue;
                }
                for (i, &found) in found[entry.range()].iter().enumerate() {
                    let arc = (((1.0 - alpha) * omega).sin() * a[i] + (alpha * omega).sin() * b[i]) / omega.sin();
                    prop_assert!((f64::from(found) - arc).abs() < 1e-5 * (1.0 + arc.abs()));
                }
            }
        }
    }
}
