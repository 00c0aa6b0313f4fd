//! Maps and norms in the flat buffer.

use std::ops::Range;

use kernels::layer_norm::{self, Addends, Affine};
use kernels::matmul::{Into, Precision};
use kernels::{conv1d, linear, rms_norm, rows};
use weights::Layout;

/// A linear or affine map.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    weight: Range<usize>,
    /// Empty where there is none.
    bias: Range<usize>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Whether the weight is `[in, out]`.
    is_transposed: bool,
    pub(crate) precision: Precision,
}

impl Map {
    /// Appends the maps of these names and numbers of outputs, which lie one after the other and are one map in memory.
    pub(crate) fn push(
        layout: &mut Layout,
        names: &[(String, usize)],
        inputs: usize,
        has_biases: bool,
        is_transposed: bool,
    ) -> Self {
        assert!(names.len() == 1 || !is_transposed, "columns of different maps would not lie side by side");
        let mut join = |places: Range<usize>, place: Range<usize>| match places.is_empty() {
            true => place,
            false => places.start..place.end,
        };
        let shape = |outputs| if is_transposed { [inputs, outputs] } else { [outputs, inputs] };
        let weights = names.iter().map(|(name, n)| layout.push(format!("{name}.weight"), &shape(*n)));
        let weight = weights.fold(0..0, &mut join);
        let biases = names.iter().filter(|_| has_biases);
        let bias = biases.map(|(name, n)| layout.push(format!("{name}.bias"), &[*n])).fold(0..0, &mut join);
        let outputs = names.iter().map(|(_, outputs)| outputs).sum();
        Self { weight, bias, inputs, outputs, is_transposed, precision: Precision::F32 }
    }

    /// A matrix `[outputs, inputs]` that lies there already.
    pub(crate) fn at(weight: Range<usize>, outputs: usize, inputs: usize) -> Self {
        Self { weight, bias: 0..0, inputs, outputs, is_transposed: false, precision: Precision::F32 }
    }

    /// The product, without the bias.
    pub(crate) fn product(&self, values: &[f32], x: &[f32], y: &mut [f32]) {
        let forward = if self.is_transposed { conv1d::forward } else { linear::forward };
        forward(y, x, &values[self.weight.clone()], self.inputs, self.precision);
    }

    pub(crate) fn forward(&self, values: &[f32], x: &[f32], y: &mut [f32]) {
        self.product(values, x, y);
        if !self.bias.is_empty() {
            rows::add_to_each(y, self.bias(values));
        }
    }

    /// Its bias, or the gradient of that.
    pub(crate) fn bias<'a>(&self, values: &'a [f32]) -> &'a [f32] {
        &values[self.bias.clone()]
    }

    pub(crate) fn bias_mut<'a>(&self, gradient: &'a mut [f32]) -> &'a mut [f32] {
        &mut gradient[self.bias.clone()]
    }

    /// Writes the gradient of `x` to `dx`, and adds that of the weight.
    pub(crate) fn product_backward(
        &self,
        values: &[f32],
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        gradient: &mut [f32],
    ) {
        let (input_gradient, weight_gradient) = match self.is_transposed {
            true => (
                conv1d::input_gradient as fn(&mut _, &_, &_, _, _, _),
                conv1d::weight_gradient as fn(&mut _, &_, &_, _, _),
            ),
            false => (linear::input_gradient as _, linear::weight_gradient as _),
        };
        weight_gradient(&mut gradient[self.weight.clone()], dy, x, self.inputs, self.precision);
        input_gradient(dx, dy, &values[self.weight.clone()], self.inputs, self.precision, Into::Overwrite);
    }

    /// As [`Map::product_backward`], and adds the gradient of the bias.
    pub(crate) fn backward(
        &self,
        values: &[f32],
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        gradient: &mut [f32],
    ) {
        self.product_backward(values, x, dy, dx, gradient);
        if !self.bias.is_empty() {
            linear::bias_gradient(self.bias_mut(gradient), dy);
        }
    }
}

/// A LayerNorm, or an RMSNorm if it has no shift.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    /// The scale, and the shift behind it.
    both: Range<usize>,
    pub(crate) width: usize,
    epsilon: f32,
}

impl Norm {
    pub(crate) fn push(layout: &mut Layout, name: &str, width: usize, has_shift: bool, epsilon: f64) -> Self {
        let weight = layout.push(format!("{name}.weight"), &[width]);
        let end = if has_shift { layout.push(format!("{name}.bias"), &[width]).end } else { weight.end };
        Self { both: weight.start..end, width, epsilon: epsilon as f32 }
    }

    /// Replaces `x` by its normalised values, and writes the scaled and shifted ones to `out`.
    pub(crate) fn forward(&self, values: &[f32], x: &mut [f32], out: &mut [f32], reciprocals: &mut [f32]) {
        let (weight, bias) = values[self.both.clone()].split_at(self.width);
        if bias.is_empty() {
            rms_norm::forward(x, weight, self.epsilon, out, reciprocals);
        } else {
            let affine = Affine { weight, bias, epsilon: self.epsilon };
            layer_norm::forward(x, Addends::default(), affine, out, reciprocals);
        }
    }

    /// Replaces the gradient of the output by that of the input, and adds those of the parameters.
    pub(crate) fn backward(
        &self,
        values: &[f32],
        d: &mut [f32],
        normalised: &[f32],
        reciprocals: &[f32],
        gradient: &mut [f32],
    ) {
        let weight = &values[self.both.clone()][..self.width];
        let (d_weight, d_bias) = gradient[self.both.clone()].split_at_mut(self.width);
        if d_bias.is_empty() {
            rms_norm::backward(d, normalised, reciprocals, weight, d_weight);
        } else {
            layer_norm::backward(d, normalised, reciprocals, weight, d_weight, d_bias);
        }
    }
}
