//! Blocks one after the other: an embedding, layers, a norm; there and back.

use std::ops::Range;

use kernels::attention::Bias;
use kernels::matmul::Precision;

use crate::Tokens;
use crate::blocks::attention::{self, Memory, Projections, Reads, Wanted};
use crate::blocks::buckets::Buckets;
use crate::blocks::{
    Attention, Backward, Buffer, Embedding, FeedForward, Map, Mode, Norm, Pass, Passing, Residual, Site,
    feed_forward, norm, residual,
};

/// An encoder or a decoder.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) embedding: Embedding,
    pub(crate) layers: Vec<Layer>,
    /// Behind the layers, where blocks do not end in one.
    pub(crate) final_norm: Option<Norm>,
    /// Behind that norm.
    pub(crate) drop: Site,
    /// Of rotations, in radians per position; empty where there are none.
    pub(crate) frequencies: Vec<f32>,
    /// Biases by distance, which all layers share.
    pub(crate) distances: Option<Distances>,
}

/// A table `[buckets, heads]` of biases by distance.
#[derive(Clone, Debug)]
pub(crate) struct Distances {
    pub(crate) table: Range<usize>,
    pub(crate) buckets: Buckets,
    pub(crate) heads: usize,
}

/// A block and how it joins the stream.
#[derive(Clone, Debug)]
pub(crate) struct Branch<B> {
    pub(crate) block: B,
    pub(crate) residual: Residual,
}

#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) attention: Branch<Attention>,
    /// To what an encoder made.
    pub(crate) cross: Option<Branch<Attention>>,
    pub(crate) feed_forward: Branch<FeedForward>,
    /// Whether attention and feed-forward block read the same stream (GPT-NeoX).
    pub(crate) is_parallel: bool,
}

/// What a stack reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackReads<'a> {
    pub(crate) tokens: Tokens<'a>,
    /// Increasing rows that the last layer goes on with, or all.
    pub(crate) wanted: Option<&'a [u32]>,
    /// Of a decoder that looks across.
    pub(crate) memory: Option<Memory<'a>>,
}

/// What a layer reads beside the stream.
#[derive(Clone, Copy, Debug)]
struct LayerReads<'a> {
    starts: &'a [u32],
    /// Of the last layer alone.
    wanted: Option<Wanted<'a>>,
    memory: Option<Memory<'a>>,
}

impl<'a> LayerReads<'a> {
    /// Rows of the stream behind the first attention, where some were left out.
    fn rows(&self) -> Option<&'a [u32]> {
        self.wanted.map(|wanted| wanted.rows)
    }

    /// What the first attention reads.
    fn own(&self, x: &'a Buffer) -> Reads<'a> {
        Reads { x: x.get(), starts: self.starts, wanted: self.wanted, memory: None }
    }

    /// What the attention across reads.
    fn across(&self, x: &'a Buffer) -> Reads<'a> {
        let starts = self.wanted.map_or(self.starts, |wanted| wanted.starts);
        Reads { x: x.get(), starts, wanted: self.wanted, memory: self.memory }
    }
}

/// What a stack leaves.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    embedding: norm::Kept,
    /// One per layer in training, one in evaluation.
    layers: Vec<LayerKept>,
    last: norm::Kept,
    /// Its output: `[n, H]`, or `[w, H]` where rows are wanted.
    pub(crate) states: Buffer,
    /// Where the wanted rows of each sequence start among them.
    wanted_starts: Vec<u32>,
}

#[derive(Debug, Default)]
struct LayerKept {
    attention: BranchKept<attention::Kept>,
    cross: BranchKept<attention::Kept>,
    feed_forward: BranchKept<feed_forward::Kept>,
}

#[derive(Debug, Default)]
struct BranchKept<K> {
    block: K,
    residual: residual::Kept,
}

impl Stack {
    /// Leaves the states in `kept.states`.
    pub(crate) fn forward(
        &self,
        pass: Pass<'_>,
        reads: StackReads<'_>,
        kept: &mut Kept,
        passing: &mut Passing,
    ) {
        let n_slots = if pass.mode == Mode::Training { self.layers.len() } else { 1 };
        let Kept { embedding, layers, last, states, wanted_starts } = kept;
        if layers.len() < n_slots {
            layers.resize_with(n_slots, LayerKept::default);
        }
        starts_among(reads.wanted.unwrap_or_default(), reads.tokens.starts, wanted_starts);
        self.place(pass.values, &reads.tokens, passing);
        self.embedding.forward(pass, &reads.tokens, &mut passing.stream, embedding);
        for (index, layer) in self.layers.iter().enumerate() {
            let reads = self.layer_reads(index, reads, wanted_starts);
            layer.forward(pass, reads, &mut layers[index % n_slots], passing);
        }
        let stream = &mut passing.stream;
        match &self.final_norm {
            None => states.swap(stream),
            Some(norm) => {
                norm.forward(pass.values, stream.get(), last, states.room(stream.rows(), stream.width()));
            }
        }
        if let Some(mask) = self.drop.mask(pass.dropout, reads.wanted) {
            mask.apply(states.get_mut(), self.embedding.width);
        }
    }

