//! The body's backward pass.

use kernels::attention::{self, Spans};
use kernels::dropout::Mask;
use kernels::glu::{self, Gate};
use kernels::rotary::{self, Turn};
use kernels::{embedding, gelu, rows};

use super::buffers::{Buffers, Extent, Gradients, LayerBuffers, NormBuffers, Passing};
use super::forward::packed;
use super::layout::{Decoder, Layer};
use super::parts::Norm;
use crate::bert::{mask, site};
use crate::buffer::Buffer;
use crate::{Dropout, Tokens};

impl Decoder {
    /// Given the gradient of the features `[wanted, H]` in `gradients.stream`, adds those of the body's parameters.
    ///
    /// The forward pass must have run in training mode on the same arguments.
    pub(super) fn backward(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        wanted: &[u32],
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let Buffers { layers, last, passing, gradients, .. } = buffers;
        let d = gradients.stream.room(wanted.len() * self.config.hidden_size);
        norm_backward(&self.final_norm, values, d, last, gradient);
        let extent = Extent { tokens: *tokens, wanted };
        for layer in (0..self.layers.len()).rev() {
            self.layer_backward(values, layer, extent, dropout, gradient, &layers[layer], gradients, passing);
        }
        self.embed_backward(tokens, dropout, gradient, gradients);
    }

    /// Turns the gradient of a layer's output in `gradients.stream` into that of its input.
    fn layer_backward(
        &self,
        values: &[f32],
        layer: usize,
        extent: Extent<'_>,
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        buffers: &LayerBuffers,
        gradients: &mut Gradients,
        passing: &mut Passing,
    ) {
        let places = &self.layers[layer];
        let (h, f) = (self.config.hidden_size, self.config.intermediate_size);
        let width = places.attention_output.inputs;
        let is_last = layer + 1 == self.layers.len();
        let n = extent.tokens.ids.len();
        let n_rows = if is_last { extent.wanted.len() } else { n };
        let residual_mask = |site| {
            let mask = mask(dropout, site, self.config.residual_dropout)?;
            Some(if is_last { mask.at(extent.wanted) } else { mask })
        };
        let Gradients { stream, branch, input, inner, wide } = gradients;

        // Feed-forward block: its input's gradient goes to where its input came from.
        let d = stream.room(n_rows * h);
        let drop = residual_mask(site::output(layer));
        let norms = (&places.output_norm, &buffers.feed_forward.norm);
        let d_branch = self.end_block_backward(values, norms, drop, d, gradient, branch);
        let d_activated = inner.room(n_rows * f);
        let activated = buffers.activated.get(n_rows * f);
        places.output.backward(values, activated, d_branch, d_activated, gradient);
        let n_inner = n_rows * places.inner.outputs;
        let kept = buffers.inner.get(n_inner);
        let d_inner = if self.is_gated() {
            let d_inner = wide.room(n_inner);
            glu::backward(Gate::Silu, kept, d_activated, d_inner, f);
            d_inner
        } else {
            gelu::backward(d_activated, kept, places.inner.bias_mut(gradient));
            d_activated
        };
        let d_input = input.room(n_rows * h);
        let read = buffers.feed_forward.input.get(n_rows * h);
        places.inner.product_backward(values, read, d_inner, d_input, gradient);
        self.begin_block_backward(values, norms, d_input, gradient);
        if !self.config.use_parallel_residual {
            rows::add(d, d_input);
        }

        // Attention block.
        let drop = residual_mask(site::attention_output(layer));
        let norms = (&places.attention_norm, &buffers.attention.norm);
        let d_branch = self.end_block_backward(values, norms, drop, d, gradient, branch);
        if self.config.use_parallel_residual {
            rows::add(d, d_input);
        }
        let context = buffers.context.get(n_rows * width);
        places.attention_output.backward(values, context, d_branch, inner.room(n_rows * width), gradient);
        let (d, d_context) = (stream.room(n * h), inner.room(n * width));
        if is_last {
            rows::spread(d, extent.wanted, h);
            rows::spread(d_context, extent.wanted, width);
        }
        let spans = Spans { queries: extent.tokens.starts, keys: extent.tokens.starts };
        let heads = self.attention_heads(layer);
        let n_packed = n * places.attention.outputs;
        let d_packed = wide.room(n_packed);
        attention::backward(
            buffers.packed.get(n_packed),
            heads,
            spans,
            mask(dropout, site::probabilities(layer), self.config.attention_dropout),
            buffers.probabilities.get(spans.probabilities(heads.count)),
            d_context,
            d_packed,
            passing.scratch.scratch(),
        );
        for (rows, count) in [(heads.queries, heads.count), (heads.keys, heads.shared)] {
            rotary::apply(d_packed, rows, count, extent.tokens.starts, &passing.angles, Turn::Backward);
        }
        self.projections_backward(values, places, d_packed, &buffers.projections, gradient, branch);
        let d_input = input.room(n * h);
        places.attention.backward(values, buffers.attention.input.get(n * h), d_packed, d_input, gradient);
        self.begin_block_backward(values, norms, d_input, gradient);
        rows::add(d, d_input);
    }

