//! The body's backward pass.

use kernels::attention::{self, Heads};
use kernels::matmul::Into;
use kernels::{embedding, gelu, layer_norm, linear, rows};

use super::buffers::{Buffers, Extent, Gradients, LayerBuffers, NormBuffers, mask, site};
use super::forward::packed;
use super::layout::{Affine, Bert, Norm};
use crate::buffer::Buffer;
use crate::{Dropout, Tokens};

impl Bert {
    /// Given the gradient of the hidden states in `gradients.stream`, adds those of the body's parameters.
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
        let Buffers { embedding, layers, gathered, scratch, wanted_starts, gradients, .. } = buffers;
        let extent = Extent { tokens: *tokens, wanted, wanted_starts };
        for layer in (0..self.layers.len()).rev() {
            let (before, rest) = layers.split_at(layer);
            let input = before.last().map_or(&embedding.out, |before| &before.output.out);
            let x = input.get(tokens.ids.len() * self.config.hidden_size);
            self.layer_backward(
                values, layer, x, extent, dropout, gradient, &rest[0], gathered, gradients, scratch,
            );
        }
        self.embed_backward(values, tokens, dropout, gradient, embedding, gradients);
    }

    fn layer_backward(
        &self,
        values: &[f32],
        layer: usize,
        x: &[f32],
        extent: Extent<'_>,
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        buffers: &LayerBuffers,
        gathered: &Buffer,
        gradients: &mut Gradients,
        scratch: &mut Buffer,
    ) {
        let (h, f) = (self.config.hidden_size, self.config.intermediate_size);
        let (count, size) = (self.config.num_attention_heads, h / self.config.num_attention_heads);
        let places = &self.layers[layer];
        let is_last = layer + 1 == self.layers.len();
        let n = extent.tokens.ids.len();
        let n_rows = if is_last { extent.wanted.len() } else { n };
        let site_mask = |site: usize, probability: f64| {
            let mask = mask(dropout, site, probability)?;
            Some(if is_last { mask.at(extent.wanted) } else { mask })
        };
        let Gradients { stream, branch, inner, packed, all } = gradients;

        // Feed-forward block.
        let d = stream.room(n_rows * h);
        let drop = site_mask(site::output(layer), self.config.hidden_dropout_prob);
        let activated = buffers.activated.get(n_rows * f);
        let ends = (&places.output, &places.output_norm);
        let d_branch =
            self.end_block_backward(values, ends, activated, f, drop, d, branch, gradient, &buffers.output);
        let d_inner = inner.room(n_rows * f);
        linear::input_gradient(
            d_inner,
            d_branch,
            &values[places.output.weight.clone()],
            f,
            self.precision,
            Into::Overwrite,
        );
        let derivative = buffers.derivative.get(n_rows * f);
        gelu::backward(d_inner, derivative, &mut gradient[places.intermediate.bias.clone()]);
        let middle = buffers.attention.out.get(n_rows * h);
        linear::weight_gradient(
            &mut gradient[places.intermediate.weight.clone()],
            d_inner,
            middle,
            h,
            self.precision,
        );
        linear::input_gradient(
            d,
            d_inner,
            &values[places.intermediate.weight.clone()],
            h,
            self.precision,
            Into::Add,
        );

        // Attention block.
        let drop = site_mask(site::attention_output(layer), self.config.attention_output_dropout());
        let context = buffers.context.get(n_rows * h);
        let ends = (&places.attention_output, &places.attention_norm);
        let d_branch =
            self.end_block_backward(values, ends, context, h, drop, d, branch, gradient, &buffers.attention);
        let d_context = inner.room(n_rows * h);
        let weight = &values[places.attention_output.weight.clone()];
        linear::input_gradient(d_context, d_branch, weight, h, self.precision, Into::Overwrite);
        let spans = self.spans(is_last, &extent);
        let (heads, n_packed) = if is_last {
            (Heads::split(count, size, n_rows), (n_rows + 2 * n) * h)
        } else {
            (Heads::fused(count, size), 3 * n * h)
        };
        let d_packed = packed.room(n_packed);
        attention::backward(
            buffers.packed.get(n_packed),
            heads,
            spans,
            site_mask(site::probabilities(layer), self.config.attention_probs_dropout_prob),
            buffers.probabilities.get(spans.probabilities(count)),
            d_context,
            d_packed,
            scratch.scratch(),
        );

        // Queries, keys, values.
        let weight = &values[places.attention.weight.clone()];
        let d_weight = &mut gradient[places.attention.weight.clone()];
        if is_last {
            let (d_queries, d_rest) = d_packed.split_at(n_rows * h);
            let (d_query_weight, d_rest_weight) = d_weight.split_at_mut(h * h);
            linear::weight_gradient(d_query_weight, d_queries, gathered.get(n_rows * h), h, self.precision);
            linear::weight_gradient(d_rest_weight, d_rest, x, h, self.precision);
            let (d_query_bias, d_rest_bias) = gradient[places.attention.bias.clone()].split_at_mut(h);
            linear::bias_gradient(d_query_bias, d_queries);
            linear::bias_gradient(d_rest_bias, d_rest);
            linear::input_gradient(d, d_queries, &weight[..h * h], h, self.precision, Into::Add);
            let d_all = all.room(n * h);
            linear::input_gradient(d_all, d_rest, &weight[h * h..], h, self.precision, Into::Overwrite);
            rows::scatter_add(d_all, d, extent.wanted, h);
            std::mem::swap(stream, all);
        } else {
            linear::weight_gradient(d_weight, d_packed, x, h, self.precision);
            linear::bias_gradient(&mut gradient[places.attention.bias.clone()], d_packed);
            linear::input_gradient(d, d_packed, weight, h, self.precision, Into::Add);
        }
    }

    /// Turns the gradient of a block's output into that of its residual, in place, and returns that of its branch.
    fn end_block_backward<'b>(
        &self,
        values: &[f32],
        (dense, norm): (&Affine, &Norm),
        x: &[f32],
        inputs: usize,
        drop: Option<kernels::dropout::Mask<'_>>,
        d: &'b mut [f32],
        branch: &'b mut Buffer,
        gradient: &mut [f32],
        buffers: &NormBuffers,
    ) -> &'b [f32] {
        let h = self.config.hidden_size;
        let (d_norm_weight, d_norm_bias) = norm.split_mut(gradient);
        let (normalised, reciprocals) =
            (buffers.normalised.get(d.len()), buffers.reciprocals.get(d.len() / h));
        layer_norm::backward(d, normalised, reciprocals, norm.split(values).0, d_norm_weight, d_norm_bias);
        let d_branch = match drop {
            None => &*d,
            Some(mask) => {
                let d_branch = branch.room(d.len());
                d_branch.copy_from_slice(d);
                mask.apply(d_branch, h);
                d_branch
            }
        };
        linear::bias_gradient(&mut gradient[dense.bias.clone()], d_branch);
        linear::weight_gradient(&mut gradient[dense.weight.clone()], d_branch, x, inputs, self.precision);
        d_branch
    }

    fn embed_backward(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        buffers: &NormBuffers,
        gradients: &mut Gradients,
    ) {
        let (h, n) = (self.config.hidden_size, tokens.ids.len());
        let places = &self.embeddings;
        let d = gradients.stream.room(n * h);
        if let Some(mask) = mask(dropout, site::EMBEDDINGS, self.config.hidden_dropout_prob) {
            mask.apply(d, h);
        }
        let (d_weight, d_bias) = places.norm.split_mut(gradient);
        let (normalised, reciprocals) = (buffers.normalised.get(n * h), buffers.reciprocals.get(n));
        layer_norm::backward(d, normalised, reciprocals, places.norm.split(values).0, d_weight, d_bias);
        // The three tables lie one after the other.
        let tables = &mut gradient[places.words.start..places.segments.end];
        let (words, tables) = tables.split_at_mut(places.words.len());
        let (positions, segments) = tables.split_at_mut(places.positions.len());
        let positions = &mut positions[places.before_first..];
        embedding::backward(d, embedding::Tables { words, positions, segments }, packed(tokens), h);
    }
}
