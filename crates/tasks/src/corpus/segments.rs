//! Masked segments of a text.

use std::sync::Arc;

use random::Stream;

use super::Text;
use crate::encode::{id_end, parse};
use crate::masking::{MaskIds, Sequences};
use crate::{Error, MaskedBatch, Masking};

/// Segments of a text for masked-token prediction, `[CLS] ... [SEP]`, drawn with replacement.
#[derive(Clone, Debug)]
pub struct Source {
    train: Arc<Text>,
    held_out: Arc<Text>,
    length: usize,
    masking: Masking,
    cls: u32,
    sep: u32,
    ids: MaskIds,
}

impl Source {
    /// Segments of at most `length` tokens, with `[CLS]` and `[SEP]`, from texts that this tokenizer made.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `length` leaves no room for text, `masking` is out of range or a text is empty;
    /// [`Error::Tokenizer`] if the tokenizer lacks one of `[CLS]`, `[SEP]` and `[MASK]` (RoBERTa's `<s>`, `</s>`,
    /// `<mask>`), or did not make the texts.
    pub fn new(
        train: Text,
        held_out: Text,
        tokenizer_json: &[u8],
        length: usize,
        masking: Masking,
    ) -> Result<Self, Error> {
        masking.check()?;
        if length < 3 {
            return Err(Error::Parameter {
                name: "length",
                value: length.to_string(),
                expected: "at least 3",
            });
        }
        let tokenizer = parse(tokenizer_json)?;
        // BERT's names, or RoBERTa's.
        let id = |name: &str, other: &str| {
            let missing = || Error::Tokenizer { reason: format!("it has neither `{name}` nor `{other}`") };
            tokenizer.token_to_id(name).or_else(|| tokenizer.token_to_id(other)).ok_or_else(missing)
        };
        let (cls, sep, mask) = (id("[CLS]", "<s>")?, id("[SEP]", "</s>")?, id("[MASK]", "<mask>")?);
        let end = id_end(&tokenizer)?;
        let added = tokenizer.get_added_tokens_decoder().into_iter();
        let mut special: Vec<u32> = added.filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        special.extend([cls, sep, mask]);
        special.sort_unstable();
        special.dedup();
        for (name, text) in [("train", &train), ("held_out", &held_out)] {
            Error::check_positive(name, text.tokens.len())?;
            if let Some(token) = text.tokens.iter().find(|&&token| token >= end) {
                let reason = format!("text `{name}` has token {token}, but the vocabulary ends at {end}");
                return Err(Error::Tokenizer { reason });
            }
        }
        let ids = MaskIds { mask, special, end };
        Ok(Self { train: train.into(), held_out: held_out.into(), length, masking, cls, sep, ids })
    }

    /// The batch of `size` segments of this step: each starts at a token drawn uniformly, or earlier where its
    /// document would end too soon, and never crosses a document's end.
    #[must_use]
    pub fn masked(&self, seed: u64, step: u64, size: usize) -> MaskedBatch {
        let mut stream = Stream::at(seed, "corpus/pretraining", step);
        let mut sequences = Sequences::new();
        for _ in 0..size {
            let at = stream.below(self.train.tokens.len());
            let document = self.train.document(at);
            let start = at.min(document.end.saturating_sub(self.length - 2)).max(document.start);
            let end = document.end.min(start + self.length - 2);
            self.push(&mut sequences, &self.train.tokens[start..end]);
        }
        MaskedBatch::new(&sequences, &self.masking, &self.ids, &mut stream)
    }

    /// All of the held-out text, in consecutive segments, under one fixed mask.
    #[must_use]
    pub fn held_out(&self) -> MaskedBatch {
        let mut sequences = Sequences::new();
        for segment in self.held_out.documents().flat_map(|document| document.chunks(self.length - 2)) {
            self.push(&mut sequences, segment);
        }
        MaskedBatch::new(&sequences, &self.masking, &self.ids, &mut Stream::new(0, "corpus/held-out"))
    }

    fn push(&self, sequences: &mut Sequences, segment: &[u32]) {
        sequences.push([self.cls].into_iter().chain(segment.iter().copied()).chain([self.sep]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{tokenize, train_tokenizer};
    use super::*;
    use crate::golden;

    fn source(length: usize) -> (Source, Text) {
        let texts =
            ["the cat sat on the mat and the dog sat on the cat. ".repeat(40), "a dog\n\na cat".into()];
        let json = train_tokenizer(&texts, 60).unwrap();
        let text = tokenize(json.as_bytes(), &texts).unwrap();
        (Source::new(text.clone(), text.clone(), json.as_bytes(), length, Masking::BERT).unwrap(), text)
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
        let batch = source.masked(0, 3, 64);
        assert_eq!(batch, source.masked(0, 3, 64));
        assert_ne!(batch, source.masked(0, 4, 64));
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
        let sequences = plain(&source.held_out());
        let inner: Vec<u32> =
            sequences.iter().flat_map(|sequence| sequence[1..sequence.len() - 1].to_vec()).collect();
        assert_eq!(inner, text.tokens);
    }

    /// If this changes, the corpus's `VERSION` must rise.
    #[test]
    fn golden_segments() {
        let (source, text) = source(16);
        let all = format!("{text:?} {:?} {:?}", source.masked(0, 0, 8), source.held_out());
        assert_eq!(golden::hash(all.as_bytes()), 6_771_879_214_825_974_247);
    }

    #[test]
    fn impossible_sources_are_refused() {
        let (_, text) = source(16);
        let json = train_tokenizer(&["the cat sat"], 40).unwrap();
        let new =
            |train: Text, length, masking| Source::new(train, text.clone(), json.as_bytes(), length, masking);
        assert!(matches!(new(text.clone(), 2, Masking::BERT), Err(Error::Parameter { name: "length", .. })));
        assert!(matches!(
            new(Text::default(), 16, Masking::BERT),
            Err(Error::Parameter { name: "train", .. })
        ));
        assert!(new(text.clone(), 16, Masking { rate: 0.0, ..Masking::BERT }).is_err());
        // A smaller vocabulary than the text's.
        assert!(matches!(new(text.clone(), 16, Masking::BERT), Err(Error::Tokenizer { .. })));
        let words = crate::roles::tokenizer_json();
        let masking = Masking::BERT;
        assert!(Source::new(text.clone(), text.clone(), words.as_bytes(), 16, masking).is_ok());
    }
}
