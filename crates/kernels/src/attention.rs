//! Attention over packed sequences: `softmax(q k^T / sqrt(d)) v` per sequence and head.
//!
//! Sequences lie back to back, without padding and so without a mask. Queries may be a subset of the tokens: where
//! only some rows of the last layer are looked at, only they attend.

use crate::dropout::Mask;
use crate::elementary::exp;
use crate::lanes::{Lanes, dispatched};
use crate::matmul::{Into, Matrix, product};

/// Where the rows of queries, keys or values begin in the buffer that holds them all, and how far apart they are.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Index of the first value.
    pub offset: usize,
    /// Values from one row to the next.
    pub stride: usize,
}

/// How heads lie in a buffer of queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Values per head.
    pub size: usize,
    /// Queries.
    pub queries: Rows,
    /// Keys.
    pub keys: Rows,
    /// Values.
    pub values: Rows,
}

impl Heads {
    /// Rows of query, key and value side by side, `[tokens, 3 count size]`: one product makes them.
    #[must_use]
    pub fn fused(count: usize, size: usize) -> Self {
        let width = count * size;
        let rows = |offset| Rows { offset, stride: 3 * width };
        Self { count, size, queries: rows(0), keys: rows(width), values: rows(2 * width) }
    }

    /// `queries` rows `[queries, count size]`, then rows of key and value side by side, `[tokens, 2 count size]`.
    #[must_use]
    pub fn split(count: usize, size: usize, queries: usize) -> Self {
        let width = count * size;
        let rows = |offset| Rows { offset, stride: 2 * width };
        Self {
            count,
            size,
            queries: Rows { offset: 0, stride: width },
            keys: rows(queries * width),
            values: rows(queries * width + width),
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

/// Where each sequence begins, with the end as a last entry.
#[derive(Clone, Copy, Debug)]
pub struct Spans<'a> {
    /// Among the query rows.
    pub queries: &'a [u32],
    /// Among the key and value rows.
    pub keys: &'a [u32],
}

impl Spans<'_> {
    /// First row and number of rows of each sequence: queries, then keys.
    fn iter(&self) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        self.queries.windows(2).zip(self.keys.windows(2)).map(|(queries, keys)| {
            let [q, q_end, k, k_end] = [queries[0], queries[1], keys[0], keys[1]].map(|at| at as usize);
            (q, q_end - q, k, k_end - k)
        })
    }

    /// Length of the buffer of probabilities that [`forward`] fills and [`backward`] reads.
    #[must_use]
    pub fn probabilities(&self, heads: usize) -> usize {
        self.iter().map(|(_, m, _, n)| heads * m * padded(n)).sum()
    }
}

/// Rows of probabilities are padded with zeros to whole vectors.
fn padded(n: usize) -> usize {
    n.next_multiple_of(8)
}

/// Writes `[queries, count size]` to `context` and the probabilities, before dropout, for [`backward`].
///
/// # Panics
/// If a buffer is too small.
pub fn forward(
    packed: &[f32],
    heads: Heads,
    spans: Spans<'_>,
    dropout: Option<Mask<'_>>,
    probabilities: &mut [f32],
    context: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let (size, width) = (heads.size, heads.count * heads.size);
    let mut at = 0;
    for (q, m, k, n) in spans.iter() {
        for head in 0..heads.count {
            let rows = |rows: Rows, first: usize, count: usize| {
                let from = rows.offset + first * rows.stride + head * size;
                Matrix::strided(&packed[from.min(packed.len())..], count, size, rows.stride)
            };
            let p = &mut probabilities[at..at + m * padded(n)];
            at += p.len();
            if m == 0 {
                continue;
            }
            product(
                p,
                padded(n),
                rows(heads.queries, q, m),
                rows(heads.keys, k, n).transposed(),
                Into::Overwrite,
            );
            softmax(p, n, heads.scale());
            let dropped = drop_some(p, padded(n), dropout, q, head, heads.count, scratch);
            let weights = Matrix::strided(dropped.unwrap_or(p), m, n, padded(n));
            let to = &mut context[q * width + head * size..];
            product(to, width, weights, rows(heads.values, k, n), Into::Overwrite);
        }
    }
}

