//! RMSNorm (Zhang and Sennrich 2019): `y = g x^` with `x^ = x / sqrt(mean(x^2) + epsilon)`.

use crate::lanes::{Lanes, dispatched};

/// Replaces `values` by their normalised form, writes the scaled one to `out` and one reciprocal root mean square per
/// row to `reciprocals`. Rows are as long as `weight`.
///
/// # Panics
/// If lengths do not fit together.
pub fn forward(values: &mut [f32], weight: &[f32], epsilon: f32, out: &mut [f32], reciprocals: &mut [f32]) {
    let n = reciprocals.len() * weight.len();
    assert_eq!((values.len(), out.len()), (n, n), "lengths of an RMSNorm");
    rows_forward(values, weight, epsilon, out, reciprocals);
}

/// Replaces the gradient of `y` by that of `x`, and adds that of the scale to `d_weight`.
///
/// `dx = (g dy - x^ mean(g dy x^)) / sqrt(mean(x^2) + epsilon)`.
///
/// # Panics
/// If lengths do not fit together.
pub fn backward(
    gradient: &mut [f32],
    normalised: &[f32],
    reciprocals: &[f32],
    weight: &[f32],
    d_weight: &mut [f32],
) {
    let n = reciprocals.len() * weight.len();
    assert_eq!((gradient.len(), normalised.len()), (n, n), "lengths of an RMSNorm's gradient");
    assert_eq!(d_weight.len(), weight.len(), "length of an RMSNorm's scale");
    rows_backward(gradient, normalised, reciprocals, weight, d_weight);
}

dispatched! {
    fn rows_forward(
        values: &mut [f32],
        weight: &[f32],
        epsilon: f32,
        out: &mut [f32],
        reciprocals: &mut [f32],
    ) = forward_body
}
dispatched! {
    fn rows_backward(
        gradient: &mut [f32],
        normalised: &[f32],
        reciprocals: &[f32],
        weight: &[f32],
        d_weight: &mut [f32],
    ) = backward_body
}

#[inline(always)]
fn forward_body<V: Lanes>(
    values: &mut [f32],
    weight: &[f32],
    epsilon: f32,
    out: &mut [f32],
    reciprocals: &mut [f32],
) {
    // Widths that vectors do not divide do not occur in published models: they may be slow.
    if weight.len().is_multiple_of(V::WIDTH) {
        forward_rows::<V>(values, weight, epsilon, out, reciprocals);
    } else {
        forward_rows::<f32>(values, weight, epsilon, out, reciprocals);
    }
}

#[inline(always)]
fn forward_rows<V: Lanes>(
    values: &mut [f32],
    weight: &[f32],
    epsilon: f32,
    out: &mut [f32],
    reciprocals: &mut [f32],
) {
    let width = weight.len();
    let share = 1.0 / width as f32;
    for (row, reciprocal) in reciprocals.iter_mut().enumerate() {
        // SAFETY: `forward` checked that both slices hold `rows * width` values, and `WIDTH` divides `width`.
        unsafe {
            let x = values.as_mut_ptr().add(row * width);
            let y = out.as_mut_ptr().add(row * width);
            let mut squares = V::splat(0.0);
            for j in (0..width).step_by(V::WIDTH) {
                let x = V::load(x.add(j));
                squares = x.mul_add(x, squares);
            }
            *reciprocal = 1.0 / (squares.sum() * share + epsilon).sqrt();
            let factor = V::splat(*reciprocal);
            for j in (0..width).step_by(V::WIDTH) {
                let normalised = V::load(x.add(j)) * factor;
                normalised.store(x.add(j));
                (normalised * V::load(weight.as_ptr().add(j))).store(y.add(j));
            }
        }
    }
}

#[inline(always)]
fn backward_body<V: Lanes>(
    gradient: &mut [f32],
    normalised: &[f32],
    reciprocals: &[f32],
    weight: &[f32],
    d_weight: &mut [f32],
) {
    if weight.len().is_multiple_of(V::WIDTH) {
        backward_rows::<V>(gradient, normalised, reciprocals, weight, d_weight);
    } else {
        backward_rows::<f32>(gradient, normalised, reciprocals, weight, d_weight);
    }
}

