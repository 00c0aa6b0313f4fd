//! The body's forward pass.

use kernels::attention::{self, Heads, Spans};
use kernels::dropout::Mask;
use kernels::layer_norm::{self, Addends};
use kernels::{embedding, gelu, linear, rows};

use super::buffers::{Buffers, Extent, LayerBuffers, NormBuffers, mask, site, starts_among};
use super::layout::{Affine, Bert, Norm};
use crate::buffer::Buffer;
use crate::{Dropout, Tokens};

/// Whether a backward pass will follow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Training,
    Evaluation,
}

impl Bert {
    /// Leaves the hidden states `[wanted, H]` of the last layer in its buffers, which [`Bert::hidden`] reads.
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
        starts_among(wanted, tokens.starts, &mut buffers.wanted_starts);
        let n_slots = if mode == Mode::Training { self.layers.len() } else { 2.min(self.layers.len()) };
        if buffers.layers.len() < n_slots {
            buffers.layers.resize_with(n_slots, LayerBuffers::default);
        }
        self.embed(values, tokens, dropout, &mut buffers.embedding);
        let Buffers { embedding, layers, gathered, scratch, wanted_starts, .. } = buffers;
        let extent = Extent { tokens: *tokens, wanted, wanted_starts };
        for layer in 0..self.layers.len() {
            let (slot, previous) = (layer % n_slots, layer.wrapping_sub(1) % n_slots);
            // The input leaves its place for a moment, since it may lie in a neighbouring slot.
            let input = std::mem::take(if layer == 0 {
                &mut embedding.out
            } else {
                &mut layers[previous].output.out
            });
            self.layer(values, layer, &input, extent, dropout, mode, &mut layers[slot], gathered, scratch);
            *(if layer == 0 { &mut embedding.out } else { &mut layers[previous].output.out }) = input;
        }
    }

    /// What [`Bert::forward`] left: `[wanted, H]`.
    pub(super) fn hidden<'b>(&self, n: usize, mode: Mode, layers: &'b [LayerBuffers]) -> &'b [f32] {
        let last = self.layers.len() - 1;
        let slot = if mode == Mode::Training { last } else { last % 2.min(self.layers.len()) };
        layers[slot].output.out.get(n * self.config.hidden_size)
    }

    /// Sums of word, position and segment embeddings, normalised.
    fn embed(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        dropout: Option<Dropout>,
        buffers: &mut NormBuffers,
    ) {
        let (h, n) = (self.config.hidden_size, tokens.ids.len());
        let places = &self.embeddings;
        let tables = embedding::Tables {
            words: &values[places.words.clone()],
            positions: &values[places.positions.clone()][places.before_first..],
            segments: &values[places.segments.clone()],
        };
        let sums = buffers.normalised.room(n * h);
        embedding::forward(sums, tables, packed(tokens), h);
        let out = buffers.out.room(n * h);
        let affine = self.affine(&places.norm, values);
        layer_norm::forward(sums, Addends::default(), affine, out, buffers.reciprocals.room(n));
        if let Some(mask) = mask(dropout, site::EMBEDDINGS, self.config.hidden_dropout_prob) {
            mask.apply(out, h);
        }
    }

    fn layer(
        &self,
        values: &[f32],
        layer: usize,
        input: &Buffer,
        extent: Extent<'_>,
        dropout: Option<Dropout>,
        mode: Mode,
        buffers: &mut LayerBuffers,
        gathered: &mut Buffer,
        scratch: &mut Buffer,
    ) {
        let (h, f) = (self.config.hidden_size, self.config.intermediate_size);
        let (count, size) = (self.config.num_attention_heads, h / self.config.num_attention_heads);
        let places = &self.layers[layer];
        let is_last = layer + 1 == self.layers.len();
        let n = extent.tokens.ids.len();
        let n_rows = if is_last { extent.wanted.len() } else { n };
        let x = input.get(n * h);
        let weight = &values[places.attention.weight.clone()];
        let bias = &values[places.attention.bias.clone()];

        // Queries, keys, values. The last layer asks only for the wanted rows.
        let (heads, residual) = if is_last {
            let wanted = gathered.room(n_rows * h);
            rows::gather(wanted, x, extent.wanted, h);
            let (queries, rest) = buffers.packed.room((n_rows + 2 * n) * h).split_at_mut(n_rows * h);
            linear::forward_with_bias(queries, wanted, &weight[..h * h], &bias[..h], h, self.precision);
            linear::forward_with_bias(rest, x, &weight[h * h..], &bias[h..], h, self.precision);
            (Heads::split(count, size, n_rows), &*wanted)
        } else {
            linear::forward_with_bias(buffers.packed.room(3 * n * h), x, weight, bias, h, self.precision);
            (Heads::fused(count, size), x)
        };
        let spans = self.spans(is_last, &extent);
        let on_rows = |mask: Option<Mask<'static>>| -> Option<Mask<'_>> {
            if is_last { mask.map(|mask| mask.at(extent.wanted)) } else { mask }
        };
        attention::forward(
            buffers.packed.get(if is_last { (n_rows + 2 * n) * h } else { 3 * n * h }),
            heads,
            spans,
            on_rows(mask(dropout, site::probabilities(layer), self.config.attention_probs_dropout_prob)),
            buffers.probabilities.room(spans.probabilities(count)),
            buffers.context.room(n_rows * h),
            scratch.scratch(),
        );

        // Both blocks end alike: product, dropout, residual, LayerNorm.
        let context = buffers.context.get(n_rows * h);
        let drop =
            on_rows(mask(dropout, site::attention_output(layer), self.config.attention_output_dropout()));
        let ends = (&places.attention_output, &places.attention_norm);
        self.end_block(values, ends, context, h, residual, drop, &mut buffers.attention);

        let middle = buffers.attention.out.get(n_rows * h);
        let (weight, bias) =
            (&values[places.intermediate.weight.clone()], &values[places.intermediate.bias.clone()]);
        if mode == Mode::Training {
            let derivative = buffers.derivative.room(n_rows * f);
            linear::forward(derivative, middle, weight, h, self.precision);
            gelu::forward_and_derivative(derivative, bias, buffers.activated.room(n_rows * f));
        } else {
            let activated = buffers.activated.room(n_rows * f);
            linear::forward(activated, middle, weight, h, self.precision);
            gelu::forward(activated, bias);
        }

        let activated = buffers.activated.get(n_rows * f);
        let drop = on_rows(mask(dropout, site::output(layer), self.config.hidden_dropout_prob));
        let ends = (&places.output, &places.output_norm);
        self.end_block(values, ends, activated, f, middle, drop, &mut buffers.output);
    }

    fn end_block(
        &self,
        values: &[f32],
        (dense, norm): (&Affine, &Norm),
        x: &[f32],
        inputs: usize,
        residual: &[f32],
        drop: Option<Mask<'_>>,
        buffers: &mut NormBuffers,
    ) {
        let h = self.config.hidden_size;
        let branch = buffers.normalised.room(residual.len());
        linear::forward(branch, x, &values[dense.weight.clone()], inputs, self.precision);
        let mut bias = Some(&values[dense.bias.clone()]);
        if let Some(mask) = drop {
            // The bias is dropped with the rest.
            rows::add_to_each(branch, &values[dense.bias.clone()]);
            mask.apply(branch, h);
            bias = None;
        }
        layer_norm::forward(
            branch,
            Addends { bias, residual: Some(residual) },
            self.affine(norm, values),
            buffers.out.room(residual.len()),
            buffers.reciprocals.room(residual.len() / h),
        );
    }

    pub(super) fn affine<'a>(&self, norm: &Norm, values: &'a [f32]) -> layer_norm::Affine<'a> {
        let (weight, bias) = norm.split(values);
        layer_norm::Affine { weight, bias, epsilon: self.config.layer_norm_eps as f32 }
    }

    pub(super) fn spans<'a>(&self, is_last: bool, extent: &Extent<'a>) -> Spans<'a> {
        let queries = if is_last { extent.wanted_starts } else { extent.tokens.starts };
        Spans { queries, keys: extent.tokens.starts }
    }
}

/// The kernels' form of packed tokens.
pub(super) fn packed<'a>(tokens: &Tokens<'a>) -> embedding::Tokens<'a> {
    embedding::Tokens { words: tokens.ids, segments: tokens.types, starts: tokens.starts }
}
