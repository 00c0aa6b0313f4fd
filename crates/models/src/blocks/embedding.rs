//! What a stack begins with: a row for each word, and where there are tables for them, one for its position and its segment.

use std::ops::Range;

use kernels::embedding::{self, Positions, Tables};
use kernels::rows;

use super::{Buffer, Norm, Pass, Site, norm};
use crate::Tokens;

/// Tables of words, positions and segments, one after the other in the flat buffer.
#[derive(Clone, Debug)]
pub(crate) struct Embedding {
    /// `[words, H]`
    pub(crate) words: Range<usize>,
    /// `[positions, H]`, behind the words, or empty.
    pub(crate) positions: Range<usize>,
    /// Rows of the tokens in the table of positions.
    pub(crate) numbering: Positions,
    /// `[segments, H]`, behind the positions, or empty.
    pub(crate) segments: Range<usize>,
    pub(crate) width: usize,
    /// Of the sum.
    pub(crate) norm: Option<Norm>,
    pub(crate) drop: Site,
}

impl Embedding {
    /// A table of words alone.
    pub(crate) fn of_words(words: Range<usize>, width: usize, drop: Site) -> Self {
        let none = words.end..words.end;
        let (positions, segments) = (none.clone(), none);
        Self { words, positions, numbering: Positions::Place, segments, width, norm: None, drop }
    }

    /// Leaves the sums in `stream`: `[n, H]`.
    pub(crate) fn forward(
        &self,
        pass: Pass<'_>,
        tokens: &Tokens<'_>,
        stream: &mut Buffer,
        kept: &mut norm::Kept,
    ) {
        let (h, n) = (self.width, tokens.ids.len());
        let stream = stream.room(n, h);
        match &self.norm {
            None => self.look_up(pass.values, tokens, stream),
            Some(norm) => {
                self.look_up(pass.values, tokens, kept.normalised.room(n, h));
                norm.forward_kept(pass.values, kept, stream);
            }
        }
        if let Some(mask) = self.drop.mask(pass.dropout, None) {
            mask.apply(stream, h);
        }
    }

    fn look_up(&self, values: &[f32], tokens: &Tokens<'_>, out: &mut [f32]) {
        let (h, words) = (self.width, &values[self.words.clone()]);
        if self.positions.is_empty() {
            return rows::gather(out, words, tokens.ids, h);
        }
        let positions = &values[self.positions.clone()];
        let tables = Tables { words, positions, segments: &values[self.segments.clone()] };
        embedding::forward(out, tables, self.packed(tokens), h);
    }

    /// Given the gradient `d` of the stream, `[n, H]`, adds those of the tables.
    pub(crate) fn backward(
        &self,
        pass: Pass<'_>,
        tokens: &Tokens<'_>,
        d: &mut [f32],
        kept: &norm::Kept,
        gradient: &mut [f32],
    ) {
        let h = self.width;
        if let Some(mask) = self.drop.mask(pass.dropout, None) {
            mask.apply(d, h);
        }
        if let Some(norm) = &self.norm {
            norm.backward(pass.values, d, kept, gradient);
        }
        let tables = &mut gradient[self.words.start..self.segments.end];
        let (words, tables) = tables.split_at_mut(self.words.len());
        if self.positions.is_empty() {
            return rows::scatter_add(words, d, tokens.ids, h);
        }
        let (positions, segments) = tables.split_at_mut(self.positions.len());
        embedding::backward(d, Tables { words, positions, segments }, self.packed(tokens), h);
    }

    /// The kernels' form of packed tokens.
    fn packed<'a>(&self, tokens: &Tokens<'a>) -> embedding::Tokens<'a> {
        let Tokens { ids: words, types: segments, starts } = *tokens;
        embedding::Tokens { words, segments, starts, positions: self.numbering }
    }
}
