//! Bias and GELU (Hendrycks and Gimpel 2016), exact form: `x Phi(x)` with `x = u + b`.
//!
//! The forward pass of training leaves the derivative `Phi(x) + x phi(x)` where the input was: it shares the
//! exponential with the value, and the backward pass is then one multiplication.

use crate::elementary::normal;
use crate::lanes::{Lanes, dispatched_wide};

/// GELU of `values + bias` in place; rows are as long as `bias`.
pub fn forward(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        row_forward(row, bias);
    }
}

/// Writes GELU of `values + bias` to `out` and its derivative to `values`.
///
/// # Panics
/// If `out` is not as long as `values`.
pub fn forward_and_derivative(values: &mut [f32], bias: &[f32], out: &mut [f32]) {
    assert_eq!(values.len(), out.len(), "lengths of GELU's input and output");
    for (row, out) in values.chunks_exact_mut(bias.len()).zip(out.chunks_exact_mut(bias.len())) {
        row_forward_and_derivative(row, bias, out);
    }
}

/// `gradient *= derivative`, and its column sums are added to `d_bias`.
///
/// # Panics
/// If `derivative` is not as long as `gradient`.
pub fn backward(gradient: &mut [f32], derivative: &[f32], d_bias: &mut [f32]) {
    assert_eq!(gradient.len(), derivative.len(), "lengths of GELU's gradient and derivative");
    let width = d_bias.len();
    for (gradient, derivative) in gradient.chunks_exact_mut(width).zip(derivative.chunks_exact(width)) {
        row_backward(gradient, derivative, d_bias);
    }
}

dispatched_wide! { fn row_forward(row: &mut [f32], bias: &[f32]) = row_forward_body }
dispatched_wide! {
    fn row_forward_and_derivative(row: &mut [f32], bias: &[f32], out: &mut [f32]) =
        row_forward_and_derivative_body
}
dispatched_wide! {
    fn row_backward(gradient: &mut [f32], derivative: &[f32], d_bias: &mut [f32]) = row_backward_body
}

#[inline(always)]
fn row_forward_body<V: Lanes>(row: &mut [f32], bias: &[f32]) {
    let mut rows = row.chunks_exact_mut(V::WIDTH);
    let mut biases = bias.chunks_exact(V::WIDTH);
    for (row, bias) in rows.by_ref().zip(biases.by_ref()) {
        // SAFETY: chunks of `WIDTH`.
        unsafe {
            let x = V::load(row.as_ptr()) + V::load(bias.as_ptr());
            (x * normal(x).0).store(row.as_mut_ptr());
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
            let (distribution, density) = normal(x);
            (x * distribution).store(out.as_mut_ptr());
            x.mul_add(density, distribution).store(row.as_mut_ptr());
        }
    }
    if V::WIDTH > 1 {
        let (row, bias, out) = (rows.into_remainder(), biases.remainder(), outs.into_remainder());
        row_forward_and_derivative_body::<V::Narrower>(row, bias, out);
    }
}

#[inline(always)]
fn row_backward_body<V: Lanes>(gradient: &mut [f32], derivative: &[f32], d_bias: &mut [f32]) {
    for ((gradient, derivative), d_bias) in gradient.iter_mut().zip(derivative).zip(d_bias) {
        *gradient *= derivative;
        *d_bias += *gradient;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::dispatched;
    use crate::reference::{assert_close, differences, normal_distribution, normals, wide};
    use proptest::prelude::*;

    fn gelu(x: f64) -> f64 {
        x * normal_distribution(x)
    }

    proptest! {
        /// Value and derivative against `f64`: 5e-7 of the largest value, and 2.5e-7 of what a bias gradient sums: it may
        /// itself be next to nothing, where the derivative passes through 0.
        #[test]
        fn value_and_derivative(width in 1_usize..40, height in 1_usize..4, scale in 0.01_f64..4.0) {
            let n = width * height;
            let (u, bias) = (normals(0, "u", n, scale), normals(0, "bias", width, 1.0));
            let dy = normals(0, "dy", n, 1.0);
            let sum = |bias: &[f64]| -> f64 {
                (0..n).map(|i| f64::from(dy[i]) * gelu(f64::from(u[i]) + bias[i % width])).sum()
            };
            let truth: Vec<f64> = (0..n).map(|i| gelu(f64::from(u[i] + bias[i % width]))).collect();

            let mut in_place = u.clone();
            forward(&mut in_place, &bias);
            assert_close(&in_place, &truth, 5e-7);
            let (mut derivative, mut out) = (u.clone(), vec![0.0; n]);
            forward_and_derivative(&mut derivative, &bias, &mut out);
            assert_close(&out, &truth, 5e-7);
            let (mut gradient, mut d_bias) = (dy.clone(), vec![0.0; width]);
            backward(&mut gradient, &derivative, &mut d_bias);
            for (column, (&found, truth)) in d_bias.iter().zip(differences(&wide(&bias), sum)).enumerate() {
                let summed: f64 = dy.iter().skip(column).step_by(width).map(|dy| f64::from(dy.abs())).sum();
                let error = (f64::from(found) - truth).abs();
                prop_assert!(error <= 2.5e-7 * summed, "column {column}: {found} is not {truth}");
            }

            let mut plain = u.clone();
            for row in plain.chunks_exact_mut(width) {
                row_forward_body::<f32>(row, &bias);
            }
            assert_close(&plain, &truth, 5e-7);
        }
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

    #[test]
    fn the_lower_tail_keeps_its_digits() {
        for x in [-3.0_f32, -4.5, -6.0] {
            let mut value = [x];
            forward(&mut value, &[0.0]);
            let truth = gelu(f64::from(x));
            assert!((f64::from(value[0]) / truth - 1.0).abs() < 2e-6, "{x}: {} is not {truth}", value[0]);
        }
    }
}
