//! The backward pass of both stacks.

use kernels::attention::{self, Bias, Spans};
use kernels::dropout::Mask;
use kernels::glu::{self, Gate};
use kernels::{relu, rows};

use super::FeedForward;
use super::buffers::{Buffers, Gradients, LayerBuffers, Packed, Site, StackBuffers};
use super::forward::{Extent, Pass};
use super::layout::{Cross, Layer, Stack, T5};
use crate::Dropout;
use crate::buffer::Buffer;

impl T5 {
    /// Given the gradient of the decoder's states `[wanted, H]` in `gradients.stream`, adds those of the stacks'
    /// parameters and of the words as they are read.
    ///
    /// The forward pass must have run in training mode on the same arguments.
    pub(super) fn backward(
        &self,
        values: &[f32],
        extent: Extent<'_>,
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let Buffers { encoder, decoder, passing, gradients, .. } = buffers;
        let scratch = &mut passing.scratch;
        let memory = encoder.states.get(extent.source.ids.len() * self.config.d_model);
        gradients.memory.room(memory.len()).fill(0.0);
        let pass = self.decoder_pass(extent, dropout);
        self.stack_backward(values, &self.decoder, pass, memory, decoder, gradient, gradients, scratch);
        std::mem::swap(&mut gradients.stream, &mut gradients.memory);
        let pass = self.encoder_pass(extent, dropout);
        self.stack_backward(values, &self.encoder, pass, &[], encoder, gradient, gradients, scratch);
    }

    /// Given the gradient of a stack's states in `gradients.stream`, adds those of its parameters, and that of what the
    /// encoder made to `gradients.memory`.
    fn stack_backward(
        &self,
        values: &[f32],
        stack: &Stack,
        pass: Pass<'_>,
        memory: &[f32],
        buffers: &StackBuffers,
        gradient: &mut [f32],
        gradients: &mut Gradients,
        scratch: &mut Buffer,
    ) {
        let h = self.config.d_model;
        let d = gradients.stream.room(pass.n_rows(true) * h);
        if let Some(mask) = pass.mask(true, pass.sites.states()) {
            mask.apply(d, h);
        }
        buffers.last.backward(&stack.final_norm, values, d, gradient);
        let longest = pass.tokens.longest();
        let n_biases = self.config.num_heads * Bias::<&[f32]>::width(longest);
        gradients.bias.room(n_biases).fill(0.0);
        for (layer, places) in stack.layers.iter().enumerate().rev() {
            let (buffers, is_last) = (&buffers.layers[layer], layer + 1 == stack.layers.len());
            self.feed_forward_backward(values, places, layer, is_last, pass, buffers, gradient, gradients);
            if let Some(cross) = &places.cross {
                self.look_across_backward(
                    values, cross, layer, is_last, pass, memory, buffers, gradient, gradients, scratch,
                );
            }
            self.attend_backward(values, stack, layer, pass, buffers, gradient, gradients, scratch);
        }
        let d_table = &mut gradient[stack.distances.clone()];
        self.buckets(stack).collect(gradients.bias.get(n_biases), longest, d_table);
        self.embed_backward(pass.tokens, pass.sites.embeddings(), gradient, gradients);
    }

    fn feed_forward_backward(
        &self,
        values: &[f32],
        places: &Layer,
        layer: usize,
        is_last: bool,
        pass: Pass<'_>,
        buffers: &LayerBuffers,
        gradient: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let (h, f, n) = (self.config.d_model, self.config.d_ff, pass.n_rows(is_last));
        let Gradients { stream, branch, input, inner, wide, .. } = gradients;
        let d = stream.room(n * h);
        let mask = pass.mask(is_last, pass.sites.in_layer(layer, Site::Output));
        let d_branch = end_block_backward(d, mask, h, branch);
        let (d_activated, activated) = (inner.room(n * f), buffers.activated.get(n * f));
        places.output.backward(values, activated, d_branch, d_activated, gradient);
        if let Some(mask) = pass.mask(is_last, pass.sites.in_layer(layer, Site::Inner)) {
            mask.apply(d_activated, f);
        }
        let d_inner = match self.config.feed_forward {
            // What was dropped is 0 as well, and its gradient already is.
            FeedForward::Relu => {
                relu::rectify_backward(d_activated, activated);
                d_activated
            }
            FeedForward::GatedGelu => {
                let d_inner = wide.room(n * places.inner.outputs);
                glu::backward(Gate::GeluNew, buffers.inner.get(d_inner.len()), d_activated, d_inner, f);
                d_inner
            }
        };
        let (d_input, read) = (input.room(n * h), buffers.feed_forward.input.get(n * h));
        places.inner.backward(values, read, d_inner, d_input, gradient);
        buffers.feed_forward.norm.backward(&places.output_norm, values, d_input, gradient);
        rows::add(d, d_input);
    }

