//! Segments of a text with tokens to predict.

use std::sync::Arc;

use random::Stream;

use super::Text;
use crate::corruption::Sentinels;
use crate::encode::{id_end, parse};
use crate::masking::{MaskIds, Sequences};
use crate::{Batch, Corruption, Error, MaskedBatch, Masking, SequencePairs};

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// Hidden tokens of `[CLS] ... [SEP]`.
    Masked(Masking),
    /// The next token of a text, behind one that begins it where the tokenizer has such a token.
    Causal,
    /// Dropped spans of a text, from what is left of it.
    Spans(Corruption),
}

/// Segments of a text with tokens to predict, drawn with replacement.
#[derive(Clone, Debug)]
pub struct Source {
    train: Arc<Text>,
    held_out: Arc<Text>,
    /// Tokens of a segment that are text.
    room: usize,
    first: Option<u32>,
    last: Option<u32>,
    goal: Goal,
}

/// How a batch is made.
#[derive(Clone, Debug)]
enum Goal {
    Masked(Masking, MaskIds),
    Causal,
    Spans(Corruption, Sentinels),
}

impl Source {
    /// Segments of at most `length` tokens, special ones included, from texts that this tokenizer made. Where spans are
    /// dropped, what is left of a segment has at most so many.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `length` leaves no room for text, the masking is out of range or a text is empty;
    /// [`Error::Tokenizer`] if the tokenizer lacks a token that masking needs (`[CLS]`, `[SEP]` and `[MASK]`, or RoBERTa's
    /// `<s>`, `</s>` and `<mask>`) or dropping spans does (`</s>` or `[SEP]`, and `<extra_id_0>` and its successors), or did
    /// not make the texts.
    pub fn new(
        train: Text,
        held_out: Text,
        tokenizer_json: &[u8],
        length: usize,
        objective: Objective,
    ) -> Result<Self, Error> {
        if length < 3 {
            return Err(Error::Parameter {
                name: "length",
                value: length.to_string(),
                expected: "at least 3",
            });
        }
        let tokenizer = parse(tokenizer_json)?;
        let end = id_end(&tokenizer)?;
        let id = |name: &str, other: &str| {
            let missing = || Error::Tokenizer { reason: format!("it has neither `{name}` nor `{other}`") };
            tokenizer.token_to_id(name).or_else(|| tokenizer.token_to_id(other)).ok_or_else(missing)
        };
        let mut room = length;
        let (goal, first, last) = match objective {
            Objective::Masked(masking) => {
                masking.check()?;
                let (cls, sep, mask) = (id("[CLS]", "<s>")?, id("[SEP]", "</s>")?, id("[MASK]", "<mask>")?);
                let added = tokenizer.get_added_tokens_decoder().into_iter();
                let mut special: Vec<u32> =
                    added.filter(|(_, token)| token.special).map(|(id, _)| id).collect();
                special.extend([cls, sep, mask]);
                special.sort_unstable();
                special.dedup();
                (Goal::Masked(masking, MaskIds { mask, special, end }), Some(cls), Some(sep))
            }
            Objective::Causal => {
                // BERT's vocabularies, Llama's, those of GPT-2 and Pythia, Llama 3's.
                let begins = ["[CLS]", "<s>", "<|endoftext|>", "<|begin_of_text|>"];
                (Goal::Causal, begins.iter().find_map(|name| tokenizer.token_to_id(name)), None)
            }
            Objective::Spans(corruption) => {
                corruption.check()?;
                let sentinels = Sentinels {
                    ids: (0..).map_while(|k| tokenizer.token_to_id(&format!("<extra_id_{k}>"))).collect(),
                    end: id("</s>", "[SEP]")?,
                };
                room = sentinels.room(&corruption, length)?;
                (Goal::Spans(corruption, sentinels), None, None)
            }
        };
        room -= usize::from(first.is_some()) + usize::from(last.is_some());
        for (name, text) in [("train", &train), ("held_out", &held_out)] {
            Error::check_positive(name, text.tokens.len())?;
            if let Some(token) = text.tokens.iter().find(|&&token| token >= end) {
                let reason = format!("text `{name}` has token {token}, but the vocabulary ends at {end}");
                return Err(Error::Tokenizer { reason });
            }
        }
        Ok(Self { train: train.into(), held_out: held_out.into(), room, first, last, goal })
    }

