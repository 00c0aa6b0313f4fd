//! The forward pass of both stacks.

use kernels::attention::{self, Bias, Spans};
use kernels::dropout::Mask;
use kernels::glu::{self, Gate};
use kernels::{relu, rows};

use super::FeedForward;
use super::buffers::{Buffers, LayerBuffers, Packed, Passing, Site, Sites, StackBuffers};
use super::layout::{Cross, Layer, Stack, T5};
use crate::Dropout;
use crate::decoder::parts::Map;

/// Whether a backward pass will follow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Training,
    Evaluation,
}

/// What the decoder looks at, and which of its rows a head does.
#[derive(Clone, Copy)]
pub(super) struct Extent<'a> {
    /// What the encoder reads.
    pub(super) source: Packed<'a>,
    /// What the decoder reads: a sequence for each of the source.
    pub(super) given: Packed<'a>,
    /// Increasing rows of what the decoder reads, or all.
    pub(super) wanted: Option<&'a [u32]>,
    /// Where the wanted rows of each sequence start among them.
    pub(super) query_starts: &'a [u32],
}

impl Extent<'_> {
    /// How many rows a head looks at.
    pub(super) fn n_wanted(&self) -> usize {
        self.wanted.map_or(self.given.ids.len(), <[u32]>::len)
    }
}

/// What one stack reads.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) tokens: Packed<'a>,
    /// The rows that its last layer goes on with, or all.
    pub(super) wanted: Option<&'a [u32]>,
    pub(super) query_starts: &'a [u32],
    /// Where the encoder's sequences start.
    pub(super) source_starts: &'a [u32],
    pub(super) sites: Sites,
}

impl<'a> Pass<'a> {
    /// Rows behind a layer's first attention.
    pub(super) fn n_rows(&self, is_last: bool) -> usize {
        self.wanted.filter(|_| is_last).map_or(self.tokens.ids.len(), <[u32]>::len)
    }

    /// The mask of a site behind a layer's first attention.
    pub(super) fn mask(&self, is_last: bool, mask: Option<Mask<'a>>) -> Option<Mask<'a>> {
        match self.wanted.filter(|_| is_last) {
            Some(wanted) => mask.map(|mask| mask.at(wanted)),
            None => mask,
        }
    }

    /// Queries and keys of the decoder's attention to the encoder.
    pub(super) fn cross_spans(&self, is_last: bool) -> Spans<'a> {
        let queries = if is_last { self.query_starts } else { self.tokens.starts };
        Spans { queries, keys: self.source_starts }
    }
}

