//! Memory of a BERT's passes.

use kernels::dropout::Mask;

use crate::buffer::Buffer;
use crate::{Dropout, Tokens};

/// Everything that a step writes. Sizes follow the largest batch seen.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(super) embedding: NormBuffers,
    /// One per layer in training; two that take turns in evaluation.
    pub(super) layers: Vec<LayerBuffers>,
    pub(super) head: HeadBuffers,
    pub(super) gradients: Gradients,
    /// Starts of the sequences among the rows that the last layer computes.
    pub(super) wanted_starts: Vec<u32>,
    /// Inputs of the last layer at the rows that it computes.
    pub(super) gathered: Buffer,
    pub(super) scratch: Buffer,
}

/// A LayerNorm: its normalised values, its reciprocal deviations, its output.
#[derive(Debug, Default)]
pub(super) struct NormBuffers {
    pub(super) normalised: Buffer,
    pub(super) reciprocals: Buffer,
    pub(super) out: Buffer,
}

#[derive(Debug, Default)]
pub(super) struct LayerBuffers {
    /// Queries, keys and values.
    pub(super) packed: Buffer,
    pub(super) probabilities: Buffer,
    pub(super) context: Buffer,
    pub(super) attention: NormBuffers,
    /// Derivative of GELU at the intermediate units.
    pub(super) derivative: Buffer,
    pub(super) activated: Buffer,
    pub(super) output: NormBuffers,
}

#[derive(Debug, Default)]
pub(super) struct HeadBuffers {
    /// What the pooler sees, where units are dropped before it.
    pub(super) features: Buffer,
    /// Pooled, or derivative of GELU in the transform.
    pub(super) first: Buffer,
    /// Pooled after dropout, or activated.
    pub(super) second: Buffer,
    pub(super) norm: NormBuffers,
    pub(super) logits: Buffer,
}

/// Gradients of activations: the residual stream's, and those inside a block.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    pub(super) stream: Buffer,
    pub(super) branch: Buffer,
    pub(super) inner: Buffer,
    pub(super) packed: Buffer,
    pub(super) all: Buffer,
}

/// The rows that a layer computes.
#[derive(Clone, Copy)]
pub(super) struct Extent<'a> {
    /// The sequences.
    pub(super) tokens: Tokens<'a>,
    /// The rows that the head looks at.
    pub(super) wanted: &'a [u32],
    /// Starts of the sequences among them.
    pub(super) wanted_starts: &'a [u32],
}

/// Fills in where each sequence begins among increasing `wanted` rows.
pub(super) fn starts_among(wanted: &[u32], starts: &[u32], out: &mut Vec<u32>) {
    out.clear();
    out.extend(starts.iter().map(|&start| wanted.partition_point(|&row| row < start) as u32));
}

/// The mask of one site, or none if nothing is dropped.
pub(crate) fn mask(dropout: Option<Dropout>, site: usize, probability: f64) -> Option<Mask<'static>> {
    let dropout = dropout.filter(|_| probability > 0.0)?;
    Some(Mask::new(dropout.site(site), probability as f32))
}

/// The places of an encoder or a decoder where units are dropped, numbered.
pub(crate) mod site {
    pub(crate) const EMBEDDINGS: usize = 0;
    pub(crate) const CLASSIFIER: usize = 1;
    /// Behind those of any number of layers.
    pub(crate) const FEATURES: usize = 1 << 40;

    pub(crate) fn probabilities(layer: usize) -> usize {
        2 + 3 * layer
    }

    pub(crate) fn attention_output(layer: usize) -> usize {
        3 + 3 * layer
    }

    pub(crate) fn output(layer: usize) -> usize {
        4 + 3 * layer
    }
}
