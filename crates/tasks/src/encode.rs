//! From examples to what models read.

use std::collections::HashMap;

use tables::guarded;
use tokenizers::{
    EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

use crate::{Content, Error, roles};

/// Changes whenever the same examples are encoded otherwise.
pub const ENCODING_VERSION: u32 = 2;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn encoding_versions() -> versions::Versions {
    versions::Versions::of("encoding", ENCODING_VERSION)
}

/// Encoded examples. Nothing is padded: sequences lie back to back.
#[derive(Clone, Debug, PartialEq)]
pub enum Encoded {
    /// Sequences of tokens.
    Tokens {
        /// Token ids of all sequences.
        ids: Vec<u32>,
        /// Segment (0 or 1) of each token.
        types: Vec<u32>,
        /// Where each sequence starts in `ids`, and at the end where the last one ends: one more than sequences.
        starts: Vec<u32>,
    },
    /// Rows of numbers, `[examples, width]`, row-major.
    Dense {
        /// The numbers.
        values: Vec<f32>,
        /// Numbers of one example.
        width: usize,
    },
}

impl Encoded {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens { starts, .. } => starts.len().saturating_sub(1),
            Self::Dense { values, width } => values.len() / width.max(&1),
        }
    }

    /// True if there is no example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch of these rows, in this order; a row may be there twice.
    ///
    /// # Panics
    /// If a row is not below [`Encoded::len`].
    #[must_use]
    pub fn gather(&self, rows: &[u32]) -> Self {
        match self {
            Self::Tokens { ids, types, starts } => {
                let range = |row: u32| starts[row as usize] as usize..starts[row as usize + 1] as usize;
                let tokens = rows.iter().map(|&row| range(row).len()).sum();
                let (mut some_ids, mut some_types) = (Vec::with_capacity(tokens), Vec::with_capacity(tokens));
                let mut some_starts = Vec::with_capacity(rows.len() + 1);
                some_starts.push(0);
                for &row in rows {
                    some_ids.extend_from_slice(&ids[range(row)]);
                    some_types.extend_from_slice(&types[range(row)]);
                    some_starts.push(some_ids.len() as u32);
                }
                Self::Tokens { ids: some_ids, types: some_types, starts: some_starts }
            }
            Self::Dense { values, width } => {
                let rows = rows.iter().flat_map(|&row| &values[row as usize * width..][..*width]);
                Self::Dense { values: rows.copied().collect(), width: *width }
            }
        }
    }
}

/// Turns examples into what a model reads.
#[derive(Clone, Debug)]
pub enum Encoder {
    /// Rows of numbers, as they are.
    Dense,
    /// Texts, by a tokenizer.
    Text(Box<TextEncoder>),
}

/// A tokenizer that came from a `tokenizer.json`.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    tokenizer: Tokenizer,
    /// Which side of a text that is too long is cut.
    direction: TruncationDirection,
    /// Tokens that the model knows; all, if nothing is said.
    known: Option<usize>,
    /// The embedded language's words, if this is its tokenizer.
    words: Option<HashMap<&'static str, u32>>,
}

