//! Pretraining text: fresh sentences for ever, with a quarter of their tokens hidden.

use random::Stream;

use super::language::{CLS, FIRST_WORD, MASK, VOCABULARY};
use super::latents::Latents;
use crate::masking::{MaskIds, Sequences};
use crate::{MaskedBatch, Masking};

/// Sentences of the held-out text.
pub const HELD_OUT: usize = 2_048;

/// Fresh sentences of the language, for masked-token prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// How tokens are hidden: every one, marker and all, with probability 0.25 and always by the mask token.
    pub masking: Masking,
}

impl Default for Source {
    fn default() -> Self {
        Self { masking: Masking { rate: 0.25, hidden: 1.0, random: 0.0 } }
    }
}

impl Source {
    /// The batch of `size` sentences of this step.
    #[must_use]
    pub fn masked(&self, seed: u64, step: u64, size: usize) -> MaskedBatch {
        self.draw(&mut Stream::at(seed, "roles/pretraining", step), size)
    }

    /// `size` sentences that are the same for every seed and step, from a stream that no step draws from.
    #[must_use]
    pub fn held_out(&self, size: usize) -> MaskedBatch {
        self.draw(&mut Stream::new(0, "roles/held-out"), size)
    }

    fn draw(&self, stream: &mut Stream, size: usize) -> MaskedBatch {
        let mut sequences = Sequences::new();
        for _ in 0..size {
            sequences.push(std::iter::once(CLS).chain(Latents::draw_text(stream).render()));
        }
        let ids = MaskIds { mask: MASK, special: (0..FIRST_WORD).collect(), end: VOCABULARY.len() as u32 };
        MaskedBatch::new(&sequences, &self.masking, &ids, stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_quarter_is_hidden_and_sentences_are_short() {
        let batch = Source::default().held_out(HELD_OUT);
        let words = batch.ids.len() - HELD_OUT;
        let share = batch.rows.len() as f64 / words as f64;
        assert!((share - 0.25).abs() < 0.01, "{share}");
        for ends in batch.starts.windows(2) {
            assert_eq!(batch.ids[ends[0] as usize], CLS);
            assert!((5..=10).contains(&(ends[1] - ends[0])));
        }
        assert!(batch.rows.iter().all(|&row| batch.ids[row as usize] == MASK));
        assert!(batch.labels.iter().all(|&label| (FIRST_WORD..53).contains(&label)));
    }

    /// If this changes, the world's `VERSION` must rise.
    #[test]
    fn golden_batch() {
        let batch = Source::default().masked(0, 0, 8);
        assert_eq!(golden::hash(format!("{batch:?}").as_bytes()), 17_824_213_038_323_808_417);
    }

    #[test]
    fn steps_are_independent_of_each_other() {
        let source = Source::default();
        assert_eq!(source.masked(0, 400, 8), source.masked(0, 400, 8));
        assert_ne!(source.masked(0, 400, 8), source.masked(0, 401, 8));
        assert_ne!(source.masked(0, 400, 8), source.masked(1, 400, 8));
    }
}
