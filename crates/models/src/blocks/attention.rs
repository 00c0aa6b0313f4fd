//! Attention (Vaswani et al. 2017): to the tokens of the same sequence, or across to what an encoder made of another.

use kernels::attention::{self, Bias, Heads, Rows, Sight, Spans};
use kernels::matmul::Into;
use kernels::rotary::{self, Turn};
use kernels::rows;

use super::{Backward, Buffer, Gradients, Map, Norm, Pass, Passing, Residual, Site, norm};

/// Attention up to the context of each query; the map behind it is the [`Residual`]'s.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) projections: Projections,
    /// Of all queries of a token together, and of all its keys.
    pub(crate) norms: Option<[Norm; 2]>,
    /// How queries, keys and values of the same rows lie side by side, and how they meet.
    pub(crate) heads: Heads,
    pub(crate) positions: Positions,
    /// Of probabilities.
    pub(crate) drop: Site,
}

/// Where queries, keys and values come from.
#[derive(Clone, Debug)]
pub(crate) enum Projections {
    /// All from the same rows, by one product: `[n, H]` to `[n, (heads + 2 shared) size]`.
    Own(Map),
    /// Keys and values from what an encoder made, side by side.
    Across { queries: Map, memory: Map },
}

/// How scores depend on where tokens stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Positions {
    /// They do not: embeddings say it, or nothing does.
    None,
    /// Queries and keys are turned by their position (Su et al. 2021).
    Rotary,
    /// A bias by distance is added (Raffel et al. 2020).
    Distances,
}

/// Rows that the last layer goes on with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Increasing packed rows.
    pub(crate) rows: &'a [u32],
    /// Where each sequence starts among them.
    pub(crate) starts: &'a [u32],
}

/// What an encoder made: `[m, H]`, and where its sequences start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<'a> {
    pub(crate) states: &'a [f32],
    pub(crate) starts: &'a [u32],
}

/// What an attention reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads<'a> {
    /// `[n, H]`
    pub(crate) x: &'a [f32],
    /// Where the sequences of `x` start.
    pub(crate) starts: &'a [u32],
    /// Of a last layer: the rows whose contexts are asked for. Across, `x` holds no others.
    pub(crate) wanted: Option<Wanted<'a>>,
    /// Where keys and values come from, if not from `x`.
    pub(crate) memory: Option<Memory<'a>>,
}

/// What the backward pass needs.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Queries, keys and values.
    packed: Buffer,
    norms: [norm::Kept; 2],
    probabilities: Buffer,
    /// `[n, heads size]`, or `[w, heads size]` of a last layer.
    pub(crate) context: Buffer,
    /// The wanted rows of what is read, where only they ask.
    asking: Buffer,
}

impl Attention {
    /// Leaves the contexts in `kept.context`.
    pub(crate) fn forward(&self, pass: Pass<'_>, reads: Reads<'_>, passing: &mut Passing, kept: &mut Kept) {
        let map = match &self.projections {
            Projections::Own(map) if !(self.may_narrow() && reads.wanted.is_some()) => map,
            _ => return self.forward_apart(pass, reads, passing, kept),
        };
        let n = reads.x.len() / map.inputs;
        let Kept { packed, norms, probabilities, context, .. } = kept;
        let Passing { branch, scratch, angles, bias, longest, .. } = passing;
        let packed = packed.room(n, map.outputs);
        map.forward(pass.values, reads.x, packed);
        self.normalise(pass.values, packed, norms, branch);
        self.turn(packed, reads.starts, angles, Turn::Forward);
        let bias = Bias { values: bias.get(), longest: *longest };
        let spans = Spans { queries: reads.starts, keys: reads.starts };
        attention::forward_biased(
            packed,
            self.heads,
            spans,
            (self.positions == Positions::Distances).then_some(bias),
            self.drop.mask(pass.dropout, None),
            probabilities.room(1, spans.probabilities(self.heads.count)),
            context.room(n, self.width()),
            scratch,
        );
        if let Some(wanted) = reads.wanted {
            context.keep(wanted.rows);
        }
    }

