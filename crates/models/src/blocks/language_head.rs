//! Logits and losses of words, a part of the rows at a time: those of all rows would not fit into memory.

use kernels::matmul::Into;
use kernels::{cross_entropy, gelu};

use super::{Aim, Backward, Buffer, Gradients, Map, Norm, Pass, norm};
use crate::Tally;

/// Logits that are in memory at once, in values: 4 MiB.
const LOGITS: usize = 1 << 20;

/// A map from states to the logits of words.
#[derive(Clone, Debug)]
pub(crate) struct LanguageHead {
    /// Before the decoder: a map, GELU, and a norm (BERT).
    pub(crate) transform: Option<(Map, Norm)>,
    /// Factor of the states (T5).
    pub(crate) scale: f32,
    /// `[n, H]` to `[n, words]`.
    pub(crate) decoder: Map,
}

/// What the backward pass needs.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Derivative of GELU.
    derivative: Buffer,
    norm: norm::Kept,
    transformed: Buffer,
    logits: Buffer,
}

impl LanguageHead {
    /// Losses of the rows of `states`, which the head may scale in their place.
    pub(crate) fn losses(
        &self,
        pass: Pass<'_>,
        states: &mut Buffer,
        labels: &[u32],
        kept: &mut Kept,
    ) -> Tally {
        self.transform(pass, states, kept);
        let Kept { transformed, logits, .. } = kept;
        let features = if self.transform.is_some() { transformed.get() } else { states.get() };
        let (block, h, v) = (self.block(), self.decoder.inputs, self.decoder.outputs);
        let mut tally = Tally::default();
        for (labels, features) in labels.chunks(block).zip(features.chunks(block * h)) {
            let logits = logits.room(labels.len(), v);
            self.decoder.forward(pass.values, features, logits);
            tally += cross_entropy::forward(logits, labels, v);
        }
        tally
    }

    /// Losses as [`LanguageHead::losses`]; leaves the gradient of the states in `flow.stream`.
    pub(crate) fn gradient(
        &self,
        pass: Pass<'_>,
        states: &mut Buffer,
        aim: Aim<'_>,
        kept: &mut Kept,
        back: &mut Backward<'_>,
    ) -> Tally {
        self.transform(pass, states, kept);
        let Gradients { stream, branch, .. } = &mut *back.flow;
        let (n, h, v) = (states.rows(), self.decoder.inputs, self.decoder.outputs);
        let features = if self.transform.is_some() { kept.transformed.get() } else { states.get() };
        let d = branch.room(n, h);
        let (block, mut tally) = (self.block(), Tally::default());
        let blocks = aim.labels.chunks(block).zip(features.chunks(block * h)).zip(d.chunks_mut(block * h));
        for ((labels, features), d) in blocks {
            let logits = kept.logits.room(labels.len(), v);
            self.decoder.forward(pass.values, features, logits);
            tally += cross_entropy::forward_backward(logits, labels, v, aim.scale);
            self.decoder.backward(pass.values, features, logits, (d, Into::Overwrite), back.gradient);
        }
        multiply(d, self.scale);
        let Some((map, norm)) = &self.transform else {
            stream.swap(branch);
            return tally;
        };
        norm.backward(pass.values, d, &kept.norm, back.gradient);
        gelu::backward(d, kept.derivative.get(), map.bias_mut(back.gradient));
        let d_states = (stream.room(n, map.inputs), Into::Overwrite);
        map.product_backward(pass.values, states.get(), d, d_states, back.gradient);
        tally
    }

    /// Logits of every row of `states`: `[n, words]`.
    pub(crate) fn logits<'k>(&self, pass: Pass<'_>, states: &mut Buffer, kept: &'k mut Kept) -> &'k [f32] {
        self.transform(pass, states, kept);
        let Kept { transformed, logits, .. } = kept;
        let features = if self.transform.is_some() { &*transformed } else { states };
        let logits = logits.room(features.rows(), self.decoder.outputs);
        self.decoder.forward(pass.values, features.get(), logits);
        logits
    }

    /// Leaves what the decoder reads in `kept.transformed`, or in the states' place.
    fn transform(&self, pass: Pass<'_>, states: &mut Buffer, kept: &mut Kept) {
        let Kept { derivative, norm: norm_kept, transformed, .. } = kept;
        multiply(states.get_mut(), self.scale);
        let Some((map, norm)) = &self.transform else { return };
        let (n, h) = (states.rows(), map.outputs);
        let derivative = derivative.room(n, h);
        map.product(pass.values, states.get(), derivative);
        // GELU's output goes straight to where the norm leaves its normalised values.
        gelu::forward_and_derivative(derivative, map.bias(pass.values), norm_kept.normalised.room(n, h));
        norm.forward_kept(pass.values, norm_kept, transformed.room(n, h));
    }

    /// Rows whose logits are in memory at once.
    fn block(&self) -> usize {
        (LOGITS / self.decoder.outputs).max(32)
    }
}

fn multiply(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}
