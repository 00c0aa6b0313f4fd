//! Bias and GELU in the tanh approximation (Hendrycks and Gimpel 2016), which transformers calls `gelu_new`:
//! `x (1 + tanh(c (x + 0.044715 x^3))) / 2` with `c = sqrt(2 / pi)` and `x = u + b`.
//!
//! As `x s` with `s = 1 / (1 + exp(-2 c (x + 0.044715 x^3)))` the lower tail keeps its digits. The forward pass of
//! training leaves the derivative where the input was, and [`crate::gelu::backward`] is the backward pass of both.

use crate::elementary::exp;
use crate::lanes::{Lanes, dispatched_wide};

/// The approximation of `values + bias` in place; rows are as long as `bias`.
pub fn forward(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        row_forward(row, bias);
    }
}

/// Writes the approximation of `values + bias` to `out` and its derivative to `values`.
///
/// # Panics
/// If `out` is not as long as `values`.
pub fn forward_and_derivative(values: &mut [f32], bias: &[f32], out: &mut [f32]) {
    assert_eq!(values.len(), out.len(), "lengths of GELU's input and output");
    for (row, out) in values.chunks_exact_mut(bias.len()).zip(out.chunks_exact_mut(bias.len())) {
        row_forward_and_derivative(row, bias, out);
    }
}

/// Twice `sqrt(2 / pi)`, to the nearest: what it is off by counts thirty times in the lower tail.
const SLOPE: f32 = 1.595_769_2;
const CUBIC: f32 = 0.044_715;

/// Value and derivative: `x s` and `s + x s (1 - s) 2 c (1 + 3 * 0.044715 x^2)`.
#[inline(always)]
pub(crate) fn value_and_derivative<V: Lanes>(x: V) -> (V, V) {
    let one = V::splat(1.0);
    let square = x * x;
    let e = exp(-(x * V::splat(SLOPE) * square.mul_add(V::splat(CUBIC), one)));
    let s = one / (one + e);
    let value = x * s;
    let slope = square.mul_add(V::splat(3.0 * CUBIC * SLOPE), V::splat(SLOPE));
    // `e s` is `1 - s` without its cancellation.
    (value, (value * (e * s)).mul_add(slope, s))
}

dispatched_wide! { fn row_forward(row: &mut [f32], bias: &[f32]) = row_forward_body }
dispatched_wide! {
    fn row_forward_and_derivative(row: &mut [f32], bias: &[f32], out: &mut [f32]) =
        row_forward_and_derivative_body
}

#[inline(always)]
fn row_forward_body<V: Lanes>(row: &mut [f32], bias: &[f32]) {
    let mut rows = row.chunks_exact_mut(V::WIDTH);
    let mut biases = bias.chunks_exact(V::WIDTH);
    for (row, bias) in rows.by_ref().zip(biases.by_ref()) {
        // SAFETY: chunks of `WIDTH`.
        unsafe {
            let x = V::load(row.as_ptr()) + V::load(bias.as_ptr());
            value_and_derivative(x).0.store(row.as_mut_ptr());
        }
    }
    if V::WIDTH > 1 {
        row_forward_body::<V::Narrower>(rows.into_remainder(), biases.remainder());
    }
}