    /// Queries of some rows, keys and values of others: `[n, heads size]`, and behind them `[m, 2 heads size]`.
    fn forward_apart(&self, pass: Pass<'_>, reads: Reads<'_>, passing: &mut Passing, kept: &mut Kept) {
        let [queries, memory] = self.maps();
        let Kept { packed, probabilities, context, asking, .. } = kept;
        if let (None, Some(wanted)) = (reads.memory, reads.wanted) {
            asking.gather(reads.x, wanted.rows, queries.inputs);
        }
        let Apart { asking, seen, spans, n, m } = self.apart(&reads, asking);
        let packed = packed.room(1, n * queries.outputs + m * memory.outputs);
        let (q, kv) = packed.split_at_mut(n * queries.outputs);
        queries.forward(pass.values, asking, q);
        memory.forward(pass.values, seen, kv);
        attention::forward(
            packed,
            self.heads_apart(n),
            spans,
            self.drop.mask(pass.dropout, reads.wanted.map(|wanted| wanted.rows)),
            probabilities.room(1, spans.probabilities(self.heads.count)),
            context.room(n, self.width()),
            &mut passing.scratch,
        );
    }

    /// Given the gradient of the contexts in `flow.inner`, leaves that of `reads.x` where `residual` wants it. What the last
    /// layer left out is there again in `flow.stream` afterwards: `[w, H]` to `[n, H]`.
    pub(crate) fn backward(
        &self,
        pass: Pass<'_>,
        reads: Reads<'_>,
        kept: &Kept,
        residual: &Residual,
        back: &mut Backward<'_>,
    ) {
        let map = match &self.projections {
            Projections::Own(map) if !(self.may_narrow() && reads.wanted.is_some()) => map,
            _ => return self.backward_apart(pass, reads, kept, residual, back),
        };
        let n = reads.x.len() / map.inputs;
        let Passing { scratch, angles, longest, .. } = &mut *back.passing;
        let Gradients { stream, branch, input, inner, wide, bias, .. } = &mut *back.flow;
        if let Some(wanted) = reads.wanted {
            stream.spread(wanted.rows, n);
            inner.spread(wanted.rows, n);
        }
        let d_bias = Bias { values: bias.get_mut(), longest: *longest };
        let d_packed = wide.room(n, map.outputs);
        attention::backward_biased(
            kept.packed.get(),
            self.heads,
            Spans { queries: reads.starts, keys: reads.starts },
            (self.positions == Positions::Distances).then_some(d_bias),
            self.drop.mask(pass.dropout, None),
            kept.probabilities.get(),
            inner.get(),
            d_packed,
            scratch,
        );
        self.turn(d_packed, reads.starts, angles, Turn::Backward);
        self.normalise_backward(pass.values, d_packed, &kept.norms, branch, back.gradient);
        let (d_x, into) = residual.of_input(n, stream, input);
        map.backward(pass.values, reads.x, d_packed, (d_x.get_mut(), into), back.gradient);
    }

    fn backward_apart(
        &self,
        pass: Pass<'_>,
        reads: Reads<'_>,
        kept: &Kept,
        residual: &Residual,
        back: &mut Backward<'_>,
    ) {
        let [queries, memory] = self.maps();
        let Apart { asking, seen, spans, n, m } = self.apart(&reads, &kept.asking);
        let Gradients { stream, input, inner, wide, seen: d_seen, memory: d_memory, .. } = &mut *back.flow;
        let d_packed = wide.room(1, kept.packed.width());
        attention::backward(
            kept.packed.get(),
            self.heads_apart(n),
            spans,
            self.drop.mask(pass.dropout, reads.wanted.map(|wanted| wanted.rows)),
            kept.probabilities.get(),
            inner.get(),
            d_packed,
            &mut back.passing.scratch,
        );
        let (d_queries, d_rest) = d_packed.split_at(n * queries.outputs);
        let (d_x, into) = residual.of_input(n, stream, input);
        queries.backward(pass.values, asking, d_queries, (d_x.get_mut(), into), back.gradient);
        let d_rows = (d_seen.room(m, memory.inputs), Into::Overwrite);
        memory.backward(pass.values, seen, d_rest, d_rows, back.gradient);
        match (reads.memory, reads.wanted) {
            (None, Some(wanted)) => {
                rows::scatter_add(d_seen.get_mut(), d_x.get(), wanted.rows, memory.inputs);
                d_x.swap(d_seen);
                if into == Into::Overwrite {
                    stream.spread(wanted.rows, m);
                }
            }
            _ => rows::add(d_memory.get_mut(), d_seen.get()),
        }
    }

