//! What models are made of. Each block has a forward and a backward pass written by hand on [`kernels`], and keeps what the
//! second needs of the first in buffers of its own.
//!
//! Rows are the tokens of packed sequences, `n` of them; `H` is the width of the residual stream. The last layer of a stack
//! goes on with the wanted rows only, `w` of them.

use crate::Dropout;

pub(crate) mod attention;
pub(crate) mod buckets;
pub(crate) mod buffer;
pub(crate) mod classifier;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod feed_forward;
pub(crate) mod language_head;
pub(crate) mod map;
pub(crate) mod norm;
pub(crate) mod residual;
#[cfg(test)]
mod tests;

pub(crate) use attention::Attention;
pub(crate) use buffer::Buffer;
pub(crate) use classifier::Classifier;
pub(crate) use dropout::Site;
pub(crate) use embedding::Embedding;
pub(crate) use feed_forward::{Activation, FeedForward};
pub(crate) use language_head::LanguageHead;
pub(crate) use map::Map;
pub(crate) use norm::Norm;
pub(crate) use residual::{Place, Residual};

/// Whether a backward pass will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Training,
    Evaluation,
}

/// What every block of a pass is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'a> {
    /// All parameters, in the order of the layout.
    pub(crate) values: &'a [f32],
    pub(crate) dropout: Option<Dropout>,
    pub(crate) mode: Mode,
}

/// Labels of the rows that a head reads, and the factor of their losses in the gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim<'a> {
    pub(crate) labels: &'a [u32],
    pub(crate) scale: f32,
}

/// Memory that lasts no longer than a layer, but for the stream.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// The residual stream, `[n, H]`. Empty while a block whose norm lies behind it holds the stream as its input.
    pub(crate) stream: Buffer,
    /// What a block adds to it.
    pub(crate) branch: Buffer,
    pub(crate) scratch: Vec<f32>,
    /// Where positions are rotations.
    pub(crate) angles: kernels::rotary::Table,
    /// Where they are biases of scores: `[heads, 2 longest - 1]`.
    pub(crate) bias: Buffer,
    /// Tokens in the longest sequence.
    pub(crate) longest: usize,
}

/// Gradients of activations.
#[derive(Debug, Default)]
pub(crate) struct Gradients {
    /// Of the residual stream.
    pub(crate) stream: Buffer,
    /// Of what a block added to it.
    pub(crate) branch: Buffer,
    /// Of what a block read.
    pub(crate) input: Buffer,
    /// Of what a block's last map read.
    pub(crate) inner: Buffer,
    /// Of projections, or of gates and values.
    pub(crate) wide: Buffer,
    /// Of the rows that keys and values come from.
    pub(crate) seen: Buffer,
    /// Of what an encoder made.
    pub(crate) memory: Buffer,
    /// Of biases by distance.
    pub(crate) bias: Buffer,
}

/// What a backward pass writes.
#[derive(Debug)]
pub(crate) struct Backward<'a> {
    pub(crate) passing: &'a mut Passing,
    pub(crate) flow: &'a mut Gradients,
    /// Of the parameters, in the order of the layout.
    pub(crate) gradient: &'a mut [f32],
}