/// Overwrites `d_packed`, laid out as `packed`, given the gradient of `context`.
///
/// With `P` the probabilities, `M` the dropout multipliers and `dO` the gradient:
/// `dV = (P M)^T dO`, `dP = (dO V^T) M`, `dS = P (dP - rowsum(dP P))`, `dQ = dS K / sqrt(d)`, `dK = dS^T Q / sqrt(d)`.
///
/// # Panics
/// If a buffer is too small.
pub fn backward(
    packed: &[f32],
    heads: Heads,
    spans: Spans<'_>,
    dropout: Option<Mask<'_>>,
    probabilities: &[f32],
    d_context: &[f32],
    d_packed: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let (size, width) = (heads.size, heads.count * heads.size);
    let mut at = 0;
    for (q, m, k, n) in spans.iter() {
        for head in 0..heads.count {
            let place = |rows: Rows, first: usize| rows.offset + first * rows.stride + head * size;
            let rows = |rows: Rows, first: usize, count: usize| {
                Matrix::strided(&packed[place(rows, first).min(packed.len())..], count, size, rows.stride)
            };
            let p = &probabilities[at..at + m * padded(n)];
            at += p.len();
            if m == 0 {
                for part in [heads.keys, heads.values] {
                    for row in 0..n {
                        d_packed[place(part, k + row)..][..size].fill(0.0);
                    }
                }
                continue;
            }
            let d_out = Matrix::strided(&d_context[q * width + head * size..], m, size, width);
            let dropped = drop_some(p, padded(n), dropout, q, head, heads.count, scratch);
            let weights = Matrix::strided(dropped.unwrap_or(p), m, n, padded(n));
            let to = &mut d_packed[place(heads.values, k)..];
            product(to, heads.values.stride, weights.transposed(), d_out, Into::Overwrite);

            scratch.resize(scratch.len().max(p.len()), 0.0);
            let scores = &mut scratch[..p.len()];
            product(scores, padded(n), d_out, rows(heads.values, k, n).transposed(), Into::Overwrite);
            if let Some(mask) = dropout {
                for (row, scores) in scores.chunks_exact_mut(padded(n)).enumerate() {
                    mask.apply_to_row(field_row(mask, q + row, head, heads.count), scores);
                }
            }
            softmax_backward(scores, p, n, heads.scale());
            let scores = Matrix::strided(scores, m, n, padded(n));
            let to = &mut d_packed[place(heads.queries, q)..];
            product(to, heads.queries.stride, scores, rows(heads.keys, k, n), Into::Overwrite);
            let to = &mut d_packed[place(heads.keys, k)..];
            let queries = rows(heads.queries, q, m);
            product(to, heads.keys.stride, scores.transposed(), queries, Into::Overwrite);
        }
    }
}

/// Row of the dropout field for the probabilities of one query and head.
fn field_row(mask: Mask<'_>, row: usize, head: usize, heads: usize) -> u64 {
    mask.row(row) * heads as u64 + head as u64
}

/// A copy of the probabilities with dropout, in `scratch`.
fn drop_some<'s>(
    probabilities: &[f32],
    stride: usize,
    dropout: Option<Mask<'_>>,
    first_row: usize,
    head: usize,
    heads: usize,
    scratch: &'s mut Vec<f32>,
) -> Option<&'s [f32]> {
    let mask = dropout?;
    scratch.resize(scratch.len().max(probabilities.len()), 0.0);
    let copy = &mut scratch[..probabilities.len()];
    copy.copy_from_slice(probabilities);
    for (row, values) in copy.chunks_exact_mut(stride).enumerate() {
        mask.apply_to_row(field_row(mask, first_row + row, head, heads), values);
    }
    Some(copy)
}

