//! Masked-token prediction (Devlin et al. 2019, BERT, section 3.1).

use random::Stream;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How tokens are chosen and hidden.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masking {
    /// Probability that a token is to be predicted.
    pub rate: f64,
    /// Share of those that the mask token replaces.
    pub hidden: f64,
    /// Share of those that a random token replaces; the rest stay as they are.
    pub random: f64,
}

impl Masking {
    /// BERT's: 15 %, of which 80 % are hidden, 10 % are random and 10 % stay.
    pub const BERT: Self = Self { rate: 0.15, hidden: 0.8, random: 0.1 };

    /// Checks that the rate and both shares, and their sum, are probabilities.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first that is none; a rate of 0 leaves nothing to predict.
    pub fn check(&self) -> Result<(), Error> {
        Error::check_probability("rate", self.rate)?;
        Error::check_probability("hidden", self.hidden)?;
        Error::check_probability("random", self.random)?;
        Error::check_probability("hidden + random", self.hidden + self.random)?;
        if self.rate > 0.0 {
            Ok(())
        } else {
            Err(Error::Parameter { name: "rate", value: "0".into(), expected: "above 0" })
        }
    }
}

/// Sequences with tokens to predict, hidden ones or next ones, packed back to back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaskedBatch {
    /// Token ids of all sequences, after masking.
    pub ids: Vec<u32>,
    /// Segment of each token: 0 everywhere.
    pub types: Vec<u32>,
    /// Where each sequence starts in `ids`, and at the end where the last one ends.
    pub starts: Vec<u32>,
    /// Positions in `ids` at which a token is to be predicted, ascending.
    pub rows: Vec<u32>,
    /// The tokens that belong there: those that stood there, or those that stand behind.
    pub labels: Vec<u32>,
}

/// Which ids mean what to the mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MaskIds {
    /// The mask token.
    pub(crate) mask: u32,
    /// Special tokens, ascending: never masked, never drawn.
    pub(crate) special: Vec<u32>,
    /// One more than the largest id.
    pub(crate) end: u32,
}

impl MaskIds {
    fn is_word(&self, id: u32) -> bool {
        self.special.binary_search(&id).is_err()
    }

    fn word(&self, stream: &mut Stream) -> u32 {
        loop {
            let id = stream.below(self.end as usize) as u32;
            if self.is_word(id) {
                return id;
            }
        }
    }
}

impl MaskedBatch {
    /// Hides nothing: after each token but a sequence's last, the next is to be predicted (a causal language model's
    /// objective).
    pub(crate) fn causal(sequences: &Sequences) -> Self {
        let spans = sequences.starts.windows(2);
        let rows: Vec<u32> = spans.flat_map(|span| span[0]..span[1].saturating_sub(1)).collect();
        Self {
            labels: rows.iter().map(|&row| sequences.ids[row as usize + 1]).collect(),
            ids: sequences.ids.clone(),
            types: vec![0; sequences.ids.len()],
            starts: sequences.starts.clone(),
            rows,
        }
    }

    /// Hides tokens of `sequences`. A batch without anything to predict has no loss, so that the draw is repeated
    /// until there is something.
    pub(crate) fn new(sequences: &Sequences, masking: &Masking, ids: &MaskIds, stream: &mut Stream) -> Self {
        let maskable = sequences.ids.iter().any(|&id| ids.is_word(id));
        loop {
            let mut batch = Self {
                ids: sequences.ids.clone(),
                types: vec![0; sequences.ids.len()],
                starts: sequences.starts.clone(),
                rows: Vec::new(),
                labels: Vec::new(),
            };
            for (row, id) in batch.ids.iter_mut().enumerate() {
                if !ids.is_word(*id) || !stream.bernoulli(masking.rate) {
                    continue;
                }
                batch.rows.push(row as u32);
                batch.labels.push(*id);
                let fate = stream.unit_f64();
                if fate < masking.hidden {
                    *id = ids.mask;
                } else if fate < masking.hidden + masking.random {
                    *id = ids.word(stream);
                }
            }
            if !batch.rows.is_empty() || !maskable {
                return batch;
            }
        }
    }
}

/// Sequences on their way to a batch.
#[derive(Clone, Debug)]
pub(crate) struct Sequences {
    pub(crate) ids: Vec<u32>,
    pub(crate) starts: Vec<u32>,
}

impl Sequences {
    pub(crate) fn new() -> Self {
        Self { ids: Vec::new(), starts: vec![0] }
    }

    pub(crate) fn push(&mut self, sequence: impl IntoIterator<Item = u32>) {
        self.ids.extend(sequence);
        self.starts.push(self.ids.len() as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> MaskIds {
        MaskIds { mask: 3, special: vec![0, 1, 2, 3], end: 104 }
    }

    fn sequences() -> Sequences {
        let mut sequences = Sequences::new();
        for start in 0..1000 {
            sequences.push([1].into_iter().chain((0..48).map(|i| 4 + (start + i) % 100)).chain([2]));
        }
        sequences
    }

    #[test]
    fn rates_are_met_and_special_tokens_left_alone() {
        let plain = sequences();
        let batch = MaskedBatch::new(&plain, &Masking::BERT, &ids(), &mut Stream::new(0, "test"));
        let words = 48_000.0;
        let share = |count: usize, of: f64| count as f64 / of;
        let rows: Vec<usize> = batch.rows.iter().map(|&row| row as usize).collect();
        assert!((share(rows.len(), words) - 0.15).abs() < 0.01);
        let n = rows.len() as f64;
        let hidden = rows.iter().filter(|&&row| batch.ids[row] == 3).count();
        let kept = rows.iter().filter(|&&row| batch.ids[row] == plain.ids[row]).count();
        assert!((share(hidden, n) - 0.8).abs() < 0.02);
        // A random token is the old one at times.
        assert!((share(kept, n) - 0.101).abs() < 0.015);
        for (row, (&id, &was)) in batch.ids.iter().zip(&plain.ids).enumerate() {
            let target = batch.rows.binary_search(&(row as u32));
            match target {
                Ok(at) => assert!(batch.labels[at] == was && was >= 4 && (3..104).contains(&id)),
                Err(_) => assert_eq!(id, was),
            }
        }
        assert!(batch.rows.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(batch.starts, plain.starts);
    }

    #[test]
    fn there_is_always_something_to_predict() {
        let mut one = Sequences::new();
        one.push([1, 7]);
        let masking = Masking { rate: 0.01, hidden: 1.0, random: 0.0 };
        for seed in 0..20 {
            let batch = MaskedBatch::new(&one, &masking, &ids(), &mut Stream::new(seed, "test"));
            assert_eq!((batch.rows, batch.labels, batch.ids), (vec![1], vec![7], vec![1, 3]));
        }
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Masking::BERT.check().is_ok());
        for (rate, hidden, random) in
            [(0.0, 0.8, 0.1), (1.5, 0.8, 0.1), (0.1, 0.8, 0.3), (f64::NAN, 0.8, 0.1)]
        {
            assert!(Masking { rate, hidden, random }.check().is_err());
        }
    }
}