    /// Given the gradient of the states in `flow.stream`, adds those of the parameters, and that of what the encoder made to
    /// `flow.memory`.
    pub(crate) fn backward(
        &self,
        pass: Pass<'_>,
        reads: StackReads<'_>,
        kept: &Kept,
        back: &mut Backward<'_>,
    ) {
        let d = back.flow.stream.get_mut();
        if let Some(mask) = self.drop.mask(pass.dropout, reads.wanted) {
            mask.apply(d, self.embedding.width);
        }
        if let Some(norm) = &self.final_norm {
            norm.backward(pass.values, d, &kept.last, back.gradient);
        }
        let longest = longest(&reads.tokens);
        back.passing.longest = longest;
        if let Some(Distances { heads, .. }) = &self.distances {
            back.flow.bias.room(*heads, Bias::<&[f32]>::width(longest)).fill(0.0);
        }
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let reads = self.layer_reads(index, reads, &kept.wanted_starts);
            layer.backward(pass, reads, &kept.layers[index], back);
        }
        if let Some(Distances { table, buckets, .. }) = &self.distances {
            buckets.collect(back.flow.bias.get(), longest, &mut back.gradient[table.clone()]);
        }
        let d = back.flow.stream.get_mut();
        self.embedding.backward(pass, &reads.tokens, d, &kept.embedding, back.gradient);
    }

    /// Sets what the products of the blocks are computed in.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        for layer in &mut self.layers {
            let Layer { attention, cross, feed_forward, .. } = layer;
            for Branch { block, residual } in [attention].into_iter().chain(cross) {
                residual.output.precision = precision;
                match &mut block.projections {
                    Projections::Own(map) => map.precision = precision,
                    Projections::Across { queries, memory } => {
                        (queries.precision, memory.precision) = (precision, precision);
                    }
                }
            }
            let maps: [&mut Map; 2] = [&mut feed_forward.block.inner, &mut feed_forward.residual.output];
            maps.into_iter().for_each(|map| map.precision = precision);
        }
    }

    /// Makes ready what says where tokens stand.
    fn place(&self, values: &[f32], tokens: &Tokens<'_>, passing: &mut Passing) {
        passing.longest = longest(tokens);
        passing.angles.reach(&self.frequencies, passing.longest);
        if let Some(Distances { table, buckets, heads }) = &self.distances {
            let bias = passing.bias.room(*heads, Bias::<&[f32]>::width(passing.longest));
            buckets.spread(&values[table.clone()], passing.longest, bias);
        }
    }

    fn layer_reads<'a>(&self, layer: usize, reads: StackReads<'a>, starts: &'a [u32]) -> LayerReads<'a> {
        let wanted = reads.wanted.filter(|_| layer + 1 == self.layers.len());
        let wanted = wanted.map(|rows| Wanted { rows, starts });
        LayerReads { starts: reads.tokens.starts, wanted, memory: reads.memory }
    }
}

impl Layer {
    /// `passing.stream` from `[n, H]` to `[n, H]`, or to `[w, H]` in the last layer.
    fn forward(&self, pass: Pass<'_>, reads: LayerReads<'_>, kept: &mut LayerKept, passing: &mut Passing) {
        let Branch { block, residual } = &self.attention;
        let Branch { block: last_block, residual: last } = &self.feed_forward;
        let LayerKept { attention: own, cross, feed_forward } = kept;
        residual.begin(pass, passing, &mut own.residual);
        block.forward(pass, reads.own(&own.residual.input), passing, &mut own.block);
        if let Some(rows) = reads.rows() {
            residual.narrow(rows, passing, &own.residual);
        }
        if self.is_parallel {
            last.begin(pass, passing, &mut feed_forward.residual);
        }
        residual.end(pass, &own.block.context, reads.rows(), passing, &mut own.residual);
        if let Some(Branch { block, residual }) = &self.cross {
            residual.begin(pass, passing, &mut cross.residual);
            block.forward(pass, reads.across(&cross.residual.input), passing, &mut cross.block);
            residual.end(pass, &cross.block.context, reads.rows(), passing, &mut cross.residual);
        }
        if !self.is_parallel {
            last.begin(pass, passing, &mut feed_forward.residual);
        }
        let BranchKept { block: activated, residual: ends } = feed_forward;
        last_block.forward(pass, &ends.input, reads.rows(), activated);
        last.end(pass, &activated.activated, reads.rows(), passing, ends);
    }

    /// Turns the gradient of a layer's output in `flow.stream` into that of its input.
    fn backward(&self, pass: Pass<'_>, reads: LayerReads<'_>, kept: &LayerKept, back: &mut Backward<'_>) {
        let Branch { block, residual } = &self.feed_forward;
        let BranchKept { block: activated, residual: ends } = &kept.feed_forward;
        residual.end_backward(pass, &activated.activated, reads.rows(), ends, back);
        block.backward(pass, &ends.input, reads.rows(), activated, residual, back);
        if !self.is_parallel {
            residual.begin_backward(pass, ends, back);
        }
        if let Some(Branch { block, residual }) = &self.cross {
            let BranchKept { block: kept, residual: ends } = &kept.cross;
            residual.end_backward(pass, &kept.context, reads.rows(), ends, back);
            block.backward(pass, reads.across(&ends.input), kept, residual, back);
            residual.begin_backward(pass, ends, back);
        }
        let Branch { block: own_block, residual: own } = &self.attention;
        let BranchKept { block: own_kept, residual: own_ends } = &kept.attention;
        own.end_backward(pass, &own_kept.context, reads.rows(), own_ends, back);
        if self.is_parallel {
            residual.begin_backward(pass, ends, back);
        }
        own_block.backward(pass, reads.own(&own_ends.input), own_kept, own, back);
        own.begin_backward(pass, own_ends, back);
    }
}

/// Fills in where each sequence begins among increasing `wanted` rows.
fn starts_among(wanted: &[u32], starts: &[u32], out: &mut Vec<u32>) {
    out.clear();
    out.extend(starts.iter().map(|&start| wanted.partition_point(|&row| row < start) as u32));
}

/// Tokens in the longest sequence.
fn longest(tokens: &Tokens<'_>) -> usize {
    tokens.starts.windows(2).map(|span| (span[1] - span[0]) as usize).max().unwrap_or(0)
}
