//! Residual and LayerNorm (Ba, Kiros and Hinton 2016), fused:
//! `y = g x^ + c` with `x^ = (s - mean(s)) / sqrt(var(s) + epsilon)` and `s = branch + bias + residual`.

use crate::lanes::{Lanes, dispatched};

/// What is added to a branch before it is normalised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addends<'a> {
    /// One value per column: the bias of the product that made the branch.
    pub bias: Option<&'a [f32]>,
    /// One value per entry: the residual stream.
    pub residual: Option<&'a [f32]>,
}

/// Scale and shift of the normalised values, and the constant under the root.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Scale per column.
    pub weight: &'a [f32],
    /// Shift per column.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// Replaces `branch` by its normalised values, writes the scaled and shifted ones to `out` and one reciprocal
/// standard deviation per row to `reciprocals`.
///
/// # Panics
/// If lengths do not fit together.
pub fn forward(
    branch: &mut [f32],
    addends: Addends<'_>,
    affine: Affine<'_>,
    out: &mut [f32],
    reciprocals: &mut [f32],
) {
    let width = affine.weight.len();
    let n = reciprocals.len() * width;
    assert_eq!((branch.len(), out.len(), affine.bias.len()), (n, n, width), "lengths of a LayerNorm");
    assert!(addends.bias.is_none_or(|bias| bias.len() == width), "length of the branch's bias");
    assert!(addends.residual.is_none_or(|residual| residual.len() == n), "length of the residual");
    rows_forward(branch, addends, affine, out, reciprocals);
}

/// Replaces the gradient of `y` by that of `s`, and adds those of scale and shift to `d_weight` and `d_bias`.
///
/// `ds = (g dy - mean(g dy) - x^ mean(g dy x^)) / sqrt(var + epsilon)`.
///
/// # Panics
/// If lengths do not fit together.
pub fn backward(
    gradient: &mut [f32],
    normalised: &[f32],
    reciprocals: &[f32],
    weight: &[f32],
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    let width = weight.len();
    let n = reciprocals.len() * width;
    assert_eq!((gradient.len(), normalised.len()), (n, n), "lengths of a LayerNorm's gradient");
    assert_eq!((d_weight.len(), d_bias.len()), (width, width), "lengths of a LayerNorm's parameters");
    rows_backward(gradient, normalised, reciprocals, weight, d_weight, d_bias);
}

dispatched! {
    fn rows_forward(
        branch: &mut [f32],
        addends: Addends<'_>,
        affine: Affine<'_>,
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
        d_bias: &mut [f32],
    ) = backward_body
}

#[inline(always)]
fn forward_body<V: Lanes>(
    branch: &mut [f32],
    addends: Addends<'_>,
    affine: Affine<'_>,
    out: &mut [f32],
    reciprocals: &mut [f32],
) {
    // Widths that vectors do not divide do not occur in published models: they may be slow.
    if affine.weight.len().is_multiple_of(V::WIDTH) {
        forward_rows::<V>(branch, addends, affine, out, reciprocals);
    } else {
        forward_rows::<f32>(branch, addends, affine, out, reciprocals);
    }
}