#[inline(always)]
fn row_forward_and_derivative_body<V: Lanes>(row: &mut [f32], bias: &[f32], out: &mut [f32]) {
    let mut rows = row.chunks_exact_mut(V::WIDTH);
    let mut biases = bias.chunks_exact(V::WIDTH);
    let mut outs = out.chunks_exact_mut(V::WIDTH);
    for ((row, bias), out) in rows.by_ref().zip(biases.by_ref()).zip(outs.by_ref()) {
        // SAFETY: chunks of `WIDTH`.
        unsafe {
            let x = V::load(row.as_ptr()) + V::load(bias.as_ptr());
            let (value, derivative) = value_and_derivative(x);
            value.store(out.as_mut_ptr());
            derivative.store(row.as_mut_ptr());
        }
    }
    if V::WIDTH > 1 {
        let (row, bias, out) = (rows.into_remainder(), biases.remainder(), outs.into_remainder());
        row_forward_and_derivative_body::<V::Narrower>(row, bias, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::dispatched;
    use crate::reference::{differences, normals};
    use proptest::prelude::*;

    /// `(1 + tanh z) / 2` as `1 / (1 + exp(-2 z))`: the sum loses all its digits in the lower tail, in `f64` as well.
    fn gelu_new(x: f64) -> f64 {
        x / (1.0 + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).exp())
    }

    /// A rounding of the exponent `2 c (x + 0.044715 x^3)` is one of the value, times the exponent itself: a few
    /// of them, and those of the exponential and of the product.
    fn is_close(y: f32, x: f64) -> bool {
        let truth = gelu_new(x);
        let exponent = f64::from(SLOPE) * x * (1.0 + 0.044_715 * x * x);
        let roundings = 2.0 + 2.0 * exponent.abs();
        (f64::from(y) - truth).abs() <= roundings * f64::from(f32::EPSILON) * truth.abs() + 1e-30
    }

    proptest! {
        #[test]
        fn value_and_its_derivative(width in 1_usize..40, height in 1_usize..4, scale in 0.01_f64..4.0) {
            let n = width * height;
            let (u, bias) = (normals(0, "u", n, scale), normals(0, "bias", width, 1.0));
            let x: Vec<f64> = (0..n).map(|i| f64::from(u[i] + bias[i % width])).collect();
            let truth: Vec<f64> = x.iter().copied().map(gelu_new).collect();
            let slopes = differences(&x, |x| x.iter().copied().map(gelu_new).sum());

            let is_close = |found: &[f32]| found.iter().zip(&x).all(|(&y, &x)| is_close(y, x));
            let mut in_place = u.clone();
            forward(&mut in_place, &bias);
            prop_assert!(is_close(&in_place), "{in_place:?} is not {truth:?}");
            let (mut derivative, mut out) = (u.clone(), vec![f32::NAN; n]);
            forward_and_derivative(&mut derivative, &bias, &mut out);
            prop_assert_eq!(&out, &in_place);
            for (found, truth) in derivative.iter().zip(slopes) {
                prop_assert!((f64::from(*found) - truth).abs() < 1e-6, "{} is not {}", found, truth);
            }

            let mut plain = u.clone();
            for row in plain.chunks_exact_mut(width) {
                row_forward_body::<f32>(row, &bias);
            }
            prop_assert!(is_close(&plain), "{plain:?} is not {truth:?}");
        }
    }

    #[test]
    fn all_along_the_line() {
        for i in 0..=1_000_000 {
            let x = -9.0 + 18e-6 * i as f32;
            let found = value_and_derivative(x).0;
            assert!(is_close(found, f64::from(x)), "{found} at {x}");
        }
    }

    #[test]
    fn tails() {
        let mut values = [-30.0, -4.0, 30.0, f32::NAN];
        forward(&mut values, &[0.0; 4]);
        assert!(values[0].abs() < 1e-30 && values[2] == 30.0 && values[3].is_nan(), "{values:?}");
        assert!((f64::from(values[1]) / gelu_new(-4.0) - 1.0).abs() < 2e-6, "{values:?}");
    }

    /// A wider instruction set rounds each value as the narrower one does.
    #[test]
    fn the_same_bytes_at_any_width() {
        dispatched! { fn narrow(row: &mut [f32], bias: &[f32]) = row_forward_body }
        dispatched! {
            fn narrow_with_derivative(row: &mut [f32], bias: &[f32], out: &mut [f32]) =
                row_forward_and_derivative_body
        }
        for width in 1..70 {
            let (u, bias) = (normals(0, "u", width, 3.0), normals(0, "bias", width, 1.0));
            let (mut wide, mut half) = (u.clone(), u.clone());
            row_forward(&mut wide, &bias);
            narrow(&mut half, &bias);
            assert_eq!(wide, half, "{width}");
            let mut pairs = [(u.clone(), u.clone()), (u.clone(), u.clone())];
            row_forward_and_derivative(&mut pairs[0].0, &bias, &mut pairs[0].1);
            narrow_with_derivative(&mut pairs[1].0, &bias, &mut pairs[1].1);
            assert_eq!(pairs[0], pairs[1], "{width}");
        }
    }
}
