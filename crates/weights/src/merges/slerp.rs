//! Spherical interpolation, tensor by tensor (Shoemake 1985): with the angle `omega` between the two tensors,
//! `sin((1-alpha) omega)/sin omega a + sin(alpha omega)/sin omega b`.
//!
//! Where the tensors all but lie on one line (`|cos| > 0.9995`, or one is zero) the arc is not determined and
//! the straight line is taken, as is usual. The ends are the models to the bit.

use crate::{Error, Weights, distance, interpolate};

/// Changes whenever the merge changes.
pub const VERSION: u32 = 1;

/// Above this cosine the straight line is taken.
const PARALLEL: f64 = 0.9995;

/// The point at `alpha`, 0 to 1, of the arc from `a` to `b`.
///
/// # Errors
/// As [`interpolate::lerp`], and [`Error::Parameter`] if `alpha` is not in 0 to 1.
pub fn merge(a: &Weights, b: &Weights, alpha: f64) -> Result<Weights, Error> {
    if !(0.0..=1.0).contains(&alpha) {
        return Err(Error::Parameter { name: "alpha", expected: "between 0 and 1", value: alpha });
    }
    // The line first; tensors with an angle between them then leave it.
    let mut out = a.clone();
    interpolate::lerp(a, b, alpha, &mut out)?;
    if alpha == 0.0 || alpha == 1.0 {
        return Ok(out);
    }
    for entry in a.layout().entries() {
        let range = entry.range();
        let (from, to) = (&a.values[range.clone()], &b.values[range.clone()]);
        let zero = vec![0.0; entry.len];
        let lengths = (distance::squared(from, &zero) * distance::squared(to, &zero)).sqrt();
        let cosine = distance::dot(&zero, from, to) / lengths;
        // A tensor of zeros has no angle: its cosine is NaN.
        if cosine.is_nan() || cosine.abs() > PARALLEL {
            continue;
        }
        let omega = cosine.acos();
        let of_a = ((1.0 - alpha) * omega).sin() / omega.sin();
        let of_b = (alpha * omega).sin() / omega.sin();
        for ((out, &a), &b) in out.values[range].iter_mut().zip(from).zip(to) {
            *out = (of_a * f64::from(a) + of_b * f64::from(b)) as f32;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Layout;
    use crate::tests::weights;

    fn plane(x: f32, y: f32) -> Weights {
        let mut layout = Layout::default();
        layout.push("w", &[2]);
        let mut weights = Weights::zeros(Arc::new(layout));
        weights.values.copy_from_slice(&[x, y]);
        weights
    }

    #[test]
    fn by_hand() {
        let third = merge(&plane(1.0, 0.0), &plane(0.0, 1.0), 1.0 / 3.0).unwrap();
        assert!((third.values[0] - 0.75_f32.sqrt()).abs() < 1e-6 && (third.values[1] - 0.5).abs() < 1e-6);
        assert_eq!(merge(&plane(2.0, 0.0), &plane(4.0, 0.0), 0.5).unwrap().values, [3.0, 0.0]);
        assert_eq!(merge(&plane(0.0, 0.0), &plane(4.0, 0.0), 0.5).unwrap().values, [2.0, 0.0]);
    }

    #[test]
    fn keeps_the_length_of_equally_long_tensors() {
        let (a, mut b) = (weights(1), weights(2));
        let zero = Weights::zeros(Arc::clone(a.layout()));
        let length = |w: &Weights, i: usize| distance::per_tensor(w, &zero).unwrap()[i].1;
        let factor = length(&a, 0) / length(&b, 0);
        b.tensor_mut("body.weight").unwrap().iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
        let middle = merge(&a, &b, 0.3).unwrap();
        assert!((length(&middle, 0) / length(&a, 0) - 1.0).abs() < 1e-6);
        assert_eq!(merge(&a, &b, 1.0).unwrap().values, b.values);
        assert!(merge(&a, &b, 1.5).is_err());
    }
}
