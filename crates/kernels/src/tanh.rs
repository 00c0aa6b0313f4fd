//! Bias and hyperbolic tangent.

use crate::elementary::tanh;
use crate::lanes::{Lanes, dispatched};

/// `tanh(values + bias)` in place; rows are as long as `bias`.
pub fn forward(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        row_forward(row, bias);
    }
}

dispatched! { fn row_forward(row: &mut [f32], bias: &[f32]) = row_forward_body }

#[inline(always)]
fn row_forward_body<V: Lanes>(row: &mut [f32], bias: &[f32]) {
    let mut rows = row.chunks_exact_mut(V::WIDTH);
    let mut biases = bias.chunks_exact(V::WIDTH);
    for (row, bias) in rows.by_ref().zip(biases.by_ref()) {
        // SAFETY: chunks of `WIDTH`.
        unsafe { tanh(V::load(row.as_ptr()) + V::load(bias.as_ptr())).store(row.as_mut_ptr()) };
    }
    for (value, bias) in rows.into_remainder().iter_mut().zip(biases.remainder()) {
        *value = tanh(*value + bias);
    }
}

/// `gradient *= 1 - output^2`.
pub fn backward(gradient: &mut [f32], output: &[f32]) {
    for (gradient, output) in gradient.iter_mut().zip(output) {
        *gradient *= 1.0 - output * output;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, differences, normals, wide};

    #[test]
    fn value_and_derivative() {
        let (x, bias, dy) = (normals(0, "x", 33, 1.0), normals(0, "b", 11, 1.0), normals(0, "dy", 33, 1.0));
        let mut y = x.clone();
        forward(&mut y, &bias);
        let truth: Vec<f64> = (0..33).map(|i| f64::from(x[i] + bias[i % 11]).tanh()).collect();
        assert_close(&y, &truth, 5e-7);
        let mut dx = dy.clone();
        backward(&mut dx, &y);
        let sum = |x: &[f64]| -> f64 {
            (0..33).map(|i| f64::from(dy[i]) * (x[i] + f64::from(bias[i % 11])).tanh()).sum()
        };
        assert_close(&dx, &differences(&wide(&x), sum), 2e-6);
    }
}
