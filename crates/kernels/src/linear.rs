//! The affine layer `y = x W^T + b`, with `W` of shape `[out, in]` as checkpoints store it.
//!
//! The bias is added by whatever comes next (GELU, residual and LayerNorm, attention), which has to touch the values
//! anyway; [`forward_with_bias`] is for where nothing does.

use crate::matmul::{Into, Matrix, Precision, product_in};
use crate::rows;

/// `y = x W^T`: `x` is `[rows, inputs]`, `weight` `[outputs, inputs]`, `y` `[rows, outputs]`.
pub fn forward(y: &mut [f32], x: &[f32], weight: &[f32], inputs: usize, precision: Precision) {
    let (outputs, n_rows) = (weight.len() / inputs, x.len() / inputs);
    let (x, weight) = (Matrix::new(x, n_rows, inputs), Matrix::new(weight, outputs, inputs));
    product_in(precision, y, outputs, x, weight.transposed(), Into::Overwrite);
}

/// `y = x W^T + b`.
pub fn forward_with_bias(
    y: &mut [f32],
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    inputs: usize,
    precision: Precision,
) {
    forward(y, x, weight, inputs, precision);
    rows::add_to_each(y, bias);
}

/// `dx = dy W`, or added to what stands in `dx`.
pub fn input_gradient(
    dx: &mut [f32],
    dy: &[f32],
    weight: &[f32],
    inputs: usize,
    precision: Precision,
    into: Into,
) {
    let outputs = weight.len() / inputs;
    let n_rows = dy.len() / outputs;
    let (dy, weight) = (Matrix::new(dy, n_rows, outputs), Matrix::new(weight, outputs, inputs));
    product_in(precision, dx, inputs, dy, weight, into);
}

/// `dW += dy^T x`.
pub fn weight_gradient(d_weight: &mut [f32], dy: &[f32], x: &[f32], inputs: usize, precision: Precision) {
    let (outputs, n_rows) = (d_weight.len() / inputs, x.len() / inputs);
    let (dy, x) = (Matrix::new(dy, n_rows, outputs), Matrix::new(x, n_rows, inputs));
    product_in(precision, d_weight, inputs, dy.transposed(), x, Into::Add);
}

/// `db += ` the column sums of `dy`.
pub fn bias_gradient(d_bias: &mut [f32], dy: &[f32]) {
    rows::add_columns(d_bias, dy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, differences, normals, wide};

    const ROWS: usize = 5;
    const INPUTS: usize = 7;
    const OUTPUTS: usize = 11;

    /// `sum(dy * (x W^T + b))`, whose derivative in anything is what the backward functions give.
    fn loss(x: &[f64], weight: &[f64], bias: &[f64], dy: &[f32]) -> f64 {
        let mut sum = 0.0;
        for r in 0..ROWS {
            for o in 0..OUTPUTS {
                let y: f64 = (0..INPUTS).map(|i| x[r * INPUTS + i] * weight[o * INPUTS + i]).sum();
                sum += f64::from(dy[r * OUTPUTS + o]) * (y + bias[o]);
            }
        }
        sum
    }

    #[test]
    fn gradients_are_differences() {
        let x = normals(0, "x", ROWS * INPUTS, 1.0);
        let weight = normals(0, "weight", OUTPUTS * INPUTS, 1.0);
        let bias = normals(0, "bias", OUTPUTS, 1.0);
        let dy = normals(0, "dy", ROWS * OUTPUTS, 1.0);
        let (wx, ww, wb) = (wide(&x), wide(&weight), wide(&bias));

        let mut y = vec![0.0; ROWS * OUTPUTS];
        forward_with_bias(&mut y, &x, &weight, &bias, INPUTS, Precision::F32);
        let inner: f64 = y.iter().zip(&dy).map(|(&y, &d)| f64::from(y) * f64::from(d)).sum();
        assert!((inner - loss(&wx, &ww, &wb, &dy)).abs() < 1e-4);

        let mut dx = vec![1.0; x.len()];
        input_gradient(&mut dx, &dy, &weight, INPUTS, Precision::F32, Into::Overwrite);
        assert_close(&dx, &differences(&wx, |x| loss(x, &ww, &wb, &dy)), 1e-6);
        let (mut d_weight, mut d_bias) = (vec![0.0; weight.len()], vec![0.0; OUTPUTS]);
        weight_gradient(&mut d_weight, &dy, &x, INPUTS, Precision::F32);
        assert_close(&d_weight, &differences(&ww, |weight| loss(&wx, weight, &wb, &dy)), 1e-6);
        bias_gradient(&mut d_bias, &dy);
        assert_close(&d_bias, &differences(&wb, |bias| loss(&wx, &ww, bias, &dy)), 1e-6);

        let once = d_weight.clone();
        weight_gradient(&mut d_weight, &dy, &x, INPUTS, Precision::F32);
        assert_close(&d_weight, &wide(&once).iter().map(|g| 2.0 * g).collect::<Vec<_>>(), 1e-6);
    }
}
