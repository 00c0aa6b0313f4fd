//! Attention of padded sequences, and what is added to its scores.

use candle_core::{D, DType, Tensor};
use kernels::dropout::Mask;

use super::padded::Padded;
use super::pass::Pass;
use crate::Error;

/// What becomes of the products of queries and keys.
pub(super) struct Scores<'a> {
    pub(super) scale: f64,
    /// Added to them.
    pub(super) bias: &'a Tensor,
    /// Drops probabilities.
    pub(super) mask: Option<Mask<'a>>,
}

impl Pass<'_> {
    /// `[sequences * longest, heads * size]` as `[sequences, heads, longest, size]`.
    pub(super) fn heads(&self, x: &Tensor, sequences: usize, heads: usize) -> Result<Tensor, Error> {
        let (rows, width) = x.dims2()?;
        let split = x.reshape((sequences, rows / sequences, heads, width / heads))?;
        Ok(split.transpose(1, 2)?.contiguous()?)
    }

    /// Attention of the batch's queries to keys and values `[sequences, heads, longest, size]`: contexts
    /// `[sequences * longest, heads * size]`.
    pub(super) fn attend(
        &self,
        [queries, keys, values]: [Tensor; 3],
        scores: Scores<'_>,
        batch: &Padded,
    ) -> Result<Tensor, Error> {
        let (b, heads, n, size) = queries.dims4()?;
        let products = (queries.matmul(&keys.transpose(2, 3)?.contiguous()?)? * scores.scale)?;
        let p = self.softmax(&products.broadcast_add(scores.bias)?)?; // [sequences, heads, longest, seen]
        let p = match scores.mask {
            None => p,
            mask => {
                let shape = p.shape().clone();
                let p = p.reshape((b * heads * n, shape.dim(D::Minus1)?))?;
                self.drop(p, mask, &batch.attention_rows(heads))?.reshape(shape)?
            }
        };
        let context = p.matmul(&values)?;
        Ok(context.transpose(1, 2)?.contiguous()?.reshape((b * n, heads * size))?)
    }

    /// Hugely negative at fillers: `[sequences, 1, 1, longest]`, to be added to scores.
    pub(super) fn fillers(&self, batch: &Padded) -> Result<Tensor, Error> {
        self.tensor(batch.bias(), (batch.n_sequences, 1, 1, batch.longest))
    }

    /// Hugely negative at what comes later: `[1, 1, n, n]`, to be added to scores.
    pub(super) fn past(&self, n: usize) -> Result<Tensor, Error> {
        let bias = (0..n * n).map(|at| if at % n <= at / n { 0.0_f32 } else { -1e9 }).collect();
        self.tensor(bias, (1, 1, n, n))
    }

    /// Cosines and sines `[n, planes]`, where heads are turned.
    pub(super) fn angles(&self, frequencies: &[f32], n: usize) -> Result<Option<[Tensor; 2]>, Error> {
        if frequencies.is_empty() {
            return Ok(None);
        }
        // Rounded to `f32` as the fused passes have it.
        let angles = (0..n).flat_map(|at| frequencies.iter().map(move |f| f64::from(at as f32 * f)));
        // Metal has no `f64`: what is not wanted as such is rounded on the host.
        let table = |values: Vec<f64>| match self.model.dtype {
            DType::F64 => Ok(Tensor::from_vec(values, (n, frequencies.len()), self.device())?),
            _ => self.tensor(values.iter().map(|&value| value as f32).collect(), (n, frequencies.len())),
        };
        Ok(Some([table(angles.clone().map(f64::cos).collect())?, table(angles.map(f64::sin).collect())?]))
    }

    /// Turns the first values of every head in their planes.
    pub(super) fn turn(&self, x: &Tensor, angles: Option<&[Tensor; 2]>) -> Result<Tensor, Error> {
        let Some([cosines, sines]) = angles else { return Ok(x.clone()) };
        let (size, half) = (x.dim(3)?, cosines.dim(1)?);
        let (first, second) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
        let times = |x: &Tensor, by: &Tensor| x.broadcast_mul(by);
        let turned_first = (times(&first, cosines)? - times(&second, sines)?)?;
        let turned_second = (times(&second, cosines)? + times(&first, sines)?)?;
        let mut parts = vec![turned_first, turned_second];
        if size > 2 * half {
            parts.push(x.narrow(3, 2 * half, size - 2 * half)?);
        }
        Ok(Tensor::cat(&parts, 3)?)
    }
}