#[inline(always)]
fn backward_rows<V: Lanes>(
    gradient: &mut [f32],
    normalised: &[f32],
    reciprocals: &[f32],
    weight: &[f32],
    d_weight: &mut [f32],
) {
    let width = weight.len();
    let share = 1.0 / width as f32;
    for (row, &reciprocal) in reciprocals.iter().enumerate() {
        // SAFETY: `backward` checked that all slices hold `rows * width` or `width` values, and `WIDTH` divides
        // `width`.
        unsafe {
            let dy = gradient.as_mut_ptr().add(row * width);
            let x = normalised.as_ptr().add(row * width);
            let mut inner = V::splat(0.0);
            for j in (0..width).step_by(V::WIDTH) {
                let (d, x) = (V::load(dy.add(j)), V::load(x.add(j)));
                let dw = d_weight.as_mut_ptr().add(j);
                d.mul_add(x, V::load(dw)).store(dw);
                inner = (d * V::load(weight.as_ptr().add(j))).mul_add(x, inner);
            }
            let (inner, factor) = (V::splat(inner.sum() * share), V::splat(reciprocal));
            for j in (0..width).step_by(V::WIDTH) {
                let scaled = V::load(dy.add(j)) * V::load(weight.as_ptr().add(j));
                ((scaled - V::load(x.add(j)) * inner) * factor).store(dy.add(j));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, differences, normals, wide};
    use proptest::prelude::*;

    const EPSILON: f64 = 1e-5;

    fn naive(x: &[f64], weight: &[f64]) -> Vec<f64> {
        let width = weight.len();
        let size = |row: &[f64]| (row.iter().map(|x| x * x).sum::<f64>() / width as f64 + EPSILON).sqrt();
        x.chunks_exact(width)
            .flat_map(|row| (0..width).map(move |j| weight[j] * row[j] / size(row)))
            .collect()
    }

    type Forward = fn(&mut [f32], &[f32], f32, &mut [f32], &mut [f32]);
    type Backward = fn(&mut [f32], &[f32], &[f32], &[f32], &mut [f32]);

    fn check(width: usize, height: usize, forward: Forward, backward: Backward) {
        let n = width * height;
        let (x, dy, weight) =
            (normals(1, "x", n, 1.0), normals(1, "dy", n, 1.0), normals(1, "w", width, 1.0));
        let (wide_x, wide_weight) = (wide(&x), wide(&weight));
        let (mut values, mut y, mut reciprocals) = (x, vec![f32::NAN; n], vec![f32::NAN; height]);
        forward(&mut values, &weight, EPSILON as f32, &mut y, &mut reciprocals);
        assert_close(&y, &naive(&wide_x, &wide_weight), 1e-6);

        let (mut dx, mut d_weight) = (dy.clone(), vec![0.0; width]);
        backward(&mut dx, &values, &reciprocals, &weight, &mut d_weight);
        let loss = |x: &[f64], weight: &[f64]| -> f64 {
            naive(x, weight).iter().zip(&dy).map(|(y, &d)| y * f64::from(d)).sum()
        };
        // Of what is subtracted: in one or two columns next to nothing may be left.
        let truth = differences(&wide_x, |x| loss(x, &wide_weight));
        for (row, (dx, truth)) in dx.chunks_exact(width).zip(truth.chunks_exact(width)).enumerate() {
            let size: f64 =
                (0..width).map(|j| f64::from(dy[row * width + j] * weight[j]).abs()).fold(1e-30, f64::max)
                    * f64::from(reciprocals[row]);
            for (a, b) in dx.iter().zip(truth) {
                assert!((f64::from(*a) - b).abs() <= 3e-6 * size, "{a} is not {b}, of {size}");
            }
        }
        assert_close(&d_weight, &differences(&wide_weight, |weight| loss(&wide_x, weight)), 2e-6);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_shape(width in 1_usize..40, height in 1_usize..5) {
            check(width, height, forward, backward);
            check(width, height, forward_body::<f32>, backward_body::<f32>);
        }
    }

    #[test]
    fn a_row_of_zeros_stays_finite() {
        let (mut x, mut y, mut reciprocals) = ([0.0; 8], [1.0; 8], [0.0]);
        forward(&mut x, &[2.0; 8], 1e-6, &mut y, &mut reciprocals);
        assert_eq!(y, [0.0; 8]);
    }
}
