//! Memory of a decoder's passes.

use kernels::rotary;

use crate::Tokens;
use crate::buffer::Buffer;

/// Everything that a step writes. Sizes follow the largest batch seen.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// One per layer in training, one in evaluation.
    pub(super) layers: Vec<LayerBuffers>,
    pub(super) last: NormBuffers,
    /// What the head reads.
    pub(super) features: Buffer,
    pub(super) logits: Buffer,
    /// The row of each sequence that a classifier looks at.
    pub(super) ends: Vec<u32>,
    pub(super) passing: Passing,
    pub(super) gradients: Gradients,
}

/// What lasts no longer than a layer, but for the stream.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// The residual stream.
    pub(super) stream: Buffer,
    /// What a block adds to it.
    pub(super) branch: Buffer,
    pub(super) scratch: Buffer,
    pub(super) angles: rotary::Table,
}

/// A norm: its normalised values and its reciprocal deviations.
#[derive(Debug, Default)]
pub(super) struct NormBuffers {
    pub(super) normalised: Buffer,
    pub(super) reciprocals: Buffer,
}

/// What an attention or feed-forward block reads, and its norm.
#[derive(Debug, Default)]
pub(super) struct BlockBuffers {
    pub(super) input: Buffer,
    pub(super) norm: NormBuffers,
}

#[derive(Debug, Default)]
pub(super) struct LayerBuffers {
    pub(super) attention: BlockBuffers,
    /// Queries, keys and values.
    pub(super) packed: Buffer,
    /// Norms of queries and keys.
    pub(super) projections: [NormBuffers; 2],
    pub(super) probabilities: Buffer,
    pub(super) context: Buffer,
    pub(super) feed_forward: BlockBuffers,
    /// Derivative of GELU, or SwiGLU's gates and values.
    pub(super) inner: Buffer,
    pub(super) activated: Buffer,
}

/// Gradients of activations: the residual stream's, and those inside a block.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    pub(super) stream: Buffer,
    pub(super) branch: Buffer,
    /// Of what a block read.
    pub(super) input: Buffer,
    pub(super) inner: Buffer,
    pub(super) wide: Buffer,
}

/// The sequences, and the rows that the head looks at.
#[derive(Clone, Copy)]
pub(super) struct Extent<'a> {
    pub(super) tokens: Tokens<'a>,
    pub(super) wanted: &'a [u32],
}

/// Tokens in the longest sequence.
pub(super) fn longest(tokens: &Tokens<'_>) -> usize {
    tokens.starts.windows(2).map(|span| (span[1] - span[0]) as usize).max().unwrap_or(0)
}
