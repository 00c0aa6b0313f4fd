//! A bias of the scores by distance (Shaw et al. 2018; one number for each head and distance as in Raffel et al. 2020).

use super::heads::padded;
use crate::lanes::{Lanes, dispatched};
use crate::rows;

/// What is added to the score of a query and a key by how far apart they are in their sequences, or its gradient.
#[derive(Clone, Copy, Debug)]
pub struct Bias<T> {
    /// `[heads, 2 longest - 1]`: from keys `longest - 1` places before a query to those as many places behind.
    pub values: T,
    /// The longest sequence that it knows, in tokens.
    pub longest: usize,
}

impl<T> Bias<T> {
    /// Distances between tokens of a sequence of this length, both ways.
    #[must_use]
    pub fn width(longest: usize) -> usize {
        2 * longest - 1
    }

    /// Where the values of a head and a query lie, for `n` keys from the first.
    fn row(&self, head: usize, query: usize, n: usize) -> std::ops::Range<usize> {
        let (width, longest) = (Self::width(self.longest), self.longest);
        assert!(query < longest && n <= longest, "query {query} and {n} keys of at most {longest} places");
        let from = head * width + longest - 1 - query;
        from..from + n
    }
}

impl Bias<&[f32]> {
    /// `scores = scale scores + bias` for `m` queries and `n` keys of a head, in padded rows.
    pub(super) fn add(&self, scores: &mut [f32], head: usize, m: usize, n: usize, scale: f32) {
        for (query, scores) in scores.chunks_exact_mut(padded(n)).take(m).enumerate() {
            scale_and_add(&mut scores[..n], &self.values[self.row(head, query, n)], scale);
        }
    }
}

impl Bias<&mut [f32]> {
    /// Adds the gradient of `m` queries' and `n` keys' biased scores, which are then scaled.
    pub(super) fn gather(&mut self, scores: &mut [f32], head: usize, m: usize, n: usize, scale: f32) {
        for (query, scores) in scores.chunks_exact_mut(padded(n)).take(m).enumerate() {
            let row = self.row(head, query, n);
            rows::add(&mut self.values[row], &scores[..n]);
            if scale != 1.0 {
                scores.iter_mut().for_each(|score| *score *= scale);
            }
        }
    }
}

dispatched! {
    fn scale_and_add(scores: &mut [f32], bias: &[f32], scale: f32) = scale_and_add_body
}

#[inline(always)]
fn scale_and_add_body<V: Lanes>(scores: &mut [f32], bias: &[f32], scale: f32) {
    let vectors = scores.len().min(bias.len()) / V::WIDTH * V::WIDTH;
    for j in (0..vectors).step_by(V::WIDTH) {
        // SAFETY: `j + WIDTH` is not beyond either slice.
        unsafe {
            let to = scores.as_mut_ptr().add(j);
            V::load(to).mul_add(V::splat(scale), V::load(bias.as_ptr().add(j))).store(to);
        }
    }
    for (score, bias) in scores[vectors..].iter_mut().zip(&bias[vectors..]) {
        *score = *score * scale + bias;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, normals, wide};

    #[test]
    fn rows_slide_over_the_distances() {
        let values: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let bias = Bias { values: values.as_slice(), longest: 3 };
        let mut scores = [0.0; 16];
        bias.add(&mut scores, 1, 2, 3, 2.0);
        assert_eq!((&scores[..3], &scores[8..11]), (&[7.0, 8.0, 9.0][..], &[6.0, 7.0, 8.0][..]));
        let mut sums = [0.0; 10];
        let mut d_bias = Bias { values: sums.as_mut_slice(), longest: 3 };
        let mut scores = [1.0; 16];
        d_bias.gather(&mut scores, 0, 2, 3, 0.5);
        assert_eq!((sums, scores[0]), ([0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.5));
    }

    #[test]
    fn both_instruction_sets_agree() {
        let (scores, bias) = (normals(0, "scores", 29, 1.0), normals(0, "bias", 29, 1.0));
        let (mut fast, mut plain) = (scores.clone(), scores);
        scale_and_add(&mut fast, &bias, 0.3);
        scale_and_add_body::<f32>(&mut plain, &bias, 0.3);
        assert_close(&fast, &wide(&plain), 1e-6);
    }
}