impl T5 {
    /// What the encoder reads of an extent.
    pub(super) fn encoder_pass<'a>(&self, extent: Extent<'a>, dropout: Option<Dropout>) -> Pass<'a> {
        let starts = extent.source.starts;
        Pass {
            tokens: extent.source,
            wanted: None,
            query_starts: starts,
            source_starts: starts,
            sites: Sites::new(dropout, self.config.dropout_rate, false),
        }
    }

    /// What the decoder reads of an extent.
    pub(super) fn decoder_pass<'a>(&self, extent: Extent<'a>, dropout: Option<Dropout>) -> Pass<'a> {
        Pass {
            tokens: extent.given,
            wanted: extent.wanted,
            query_starts: extent.query_starts,
            source_starts: extent.source.starts,
            sites: Sites::new(dropout, self.config.dropout_rate, true),
        }
    }

    /// Leaves the decoder's states `[wanted, H]` in `buffers.decoder.states`.
    pub(super) fn forward(
        &self,
        values: &[f32],
        extent: Extent<'_>,
        dropout: Option<Dropout>,
        mode: Mode,
        buffers: &mut Buffers,
    ) {
        let Buffers { encoder, decoder, passing, .. } = buffers;
        self.run(values, &self.encoder, self.encoder_pass(extent, dropout), &[], mode, encoder, passing);
        let memory = encoder.states.get(extent.source.ids.len() * self.config.d_model);
        self.run(values, &self.decoder, self.decoder_pass(extent, dropout), memory, mode, decoder, passing);
    }

    /// Leaves a stack's states in its buffers. `memory` is what the encoder made, for the decoder.
    fn run(
        &self,
        values: &[f32],
        stack: &Stack,
        pass: Pass<'_>,
        memory: &[f32],
        mode: Mode,
        buffers: &mut StackBuffers,
        passing: &mut Passing,
    ) {
        let h = self.config.d_model;
        let n_slots = if mode == Mode::Training { stack.layers.len() } else { 1 };
        if buffers.layers.len() < n_slots {
            buffers.layers.resize_with(n_slots, LayerBuffers::default);
        }
        let StackBuffers { bias, layers, last, states } = buffers;
        let longest = pass.tokens.longest();
        let bias = bias.room(self.config.num_heads * Bias::<&[f32]>::width(longest));
        self.buckets(stack).spread(&values[stack.distances.clone()], longest, bias);
        let bias = Bias { values: &*bias, longest };

        let stream = passing.stream.room(pass.tokens.ids.len() * h);
        rows::gather(stream, &values[self.words.clone()], pass.tokens.ids, h);
        if let Some(mask) = pass.sites.embeddings() {
            mask.apply(stream, h);
        }
        for (layer, places) in stack.layers.iter().enumerate() {
            let (buffers, is_last) = (&mut layers[layer % n_slots], layer + 1 == stack.layers.len());
            self.attend(values, stack, layer, pass, bias, buffers, passing);
            if let Some(cross) = &places.cross {
                self.look_across(values, cross, layer, is_last, pass, memory, buffers, passing);
            }
            self.feed_forward(values, places, layer, is_last, pass, buffers, passing);
        }
        let stream = passing.stream.get(pass.n_rows(true) * h);
        let states = states.room(stream.len());
        last.forward(&stack.final_norm, values, stream, states);
        if let Some(mask) = pass.mask(true, pass.sites.states()) {
            mask.apply(states, h);
        }
    }

    /// Attention of every token to its sequence; the last layer goes on with the wanted rows only.
    fn attend(
        &self,
        values: &[f32],
        stack: &Stack,
        layer: usize,
        pass: Pass<'_>,
        bias: Bias<&[f32]>,
        buffers: &mut LayerBuffers,
        passing: &mut Passing,
    ) {
        let places = &stack.layers[layer];
        let (h, width, n) = (self.config.d_model, places.attention_output.inputs, pass.tokens.ids.len());
        let is_last = layer + 1 == stack.layers.len();
        let Passing { stream, branch, scratch } = passing;
        let buffers = &mut buffers.attention;
        let input = buffers.block.input.room(n * h);
        buffers.block.norm.forward(&places.attention_norm, values, stream.get(n * h), input);
        let packed = buffers.packed.room(n * places.attention.outputs);
        places.attention.forward(values, input, packed);
        let spans = Spans { queries: pass.tokens.starts, keys: pass.tokens.starts };
        attention::forward_biased(
            packed,
            self.heads(stack),
            spans,
            Some(bias),
            pass.sites.in_layer(layer, Site::Probabilities),
            buffers.probabilities.room(spans.probabilities(self.config.num_heads)),
            buffers.context.room(n * width),
            scratch.scratch(),
        );
        if let Some(wanted) = pass.wanted.filter(|_| is_last) {
            rows::keep(buffers.context.room(n * width), wanted, width);
            rows::keep(stream.room(n * h), wanted, h);
        }
        let n_rows = pass.n_rows(is_last);
        let mask = pass.mask(is_last, pass.sites.in_layer(layer, Site::AttentionOutput));
        let context = buffers.context.get(n_rows * width);
        end_block(values, &places.attention_output, context, mask, stream.room(n_rows * h), branch);
    }

    /// Attention of the decoder's rows to what the encoder made.
    fn look_across(
        &self,
        values: &[f32],
        places: &Cross,
        layer: usize,
        is_last: bool,
        pass: Pass<'_>,
        memory: &[f32],
        buffers: &mut LayerBuffers,
        passing: &mut Passing,
    ) {
        let (h, width, n) = (self.config.d_model, places.output.inputs, pass.n_rows(is_last));
        let Passing { stream, branch, scratch } = passing;
        let (stream, buffers) = (stream.room(n * h), &mut buffers.cross);
        let input = buffers.block.input.room(n * h);
        buffers.block.norm.forward(&places.norm, values, stream, input);
        let packed = buffers.packed.room(n * width + memory.len() / h * 2 * width);
        let (queries, keys) = packed.split_at_mut(n * width);
        places.queries.forward(values, input, queries);
        places.memory.forward(values, memory, keys);
        let spans = pass.cross_spans(is_last);
        attention::forward(
            packed,
            self.cross_heads(n),
            spans,
            pass.mask(is_last, pass.sites.in_layer(layer, Site::CrossProbabilities)),
            buffers.probabilities.room(spans.probabilities(self.config.num_heads)),
            buffers.context.room(n * width),
            scratch.scratch(),
        );
        let mask = pass.mask(is_last, pass.sites.in_layer(layer, Site::CrossOutput));
        end_block(values, &places.output, buffers.context.get(n * width), mask, stream, branch);
    }

    fn feed_forward(
        &self,
        values: &[f32],
        places: &Layer,
        layer: usize,
        is_last: bool,
        pass: Pass<'_>,
        buffers: &mut LayerBuffers,
        passing: &mut Passing,
    ) {
        let (h, f, n) = (self.config.d_model, self.config.d_ff, pass.n_rows(is_last));
        let LayerBuffers { feed_forward: block, inner, activated, .. } = buffers;
        let stream = passing.stream.room(n * h);
        let input = block.input.room(n * h);
        block.norm.forward(&places.output_norm, values, stream, input);
        let activated = activated.room(n * f);
        match self.config.feed_forward {
            FeedForward::Relu => {
                places.inner.forward(values, input, activated);
                relu::rectify(activated);
            }
            FeedForward::GatedGelu => {
                let inner = inner.room(n * places.inner.outputs);
                places.inner.forward(values, input, inner);
                glu::forward(Gate::GeluNew, inner, activated, f);
            }
        }
        if let Some(mask) = pass.mask(is_last, pass.sites.in_layer(layer, Site::Inner)) {
            mask.apply(activated, f);
        }
        let mask = pass.mask(is_last, pass.sites.in_layer(layer, Site::Output));
        end_block(values, &places.output, activated, mask, stream, &mut passing.branch);
    }
}

/// Adds a block's output to the stream: product and dropout.
fn end_block(
    values: &[f32],
    map: &Map,
    x: &[f32],
    drop: Option<Mask<'_>>,
    stream: &mut [f32],
    branch: &mut crate::buffer::Buffer,
) {
    let branch = branch.room(stream.len());
    map.forward(values, x, branch);
    if let Some(mask) = drop {
        mask.apply(branch, map.outputs);
    }
    rows::add(stream, branch);
}