#[inline(always)]
fn forward_rows<V: Lanes>(
    branch: &mut [f32],
    addends: Addends<'_>,
    affine: Affine<'_>,
    out: &mut [f32],
    reciprocals: &mut [f32],
) {
    let width = affine.weight.len();
    let share = 1.0 / width as f32;
    for (row, reciprocal) in reciprocals.iter_mut().enumerate() {
        let at = row * width;
        // SAFETY: `forward` checked that all slices hold `rows * width` or `width` values, and `WIDTH` divides
        // `width`.
        unsafe {
            let x = branch.as_mut_ptr().add(at);
            let mut sum = V::splat(0.0);
            for j in (0..width).step_by(V::WIDTH) {
                let mut s = V::load(x.add(j));
                if let Some(bias) = addends.bias {
                    s = s + V::load(bias.as_ptr().add(j));
                }
                if let Some(residual) = addends.residual {
                    s = s + V::load(residual.as_ptr().add(at + j));
                }
                s.store(x.add(j));
                sum = sum + s;
            }
            let mean = V::splat(sum.sum() * share);
            let mut squares = V::splat(0.0);
            for j in (0..width).step_by(V::WIDTH) {
                let centred = V::load(x.add(j)) - mean;
                squares = centred.mul_add(centred, squares);
            }
            *reciprocal = 1.0 / (squares.sum() * share + affine.epsilon).sqrt();
            let factor = V::splat(*reciprocal);
            for j in (0..width).step_by(V::WIDTH) {
                let normalised = (V::load(x.add(j)) - mean) * factor;
                normalised.store(x.add(j));
                let weight = V::load(affine.weight.as_ptr().add(j));
                let bias = V::load(affine.bias.as_ptr().add(j));
                normalised.mul_add(weight, bias).store(out.as_mut_ptr().add(at + j));
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
    d_bias: &mut [f32],
) {
    if weight.len().is_multiple_of(V::WIDTH) {
        backward_rows::<V>(gradient, normalised, reciprocals, weight, d_weight, d_bias);
    } else {
        backward_rows::<f32>(gradient, normalised, reciprocals, weight, d_weight, d_bias);
    }
}

#[inline(always)]
fn backward_rows<V: Lanes>(
    gradient: &mut [f32],
    normalised: &[f32],
    reciprocals: &[f32],
    weight: &[f32],
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    let width = weight.len();
    let share = 1.0 / width as f32;
    for (row, &reciprocal) in reciprocals.iter().enumerate() {
        // SAFETY: `backward` checked that all slices hold `rows * width` or `width` values, and `WIDTH` divides
        // `width`.
        unsafe {
            let dy = gradient.as_mut_ptr().add(row * width);
            let x = normalised.as_ptr().add(row * width);
            let (mut sum, mut inner) = (V::splat(0.0), V::splat(0.0));
            for j in (0..width).step_by(V::WIDTH) {
                let (d, x) = (V::load(dy.add(j)), V::load(x.add(j)));
                let (dw, db) = (d_weight.as_mut_ptr().add(j), d_bias.as_mut_ptr().add(j));
                d.mul_add(x, V::load(dw)).store(dw);
                (V::load(db) + d).store(db);
                let scaled = d * V::load(weight.as_ptr().add(j));
                sum = sum + scaled;
                inner = scaled.mul_add(x, inner);
            }
            let mean = V::splat(sum.sum() * share);
            let inner = V::splat(inner.sum() * share);
            let factor = V::splat(reciprocal);
            for j in (0..width).step_by(V::WIDTH) {
                let scaled = V::load(dy.add(j)) * V::load(weight.as_ptr().add(j));
                let d = (scaled - mean) - V::load(x.add(j)) * inner;
                (d * factor).store(dy.add(j));
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

    fn naive(s: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let width = weight.len();
        let mut out = Vec::new();
        for row in s.chunks_exact(width) {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            out.extend(
                (0..width).map(|j| weight[j] * (row[j] - mean) / (variance + EPSILON).sqrt() + bias[j]),
            );
        }
        out
    }

    type Forward = fn(&mut [f32], Addends<'_>, Affine<'_>, &mut [f32], &mut [f32]);
    type Backward = fn(&mut [f32], &[f32], &[f32], &[f32], &mut [f32], &mut [f32]);

    fn check(width: usize, height: usize, forward: Forward, backward: Backward) {
        let n = width * height;
        let draw = |purpose, n| normals(1, purpose, n, 1.0);
        let (branch, residual, dy) = (draw("branch", n), draw("residual", n), draw("dy", n));
        let (bias, weight, shift) = (draw("bias", width), draw("weight", width), draw("shift", width));
        let sums: Vec<f64> = (0..n)
            .map(|i| f64::from(branch[i]) + f64::from(bias[i % width]) + f64::from(residual[i]))
            .collect();
        let (wide_weight, wide_shift) = (wide(&weight), wide(&shift));

        let (mut x, mut y, mut reciprocals) = (branch, vec![0.0; n], vec![0.0; height]);
        let addends = Addends { bias: Some(&bias), residual: Some(&residual) };
        let affine = Affine { weight: &weight, bias: &shift, epsilon: EPSILON as f32 };
        forward(&mut x, addends, affine, &mut y, &mut reciprocals);
        // Relative 3e-5: with two columns and near-equal values, the variance loses digits.
        assert_close(&y, &naive(&sums, &wide_weight, &wide_shift), 3e-5);

        let (mut ds, mut d_weight, mut d_bias) = (dy.clone(), vec![0.0; width], vec![0.0; width]);
        backward(&mut ds, &x, &reciprocals, &weight, &mut d_weight, &mut d_bias);
        let loss = |s: &[f64], weight: &[f64], bias: &[f64]| -> f64 {
            naive(s, weight, bias).iter().zip(&dy).map(|(y, &d)| y * f64::from(d)).sum()
        };
        let truth = differences(&sums, |s| loss(s, &wide_weight, &wide_shift));
        assert_close(&ds, &truth, 2e-4);
        assert_close(&d_weight, &differences(&wide_weight, |w| loss(&sums, w, &wide_shift)), 1e-4);
        assert_close(&d_bias, &differences(&wide_shift, |b| loss(&sums, &wide_weight, b)), 1e-5);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_shape(width in 3_usize..40, height in 1_usize..5) {
            check(width, height, forward, backward);
            check(width, height, forward_body::<f32>, backward_body::<f32>);
        }
    }

    #[test]
    fn a_constant_row_stays_finite() {
        let (mut x, mut y, mut reciprocals) = ([3.0; 8], [0.0; 8], [0.0]);
        let affine = Affine { weight: &[1.0; 8], bias: &[0.5; 8], epsilon: 1e-12 };
        forward(&mut x, Addends::default(), affine, &mut y, &mut reciprocals);
        assert_eq!(y, [0.5; 8]);
    }
}