dispatched! {
    /// Softmax of `scale` times the first `n` values of each padded row, in place; zeros beyond.
    fn softmax(scores: &mut [f32], n: usize, scale: f32) = softmax_body
}
dispatched! {
    /// `ds = scale p (dp - sum(dp p))`, in place of `dp`.
    fn softmax_backward(gradient: &mut [f32], probabilities: &[f32], n: usize, scale: f32) = softmax_backward_body
}

#[inline(always)]
fn softmax_body<V: Lanes>(scores: &mut [f32], n: usize, scale: f32) {
    let stride = padded(n);
    for row in scores.chunks_exact_mut(stride) {
        // Lanes beyond `n` become exact zeros: exp(-inf) is 0 here.
        row[n..].fill(f32::NEG_INFINITY);
        let x = row.as_mut_ptr();
        // SAFETY: a row is a whole number of vectors of eight.
        unsafe {
            let mut top = V::load(x);
            for j in (0..stride).step_by(V::WIDTH) {
                top = top.max(V::load(x.add(j)));
            }
            let (factor, shift) = (V::splat(scale), V::splat(-scale * top.largest()));
            let mut sum = V::splat(0.0);
            for j in (0..stride).step_by(V::WIDTH) {
                let e = exp(V::load(x.add(j)).mul_add(factor, shift));
                e.store(x.add(j));
                sum = sum + e;
            }
            let share = V::splat(1.0 / sum.sum());
            for j in (0..stride).step_by(V::WIDTH) {
                (V::load(x.add(j)) * share).store(x.add(j));
            }
        }
    }
}

