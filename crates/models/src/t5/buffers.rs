//! Memory of a T5's passes, and where units are dropped.

use kernels::dropout::Mask;

use crate::Dropout;
use crate::buffer::Buffer;
use crate::decoder::parts::Norm;

/// Everything that a step writes. Sizes follow the largest batch seen.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(super) encoder: StackBuffers,
    pub(super) decoder: StackBuffers,
    pub(super) head: HeadBuffers,
    pub(super) passing: Passing,
    pub(super) gradients: Gradients,
    /// What the decoder is given.
    pub(super) given: Given,
}

/// The decoder's input: targets one place later.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) ids: Vec<u32>,
    /// Its starts where they are not those of the batch.
    pub(crate) starts: Vec<u32>,
    /// The row of each sequence that a classifier looks at.
    pub(crate) ends: Vec<u32>,
    /// Where the wanted rows of each sequence start among all wanted ones.
    pub(super) query_starts: Vec<u32>,
}

/// What a stack leaves.
#[derive(Debug, Default)]
pub(super) struct StackBuffers {
    /// Biases by head and distance.
    pub(super) bias: Buffer,
    /// One per layer in training, one in evaluation.
    pub(super) layers: Vec<LayerBuffers>,
    pub(super) last: NormBuffers,
    /// Its normalised output.
    pub(super) states: Buffer,
}

#[derive(Debug, Default)]
pub(super) struct LayerBuffers {
    pub(super) attention: AttentionBuffers,
    pub(super) cross: AttentionBuffers,
    pub(super) feed_forward: BlockBuffers,
    /// Gates and values where the block is gated.
    pub(super) inner: Buffer,
    pub(super) activated: Buffer,
}

#[derive(Debug, Default)]
pub(super) struct AttentionBuffers {
    pub(super) block: BlockBuffers,
    /// Queries, keys and values.
    pub(super) packed: Buffer,
    pub(super) probabilities: Buffer,
    pub(super) context: Buffer,
}

/// What a block reads, and its norm.
#[derive(Debug, Default)]
pub(super) struct BlockBuffers {
    pub(super) input: Buffer,
    pub(super) norm: NormBuffers,
}

/// A norm: its normalised values and its reciprocal root mean squares.
#[derive(Debug, Default)]
pub(super) struct NormBuffers {
    normalised: Buffer,
    reciprocals: Buffer,
}

impl NormBuffers {
    /// Writes the norm of `x` to `out`.
    pub(super) fn forward(&mut self, norm: &Norm, values: &[f32], x: &[f32], out: &mut [f32]) {
        let normalised = self.normalised.room(x.len());
        normalised.copy_from_slice(x);
        norm.forward(values, normalised, out, self.reciprocals.room(x.len() / norm.width));
    }

    /// Turns the gradient of the norm's output into that of its input, in place.
    pub(super) fn backward(&self, norm: &Norm, values: &[f32], d: &mut [f32], gradient: &mut [f32]) {
        let reciprocals = self.reciprocals.get(d.len() / norm.width);
        norm.backward(values, d, self.normalised.get(d.len()), reciprocals, gradient);
    }
}

/// What the heads leave.
#[derive(Debug, Default)]
pub(super) struct HeadBuffers {
    pub(super) logits: Buffer,
    /// What the classifier's hidden layer reads, makes, and passes on.
    pub(super) features: Buffer,
    pub(super) hidden: Buffer,
    pub(super) dropped: Buffer,
}

/// What lasts no longer than a layer, but for the stream.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// The residual stream.
    pub(super) stream: Buffer,
    /// What a block adds to it.
    pub(super) branch: Buffer,
    pub(super) scratch: Buffer,
}

/// Gradients of activations: the residual stream's, and those inside a block.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    pub(super) stream: Buffer,
    /// Of what the encoder made.
    pub(super) memory: Buffer,
    pub(super) bias: Buffer,
    pub(super) branch: Buffer,
    /// Of what a block read.
    pub(super) input: Buffer,
    pub(super) inner: Buffer,
    pub(super) wide: Buffer,
}

/// Sequences back to back: words, and where each begins, with the end as a last entry.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) ids: &'a [u32],
    pub(super) starts: &'a [u32],
}

impl Packed<'_> {
    /// Tokens in the longest sequence.
    pub(super) fn longest(&self) -> usize {
        self.starts.windows(2).map(|span| (span[1] - span[0]) as usize).max().unwrap_or(0)
    }
}

/// Places where units are dropped. Those of the decoder lie far behind the encoder's.
#[derive(Clone, Copy)]
pub(crate) struct Sites {
    pub(super) dropout: Option<Dropout>,
    pub(super) probability: f64,
    first: usize,
}

/// A place in a layer.
#[derive(Clone, Copy)]
pub(crate) enum Site {
    Probabilities,
    AttentionOutput,
    CrossProbabilities,
    CrossOutput,
    Inner,
    Output,
}

impl Sites {
    pub(crate) fn new(dropout: Option<Dropout>, probability: f64, is_decoder: bool) -> Self {
        Self { dropout, probability, first: usize::from(is_decoder) << 40 }
    }

    pub(crate) fn embeddings(&self) -> Option<Mask<'static>> {
        crate::bert::mask(self.dropout, self.first, self.probability)
    }

    /// Behind the final norm.
    pub(crate) fn states(&self) -> Option<Mask<'static>> {
        crate::bert::mask(self.dropout, self.first + 1, self.probability)
    }

    pub(crate) fn in_layer(&self, layer: usize, site: Site) -> Option<Mask<'static>> {
        crate::bert::mask(self.dropout, self.first + 2 + 6 * layer + site as usize, self.probability)
    }
}

/// Sites before and behind the classifier's hidden layer.
pub(crate) const CLASSIFIER: [usize; 2] = [2 << 40, 3 << 40];