impl Encoder {
    /// The encoder of a `tokenizer.json`.
    ///
    /// Of the file's own padding and truncation only the side that is cut is used: the model says how long an input may
    /// be. Merges are never dropped at random.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the bytes are no tokenizer.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self, Error> {
        let mut tokenizer = parse(bytes)?;
        tokenizer.with_padding(None);
        let truncation = tokenizer.get_truncation();
        let direction = truncation.map_or(TruncationDirection::Right, |truncation| truncation.direction);
        let words = (bytes == roles::tokenizer_json().as_bytes())
            .then(|| roles::VOCABULARY.into_iter().zip(0..).collect());
        Ok(Self::Text(Box::new(TextEncoder { tokenizer, direction, known: None, words })))
    }

    /// The same encoder for a model that knows so many tokens: texts with others are refused.
    #[must_use]
    pub fn for_vocabulary(mut self, size: usize) -> Self {
        if let Self::Text(encoder) = &mut self {
            encoder.known = Some(size);
        }
        self
    }

    /// Encodes examples, at most `max_length` tokens each: of a pair, the longer text is cut first. Rows of numbers
    /// are taken as they are.
    ///
    /// # Errors
    /// [`Error::Content`] for content of another kind, [`Error::Encode`] naming an example that the tokenizer
    /// refuses or leaves empty, [`Error::Parameter`] if special tokens alone fill `max_length`.
    pub fn encode(&self, content: &Content, max_length: usize) -> Result<Encoded, Error> {
        match (self, content) {
            (Self::Dense, Content::Dense { values, width }) => {
                Ok(Encoded::Dense { values: values.clone(), width: *width })
            }
            (Self::Text(encoder), Content::Text { first, second }) => {
                encoder.encode(first, second.as_deref(), max_length, encoder.direction)
            }
            (Self::Dense, other) => Err(Error::Content { expected: "rows of numbers", found: other.kind() }),
            (Self::Text(_), other) => Err(Error::Content { expected: "texts", found: other.kind() }),
        }
    }
}

impl Encoder {
    /// Encodes the two texts of each pair apart, one after the other: sequences `2 i` and `2 i + 1` are of example `i`. Of
    /// a text that is too long the beginning is cut: what is preferred is how a conversation ends.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; [`Error::Content`] for content without pairs.
    pub fn encode_apart(&self, content: &Content, max_length: usize) -> Result<Encoded, Error> {
        match (self, content) {
            (Self::Text(encoder), Content::Text { first, second: Some(second) }) => {
                let texts: Vec<String> = first
                    .iter()
                    .zip(second)
                    .flat_map(|(first, second)| [first.clone(), second.clone()])
                    .collect();
                let encoded = encoder.encode(&texts, None, max_length, TruncationDirection::Left);
                encoded.map_err(|error| match error {
                    Error::Encode { index, text, reason } => Error::Encode { index: index / 2, text, reason },
                    other => other,
                })
            }
            (_, other) => Err(Error::Content { expected: "pairs of texts", found: other.kind() }),
        }
    }
}

