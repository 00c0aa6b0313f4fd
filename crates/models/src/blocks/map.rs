//! Linear and affine maps in the flat buffer.

use std::ops::Range;

use kernels::matmul::{Into, Precision};
use kernels::{conv1d, linear, rows};
use weights::Layout;

/// `y = x W^T + b`, or without `b`.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    weight: Range<usize>,
    /// Empty where there is none.
    bias: Range<usize>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Whether the weight is stored `[in, out]`.
    is_transposed: bool,
    pub(crate) precision: Precision,
}

/// How the maps of a family are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) has_bias: bool,
    /// Whether weights are stored `[in, out]`, and not `[out, in]`.
    pub(crate) is_transposed: bool,
}

impl Form {
    pub(crate) const LINEAR: Self = Self { has_bias: false, is_transposed: false };
    pub(crate) const AFFINE: Self = Self { has_bias: true, is_transposed: false };
}

impl Map {
    /// Appends the map of this name to the layout.
    pub(crate) fn push(layout: &mut Layout, name: &str, outputs: usize, inputs: usize, form: Form) -> Self {
        Self::push_joined(layout, &[(name.to_owned(), outputs)], inputs, form)
    }

    /// Appends the maps of these names and numbers of outputs, which lie one after the other and are one map in memory: first
    /// all weights, then all biases.
    pub(crate) fn push_joined(
        layout: &mut Layout,
        maps: &[(String, usize)],
        inputs: usize,
        form: Form,
    ) -> Self {
        let Form { has_bias, is_transposed } = form;
        assert!(maps.len() == 1 || !is_transposed, "columns of different maps would not lie side by side");
        let mut join = |places: Range<usize>, place: Range<usize>| match places.is_empty() {
            true => place,
            false => places.start..place.end,
        };
        let shape = |outputs| if is_transposed { [inputs, outputs] } else { [outputs, inputs] };
        let weights = maps.iter().map(|(name, n)| layout.push(format!("{name}.weight"), &shape(*n)));
        let weight = weights.fold(0..0, &mut join);
        let biases = maps.iter().filter(|_| has_bias);
        let bias = biases.map(|(name, n)| layout.push(format!("{name}.bias"), &[*n])).fold(0..0, &mut join);
        let outputs = maps.iter().map(|(_, outputs)| outputs).sum();
        Self { weight, bias, inputs, outputs, is_transposed, precision: Precision::F32 }
    }

    /// A matrix `[outputs, inputs]` that lies there already, and a bias, or an empty range.
    pub(crate) fn tied(weight: Range<usize>, bias: Range<usize>, inputs: usize) -> Self {
        let outputs = weight.len() / inputs;
        Self { weight, bias, inputs, outputs, is_transposed: false, precision: Precision::F32 }
    }

    /// The map to the first outputs, and that to the others.
    pub(crate) fn split(&self, first: usize) -> [Self; 2] {
        assert!(!self.is_transposed, "outputs of a transposed map do not lie one after the other");
        let cut = |range: &Range<usize>, at: usize| match range.is_empty() {
            true => [0..0, 0..0],
            false => [range.start..range.start + at, range.start + at..range.end],
        };
        let [weight, other_weight] = cut(&self.weight, first * self.inputs);
        let [bias, other_bias] = cut(&self.bias, first);
        let outputs = self.outputs - first;
        [
            Self { weight, bias, outputs: first, ..self.clone() },
            Self { weight: other_weight, bias: other_bias, outputs, ..self.clone() },
        ]
    }

    /// Writes the product without the bias to `y`: `[n, inputs]` to `[n, outputs]`.
    pub(crate) fn product(&self, values: &[f32], x: &[f32], y: &mut [f32]) {
        let forward = if self.is_transposed { conv1d::forward } else { linear::forward };
        forward(y, x, &values[self.weight.clone()], self.inputs, self.precision);
    }

    /// Writes product and bias to `y`: `[n, inputs]` to `[n, outputs]`.
    pub(crate) fn forward(&self, values: &[f32], x: &[f32], y: &mut [f32]) {
        self.product(values, x, y);
        if self.has_bias() {
            rows::add_to_each(y, self.bias(values));
        }
    }

    pub(crate) fn has_bias(&self) -> bool {
        !self.bias.is_empty()
    }

    /// Its bias, empty where there is none.
    pub(crate) fn bias<'a>(&self, values: &'a [f32]) -> &'a [f32] {
        &values[self.bias.clone()]
    }

    /// The gradient of its bias.
    pub(crate) fn bias_mut<'a>(&self, gradient: &'a mut [f32]) -> &'a mut [f32] {
        &mut gradient[self.bias.clone()]
    }

    /// Adds the gradient of the weight.
    pub(crate) fn weight_backward(&self, x: &[f32], dy: &[f32], gradient: &mut [f32]) {
        let backward = if self.is_transposed { conv1d::weight_gradient } else { linear::weight_gradient };
        backward(&mut gradient[self.weight.clone()], dy, x, self.inputs, self.precision);
    }

    /// Adds the gradient of the bias, if there is one.
    pub(crate) fn bias_backward(&self, dy: &[f32], gradient: &mut [f32]) {
        if self.has_bias() {
            linear::bias_gradient(self.bias_mut(gradient), dy);
        }
    }

    /// Writes the gradient of `x` to `dx`, or adds it, and adds that of the weight.
    pub(crate) fn product_backward(
        &self,
        values: &[f32],
        x: &[f32],
        dy: &[f32],
        (dx, into): (&mut [f32], Into),
        gradient: &mut [f32],
    ) {
        self.weight_backward(x, dy, gradient);
        let backward = if self.is_transposed { conv1d::input_gradient } else { linear::input_gradient };
        backward(dx, dy, &values[self.weight.clone()], self.inputs, self.precision, into);
    }

    /// As [`Map::product_backward`], and adds the gradient of the bias.
    pub(crate) fn backward(
        &self,
        values: &[f32],
        x: &[f32],
        dy: &[f32],
        dx: (&mut [f32], Into),
        gradient: &mut [f32],
    ) {
        self.product_backward(values, x, dy, dx, gradient);
        self.bias_backward(dy, gradient);
    }
}