    /// The gradient of a block's last map, given that of the stream behind the block, which stays.
    fn end_block_backward<'b>(
        &self,
        values: &[f32],
        (norm, norm_buffers): (&Norm, &NormBuffers),
        drop: Option<Mask<'_>>,
        d: &[f32],
        gradient: &mut [f32],
        branch: &'b mut Buffer,
    ) -> &'b [f32] {
        let d_branch = branch.room(d.len());
        d_branch.copy_from_slice(d);
        if let Some(mask) = drop {
            mask.apply(d_branch, self.config.hidden_size);
        }
        if self.config.variant.normalises_outputs() {
            norm_backward(norm, values, d_branch, norm_buffers, gradient);
        }
        d_branch
    }

    /// Turns the gradient of what a block read into that of the stream that it came from.
    fn begin_block_backward(
        &self,
        values: &[f32],
        (norm, norm_buffers): (&Norm, &NormBuffers),
        d_input: &mut [f32],
        gradient: &mut [f32],
    ) {
        if !self.config.variant.normalises_outputs() {
            norm_backward(norm, values, d_input, norm_buffers, gradient);
        }
    }

    /// Through the norms of queries and keys, where the variant has them.
    fn projections_backward(
        &self,
        values: &[f32],
        places: &Layer,
        d_packed: &mut [f32],
        buffers: &[NormBuffers; 2],
        gradient: &mut [f32],
        columns: &mut Buffer,
    ) {
        let stride = places.attention.outputs;
        let mut from = 0;
        for (norm, buffers) in places.projection_norms.iter().flatten().zip(buffers) {
            let (width, n) = (norm.width, d_packed.len() / stride);
            let d = columns.room(n * width);
            rows::take_columns(d, d_packed, from, width, stride);
            norm_backward(norm, values, d, buffers, gradient);
            rows::put_columns(d_packed, d, from, width, stride);
            from += width;
        }
    }

    fn embed_backward(
        &self,
        tokens: &Tokens<'_>,
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let h = self.config.hidden_size;
        let d = gradients.stream.room(tokens.ids.len() * h);
        if let Some(mask) = mask(dropout, site::EMBEDDINGS, self.config.embedding_dropout) {
            mask.apply(d, h);
        }
        // The table of positions follows that of words.
        let tables = &mut gradient[self.words.start..self.positions.end];
        let (words, positions) = tables.split_at_mut(self.words.len());
        if positions.is_empty() {
            rows::scatter_add(words, d, tokens.ids, h);
        } else {
            let tables = embedding::Tables { words, positions, segments: &mut [][..] };
            embedding::backward(d, tables, packed(tokens), h);
        }
    }
}

/// Turns the gradient of a norm's output into that of its input, in place.
fn norm_backward(norm: &Norm, values: &[f32], d: &mut [f32], buffers: &NormBuffers, gradient: &mut [f32]) {
    let (normalised, reciprocals) =
        (buffers.normalised.get(d.len()), buffers.reciprocals.get(d.len() / norm.width));
    norm.backward(values, d, normalised, reciprocals, gradient);
}
