//! Norms in the flat buffer.

use std::ops::Range;

use kernels::layer_norm::{self, Addends, Affine};
use kernels::{rms_norm, rows};
use weights::Layout;

use super::Buffer;

/// A LayerNorm (Ba et al. 2016), or an RMSNorm (Zhang and Sennrich 2019) if it has no shift.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    /// The scale, and the shift behind it.
    both: Range<usize>,
    pub(crate) width: usize,
    epsilon: f32,
}

/// Normalised values and reciprocal deviations, or reciprocal root mean squares.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What is to be normalised, and then the normalised values: `[n, width]`.
    pub(crate) normalised: Buffer,
    reciprocals: Buffer,
}

impl Norm {
    /// Appends the norm of this name to the layout.
    pub(crate) fn push(layout: &mut Layout, name: &str, width: usize, has_shift: bool, epsilon: f64) -> Self {
        let weight = layout.push(format!("{name}.weight"), &[width]);
        let end = if has_shift { layout.push(format!("{name}.bias"), &[width]).end } else { weight.end };
        Self { both: weight.start..end, width, epsilon: epsilon as f32 }
    }

    /// Writes the norm of `x` to `out`: `[n, width]` both.
    pub(crate) fn forward(&self, values: &[f32], x: &[f32], kept: &mut Kept, out: &mut [f32]) {
        kept.normalised.room(x.len() / self.width, self.width).copy_from_slice(x);
        self.forward_kept(values, kept, out);
    }

    /// Writes the norm of what lies in `kept.normalised` to `out`.
    pub(crate) fn forward_kept(&self, values: &[f32], kept: &mut Kept, out: &mut [f32]) {
        self.forward_sum(values, Addends::default(), kept, out);
    }

    /// Writes the norm of the sum of what lies in `kept.normalised` and of `addends` to `out`.
    pub(crate) fn forward_sum(&self, values: &[f32], addends: Addends<'_>, kept: &mut Kept, out: &mut [f32]) {
        let Kept { normalised, reciprocals } = kept;
        let reciprocals = reciprocals.room(normalised.rows(), 1);
        let x = normalised.get_mut();
        let (weight, bias) = values[self.both.clone()].split_at(self.width);
        if bias.is_empty() {
            if let Some(bias) = addends.bias {
                rows::add_to_each(x, bias);
            }
            if let Some(residual) = addends.residual {
                rows::add(x, residual);
            }
            rms_norm::forward(x, weight, self.epsilon, out, reciprocals);
        } else {
            let affine = Affine { weight, bias, epsilon: self.epsilon };
            layer_norm::forward(x, addends, affine, out, reciprocals);
        }
    }

    /// Replaces the gradient of the output by that of the input, and adds those of the parameters.
    pub(crate) fn backward(&self, values: &[f32], d: &mut [f32], kept: &Kept, gradient: &mut [f32]) {
        let Kept { normalised, reciprocals } = kept;
        let (normalised, reciprocals) = (normalised.get(), reciprocals.get());
        let weight = &values[self.both.clone()][..self.width];
        let (d_weight, d_bias) = gradient[self.both.clone()].split_at_mut(self.width);
        if d_bias.is_empty() {
            rms_norm::backward(d, normalised, reciprocals, weight, d_weight);
        } else {
            layer_norm::backward(d, normalised, reciprocals, weight, d_weight, d_bias);
        }
    }
}