    fn look_across_backward(
        &self,
        values: &[f32],
        places: &Cross,
        layer: usize,
        is_last: bool,
        pass: Pass<'_>,
        memory: &[f32],
        buffers: &LayerBuffers,
        gradient: &mut [f32],
        gradients: &mut Gradients,
        scratch: &mut Buffer,
    ) {
        let (h, width, n) = (self.config.d_model, places.output.inputs, pass.n_rows(is_last));
        let buffers = &buffers.cross;
        let Gradients { stream, memory: d_memory, branch, input, inner, wide, .. } = gradients;
        let d = stream.room(n * h);
        let mask = pass.mask(is_last, pass.sites.in_layer(layer, Site::CrossOutput));
        let d_branch = end_block_backward(d, mask, h, branch);
        let (d_context, context) = (inner.room(n * width), buffers.context.get(n * width));
        places.output.backward(values, context, d_branch, d_context, gradient);
        let spans = pass.cross_spans(is_last);
        let d_packed = wide.room(n * width + memory.len() / h * 2 * width);
        attention::backward(
            buffers.packed.get(d_packed.len()),
            self.cross_heads(n),
            spans,
            pass.mask(is_last, pass.sites.in_layer(layer, Site::CrossProbabilities)),
            buffers.probabilities.get(spans.probabilities(self.config.num_heads)),
            d_context,
            d_packed,
            scratch.scratch(),
        );
        let (d_queries, d_keys) = d_packed.split_at(n * width);
        let (d_input, read) = (input.room(n * h), buffers.block.input.get(n * h));
        places.queries.backward(values, read, d_queries, d_input, gradient);
        buffers.block.norm.backward(&places.norm, values, d_input, gradient);
        rows::add(d, d_input);
        let d_input = input.room(memory.len());
        places.memory.backward(values, memory, d_keys, d_input, gradient);
        rows::add(d_memory.room(memory.len()), d_input);
    }

    fn attend_backward(
        &self,
        values: &[f32],
        stack: &Stack,
        layer: usize,
        pass: Pass<'_>,
        buffers: &LayerBuffers,
        gradient: &mut [f32],
        gradients: &mut Gradients,
        scratch: &mut Buffer,
    ) {
        let (places, buffers) = (&stack.layers[layer], &buffers.attention);
        let (h, width, n) = (self.config.d_model, places.attention_output.inputs, pass.tokens.ids.len());
        let is_last = layer + 1 == stack.layers.len();
        let n_rows = pass.n_rows(is_last);
        let Gradients { stream, bias, branch, input, inner, wide, .. } = gradients;
        let mask = pass.mask(is_last, pass.sites.in_layer(layer, Site::AttentionOutput));
        let d_branch = end_block_backward(stream.room(n_rows * h), mask, h, branch);
        let (d_context, context) = (inner.room(n_rows * width), buffers.context.get(n_rows * width));
        places.attention_output.backward(values, context, d_branch, d_context, gradient);
        let (d, d_context) = (stream.room(n * h), inner.room(n * width));
        if let Some(wanted) = pass.wanted.filter(|_| is_last) {
            rows::spread(d, wanted, h);
            rows::spread(d_context, wanted, width);
        }
        let spans = Spans { queries: pass.tokens.starts, keys: pass.tokens.starts };
        let longest = pass.tokens.longest();
        let n_biases = self.config.num_heads * Bias::<&[f32]>::width(longest);
        let d_packed = wide.room(n * places.attention.outputs);
        attention::backward_biased(
            buffers.packed.get(d_packed.len()),
            self.heads(stack),
            spans,
            Some(Bias { values: bias.room(n_biases), longest }),
            pass.sites.in_layer(layer, Site::Probabilities),
            buffers.probabilities.get(spans.probabilities(self.config.num_heads)),
            d_context,
            d_packed,
            scratch.scratch(),
        );
        let (d_input, read) = (input.room(n * h), buffers.block.input.get(n * h));
        places.attention.backward(values, read, d_packed, d_input, gradient);
        buffers.block.norm.backward(&places.attention_norm, values, d_input, gradient);
        rows::add(d, d_input);
    }

    fn embed_backward(
        &self,
        tokens: Packed<'_>,
        mask: Option<Mask<'_>>,
        gradient: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let h = self.config.d_model;
        let d = gradients.stream.room(tokens.ids.len() * h);
        if let Some(mask) = mask {
            mask.apply(d, h);
        }
        rows::scatter_add(&mut gradient[self.words.clone()], d, tokens.ids, h);
    }
}

/// The gradient of a block's last map, given that of the stream behind the block, which stays.
fn end_block_backward<'b>(
    d: &[f32],
    drop: Option<Mask<'_>>,
    width: usize,
    branch: &'b mut Buffer,
) -> &'b [f32] {
    let d_branch = branch.room(d.len());
    d_branch.copy_from_slice(d);
    if let Some(mask) = drop {
        mask.apply(d_branch, width);
    }
    d_branch
}
