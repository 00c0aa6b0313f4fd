//! Attention over packed sequences: `softmax(q k^T / sqrt(d)) v` per sequence and head.
//!
//! Sequences lie back to back, without padding and so without a mask. Queries may be a subset of the tokens: where
//! only some rows of the last layer are looked at, only they attend. Several heads of queries may share one of keys and
//! values (Ainslie et al. 2023), and a token may see only itself and what comes before. Queries and keys may come from
//! different sequences, and a [`Bias`] may be added to the scores by distance.

mod bias;
mod heads;

pub use bias::Bias;
use heads::padded;
pub use heads::{Heads, Rows, Sight, Spans};

use crate::dropout::Mask;
use crate::elementary::exp;
use crate::lanes::{Lanes, dispatched};
use crate::matmul::{Into, Matrix, product};

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
    forward_biased(packed, heads, spans, None, dropout, probabilities, context, scratch);
}

/// As [`forward`], with `bias` added to the scores, after they are scaled.
///
/// # Panics
/// If a buffer is too small, or a sequence longer than the bias knows.
pub fn forward_biased(
    packed: &[f32],
    heads: Heads,
    spans: Spans<'_>,
    bias: Option<Bias<&[f32]>>,
    dropout: Option<Mask<'_>>,
    probabilities: &mut [f32],
    context: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    let (size, width) = (heads.size, heads.count * heads.size);
    let mut at = 0;
    for (q, m, k, n) in spans.iter() {
        assert!(
            heads.sight == Sight::All || m == n,
            "{m} queries of {n} tokens, of which each sees its past"
        );
        for head in 0..heads.count {
            let shared = heads.of_keys(head).0;
            let rows = |rows: Rows, head: usize, first: usize, count: usize| {
                let from = rows.offset + first * rows.stride + head * rows.head;
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
                rows(heads.queries, head, q, m),
                rows(heads.keys, shared, k, n).transposed(),
                Into::Overwrite,
            );
            let mut scale = heads.scale;
            if let Some(bias) = &bias {
                bias.add(p, head, m, n, scale);
                scale = 1.0;
            }
            softmax(p, n, scale, heads.sight);
            let dropped = drop_some(p, padded(n), dropout, q, head, heads.count, scratch);
            let weights = Matrix::strided(dropped.unwrap_or(p), m, n, padded(n));
            let to = &mut context[q * width + head * size..];
            product(to, width, weights, rows(heads.values, shared, k, n), Into::Overwrite);
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
    backward_biased(packed, heads, spans, None, dropout, probabilities, d_context, d_packed, scratch);
}

/// As [`backward`], and adds the gradient of the bias, `dS` before it is scaled.
///
/// # Panics
/// If a buffer is too small, or a sequence longer than the bias knows.
pub fn backward_biased(
    packed: &[f32],
    heads: Heads,
    spans: Spans<'_>,
    mut d_bias: Option<Bias<&mut [f32]>>,
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
            let (shared, is_first) = heads.of_keys(head);
            let into = if is_first { Into::Overwrite } else { Into::Add };
            let place =
                |rows: Rows, head: usize, first: usize| rows.offset + first * rows.stride + head * rows.head;
            let rows = |rows: Rows, head: usize, first: usize, count: usize| {
                let from = place(rows, head, first).min(packed.len());
                Matrix::strided(&packed[from..], count, size, rows.stride)
            };
            let p = &probabilities[at..at + m * padded(n)];
            at += p.len();
            if m == 0 {
                for part in [heads.keys, heads.values] {
                    for row in 0..n {
                        d_packed[place(part, shared, k + row)..][..size].fill(0.0);
                    }
                }
                continue;
            }
            let d_out = Matrix::strided(&d_context[q * width + head * size..], m, size, width);
            let dropped = drop_some(p, padded(n), dropout, q, head, heads.count, scratch);
            let weights = Matrix::strided(dropped.unwrap_or(p), m, n, padded(n));
            let to = &mut d_packed[place(heads.values, shared, k)..];
            product(to, heads.values.stride, weights.transposed(), d_out, into);

            scratch.resize(scratch.len().max(p.len()), 0.0);
            let scores = &mut scratch[..p.len()];
            let values = rows(heads.values, shared, k, n);
            product(scores, padded(n), d_out, values.transposed(), Into::Overwrite);
            if let Some(mask) = dropout {
                for (row, scores) in scores.chunks_exact_mut(padded(n)).enumerate() {
                    mask.apply_to_row(field_row(mask, q + row, head, heads.count), scores);
                }
            }
            match &mut d_bias {
                None => softmax_backward(scores, p, n, heads.scale),
                Some(d_bias) => {
                    softmax_backward(scores, p, n, 1.0);
                    d_bias.gather(scores, head, m, n, heads.scale);
                }
            }
            let scores = Matrix::strided(scores, m, n, padded(n));
            let to = &mut d_packed[place(heads.queries, head, q)..];
            product(to, heads.queries.stride, scores, rows(heads.keys, shared, k, n), Into::Overwrite);
            let to = &mut d_packed[place(heads.keys, shared, k)..];
            let queries = rows(heads.queries, head, q, m);
            product(to, heads.keys.stride, scores.transposed(), queries, into);
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
    /// Softmax of `scale` times the first `n` values of each padded row, or those up to its own place, in place;
    /// zeros beyond.
    fn softmax(scores: &mut [f32], n: usize, scale: f32, sight: Sight) = softmax_body
}
dispatched! {
    /// `ds = scale p (dp - sum(dp p))`, in place of `dp`.
    fn softmax_backward(gradient: &mut [f32], probabilities: &[f32], n: usize, scale: f32) = softmax_backward_body
}

#[inline(always)]
fn softmax_body<V: Lanes>(scores: &mut [f32], n: usize, scale: f32, sight: Sight) {
    let stride = padded(n);
    for (place, row) in scores.chunks_exact_mut(stride).enumerate() {
        let seen = if sight == Sight::Past { place + 1 } else { n };
        // Lanes beyond become exact zeros: exp(-inf) is 0 here.
        row[seen..].fill(f32::NEG_INFINITY);
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

    /// Attention one number at a time; `bias` is by head and distance, `multiplier` is dropout's.
    fn naive(
        packed: &[f64],
        heads: Heads,
        spans: Spans<'_>,
        bias: &dyn Fn(usize, isize) -> f64,
        multiplier: &dyn Fn(usize, usize, usize) -> f64,
    ) -> Vec<f64> {
        let (size, width) = (heads.size, heads.count * heads.size);
        let mut out = vec![0.0; *spans.queries.last().unwrap() as usize * width];
        for (q, m, k, n) in spans.iter() {
            for head in 0..heads.count {
                let at = |rows: Rows, head: usize, row: usize, i: usize| {
                    packed[rows.offset + row * rows.stride + head * rows.head + i]
                };
                let shared = head * heads.shared / heads.count;
                for i in q..q + m {
                    let seen = if heads.sight == Sight::Past { i - q + 1 } else { n };
                    let e: Vec<f64> = (k..k + seen)
                        .map(|j| {
                            let pair = |d| at(heads.queries, head, i, d) * at(heads.keys, shared, j, d);
                            let distance = (j - k) as isize - (i - q) as isize;
                            let score = (0..size).map(pair).sum::<f64>() * f64::from(heads.scale);
                            (score + bias(head, distance)).exp()
                        })
                        .collect();
                    let sum: f64 = e.iter().sum();
                    for d in 0..size {
                        out[i * width + head * size + d] = (0..seen)
                            .map(|j| e[j] / sum * multiplier(i, head, j) * at(heads.values, shared, k + j, d))
                            .sum();
                    }
                }
            }
        }
        out
    }

    fn offsets(lengths: &[u32]) -> Vec<u32> {
        let mut all = vec![0];
        all.extend(lengths.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        }));
        all
    }

    /// Value, gradient and gradient of the bias, with queries and keys of different sequences.
    fn check_biased(pairs: &[(u32, u32)], heads: Heads, probability: f32) {
        let (queries, lengths): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let (query_spans, keys) = (offsets(&queries), offsets(&lengths));
        let spans = Spans { queries: &query_spans, keys: &keys };
        let (m, tokens) = (*query_spans.last().unwrap() as usize, *keys.last().unwrap() as usize);
        let (count, longest) = (heads.count, queries.iter().chain(&lengths).max().copied().unwrap() as usize);
        let packed = normals(5, "packed", (m * count + 2 * tokens * heads.shared) * heads.size, 1.0);
        let d_context = normals(5, "d_context", m * count * heads.size, 1.0);
        let values = normals(5, "bias", count * Bias::<&[f32]>::width(longest), 1.0);
        let dropout = (probability > 0.0).then(|| Mask::new(8, probability));
        let multiplier = |row: usize, head: usize, j: usize| {
            dropout.map_or(1.0, |mask| {
                let mut ones = vec![1.0; j + 1];
                mask.apply_to_row((row * count + head) as u64, &mut ones);
                f64::from(ones[j])
            })
        };
        let run = |packed: &[f64], values: &[f64]| {
            let bias = |head: usize, distance: isize| {
                values[head * (2 * longest - 1) + (distance + longest as isize - 1) as usize]
            };
            naive(packed, heads, spans, &bias, &multiplier)
        };
        let mut probabilities = vec![f32::NAN; spans.probabilities(count)];
        let (mut context, mut scratch) = (vec![f32::NAN; d_context.len()], Vec::new());
        let bias = Some(Bias { values: values.as_slice(), longest });
        forward_biased(&packed, heads, spans, bias, dropout, &mut probabilities, &mut context, &mut scratch);
        assert_close(&context, &run(&wide(&packed), &wide(&values)), 2e-6);

        // What stands in the bias's gradient is added to.
        let (mut d_packed, mut d_values) = (vec![f32::NAN; packed.len()], vec![1.0; values.len()]);
        let d_bias = Some(Bias { values: d_values.as_mut_slice(), longest });
        let (d, p) = (&d_context, &probabilities);
        backward_biased(&packed, heads, spans, d_bias, dropout, p, d, &mut d_packed, &mut scratch);
        let loss = |out: Vec<f64>| -> f64 { out.iter().zip(d).map(|(o, &d)| o * f64::from(d)).sum() };
        let truth = differences(&wide(&packed), |packed| loss(run(packed, &wide(&values))));
        assert_close(&d_packed, &truth, 5e-6);
        let mut truth = differences(&wide(&values), |values| loss(run(&wide(&packed), values)));
        truth.iter_mut().for_each(|d| *d += 1.0);
        assert_close(&d_values, &truth, 5e-6);
    }

    fn check(lengths: &[u32], queries: &[u32], heads: Heads, probability: f32) {
        let (keys, query_spans) = (offsets(lengths), offsets(queries));
        let spans = Spans { queries: &query_spans, keys: &keys };
        let (m, tokens) = (*query_spans.last().unwrap() as usize, *keys.last().unwrap() as usize);
        let count = heads.count;
        let width = count * heads.size;
        let packed = normals(4, "packed", (m * count + 2 * tokens * heads.shared) * heads.size, 1.0);
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
        assert_close(&context, &naive(&wide(&packed), heads, spans, &|_, _| 0.0, &multiplier), 2e-6);

        let mut d_packed = vec![f32::NAN; packed.len()];
        backward(&packed, heads, spans, dropout, &probabilities, &d_context, &mut d_packed, &mut scratch);
        let loss = |packed: &[f64]| -> f64 {
            let out = naive(packed, heads, spans, &|_, _| 0.0, &multiplier);
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
            check(&lengths, &lengths, Heads::fused(heads, size), if dropped { 0.3 } else { 0.0 });
        }

        #[test]
        fn the_past_and_shared_keys(
            lengths in prop::collection::vec(1_u32..20, 1..4),
            (shared, group) in (1_usize..3, 1_usize..4),
            size in 1_usize..10,
            interleaved: bool,
            dropped: bool,
        ) {
            let heads = if interleaved {
                Heads::interleaved(shared, size)
            } else {
                Heads::grouped(shared * group, shared, size)
            };
            let heads = Heads { sight: Sight::Past, scale: 0.7 * heads.scale, ..heads };
            check(&lengths, &lengths, heads, if dropped { 0.3 } else { 0.0 });
        }

        #[test]
        fn a_bias_by_distance_on_other_sequences(
            pairs in prop::collection::vec((1_u32..7, 1_u32..12), 1..4),
            size in 1_usize..10,
            is_past: bool,
            dropped: bool,
        ) {
            let probability = if dropped { 0.3 } else { 0.0 };
            if is_past {
                let pairs: Vec<(u32, u32)> = pairs.iter().map(|&(_, n)| (n, n)).collect();
                let heads = Heads { sight: Sight::Past, scale: 1.0, ..Heads::fused(2, size) };
                check_biased(&pairs, heads, probability);
            } else {
                let heads = Heads::split(2, size, pairs.iter().map(|&(m, _)| m).sum::<u32>() as usize);
                check_biased(&pairs, heads, probability);
            }
        }

        #[test]
        fn some_queries_only(
            pairs in prop::collection::vec((1_u32..7).prop_flat_map(|n| (Just(n), 0..=n)), 1..4),
            dropped: bool,
        ) {
            let (lengths, queries): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
            prop_assume!(queries.iter().sum::<u32>() > 0);
            let heads = Heads::split(2, 8, queries.iter().sum::<u32>() as usize);
            check(&lengths, &queries, heads, if dropped { 0.3 } else { 0.0 });
        }
    }

    #[test]
    fn softmax_is_safe_and_both_instruction_sets_agree() {
        let rows = normals(0, "scores", 3 * 16, 300.0);
        let (mut fast, mut plain) = (rows.clone(), rows.clone());
        softmax(&mut fast, 11, 0.25, Sight::All);
        softmax_body::<f32>(&mut plain, 11, 0.25, Sight::All);
        assert_close(&fast, &wide(&plain), 1e-6);
        for row in fast.chunks_exact(16) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
            assert!(row[11..].iter().all(|&p| p == 0.0), "{row:?}");
        }
        let mut past = rows;
        softmax(&mut past, 11, 0.25, Sight::Past);
        for (place, row) in past.chunks_exact(16).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
            assert!(row[place + 1..].iter().all(|&p| p == 0.0), "{row:?}");
        }
        let gradient = normals(0, "gradient", 3 * 16, 1.0);
        let (mut quick, mut slow) = (gradient.clone(), gradient);
        softmax_backward(&mut quick, &fast, 11, 0.25);
        softmax_backward_body::<f32>(&mut slow, &fast, 11, 0.25);
        assert_close(&quick, &wide(&slow), 1e-6);
    }
}