    /// Values of all heads of a token's queries.
    fn width(&self) -> usize {
        self.heads.count * self.heads.size
    }

    /// Whether rows that nobody wants may be left out among the queries: where a query needs none but itself.
    fn may_narrow(&self) -> bool {
        let is_plain = self.norms.is_none() && self.positions == Positions::None;
        is_plain && self.heads.sight == Sight::All && self.heads.shared == self.heads.count
    }

    /// The map to queries, and that to keys and values.
    fn maps(&self) -> [Map; 2] {
        match &self.projections {
            Projections::Own(map) => map.split(self.width()),
            Projections::Across { queries, memory } => [queries.clone(), memory.clone()],
        }
    }

    fn heads_apart(&self, queries: usize) -> Heads {
        Heads { scale: self.heads.scale, ..Heads::split(self.heads.count, self.heads.size, queries) }
    }

    fn apart<'a>(&self, reads: &Reads<'a>, asking: &'a Buffer) -> Apart<'a> {
        let [queries, memory] = self.maps();
        let own = Memory { states: reads.x, starts: reads.starts };
        let (asking, starts) = match (reads.memory, reads.wanted) {
            (None, Some(wanted)) => (asking.get(), wanted.starts),
            _ => (reads.x, reads.starts),
        };
        let Memory { states: seen, starts: seen_starts } = reads.memory.unwrap_or(own);
        let (n, m) = (asking.len() / queries.inputs, seen.len() / memory.inputs);
        Apart { asking, seen, spans: Spans { queries: starts, keys: seen_starts }, n, m }
    }

    /// Turns queries and keys by their positions, or their gradients back.
    fn turn(&self, packed: &mut [f32], starts: &[u32], angles: &rotary::Table, turn: Turn) {
        if self.positions == Positions::Rotary {
            let parts: [(Rows, usize); 2] =
                [(self.heads.queries, self.heads.count), (self.heads.keys, self.heads.shared)];
            for (rows, count) in parts {
                rotary::apply(packed, rows, count, starts, angles, turn);
            }
        }
    }

    /// Normalises all queries of a token together, and all its keys, where there are norms.
    fn normalise(&self, values: &[f32], packed: &mut [f32], kept: &mut [norm::Kept; 2], out: &mut Buffer) {
        let stride = self.width() + 2 * self.heads.shared * self.heads.size;
        let mut from = 0;
        for (norm, kept) in self.norms.iter().flatten().zip(kept) {
            let (width, n) = (norm.width, packed.len() / stride);
            rows::take_columns(kept.normalised.room(n, width), packed, from, width, stride);
            let out = out.room(n, width);
            norm.forward_kept(values, kept, out);
            rows::put_columns(packed, out, from, width, stride);
            from += width;
        }
    }

    fn normalise_backward(
        &self,
        values: &[f32],
        d_packed: &mut [f32],
        kept: &[norm::Kept; 2],
        columns: &mut Buffer,
        gradient: &mut [f32],
    ) {
        let stride = self.width() + 2 * self.heads.shared * self.heads.size;
        let mut from = 0;
        for (norm, kept) in self.norms.iter().flatten().zip(kept) {
            let (width, n) = (norm.width, d_packed.len() / stride);
            let d = columns.room(n, width);
            rows::take_columns(d, d_packed, from, width, stride);
            norm.backward(values, d, kept, gradient);
            rows::put_columns(d_packed, d, from, width, stride);
            from += width;
        }
    }
}

/// Rows that ask, `n` of them, and rows that are seen, `m` of them.
struct Apart<'a> {
    asking: &'a [f32],
    seen: &'a [f32],
    spans: Spans<'a>,
    n: usize,
    m: usize,
}
