//! Bias and rectifier.

/// `max(values + bias, 0)` in place; rows are as long as `bias`.
pub fn forward(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            let x = *value + bias;
            // NaN stays NaN.
            *value = if x < 0.0 { 0.0 } else { x };
        }
    }
}

/// `gradient = 0` where `output` is 0, and its column sums are added to `d_bias`.
pub fn backward(gradient: &mut [f32], output: &[f32], d_bias: &mut [f32]) {
    let width = d_bias.len();
    for (gradient, output) in gradient.chunks_exact_mut(width).zip(output.chunks_exact(width)) {
        for ((gradient, &output), d_bias) in gradient.iter_mut().zip(output).zip(d_bias.iter_mut()) {
            *gradient = if output <= 0.0 { 0.0 } else { *gradient };
            *d_bias += *gradient;
        }
    }
}

/// `max(values, 0)` in place.
pub fn rectify(values: &mut [f32]) {
    for value in values {
        // NaN stays NaN.
        *value = if *value < 0.0 { 0.0 } else { *value };
    }
}

/// `gradient = 0` where `output` is 0.
pub fn rectify_backward(gradient: &mut [f32], output: &[f32]) {
    for (gradient, &output) in gradient.iter_mut().zip(output) {
        *gradient = if output <= 0.0 { 0.0 } else { *gradient };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_and_derivative() {
        let mut y = [1.0, -1.0, 0.5, -3.0];
        forward(&mut y, &[0.0, 2.0]);
        assert_eq!(y, [1.0, 1.0, 0.5, 0.0]);
        let (mut gradient, mut d_bias) = ([1.0, 2.0, 3.0, 4.0], [10.0, 10.0]);
        backward(&mut gradient, &y, &mut d_bias);
        assert_eq!((gradient, d_bias), ([1.0, 2.0, 3.0, 0.0], [14.0, 12.0]));
        let mut y = [f32::NAN];
        forward(&mut y, &[0.0]);
        assert!(y[0].is_nan());
        let mut y = [-1.0, 2.0, f32::NAN];
        rectify(&mut y);
        assert!(y[..2] == [0.0, 2.0] && y[2].is_nan());
        let mut gradient = [5.0, 6.0];
        rectify_backward(&mut gradient, &y[..2]);
        assert_eq!(gradient, [0.0, 6.0]);
    }
}
