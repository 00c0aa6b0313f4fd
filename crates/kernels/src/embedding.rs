//! Sums of embedding rows: word + position + segment.

use crate::rows::add;

/// The tables, each `[entries, width]`, or their gradients.
#[derive(Clone, Copy, Debug)]
pub struct Tables<T> {
    /// By word.
    pub words: T,
    /// By position in the sequence.
    pub positions: T,
    /// By segment; empty where a model knows none.
    pub segments: T,
}

/// How the tokens of a sequence are numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Positions {
    /// By their place, from 0.
    #[default]
    Place,
    /// As RoBERTa does: this word, which pads batches, is at the position of its own number wherever it stands, and the
    /// other tokens are counted from behind it.
    Behind(u32),
}

impl Positions {
    /// The position of each word of a sequence.
    pub fn of(self, words: &[u32]) -> impl Iterator<Item = usize> {
        let (padding, mut next) = match self {
            Self::Place => (None, 0),
            Self::Behind(word) => (Some(word), word as usize + 1),
        };
        words.iter().map(move |&word| {
            if padding == Some(word) {
                return word as usize;
            }
            next += 1;
            next - 1
        })
    }
}

/// Packed sequences: words and segments per token, and where each sequence begins, with the end as a last entry.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// Words.
    pub words: &'a [u32],
    /// Segments.
    pub segments: &'a [u32],
    /// Starts.
    pub starts: &'a [u32],
    /// How tokens are numbered.
    pub positions: Positions,
}

impl Tokens<'_> {
    /// Token, and its position.
    fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.starts.windows(2).flat_map(|span| {
            let (start, end) = (span[0] as usize, span[1] as usize);
            (start..end).zip(self.positions.of(&self.words[start..end]))
        })
    }
}

/// The row of a segment in its table: a table of one row is every segment's.
fn segment_row(segment: u32, len: usize, width: usize) -> usize {
    if len > width { segment as usize } else { 0 }
}

/// `out[token] = words[w] + positions[p] + segments[s]`.
///
/// # Panics
/// If a word, position or segment is not in its table.
pub fn forward(out: &mut [f32], tables: Tables<&[f32]>, tokens: Tokens<'_>, width: usize) {
    for (token, position) in tokens.iter() {
        let row = |index: usize| index * width..(index + 1) * width;
        let word = &tables.words[row(tokens.words[token] as usize)];
        let place = &tables.positions[row(position)];
        let out = &mut out[token * width..(token + 1) * width];
        for ((out, word), place) in out.iter_mut().zip(word).zip(place) {
            *out = word + place;
        }
        if !tables.segments.is_empty() {
            let segment = segment_row(tokens.segments[token], tables.segments.len(), width);
            add(out, &tables.segments[row(segment)]);
        }
    }
}

/// Adds the rows of `gradient` to the rows of the tables that they came from, and touches no others.
///
/// # Panics
/// As [`forward`].
pub fn backward(gradient: &[f32], tables: Tables<&mut [f32]>, tokens: Tokens<'_>, width: usize) {
    for (token, position) in tokens.iter() {
        let gradient = &gradient[token * width..][..width];
        add(&mut tables.words[tokens.words[token] as usize * width..][..width], gradient);
        add(&mut tables.positions[position * width..][..width], gradient);
        if !tables.segments.is_empty() {
            let segment = segment_row(tokens.segments[token], tables.segments.len(), width);
            add(&mut tables.segments[segment * width..][..width], gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_skip_padding_as_roberta_does() {
        let of = |positions: Positions| positions.of(&[1, 5, 1, 6, 7]).collect::<Vec<_>>();
        assert_eq!(of(Positions::Place), [0, 1, 2, 3, 4]);
        // transformers: cumsum(ids != 1) * (ids != 1) + 1.
        assert_eq!(of(Positions::Behind(1)), [1, 2, 1, 3, 4]);
    }

    #[test]
    fn one_row_of_segments_is_everyones() {
        let (segments, starts) = (&[0, 1][..], &[0, 2][..]);
        let tokens = Tokens { words: &[0, 0], segments, starts, positions: Positions::Place };
        let tables = Tables { words: &[1.0][..], positions: &[10.0, 20.0], segments: &[0.5] };
        let mut out = [0.0; 2];
        forward(&mut out, tables, tokens, 1);
        assert_eq!(out, [11.5, 21.5]);
        let (mut words, mut positions, mut segments) = ([0.0], [0.0; 2], [0.0]);
        let tables =
            Tables { words: &mut words[..], positions: &mut positions[..], segments: &mut segments[..] };
        backward(&[1.0, 2.0], tables, tokens, 1);
        assert_eq!((segments, positions), ([3.0], [1.0, 2.0]));
    }

    #[test]
    fn sums_and_their_gradients() {
        let positions = Positions::Place;
        let tokens = Tokens { words: &[2, 0, 2], segments: &[0, 0, 1], starts: &[0, 2, 3], positions };
        let words = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let tables = Tables {
            words: &words[..],
            positions: &[10.0, 20.0, 30.0, 40.0],
            segments: &[0.0, 0.0, 0.5, 0.5],
        };
        let mut out = [0.0; 6];
        forward(&mut out, tables, tokens, 2);
        assert_eq!(out, [15.0, 26.0, 31.0, 42.0, 15.5, 26.5]);

        let (mut d_words, mut d_positions, mut d_segments) = ([0.0; 6], [0.0; 4], [0.0; 4]);
        let gradients = Tables {
            words: &mut d_words[..],
            positions: &mut d_positions[..],
            segments: &mut d_segments[..],
        };
        backward(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], gradients, tokens, 2);
        assert_eq!(d_words, [3.0, 4.0, 0.0, 0.0, 6.0, 8.0]);
        assert_eq!(d_positions, [6.0, 8.0, 3.0, 4.0]);
        assert_eq!(d_segments, [4.0, 6.0, 5.0, 6.0]);
    }
}