impl TextEncoder {
    fn encode(
        &self,
        first: &[String],
        second: Option<&[String]>,
        max_length: usize,
        direction: TruncationDirection,
    ) -> Result<Encoded, Error> {
        let mut tokenizer = self.tokenizer.clone();
        let too_short = || Error::Parameter {
            name: "max_length",
            value: max_length.to_string(),
            expected: "longer than the tokenizer's special tokens",
        };
        // The tokenizer subtracts without looking.
        let n_special = tokenizer.get_post_processor().map_or(0, |post| post.added_tokens(second.is_some()));
        if max_length <= n_special {
            return Err(too_short());
        }
        let truncation =
            TruncationParams { max_length, strategy: TruncationStrategy::LongestFirst, direction, stride: 0 };
        tokenizer.with_truncation(Some(truncation)).map_err(|_refused| too_short())?;
        let (mut ids, mut types, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for (index, text) in first.iter().enumerate() {
            let refused =
                |reason: String| Error::Encode { index, text: text.chars().take(60).collect(), reason };
            let start = ids.len();
            if second.is_none() && self.look_up(text, max_length, &mut ids) {
                self.check_known(&ids[start..]).map_err(refused)?;
                types.resize(ids.len(), 0);
                starts.push(ids.len() as u32);
                continue;
            }
            let pair = second.map(|second| second[index].as_str());
            let encoding = encode_one(&tokenizer, text, pair).map_err(refused)?;
            if encoding.is_empty() {
                let reason = "it has no token: the tokenizer adds none to an empty text";
                return Err(refused(reason.into()));
            }
            self.check_known(encoding.get_ids()).map_err(refused)?;
            ids.extend_from_slice(encoding.get_ids());
            types.extend_from_slice(encoding.get_type_ids());
            starts.push(ids.len() as u32);
        }
        Ok(Encoded::Tokens { ids, types, starts })
    }

    /// Checks that the model knows these tokens.
    fn check_known(&self, ids: &[u32]) -> Result<(), String> {
        check_known(&self.tokenizer, ids, self.known.unwrap_or(usize::MAX))
    }

    /// Encodes a text of the embedded language without the tokenizer, thirty times faster. False, with `ids` as they
    /// were, for any other text: one with an unknown word, or too long.
    fn look_up(&self, text: &str, max_length: usize, ids: &mut Vec<u32>) -> bool {
        let Some(words) = &self.words else { return false };
        let start = ids.len();
        ids.push(roles::CLS);
        for word in text.split_whitespace() {
            match words.get(word) {
                Some(&id) if ids.len() - start < max_length => ids.push(id),
                _ => {
                    ids.truncate(start);
                    return false;
                }
            }
        }
        true
    }
}

fn encode_one(tokenizer: &Tokenizer, first: &str, second: Option<&str>) -> Result<Encoding, String> {
    let input = match second {
        Some(second) => EncodeInput::Dual(first.into(), second.into()),
        None => EncodeInput::Single(first.into()),
    };
    guarded(|| tokenizer.encode_fast(input, true))?.map_err(|error| error.to_string())
}

/// Checks that a model of `known` tokens knows these.
fn check_known(tokenizer: &Tokenizer, ids: &[u32], known: usize) -> Result<(), String> {
    let Some(&id) = ids.iter().find(|&&id| id as usize >= known) else { return Ok(()) };
    let token = tokenizer.id_to_token(id).unwrap_or_default();
    Err(format!(
        "its token `{}` has the id {id}, but the model knows {known} tokens and the tokenizer {}",
        token.escape_debug(),
        tokenizer.get_vocab_size(true)
    ))
}

/// Checks that a model of `known` tokens knows those of a text.
///
/// # Errors
/// [`Error::Tokenizer`] naming the first that it does not know.
pub fn check_vocabulary(tokenizer_json: &[u8], ids: &[u32], known: usize) -> Result<(), Error> {
    check_known(&parse(tokenizer_json)?, ids, known)
        .map_err(|reason| Error::Tokenizer { reason: format!("the text cannot be encoded: {reason}") })
}

/// The number of token ids that a `tokenizer.json` can yield: one more than the largest.
///
/// # Errors
/// [`Error::Tokenizer`] if the bytes are no tokenizer, or its vocabulary is empty or implausibly large.
pub fn vocabulary_size(tokenizer_json: &[u8]) -> Result<usize, Error> {
    id_end(&parse(tokenizer_json)?).map(|end| end as usize)
}

/// One more than the largest id of a tokenizer.
pub(crate) fn id_end(tokenizer: &Tokenizer) -> Result<u32, Error> {
    // A model has a row for each id, so that one wild id would cost gigabytes.
    const LARGEST: u32 = 1 << 24;
    match tokenizer.get_vocab(true).into_values().max() {
        None => Err(Error::Tokenizer { reason: "its vocabulary is empty".into() }),
        Some(id) if id > LARGEST => {
            Err(Error::Tokenizer { reason: format!("it has token id {id}, above {LARGEST}") })
        }
        Some(id) => Ok(id + 1),
    }
}

/// The tokenizer's parser panics on much that is not a tokenizer, truncated JSON among it: the bytes must be JSON
/// first, and a panic is an error then.
pub(crate) fn parse(bytes: &[u8]) -> Result<Tokenizer, Error> {
    let refused = |reason: String| Error::Tokenizer { reason };
    let mut json: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| refused(format!("no JSON: {error}")))?;
    let Some(model) = json.get_mut("model").and_then(serde_json::Value::as_object_mut) else {
        return Err(refused("it has no `model`".into()));
    };
    // Training with dropped merges is a matter of the past; evaluation is not to depend on chance.
    let drops =
        model.insert("dropout".into(), serde_json::Value::Null).is_some_and(|dropout| !dropout.is_null());
    let parsed = guarded(|| match drops {
        true => Tokenizer::from_bytes(json.to_string()),
        false => Tokenizer::from_bytes(bytes),
    });
    parsed.map_err(refused)?.map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
