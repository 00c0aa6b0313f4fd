//! How a block reads the residual stream and adds to it: the only place that knows where the norm lies.

use kernels::layer_norm::Addends;
use kernels::matmul::Into;
use kernels::rows;

use super::{Backward, Buffer, Gradients, Map, Norm, Pass, Passing, Site, norm};

/// Where a block's norm lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the block: `x + f(norm(x))` (GPT-2, Llama, T5).
    Before,
    /// On what it adds: `x + norm(f(x))` (OLMo 2).
    OfOutput,
    /// Behind the sum: `norm(x + f(x))` (BERT).
    Behind,
}

/// The ends of a block: its norm, its last map, and the sum with the residual stream.
#[derive(Clone, Debug)]
pub(crate) struct Residual {
    pub(crate) output: Map,
    pub(crate) norm: Norm,
    pub(crate) place: Place,
    /// Behind the last map.
    pub(crate) drop: Site,
}

/// What a block reads, and its norm.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// `[n, H]`
    pub(crate) input: Buffer,
    norm: norm::Kept,
}

impl Residual {
    /// Leaves what the block reads in `kept.input`.
    pub(crate) fn begin(&self, pass: Pass<'_>, passing: &mut Passing, kept: &mut Kept) {
        let Kept { input, norm } = kept;
        let stream = &mut passing.stream;
        match self.place {
            Place::Before => {
                let input = input.room(stream.rows(), stream.width());
                self.norm.forward(pass.values, stream.get(), norm, input);
            }
            Place::OfOutput => {
                input.copy(stream);
            }
            Place::Behind => {
                input.swap(stream);
                stream.room(0, self.norm.width);
            }
        }
    }

    /// The stream goes on with these rows only: `[n, H]` to `[w, H]`.
    pub(crate) fn narrow(&self, rows: &[u32], passing: &mut Passing, kept: &Kept) {
        match self.place {
            Place::Before | Place::OfOutput => passing.stream.keep(rows),
            Place::Behind => {
                passing.stream.gather(kept.input.get(), rows, self.norm.width);
            }
        }
    }

    /// Maps what the block made, `[n, inputs]`, and joins it with the stream, `[n, H]`. `rows` are those of the stream's in the
    /// dropout field where it was narrowed.
    pub(crate) fn end(
        &self,
        pass: Pass<'_>,
        x: &Buffer,
        rows: Option<&[u32]>,
        passing: &mut Passing,
        kept: &mut Kept,
    ) {
        let (n, h) = (x.rows(), self.output.outputs);
        let Passing { stream, branch, .. } = passing;
        let Kept { input, norm } = kept;
        let drop = self.drop.mask(pass.dropout, rows);
        let branch_values = branch.room(n, h);
        match self.place {
            Place::Before => self.output.forward(pass.values, x.get(), branch_values),
            Place::OfOutput => {
                self.output.forward(pass.values, x.get(), norm.normalised.room(n, h));
                self.norm.forward_kept(pass.values, norm, branch_values);
            }
            Place::Behind => {
                let sum = norm.normalised.room(n, h);
                self.output.product(pass.values, x.get(), sum);
                let mut bias = Some(self.output.bias(pass.values)).filter(|bias| !bias.is_empty());
                if let Some(mask) = drop {
                    // The bias is dropped with the rest.
                    bias.take().into_iter().for_each(|bias| rows::add_to_each(sum, bias));
                    mask.apply(sum, h);
                }
                let residual = if stream.rows() == 0 { input.get() } else { stream.get() };
                let addends = Addends { bias, residual: Some(residual) };
                self.norm.forward_sum(pass.values, addends, norm, branch_values);
                stream.swap(branch);
                return;
            }
        }
        if let Some(mask) = drop {
            mask.apply(branch_values, h);
        }
        rows::add(stream.get_mut(), branch_values);
    }

    /// Given the gradient of the stream behind the block in `flow.stream`, leaves that of `x` in `flow.inner`.
    pub(crate) fn end_backward(
        &self,
        pass: Pass<'_>,
        x: &Buffer,
        rows: Option<&[u32]>,
        kept: &Kept,
        back: &mut Backward<'_>,
    ) {
        let Gradients { stream, branch, inner, .. } = &mut *back.flow;
        if self.place == Place::Behind {
            self.norm.backward(pass.values, stream.get_mut(), &kept.norm, back.gradient);
        }
        let drop = self.drop.mask(pass.dropout, rows);
        let d_branch = if drop.is_none() && self.place != Place::OfOutput {
            stream.get()
        } else {
            let d_branch = branch.copy(stream);
            if let Some(mask) = drop {
                mask.apply(d_branch, self.output.outputs);
            }
            if self.place == Place::OfOutput {
                self.norm.backward(pass.values, d_branch, &kept.norm, back.gradient);
            }
            d_branch
        };
        let d_x = (inner.room(x.rows(), self.output.inputs), Into::Overwrite);
        self.output.backward(pass.values, x.get(), d_branch, d_x, back.gradient);
    }

    /// Given the gradient of what the block read in `flow.input`, adds it to that of the stream. Behind a sum it is there
    /// already: see [`Residual::of_input`].
    pub(crate) fn begin_backward(&self, pass: Pass<'_>, kept: &Kept, back: &mut Backward<'_>) {
        let Gradients { stream, input, .. } = &mut *back.flow;
        if self.place == Place::Before {
            self.norm.backward(pass.values, input.get_mut(), &kept.norm, back.gradient);
        }
        if self.place != Place::Behind {
            rows::add(stream.get_mut(), input.get());
        }
    }

    /// Where the gradient of `[n, H]` that the block read goes: to `input`, or, if that was the stream itself, onto `stream`.
    pub(crate) fn of_input<'a>(
        &self,
        n: usize,
        stream: &'a mut Buffer,
        input: &'a mut Buffer,
    ) -> (&'a mut Buffer, Into) {
        match self.place {
            Place::Behind => (stream, Into::Add),
            Place::Before | Place::OfOutput => {
                input.room(n, self.norm.width);
                (input, Into::Overwrite)
            }
        }
    }
}
