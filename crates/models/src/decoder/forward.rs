//! The body's forward pass.

use kernels::attention::{self, Spans};
use kernels::dropout::Mask;
use kernels::glu::{self, Gate};
use kernels::rotary::{self, Turn};
use kernels::{embedding, gelu, gelu_new, rows};

use super::Activation;
use super::buffers::{BlockBuffers, Buffers, Extent, LayerBuffers, NormBuffers, Passing, longest};
use super::layout::{Decoder, Layer};
use super::parts::{Map, Norm};
use crate::bert::{mask, site};
use crate::buffer::Buffer;
use crate::{Dropout, Tokens};

/// Whether a backward pass will follow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Training,
    Evaluation,
}

impl Decoder {
    /// Leaves the normalised hidden states `[wanted, H]` in `buffers.features`.
    ///
    /// `wanted` are increasing rows of the packed tokens.
    pub(super) fn forward(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        wanted: &[u32],
        dropout: Option<Dropout>,
        mode: Mode,
        buffers: &mut Buffers,
    ) {
        let h = self.config.hidden_size;
        let n_slots = if mode == Mode::Training { self.layers.len() } else { 1 };
        if buffers.layers.len() < n_slots {
            buffers.layers.resize_with(n_slots, LayerBuffers::default);
        }
        let Buffers { layers, last, features, passing, .. } = buffers;
        passing.angles.reach(&self.frequencies, longest(tokens));
        self.embed(values, tokens, dropout, passing.stream.room(tokens.ids.len() * h));
        let extent = Extent { tokens: *tokens, wanted };
        for layer in 0..self.layers.len() {
            self.layer(values, layer, extent, dropout, mode, &mut layers[layer % n_slots], passing);
        }
        let stream = passing.stream.get(wanted.len() * h);
        normalise(&self.final_norm, values, stream, features.room(stream.len()), last);
    }

    /// Sums of word and position embeddings.
    fn embed(&self, values: &[f32], tokens: &Tokens<'_>, dropout: Option<Dropout>, stream: &mut [f32]) {
        let h = self.config.hidden_size;
        let (words, positions) = (&values[self.words.clone()], &values[self.positions.clone()]);
        if positions.is_empty() {
            rows::gather(stream, words, tokens.ids, h);
        } else {
            let tables = embedding::Tables { words, positions, segments: &[][..] };
            embedding::forward(stream, tables, packed(tokens), h);
        }
        if let Some(mask) = mask(dropout, site::EMBEDDINGS, self.config.embedding_dropout) {
            mask.apply(stream, h);
        }
    }

    fn layer(
        &self,
        values: &[f32],
        layer: usize,
        extent: Extent<'_>,
        dropout: Option<Dropout>,
        mode: Mode,
        buffers: &mut LayerBuffers,
        passing: &mut Passing,
    ) {
        let places = &self.layers[layer];
        let (h, width) = (self.config.hidden_size, places.attention_output.inputs);
        let is_last = layer + 1 == self.layers.len();
        let n = extent.tokens.ids.len();
        let Passing { stream, branch, scratch, angles } = passing;

        // Attention, of every token.
        let before = stream.room(n * h);
        self.begin_block(values, &places.attention_norm, before, &mut buffers.attention);
        let input = buffers.attention.input.get(n * h);
        let packed = buffers.packed.room(n * places.attention.outputs);
        places.attention.forward(values, input, packed);
        self.normalise_projections(values, places, packed, &mut buffers.projections, branch);
        let heads = self.attention_heads(layer);
        for (rows, count) in [(heads.queries, heads.count), (heads.keys, heads.shared)] {
            rotary::apply(packed, rows, count, extent.tokens.starts, angles, Turn::Forward);
        }
        let spans = Spans { queries: extent.tokens.starts, keys: extent.tokens.starts };
        attention::forward(
            packed,
            heads,
            spans,
            mask(dropout, site::probabilities(layer), self.config.attention_dropout),
            buffers.probabilities.room(spans.probabilities(heads.count)),
            buffers.context.room(n * width),
            scratch.scratch(),
        );

        // From here on the last layer goes on with the wanted rows only.
        if is_last {
            rows::keep(buffers.context.room(n * width), extent.wanted, width);
            rows::keep(stream.room(n * h), extent.wanted, h);
        }
        let n_rows = if is_last { extent.wanted.len() } else { n };
        let stream = stream.room(n_rows * h);
        let residual_mask = |site| {
            let mask = mask(dropout, site, self.config.residual_dropout)?;
            Some(if is_last { mask.at(extent.wanted) } else { mask })
        };
        if self.config.use_parallel_residual {
            self.begin_block(values, &places.output_norm, stream, &mut buffers.feed_forward);
        }
        let context = buffers.context.get(n_rows * width);
        let ends = (&places.attention_output, &places.attention_norm);
        let drop = residual_mask(site::attention_output(layer));
        self.end_block(values, ends, context, drop, stream, &mut buffers.attention.norm, branch);

        // Feed-forward block.
        if !self.config.use_parallel_residual {
            self.begin_block(values, &places.output_norm, stream, &mut buffers.feed_forward);
        }
        let input = buffers.feed_forward.input.get(n_rows * h);
        self.activate(values, &places.inner, input, mode, &mut buffers.inner, &mut buffers.activated);
        let activated = buffers.activated.get(n_rows * self.config.intermediate_size);
        let ends = (&places.output, &places.output_norm);
        let drop = residual_mask(site::output(layer));
        self.end_block(values, ends, activated, drop, stream, &mut buffers.feed_forward.norm, branch);
    }