#[inline(always)]
fn softmax_backward_body<V: Lanes>(gradient: &mut [f32], probabilities: &[f32], n: usize, scale: f32) {
    let stride = padded(n);
    for (gradient, p) in gradient.chunks_exact_mut(stride).zip(probabilities.chunks_exact(stride)) {
        gradient[n..].fill(0.0);
        let (d, p) = (gradient.as_mut_ptr(), p.as_ptr());
        // SAFETY: a row is a whole number of vectors of eight.
        unsafe {
            let mut inner = V::splat(0.0);
            for j in (0..stride).step_by(V::WIDTH) {
                inner = V::load(d.add(j)).mul_add(V::load(p.add(j)), inner);
            }
            let (inner, factor) = (V::splat(inner.sum()), V::splat(scale));
            for j in (0..stride).step_by(V::WIDTH) {
                ((V::load(d.add(j)) - inner) * V::load(p.add(j)) * factor).store(d.add(j));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, differences, normals, wide};
    use proptest::prelude::*;

    /// Attention one number at a time; `multiplier` is dropout's.
    fn naive(
        packed: &[f64],
        heads: Heads,
        spans: Spans<'_>,
        multiplier: &dyn Fn(usize, usize, usize) -> f64,
    ) -> Vec<f64> {
        let (size, width) = (heads.size, heads.count * heads.size);
        let mut out = vec![0.0; *spans.queries.last().unwrap() as usize * width];
        for (q, m, k, n) in spans.iter() {
            for head in 0..heads.count {
                let at = |rows: Rows, row: usize, i: usize| {
                    packed[rows.offset + row * rows.stride + head * size + i]
                };
                for i in q..q + m {
                    let e: Vec<f64> = (k..k + n)
                        .map(|j| {
                            let dot: f64 =
                                (0..size).map(|d| at(heads.queries, i, d) * at(heads.keys, j, d)).sum();
                            (dot / (size as f64).sqrt()).exp()
                        })
                        .collect();
                    let sum: f64 = e.iter().sum();
                    for d in 0..size {
                        out[i * width + head * size + d] = (0..n)
                            .map(|j| e[j] / sum * multiplier(i, head, j) * at(heads.values, k + j, d))
                            .sum();
                    }
                }
            }
        }
        out
    }

    fn check(lengths: &[u32], queries: Option<&[u32]>, count: usize, size: usize, probability: f32) {
        let offsets = |lengths: &[u32]| {
            let mut all = vec![0];
            all.extend(lengths.iter().scan(0, |sum, n| {
                *sum += n;
                Some(*sum)
            }));
            all
        };
        let keys = offsets(lengths);
        let query_spans = offsets(queries.unwrap_or(lengths));
        let spans = Spans { queries: &query_spans, keys: &keys };
        let (m, tokens) = (*query_spans.last().unwrap() as usize, *keys.last().unwrap() as usize);
        let heads = if queries.is_some() { Heads::split(count, size, m) } else { Heads::fused(count, size) };
        let width = count * size;
        let packed = normals(4, "packed", (m + 2 * tokens) * width, 1.0);
        let d_context = normals(4, "d_context", m * width, 1.0);
        let dropout = (probability > 0.0).then(|| Mask::new(8, probability));
        let multiplier = |row: usize, head: usize, j: usize| {
            dropout.map_or(1.0, |mask| {
                let mut ones = vec![1.0; j + 1];
                mask.apply_to_row((row * count + head) as u64, &mut ones);
                f64::from(ones[j])
            })
        };

        // Whatever is in the buffers before must not matter.
        let mut probabilities = vec![f32::NAN; spans.probabilities(count)];
        let (mut context, mut scratch) = (vec![f32::NAN; m * width], Vec::new());
        forward(&packed, heads, spans, dropout, &mut probabilities, &mut context, &mut scratch);
        assert_close(&context, &naive(&wide(&packed), heads, spans, &multiplier), 2e-6);

        let mut d_packed = vec![f32::NAN; packed.len()];
        backward(&packed, heads, spans, dropout, &probabilities, &d_context, &mut d_packed, &mut scratch);
        let loss = |packed: &[f64]| -> f64 {
            let out = naive(packed, heads, spans, &multiplier);
            out.iter().zip(&d_context).map(|(o, &d)| o * f64::from(d)).sum()
        };
        assert_close(&d_packed, &differences(&wide(&packed), loss), 5e-6);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(25))]
        #[test]
        fn any_lengths(
            lengths in prop::collection::vec(1_u32..8, 1..4),
            heads in 1_usize..3,
            size in 1_usize..10,
            dropped: bool,
        ) {
            check(&lengths, None, heads, size, if dropped { 0.3 } else { 0.0 });
        }

        #[test]
        fn some_queries_only(
            pairs in prop::collection::vec((1_u32..7).prop_flat_map(|n| (Just(n), 0..=n)), 1..4),
            dropped: bool,
        ) {
            let (lengths, queries): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
            prop_assume!(queries.iter().sum::<u32>() > 0);
            check(&lengths, Some(&queries), 2, 8, if dropped { 0.3 } else { 0.0 });
        }
    }

    #[test]
    fn softmax_is_safe_and_both_instruction_sets_agree() {
        let rows = normals(0, "scores", 3 * 16, 300.0);
        let (mut fast, mut plain) = (rows.clone(), rows.clone());
        softmax(&mut fast, 11, 0.25);
        softmax_body::<f32>(&mut plain, 11, 0.25);
        assert_close(&fast, &wide(&plain), 1e-6);
        for row in fast.chunks_exact(16) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
            assert!(row[11..].iter().all(|&p| p == 0.0), "{row:?}");
        }
        let gradient = normals(0, "gradient", 3 * 16, 1.0);
        let (mut quick, mut slow) = (gradient.clone(), gradient);
        softmax_backward(&mut quick, &fast, 11, 0.25);
        softmax_backward_body::<f32>(&mut slow, &fast, 11, 0.25);
        assert_close(&quick, &wide(&slow), 1e-6);
    }
}
