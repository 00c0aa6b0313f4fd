//! What pretraining learns from, batch by batch.

use crate::{Encoded, MaskedBatch, SequencePairs, corpus, glyphs, images, roles};

/// Pretraining batches for ever: the batch of any step can be had without those before it.
#[derive(Clone, Debug)]
pub enum Source {
    /// Fresh sentences of the embedded language.
    Roles(roles::Source),
    /// Fresh images of the visual world.
    Glyphs(glyphs::Source),
    /// Segments of real text.
    Corpus(corpus::Source),
    /// Images from files.
    Images(images::Source),
}

/// One batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Batch {
    /// Tokens to predict.
    Masked(MaskedBatch),
    /// Sequences to predict from others.
    Sequences(SequencePairs),
    /// Classes to predict.
    Labelled(LabelledBatch),
}

/// Examples with their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledBatch {
    /// What the model reads.
    pub inputs: Encoded,
    /// Class index of each example.
    pub labels: Vec<u32>,
}

impl Source {
    /// The batch of `size` examples of this step.
    #[must_use]
    pub fn batch(&self, seed: u64, step: u64, size: usize) -> Batch {
        match self {
            Self::Roles(source) => Batch::Masked(source.masked(seed, step, size)),
            Self::Glyphs(source) => Batch::Labelled(source.labelled(seed, step, size)),
            Self::Corpus(source) => source.batch(seed, step, size),
            Self::Images(source) => Batch::Labelled(source.labelled(seed, step, size)),
        }
    }

    /// What held-out losses are measured on: always the same, never trained on.
    #[must_use]
    pub fn held_out(&self) -> Batch {
        match self {
            Self::Roles(source) => Batch::Masked(source.held_out(roles::HELD_OUT)),
            Self::Glyphs(source) => Batch::Labelled(source.held_out(glyphs::HELD_OUT)),
            Self::Corpus(source) => source.held_out(),
            Self::Images(source) => Batch::Labelled(source.held_out()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_functions_of_seed_and_step() {
        for source in [Source::Roles(roles::Source::default()), Source::Glyphs(glyphs::Source::default())] {
            let batch = source.batch(1, 7, 16);
            assert_eq!(batch, source.batch(1, 7, 16));
            assert_ne!(batch, source.batch(1, 8, 16));
            assert_ne!(batch, source.batch(2, 7, 16));
            assert_eq!(source.held_out(), source.held_out());
        }
    }
}