    /// Writes what a block reads: the stream, normalised unless the block's output is.
    fn begin_block(&self, values: &[f32], norm: &Norm, stream: &[f32], buffers: &mut BlockBuffers) {
        let input = buffers.input.room(stream.len());
        if self.config.variant.normalises_outputs() {
            input.copy_from_slice(stream);
        } else {
            normalise(norm, values, stream, input, &mut buffers.norm);
        }
    }

    /// Adds a block's output to the stream: product, bias, dropout, and the norm where it is the output that has one.
    fn end_block(
        &self,
        values: &[f32],
        (map, norm): (&Map, &Norm),
        x: &[f32],
        drop: Option<Mask<'_>>,
        stream: &mut [f32],
        norm_buffers: &mut NormBuffers,
        branch: &mut Buffer,
    ) {
        let branch = branch.room(stream.len());
        if self.config.variant.normalises_outputs() {
            let NormBuffers { normalised, reciprocals } = norm_buffers;
            let normalised = normalised.room(stream.len());
            map.forward(values, x, normalised);
            norm.forward(values, normalised, branch, reciprocals.room(stream.len() / norm.width));
        } else {
            map.forward(values, x, branch);
        }
        if let Some(mask) = drop {
            mask.apply(branch, self.config.hidden_size);
        }
        rows::add(stream, branch);
    }

    /// Normalises all queries of a token together, and all its keys, where the variant does.
    fn normalise_projections(
        &self,
        values: &[f32],
        places: &Layer,
        packed: &mut [f32],
        buffers: &mut [NormBuffers; 2],
        out: &mut Buffer,
    ) {
        let stride = places.attention.outputs;
        let mut from = 0;
        for (norm, buffers) in places.projection_norms.iter().flatten().zip(buffers) {
            let (width, n) = (norm.width, packed.len() / stride);
            let (columns, out) = (buffers.normalised.room(n * width), out.room(n * width));
            rows::take_columns(columns, packed, from, width, stride);
            norm.forward(values, columns, out, buffers.reciprocals.room(n));
            rows::put_columns(packed, out, from, width, stride);
            from += width;
        }
    }

    /// The feed-forward block up to its last map.
    fn activate(
        &self,
        values: &[f32],
        map: &Map,
        x: &[f32],
        mode: Mode,
        inner: &mut Buffer,
        activated: &mut Buffer,
    ) {
        let f = self.config.intermediate_size;
        let n = x.len() / map.inputs;
        let activated = activated.room(n * f);
        // GELU and its derivative add the bias; a gated block has none.
        match (self.config.activation, mode) {
            (Activation::SwiGlu, _) => {
                let inner = inner.room(n * map.outputs);
                map.product(values, x, inner);
                glu::forward(Gate::Silu, inner, activated, f);
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
                map.product(values, x, inner.room(n * f));
                gelu::forward_and_derivative(inner.room(n * f), map.bias(values), activated);
            }
            (Activation::GeluNew, Mode::Training) => {
                map.product(values, x, inner.room(n * f));
                gelu_new::forward_and_derivative(inner.room(n * f), map.bias(values), activated);
            }
        }
    }
}

/// Writes the norm of `x` to `out`.
fn normalise(norm: &Norm, values: &[f32], x: &[f32], out: &mut [f32], buffers: &mut NormBuffers) {
    let normalised = buffers.normalised.room(x.len());
    normalised.copy_from_slice(x);
    norm.forward(values, normalised, out, buffers.reciprocals.room(x.len() / norm.width));
}

/// The kernels' form of packed tokens.
pub(super) fn packed<'a>(tokens: &Tokens<'a>) -> embedding::Tokens<'a> {
    embedding::Tokens { words: tokens.ids, segments: tokens.types, starts: tokens.starts }
}
