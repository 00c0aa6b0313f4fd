//! Span corruption (Raffel et al. 2020, section 3.1.4, T5's objective): spans of a text are dropped, each for a sentinel
//! of its own, and are to be told in order, each behind its sentinel.
//!
//! How spans are drawn is not in the paper: as in the authors' `random_spans_noise_mask`, a rounded share of the tokens
//! falls into a rounded number of spans, all ways to cut both what stays and what is dropped are equally likely, and a
//! text begins with what stays and ends with what is dropped. So no sentinel follows the last span, only the token that
//! ends both sequences. In `thank you for inviting me to your party`, two spans may leave
//! `thank you <extra_id_0> me to your <extra_id_1> </s>` and `<extra_id_0> for inviting <extra_id_1> party </s>`.

use random::Stream;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How much is dropped, and in how long pieces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corruption {
    /// Share of the tokens that are dropped.
    pub rate: f64,
    /// Mean length of a span, in tokens.
    pub mean_length: f64,
}

/// Pairs of sequences, of which the second is to be predicted from the first. Both are packed back to back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequencePairs {
    /// Token ids of all first sequences.
    pub ids: Vec<u32>,
    /// Segment of each of their tokens: 0 everywhere.
    pub types: Vec<u32>,
    /// Where each first sequence starts in `ids`, and at the end where the last one ends.
    pub starts: Vec<u32>,
    /// Token ids of all second sequences.
    pub target_ids: Vec<u32>,
    /// Where each second sequence starts in `target_ids`, and at the end where the last one ends.
    pub target_starts: Vec<u32>,
}

/// Which ids mean what to the corruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentinels {
    /// Stand for the first span, the second, and so on.
    pub(crate) ids: Vec<u32>,
    /// Ends both sequences.
    pub(crate) end: u32,
}

impl Sentinels {
    /// Tokens of a segment whose corrupted form has at most `length`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if such a segment needs more sentinels than there are.
    pub(crate) fn room(&self, corruption: &Corruption, length: usize) -> Result<usize, Error> {
        let room = corruption.longest(length).unwrap_or(0);
        // A shorter segment has no more spans.
        let (found, needed) = (self.ids.len(), corruption.counts(room).1);
        match found < needed {
            true => Err(Error::Tokenizer {
                reason: format!(
                    "it has {found} sentinels (`<extra_id_0>` and its successors), a segment of {room} tokens needs {needed}"
                ),
            }),
            false => Ok(room),
        }
    }
}

impl Corruption {
    /// T5's: 15 % of the tokens, in spans of three on the mean.
    pub const T5: Self = Self { rate: 0.15, mean_length: 3.0 };

    /// Checks that the rate is a probability above 0 and below 1, and that spans have a token at least.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let wrong =
            |name, value: f64, expected| Error::Parameter { name, value: value.to_string(), expected };
        if !(self.rate > 0.0 && self.rate < 1.0) {
            return Err(wrong("rate", self.rate, "above 0 and below 1"));
        }
        if !(self.mean_length >= 1.0 && self.mean_length.is_finite()) {
            return Err(wrong("mean_length", self.mean_length, "at least 1"));
        }
        Ok(())
    }

    /// How many of `n` tokens are dropped, in how many spans. Of a single token, all.
    pub(crate) fn counts(&self, n: usize) -> (usize, usize) {
        if n < 2 {
            return (n, n);
        }
        let dropped = ((n as f64 * self.rate).round_ties_even() as usize).clamp(1, n - 1);
        let spans = (dropped as f64 / self.mean_length).round_ties_even() as usize;
        (dropped, spans.clamp(1, dropped.min(n - dropped)))
    }

    /// The longest text whose first sequence has at most `length` tokens, the one that ends it included, or `None` if
    /// there is none.
    pub(crate) fn longest(&self, length: usize) -> Option<usize> {
        let fits = |n: usize| {
            let (dropped, spans) = self.counts(n);
            n - dropped + spans < length
        };
        // What stays never shrinks as the text grows. The bound is for rates at which it does not grow either.
        (1..1 << 20).take_while(|&n| fits(n)).last()
    }
}

impl SequencePairs {
    pub(crate) fn new() -> Self {
        Self { starts: vec![0], target_starts: vec![0], ..Self::default() }
    }

    /// Adds what is left of `text`, and what was dropped from it.
    ///
    /// # Panics
    /// If there are fewer sentinels than spans, which the caller has checked.
    pub(crate) fn push(
        &mut self,
        text: &[u32],
        corruption: &Corruption,
        sentinels: &Sentinels,
        stream: &mut Stream,
    ) {
        let (dropped, spans) = corruption.counts(text.len());
        let lost = composition(dropped, spans, stream);
        let kept = composition(text.len() - dropped, spans, stream);
        let mut rest = text;
        for (index, (lost, kept)) in lost.into_iter().zip(kept).enumerate() {
            let sentinel = sentinels.ids[index];
            let (stays, behind) = rest.split_at(kept);
            let (span, behind) = behind.split_at(lost);
            rest = behind;
            self.ids.extend_from_slice(stays);
            self.ids.push(sentinel);
            self.target_ids.push(sentinel);
            self.target_ids.extend_from_slice(span);
        }
        self.ids.push(sentinels.end);
        self.target_ids.push(sentinels.end);
        self.types.resize(self.ids.len(), 0);
        self.starts.push(self.ids.len() as u32);
        self.target_starts.push(self.target_ids.len() as u32);
    }
}

