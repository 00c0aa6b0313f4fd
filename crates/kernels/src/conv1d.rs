//! The affine layer `y = x W + b` with `W` of shape `[in, out]`, as GPT-2's checkpoints store it: what transformers
//! calls `Conv1D`. The other way round it is [`crate::linear`].

use crate::matmul::{Into, Matrix, Precision, product_in};

/// `y = x W`: `x` is `[rows, inputs]`, `weight` `[inputs, outputs]`, `y` `[rows, outputs]`.
pub fn forward(y: &mut [f32], x: &[f32], weight: &[f32], inputs: usize, precision: Precision) {
    let (outputs, n_rows) = (weight.len() / inputs, x.len() / inputs);
    let (x, weight) = (Matrix::new(x, n_rows, inputs), Matrix::new(weight, inputs, outputs));
    product_in(precision, y, outputs, x, weight, Into::Overwrite);
}

/// `dx = dy W^T`, or added to what stands in `dx`.
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
    let (dy, weight) = (Matrix::new(dy, n_rows, outputs), Matrix::new(weight, inputs, outputs));
    product_in(precision, dx, inputs, dy, weight.transposed(), into);
}

/// `dW += x^T dy`.
pub fn weight_gradient(d_weight: &mut [f32], dy: &[f32], x: &[f32], inputs: usize, precision: Precision) {
    let (outputs, n_rows) = (d_weight.len() / inputs, x.len() / inputs);
    let (dy, x) = (Matrix::new(dy, n_rows, outputs), Matrix::new(x, n_rows, inputs));
    product_in(precision, d_weight, outputs, x.transposed(), dy, Into::Add);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear;
    use crate::reference::{assert_close, differences, normals, wide};

    const ROWS: usize = 5;
    const INPUTS: usize = 7;
    const OUTPUTS: usize = 11;

    fn naive(x: &[f64], weight: &[f64]) -> Vec<f64> {
        let one = |r: usize, o: usize| (0..INPUTS).map(|i| x[r * INPUTS + i] * weight[i * OUTPUTS + o]).sum();
        (0..ROWS * OUTPUTS).map(|i| one(i / OUTPUTS, i % OUTPUTS)).collect()
    }

    #[test]
    fn gradients_are_differences() {
        let x = normals(0, "x", ROWS * INPUTS, 1.0);
        let weight = normals(0, "weight", OUTPUTS * INPUTS, 1.0);
        let dy = normals(0, "dy", ROWS * OUTPUTS, 1.0);
        let loss = |x: &[f64], weight: &[f64]| -> f64 {
            naive(x, weight).iter().zip(&dy).map(|(y, &d)| y * f64::from(d)).sum()
        };
        let (wide_x, wide_weight) = (wide(&x), wide(&weight));

        let mut y = vec![f32::NAN; ROWS * OUTPUTS];
        forward(&mut y, &x, &weight, INPUTS, Precision::F32);
        assert_close(&y, &naive(&wide_x, &wide_weight), 1e-6);
        let mut dx = vec![f32::NAN; x.len()];
        input_gradient(&mut dx, &dy, &weight, INPUTS, Precision::F32, Into::Overwrite);
        assert_close(&dx, &differences(&wide_x, |x| loss(x, &wide_weight)), 1e-6);
        let mut d_weight = vec![0.0; weight.len()];
        weight_gradient(&mut d_weight, &dy, &x, INPUTS, Precision::F32);
        assert_close(&d_weight, &differences(&wide_weight, |weight| loss(&wide_x, weight)), 1e-6);
    }

    #[test]
    fn it_is_the_linear_layer_of_the_transpose() {
        let x = normals(1, "x", ROWS * INPUTS, 1.0);
        let weight = normals(1, "weight", OUTPUTS * INPUTS, 1.0);
        let transpose: Vec<f32> =
            (0..weight.len()).map(|i| weight[i % INPUTS * OUTPUTS + i / INPUTS]).collect();
        let (mut y, mut twin) = (vec![0.0; ROWS * OUTPUTS], vec![0.0; ROWS * OUTPUTS]);
        forward(&mut y, &x, &weight, INPUTS, Precision::F32);
        linear::forward(&mut twin, &x, &transpose, INPUTS, Precision::F32);
        assert_close(&y, &wide(&twin), 1e-6);
    }
}
