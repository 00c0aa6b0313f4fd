//! Sequences side by side, the shorter ones filled up.

use kernels::embedding::Positions;

use crate::Tokens;

/// Sequences padded to the longest, as rows `sequence * longest + position`.
pub(super) struct Padded {
    pub(super) n_sequences: usize,
    pub(super) longest: usize,
    /// Packed row of each padded place.
    pub(super) rows: Vec<Option<u64>>,
    /// Padded place of each packed row.
    pub(super) places: Vec<u32>,
}

impl Padded {
    /// Of sequences that start there, with the end as a last entry.
    pub(super) fn new(starts: &[u32]) -> Self {
        let longest = starts.windows(2).map(|span| (span[1] - span[0]) as usize).max().unwrap_or(0);
        let n_sequences = starts.len() - 1;
        let mut padded =
            Self { n_sequences, longest, rows: vec![None; n_sequences * longest], places: vec![] };
        for (sequence, span) in starts.windows(2).enumerate() {
            for (position, row) in (span[0]..span[1]).enumerate() {
                let place = sequence * longest + position;
                padded.rows[place] = Some(u64::from(row));
                padded.places.push(place as u32);
            }
        }
        padded
    }

    /// Packed values in their places, and a filler in the others.
    pub(super) fn spread(&self, packed: &[u32], filler: u32) -> Vec<u32> {
        self.rows.iter().map(|row| row.map_or(filler, |row| packed[row as usize])).collect()
    }

    /// Positions of tokens; 0 of fillers.
    pub(super) fn positions(&self, tokens: &Tokens<'_>, numbering: Positions) -> Vec<u32> {
        let mut positions = vec![0; self.rows.len()];
        for (sequence, span) in tokens.starts.windows(2).enumerate() {
            let ids = &tokens.ids[span[0] as usize..span[1] as usize];
            for (place, position) in numbering.of(ids).enumerate() {
                positions[sequence * self.longest + place] = position as u32;
            }
        }
        positions
    }

    /// 0 at tokens, hugely negative at fillers: added to scores of attention to these.
    pub(super) fn bias(&self) -> Vec<f32> {
        self.rows.iter().map(|row| if row.is_some() { 0.0 } else { -1e9 }).collect()
    }

    /// Places of these packed rows.
    pub(super) fn places_of(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter().map(|&row| self.places[row as usize]).collect()
    }

    /// Rows of the field of attention masks, for `[sequences, heads, longest]`.
    pub(super) fn attention_rows(&self, heads: usize) -> Vec<Option<u64>> {
        let mut rows = Vec::with_capacity(self.rows.len() * heads);
        for sequence in self.rows.chunks_exact(self.longest.max(1)) {
            for head in 0..heads as u64 {
                rows.extend(sequence.iter().map(|row| row.map(|row| row * heads as u64 + head)));
            }
        }
        rows
    }
}

/// Rows of a mask's field, one after the other.
pub(super) fn each_row(n: usize) -> Vec<Option<u64>> {
    (0..n as u64).map(Some).collect()
}
