//! Gated linear units (Shazeer 2020): `f(g) u` for rows of gates and values side by side.

use crate::elementary::exp;
use crate::gelu_new;
use crate::lanes::{Lanes, dispatched};

/// What becomes of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// SwiGLU: `f(g) = g s` with `s = 1 / (1 + exp(-g))`.
    Silu,
    /// GEGLU with GELU in the tanh approximation of [`crate::gelu_new`], as T5 1.1 has it.
    GeluNew,
}

impl Gate {
    #[inline(always)]
    fn value_and_derivative<V: Lanes>(self, g: V) -> (V, V) {
        match self {
            Self::Silu => {
                let one = V::splat(1.0);
                let s = one / (one + exp(-g));
                let silu = g * s;
                (silu, silu.mul_add(one - s, s))
            }
            Self::GeluNew => gelu_new::value_and_derivative(g),
        }
    }
}

/// Writes `f(g) u` to `out`, `[rows, width]`, given `packed` rows `[g, u]`, `[rows, 2 width]`.
///
/// # Panics
/// If `out` is not half as long as `packed`.
pub fn forward(kind: Gate, packed: &[f32], out: &mut [f32], width: usize) {
    assert_eq!(packed.len(), 2 * out.len(), "lengths of a gated unit's input and output");
    for (row, out) in packed.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
        let (gate, value) = row.split_at(width);
        row_forward(kind, gate, value, out);
    }
}

/// Writes the gradient of `packed` to `d_packed`, given that of the output: `dg = dy u f'(g)` and `du = dy f(g)`.
///
/// # Panics
/// If lengths do not fit together.
pub fn backward(kind: Gate, packed: &[f32], gradient: &[f32], d_packed: &mut [f32], width: usize) {
    assert_eq!(
        (packed.len(), d_packed.len()),
        (2 * gradient.len(), packed.len()),
        "lengths of a gated unit's gradients"
    );
    let rows = packed.chunks_exact(2 * width).zip(d_packed.chunks_exact_mut(2 * width));
    for ((row, d_row), gradient) in rows.zip(gradient.chunks_exact(width)) {
        let ((gate, value), (d_gate, d_value)) = (row.split_at(width), d_row.split_at_mut(width));
        row_backward(kind, gate, value, gradient, d_gate, d_value);
    }
}

dispatched! { fn row_forward(kind: Gate, gate: &[f32], value: &[f32], out: &mut [f32]) = row_forward_body }
dispatched! {
    fn row_backward(kind: Gate, gate: &[f32], value: &[f32], gradient: &[f32], d_gate: &mut [f32], d_value: &mut [f32]) =
        row_backward_body
}

#[inline(always)]
fn row_forward_body<V: Lanes>(kind: Gate, gate: &[f32], value: &[f32], out: &mut [f32]) {
    let vectors = out.len() / V::WIDTH * V::WIDTH;
    for j in (0..vectors).step_by(V::WIDTH) {
        // SAFETY: the three slices are equally long, and `j + WIDTH` is not beyond them.
        unsafe {
            let gated = kind.value_and_derivative(V::load(gate.as_ptr().add(j))).0;
            (gated * V::load(value.as_ptr().add(j))).store(out.as_mut_ptr().add(j));
        }
    }
    for j in vectors..out.len() {
        out[j] = kind.value_and_derivative(gate[j]).0 * value[j];
    }
}

#[inline(always)]
fn row_backward_body<V: Lanes>(
    kind: Gate,
    gate: &[f32],
    value: &[f32],
    gradient: &[f32],
    d_gate: &mut [f32],
    d_value: &mut [f32],
) {
    let both = |g: V, u: V, dy: V| {
        let (gated, slope) = kind.value_and_derivative(g);
        (dy * u * slope, dy * gated)
    };
    let vectors = gradient.len() / V::WIDTH * V::WIDTH;
    for j in (0..vectors).step_by(V::WIDTH) {
        // SAFETY: the five slices are equally long, and `j + WIDTH` is not beyond them.
        unsafe {
            let (g, u) = (V::load(gate.as_ptr().add(j)), V::load(value.as_ptr().add(j)));
            let (dg, du) = both(g, u, V::load(gradient.as_ptr().add(j)));
            dg.store(d_gate.as_mut_ptr().add(j));
            du.store(d_value.as_mut_ptr().add(j));
        }
    }
    for j in vectors..gradient.len() {
        let (gated, slope) = kind.value_and_derivative(gate[j]);
        (d_gate[j], d_value[j]) = (gradient[j] * value[j] * slope, gradient[j] * gated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, differences, normals, wide};
    use proptest::prelude::*;

    fn naive(kind: Gate, packed: &[f64], width: usize) -> Vec<f64> {
        let gated = move |x: f64| match kind {
            Gate::Silu => x / (1.0 + (-x).exp()),
            Gate::GeluNew => {
                let slope = -2.0 * (2.0 / std::f64::consts::PI).sqrt();
                x / (1.0 + (slope * (x + 0.044_715 * x.powi(3))).exp())
            }
        };
        let rows = packed.chunks_exact(2 * width);
        rows.flat_map(|row| (0..width).map(move |j| gated(row[j]) * row[width + j])).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn value_and_derivative(width in 1_usize..40, height in 1_usize..4, scale in 0.01_f64..4.0) {
            for (kind, bound) in [(Gate::Silu, 5e-7), (Gate::GeluNew, 1e-6)] {
                let packed = normals(0, "packed", 2 * width * height, scale);
                let dy = normals(0, "dy", width * height, 1.0);
                let mut out = vec![f32::NAN; dy.len()];
                forward(kind, &packed, &mut out, width);
                assert_close(&out, &naive(kind, &wide(&packed), width), bound);
                let mut d_packed = vec![f32::NAN; packed.len()];
                backward(kind, &packed, &dy, &mut d_packed, width);
                let loss = |packed: &[f64]| -> f64 {
                    naive(kind, packed, width).iter().zip(&dy).map(|(y, &d)| y * f64::from(d)).sum()
                };
                assert_close(&d_packed, &differences(&wide(&packed), loss), 2.0 * bound);

                let (mut plain, mut d_plain) = (vec![0.0; width], vec![0.0; 2 * width]);
                let (gate, value) = packed[..2 * width].split_at(width);
                row_forward_body::<f32>(kind, gate, value, &mut plain);
                assert_close(&plain, &wide(&out[..width]), 1e-6);
                let (d_gate, d_value) = d_plain.split_at_mut(width);
                row_backward_body::<f32>(kind, gate, value, &dy[..width], d_gate, d_value);
                assert_close(&d_plain, &wide(&d_packed[..2 * width]), 1e-6);
            }
        }
    }

    #[test]
    fn large_gates_pass_or_block() {
        for kind in [Gate::Silu, Gate::GeluNew] {
            let mut out = [f32::NAN; 4];
            forward(kind, &[200.0, -200.0, 90.0, f32::NAN, 2.0, 2.0, 2.0, 2.0], &mut out, 4);
            assert!(out[0] == 400.0 && out[1].abs() < 1e-30 && out[2] == 180.0 && out[3].is_nan(), "{out:?}");
        }
    }
}
