//! Feed-forward blocks up to their last map, which is the residual's.

use kernels::glu::{self, Gate};
use kernels::{gelu, gelu_new, relu};

use super::{Backward, Buffer, Gradients, Map, Mode, Pass, Residual, Site};

/// What happens between the two maps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activation {
    Relu,
    /// With erf.
    Gelu,
    /// Its tanh approximation.
    GeluNew,
    /// A gate of one half of the first map's outputs times the other half (Shazeer 2020).
    Gated(Gate),
}

/// A map and an activation: `[n, H]` to `[n, width]`.
#[derive(Clone, Debug)]
pub(crate) struct FeedForward {
    /// To the activation's inputs: `width` of them, or twice as many where it is gated.
    pub(crate) inner: Map,
    pub(crate) width: usize,
    pub(crate) activation: Activation,
    /// Behind the activation.
    pub(crate) drop: Site,
}

/// What the backward pass needs.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Derivative of GELU, or gates and values.
    inner: Buffer,
    /// `[n, width]`
    pub(crate) activated: Buffer,
}

impl FeedForward {
    /// Leaves the activated units in `kept.activated`. `rows` are those of `x` in the dropout field where it was narrowed.
    pub(crate) fn forward(&self, pass: Pass<'_>, x: &Buffer, rows: Option<&[u32]>, kept: &mut Kept) {
        let (map, f, n) = (&self.inner, self.width, x.rows());
        let (values, x) = (pass.values, x.get());
        let Kept { inner, activated } = kept;
        let activated = activated.room(n, f);
        // GELU adds the bias itself.
        match (self.activation, pass.mode) {
            (Activation::Relu, _) => {
                map.forward(values, x, activated);
                relu::rectify(activated);
            }
            (Activation::Gated(gate), _) => {
                let inner = inner.room(n, map.outputs);
                map.forward(values, x, inner);
                glu::forward(gate, inner, activated, f);
            }
            (Activation::Gelu, Mode::Evaluation) => {
                map.product(values, x, activated);
                gelu::forward(activated, map.bias(values));
            }
            (Activation::GeluNew, Mode::Evaluation) => {
                map.product(values, x, activated);
                gelu_new::forward(activated, map.bias(values));
            }
            (Activation::Gelu, Mode::Training) => {
                let inner = inner.room(n, f);
                map.product(values, x, inner);
                gelu::forward_and_derivative(inner, map.bias(values), activated);
            }
            (Activation::GeluNew, Mode::Training) => {
                let inner = inner.room(n, f);
                map.product(values, x, inner);
                gelu_new::forward_and_derivative(inner, map.bias(values), activated);
            }
        }
        if let Some(mask) = self.drop.mask(pass.dropout, rows) {
            mask.apply(activated, f);
        }
    }

    /// Given the gradient of the activated units in `flow.inner`, leaves that of `x` where `residual` wants it.
    pub(crate) fn backward(
        &self,
        pass: Pass<'_>,
        x: &Buffer,
        rows: Option<&[u32]>,
        kept: &Kept,
        residual: &Residual,
        back: &mut Backward<'_>,
    ) {
        let (map, n) = (&self.inner, x.rows());
        let Gradients { stream, input, inner, wide, .. } = &mut *back.flow;
        let d = inner.get_mut();
        if let Some(mask) = self.drop.mask(pass.dropout, rows) {
            mask.apply(d, self.width);
        }
        let d_inner = match self.activation {
            // What was dropped is 0 as well, and its gradient already is.
            Activation::Relu => {
                relu::rectify_backward(d, kept.activated.get());
                map.bias_backward(d, back.gradient);
                d
            }
            Activation::Gated(gate) => {
                let d_inner = wide.room(n, map.outputs);
                glu::backward(gate, kept.inner.get(), d, d_inner, self.width);
                map.bias_backward(d_inner, back.gradient);
                d_inner
            }
            Activation::Gelu | Activation::GeluNew => {
                gelu::backward(d, kept.inner.get(), map.bias_mut(back.gradient));
                d
            }
        };
        let (d_x, into) = residual.of_input(n, stream, input);
        map.product_backward(pass.values, x.get(), d_inner, (d_x.get_mut(), into), back.gradient);
    }
}