    /// The batch of `size` segments of this step: each starts at a token drawn uniformly, or earlier where its
    /// document would end too soon, and never crosses a document's end.
    #[must_use]
    pub fn batch(&self, seed: u64, step: u64, size: usize) -> Batch {
        let mut stream = Stream::at(seed, "corpus/pretraining", step);
        let segments: Vec<&[u32]> = (0..size)
            .map(|_| {
                let at = stream.below(self.train.tokens.len());
                let document = self.train.document(at);
                let start = at.min(document.end.saturating_sub(self.room)).max(document.start);
                &self.train.tokens[start..document.end.min(start + self.room)]
            })
            .collect();
        self.predict(segments.into_iter(), &mut stream)
    }

    /// All of the held-out text, in consecutive segments, with the same tokens to predict every time.
    #[must_use]
    pub fn held_out(&self) -> Batch {
        let segments = self.held_out.documents().flat_map(|document| document.chunks(self.room));
        self.predict(segments, &mut Stream::new(0, "corpus/held-out"))
    }

    /// Makes segments what the objective predicts.
    fn predict<'a>(&self, segments: impl Iterator<Item = &'a [u32]>, stream: &mut Stream) -> Batch {
        if let Goal::Spans(corruption, sentinels) = &self.goal {
            let mut pairs = SequencePairs::new();
            segments.for_each(|segment| pairs.push(segment, corruption, sentinels, stream));
            return Batch::Sequences(pairs);
        }
        let mut sequences = Sequences::new();
        for segment in segments {
            sequences.push(self.first.into_iter().chain(segment.iter().copied()).chain(self.last));
        }
        Batch::Masked(match &self.goal {
            Goal::Masked(masking, ids) => MaskedBatch::new(&sequences, masking, ids, stream),
            _ => MaskedBatch::causal(&sequences),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{tokenize, train_tokenizer, train_tokenizer_with_sentinels};
    use super::*;
    use crate::golden;

    fn source(length: usize) -> (Source, Text) {
        let texts =
            ["the cat sat on the mat and the dog sat on the cat. ".repeat(40), "a dog\n\na cat".into()];
        let json = train_tokenizer(&texts, 60).unwrap();
        let text = tokenize(json.as_bytes(), &texts).unwrap();
        (
            Source::new(
                text.clone(),
                text.clone(),
                json.as_bytes(),
                length,
                Objective::Masked(Masking::BERT),
            )
            .unwrap(),
            text,
        )
    }

    fn masked(batch: Batch) -> MaskedBatch {
        let Batch::Masked(batch) = batch else { panic!("{batch:?}") };
        batch
    }

    /// A batch with its masks lifted.
    fn plain(batch: &MaskedBatch) -> Vec<Vec<u32>> {
        let mut ids = batch.ids.clone();
        for (&row, &label) in batch.rows.iter().zip(&batch.labels) {
            ids[row as usize] = label;
        }
        batch.starts.windows(2).map(|ends| ids[ends[0] as usize..ends[1] as usize].to_vec()).collect()
    }

    #[test]
    fn segments_are_text_within_a_document() {
        let (source, text) = source(16);
        let batch = masked(source.batch(0, 3, 64));
        assert_eq!(batch, masked(source.batch(0, 3, 64)));
        assert_ne!(batch, masked(source.batch(0, 4, 64)));
        assert_eq!(batch.starts.len(), 65);
        let documents: Vec<&[u32]> = text.documents().collect();
        for sequence in plain(&batch) {
            let (inner, (first, last)) =
                (&sequence[1..sequence.len() - 1], (sequence[0], sequence[sequence.len() - 1]));
            assert_eq!((first, last), (2, 3));
            let home =
                documents.iter().find(|document| document.windows(inner.len()).any(|window| window == inner));
            assert!(inner.len() == 14 || home.is_some_and(|home| home.len() == inner.len()), "{inner:?}");
        }
    }

    #[test]
    fn held_out_is_all_of_it_once() {
        let (source, text) = source(16);
        let sequences = plain(&masked(source.held_out()));
        let inner: Vec<u32> =
            sequences.iter().flat_map(|sequence| sequence[1..sequence.len() - 1].to_vec()).collect();
        assert_eq!(inner, text.tokens);
    }

    #[test]
    fn next_tokens_follow_one_that_begins_a_text() {
        let (_, text) = source(16);
        let texts =
            ["the cat sat on the mat and the dog sat on the cat. ".repeat(40), "a dog\n\na cat".into()];
        let json = train_tokenizer(&texts, 60).unwrap();
        let source = Source::new(text.clone(), text.clone(), json.as_bytes(), 16, Objective::Causal).unwrap();
        let batch = masked(source.held_out());
        assert_eq!(batch, masked(source.held_out()));
        let mut told = Vec::new();
        for span in batch.starts.windows(2) {
            let sequence = &batch.ids[span[0] as usize..span[1] as usize];
            assert!(sequence[0] == 2 && sequence.len() <= 16, "{sequence:?}");
            told.extend_from_slice(&sequence[1..]);
        }
        assert_eq!(told, text.tokens);
        assert_eq!(batch.labels, text.tokens, "each token of the text is predicted once");
        for (&row, &label) in batch.rows.iter().zip(&batch.labels) {
            assert_eq!(batch.ids[row as usize + 1], label);
        }
    }

    /// Every token of the text is told once, in what is left of a segment or behind a sentinel.
    #[test]
    fn spans_are_dropped_from_the_whole_text() {
        let texts =
            ["the cat sat on the mat and the dog sat on the cat. ".repeat(40), "a dog\n\na cat".into()];
        let json = train_tokenizer_with_sentinels(&texts, 60, 3).unwrap();
        let text = tokenize(json.as_bytes(), &texts).unwrap();
        let spans = Objective::Spans(Corruption::T5);
        let new = |length| Source::new(text.clone(), text.clone(), json.as_bytes(), length, spans);
        let source = new(40).unwrap();
        let pairs = |batch: Batch| {
            let Batch::Sequences(pairs) = batch else { panic!("{batch:?}") };
            pairs
        };
        let held_out = pairs(source.held_out());
        assert_eq!(held_out, pairs(source.held_out()));
        assert!(held_out.starts.windows(2).all(|span| span[1] - span[0] <= 40), "{:?}", held_out.starts);
        // Sentinels come from the top of the vocabulary, and `[SEP]` ends sequences.
        let top = crate::vocabulary_size(json.as_bytes()).unwrap() as u32 - 1;
        assert_eq!(crate::token_id(json.as_bytes(), &["<extra_id_0>"]).unwrap(), Some(top));
        let is_text = |id: &&u32| **id < top - 2 && **id != 3;
        let told = held_out.ids.iter().chain(&held_out.target_ids).filter(is_text).count();
        assert_eq!(told, text.tokens.len());
        let dropped = held_out.target_ids.iter().filter(is_text).count();
        assert!((dropped as f64 / told as f64 - 0.15).abs() < 0.02, "{dropped} of {told}");

        let batch = pairs(source.batch(0, 3, 16));
        assert_eq!(batch, pairs(source.batch(0, 3, 16)));
        assert_ne!(batch, pairs(source.batch(0, 4, 16)));
        assert_eq!((batch.starts.len(), batch.target_starts.len()), (17, 17));
        assert_eq!(golden::hash(format!("{batch:?}").as_bytes()), 15_547_612_656_954_429_406);

        // Of more tokens, more spans would be dropped than there are sentinels.
        let error = new(100).unwrap_err().to_string();
        assert!(error.contains("it has 3 sentinels") && error.contains("needs 5"), "{error}");
        let plain = train_tokenizer(&texts, 60).unwrap();
        assert!(Source::new(text.clone(), text.clone(), plain.as_bytes(), 40, spans).is_err());
    }

    /// If this changes, the corpus's `VERSION` must rise.
    #[test]
    fn golden_segments() {
        let (source, text) = source(16);
        let all = format!("{text:?} {:?} {:?}", masked(source.batch(0, 0, 8)), masked(source.held_out()));
        assert_eq!(golden::hash(all.as_bytes()), 6_771_879_214_825_974_247);
    }

    #[test]
    fn impossible_sources_are_refused() {
        let (_, text) = source(16);
        let json = train_tokenizer(&["the cat sat"], 40).unwrap();
        let new = |train: Text, length, masking| {
            Source::new(train, text.clone(), json.as_bytes(), length, Objective::Masked(masking))
        };
        assert!(matches!(new(text.clone(), 2, Masking::BERT), Err(Error::Parameter { name: "length", .. })));
        assert!(matches!(
            new(Text::default(), 16, Masking::BERT),
            Err(Error::Parameter { name: "train", .. })
        ));
        assert!(new(text.clone(), 16, Masking { rate: 0.0, ..Masking::BERT }).is_err());
        // A smaller vocabulary than the text's.
        assert!(matches!(new(text.clone(), 16, Masking::BERT), Err(Error::Tokenizer { .. })));
        let words = crate::roles::tokenizer_json();
        let masking = Objective::Masked(Masking::BERT);
        assert!(Source::new(text.clone(), text.clone(), words.as_bytes(), 16, masking).is_ok());
    }
}