/// `parts` numbers of at least 1 that add up to `sum`, each way equally likely; zeros if `sum` is 0.
fn composition(sum: usize, parts: usize, stream: &mut Stream) -> Vec<usize> {
    if sum == 0 {
        return vec![0; parts];
    }
    // Cuts between tokens: each is taken with the probability that makes all choices of so many equally likely.
    let (mut cuts, mut left, mut sizes, mut size) = (parts - 1, sum - 1, Vec::with_capacity(parts), 1);
    while left > 0 {
        if stream.below(left) < cuts {
            sizes.push(size);
            (cuts, size) = (cuts - 1, 1);
        } else {
            size += 1;
        }
        left -= 1;
    }
    sizes.push(size);
    sizes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sentinels() -> Sentinels {
        Sentinels { ids: (1_000..1_100).rev().collect(), end: 1 }
    }

    #[test]
    fn counts_are_those_of_the_authors() {
        // 568 tokens become 512 and 114 with the tokens that end them, as their code says.
        assert_eq!(Corruption::T5.counts(568), (85, 28));
        assert_eq!(568 - 85 + 28 + 1, 512);
        assert_eq!(85 + 28 + 1, 114);
        assert_eq!(Corruption::T5.longest(512), Some(568));
        for (n, counts) in [(0, (0, 0)), (1, (1, 1)), (2, (1, 1)), (10, (2, 1)), (30, (4, 1)), (31, (5, 2))] {
            assert_eq!(Corruption::T5.counts(n), counts, "{n}");
        }
        // More is dropped than stays: as many spans as there are tokens between them.
        assert_eq!(Corruption { rate: 0.9, mean_length: 1.0 }.counts(10), (9, 1));
    }

    #[test]
    fn the_longest_text_that_fits() {
        for corruption in [Corruption::T5, Corruption { rate: 0.5, mean_length: 1.0 }] {
            for length in 3..200 {
                let n = corruption.longest(length).unwrap();
                let size = |n: usize| n - corruption.counts(n).0 + corruption.counts(n).1 + 1;
                assert!(size(n) <= length && (n + 1..n + 9).all(|n| size(n) > length), "{length}: {n}");
            }
        }
        assert_eq!((Corruption::T5.longest(1), Corruption::T5.longest(2)), (None, Some(1)));
    }

    /// Told again in their places, the spans give the text.
    #[test]
    fn what_is_dropped_is_told_in_order() {
        let mut stream = Stream::new(0, "test");
        let mut pairs = SequencePairs::new();
        let texts: Vec<Vec<u32>> =
            (1..200).map(|n| (0..n).map(|i| 2 + (7 * i + n) % 900).collect()).collect();
        for text in &texts {
            pairs.push(text, &Corruption::T5, &sentinels(), &mut stream);
        }
        let (mut n_dropped, mut n_spans) = (0, 0);
        let part =
            |ids: &[u32], starts: &[u32], i: usize| ids[starts[i] as usize..starts[i + 1] as usize].to_vec();
        for (i, text) in texts.iter().enumerate() {
            let (source, target) =
                (part(&pairs.ids, &pairs.starts, i), part(&pairs.target_ids, &pairs.target_starts, i));
            assert_eq!((source.last(), target.last()), (Some(&1), Some(&1)));
            let mut spans: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let mut sentinel = 0;
            for &id in &target[..target.len() - 1] {
                if id >= 1_000 {
                    assert!(sentinel == 0 || id + 1 == sentinel, "{target:?}");
                    sentinel = id;
                    spans.insert(sentinel, Vec::new());
                } else {
                    spans.get_mut(&sentinel).unwrap().push(id);
                }
            }
            assert!(spans.values().all(|span| !span.is_empty()));
            n_spans += spans.len();
            n_dropped += spans.values().map(Vec::len).sum::<usize>();
            let told: Vec<u32> = source[..source.len() - 1]
                .iter()
                .flat_map(|id| spans.get(id).cloned().unwrap_or_else(|| vec![*id]))
                .collect();
            assert_eq!(&told, text);
        }
        let n: usize = texts.iter().map(Vec::len).sum();
        assert!((n_dropped as f64 / n as f64 - 0.15).abs() < 0.005);
        assert!((n_dropped as f64 / n_spans as f64 - 3.0).abs() < 0.1);
        assert_eq!(pairs.types.len(), pairs.ids.len());
    }

    /// Six tokens fall into three parts in ten ways.
    #[test]
    fn all_ways_to_cut_are_equally_likely() {
        let mut stream = Stream::new(0, "test");
        let mut counts: BTreeMap<Vec<usize>, u32> = BTreeMap::new();
        for _ in 0..20_000 {
            *counts.entry(composition(6, 3, &mut stream)).or_default() += 1;
        }
        assert_eq!(counts.len(), 10);
        // Five standard deviations of a count of 2000 are 212.
        assert!(counts.values().all(|count| count.abs_diff(2_000) < 212), "{counts:?}");
        assert_eq!((composition(0, 1, &mut stream), composition(4, 4, &mut stream)), (vec![0], vec![1; 4]));
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Corruption::T5.check().is_ok());
        for (rate, mean_length) in [(0.0, 3.0), (1.0, 3.0), (f64::NAN, 3.0), (0.15, 0.5), (0.15, f64::NAN)] {
            assert!(Corruption { rate, mean_length }.check().is_err());
        }
    }
}
