//! Logits and losses of classes, with or without a hidden layer.

use kernels::matmul::Into;
use kernels::{cross_entropy, relu, tanh};

use super::{Aim, Backward, Buffer, Gradients, Map, Pass, Site};
use crate::Tally;
use crate::inputs::choices;

/// A map from features to the logits of classes.
#[derive(Clone, Debug)]
pub(crate) struct Classifier {
    pub(crate) hidden: Option<Hidden>,
    /// `[n, H]` to `[n, classes]`.
    pub(crate) output: Map,
}

/// A layer before the last.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    pub(crate) map: Map,
    /// Whether it ends in a rectifier, and not in tanh.
    pub(crate) rectifies: bool,
    /// Before it, and behind it.
    pub(crate) drop: [Site; 2],
}

/// What the backward pass needs.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What the hidden layer reads, where units are dropped before it.
    features: Buffer,
    hidden: Buffer,
    /// The hidden layer's units, where some are dropped.
    dropped: Buffer,
    logits: Buffer,
}

impl Classifier {
    /// Logits of every row of `states`: `[n, classes]`.
    pub(crate) fn logits<'k>(&self, pass: Pass<'_>, states: &Buffer, kept: &'k mut Kept) -> &'k [f32] {
        self.forward(pass, states, kept)
    }

    /// Losses of the rows of `states`; of a single output, rows are compared: see [`crate::Targets::Classes`].
    pub(crate) fn losses(&self, pass: Pass<'_>, states: &Buffer, labels: &[u32], kept: &mut Kept) -> Tally {
        let width = self.width(labels.len(), states.rows());
        cross_entropy::forward(self.forward(pass, states, kept), labels, width)
    }

    /// Losses as [`Classifier::losses`]; leaves the gradient of the states in `flow.stream`.
    pub(crate) fn gradient(
        &self,
        pass: Pass<'_>,
        states: &Buffer,
        aim: Aim<'_>,
        kept: &mut Kept,
        back: &mut Backward<'_>,
    ) -> Tally {
        let width = self.width(aim.labels.len(), states.rows());
        let logits = self.forward(pass, states, kept);
        let tally = cross_entropy::forward_backward(logits, aim.labels, width, aim.scale);
        self.backward(pass, states, kept, back);
        tally
    }

    /// Logits that belong to one label.
    fn width(&self, labels: usize, n: usize) -> usize {
        self.output.outputs * choices(labels, n, self.output.outputs)
    }

    fn forward<'k>(&self, pass: Pass<'_>, states: &Buffer, kept: &'k mut Kept) -> &'k mut [f32] {
        let Kept { features, hidden, dropped, logits } = kept;
        let n = states.rows();
        let read = match &self.hidden {
            None => states,
            Some(layer) => {
                let input = dropped_copy(layer.drop[0], pass, states, features);
                let units = hidden.room(n, layer.map.outputs);
                layer.map.product(pass.values, input.get(), units);
                let activate = if layer.rectifies { relu::forward } else { tanh::forward };
                activate(units, layer.map.bias(pass.values));
                dropped_copy(layer.drop[1], pass, hidden, dropped)
            }
        };
        let logits = logits.room(n, self.output.outputs);
        self.output.forward(pass.values, read.get(), logits);
        logits
    }

    /// Given the gradient of the logits in their place, leaves that of the states in `flow.stream`.
    fn backward(&self, pass: Pass<'_>, states: &Buffer, kept: &Kept, back: &mut Backward<'_>) {
        let Gradients { stream, branch, .. } = &mut *back.flow;
        let (n, h, d_logits) = (states.rows(), states.width(), kept.logits.get());
        let Some(Hidden { map, rectifies, drop }) = &self.hidden else {
            let d = (stream.room(n, h), Into::Overwrite);
            return self.output.backward(pass.values, states.get(), d_logits, d, back.gradient);
        };
        let [before, behind] = drop.map(|site| site.mask(pass.dropout, None));
        let read = if behind.is_some() { &kept.dropped } else { &kept.hidden };
        let d_hidden = branch.room(n, map.outputs);
        let d = (&mut *d_hidden, Into::Overwrite);
        self.output.backward(pass.values, read.get(), d_logits, d, back.gradient);
        if let Some(mask) = behind {
            mask.apply(d_hidden, map.outputs);
        }
        if *rectifies {
            relu::backward(d_hidden, kept.hidden.get(), map.bias_mut(back.gradient));
        } else {
            tanh::backward(d_hidden, kept.hidden.get());
            map.bias_backward(d_hidden, back.gradient);
        }
        let read = if before.is_some() { &kept.features } else { states };
        let d = stream.room(n, h);
        let d_read = (&mut *d, Into::Overwrite);
        map.product_backward(pass.values, read.get(), d_hidden, d_read, back.gradient);
        if let Some(mask) = before {
            mask.apply(d, h);
        }
    }
}

/// What is left behind a site: the values themselves where nothing is dropped, else a copy.
fn dropped_copy<'b>(site: Site, pass: Pass<'_>, values: &'b Buffer, copy: &'b mut Buffer) -> &'b Buffer {
    let Some(mask) = site.mask(pass.dropout, None) else { return values };
    mask.apply(copy.copy(values), values.width());
    copy
}
