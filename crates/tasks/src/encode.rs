//! From examples to what models read.

use tables::guarded;
use tokenizers::{EncodeInput, Encoding, Tokenizer, TruncationParams, TruncationStrategy};

use crate::{Content, Error};

/// Changes whenever the same examples are encoded otherwise.
pub const ENCODING_VERSION: u32 = 1;

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
}

impl Encoder {
    /// The encoder of a `tokenizer.json`.
    ///
    /// The file's own padding and truncation are not used: the model says how long an input may be.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the bytes are no tokenizer.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self, Error> {
        let mut tokenizer = parse(bytes)?;
        tokenizer.with_padding(None);
        Ok(Self::Text(Box::new(TextEncoder { tokenizer })))
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
                encoder.encode(first, second.as_deref(), max_length)
            }
            (Self::Dense, other) => Err(Error::Content { expected: "rows of numbers", found: other.kind() }),
            (Self::Text(_), other) => Err(Error::Content { expected: "texts", found: other.kind() }),
        }
    }
}

impl TextEncoder {
    fn encode(&self, first: &[String], second: Option<&[String]>, max_length: usize) -> Result<Encoded, Error> {
        let mut tokenizer = self.tokenizer.clone();
        let truncation =
            TruncationParams { max_length, strategy: TruncationStrategy::LongestFirst, ..Default::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|_too_short| Error::Parameter {
            name: "max_length",
            value: max_length.to_string(),
            expected: "longer than the tokenizer's special tokens",
        })?;
        let (mut ids, mut types, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for (index, text) in first.iter().enumerate() {
            let pair = second.map(|second| second[index].as_str());
            let refused = |reason: String| Error::Encode { index, text: text.chars().take(60).collect(), reason };
            let encoding = encode_one(&tokenizer, text, pair).map_err(refused)?;
            if encoding.is_empty() {
                return Err(refused("it has no token".into()));
            }
            ids.extend_from_slice(encoding.get_ids());
            types.extend_from_slice(encoding.get_type_ids());
            starts.push(ids.len() as u32);
        }
        Ok(Encoded::Tokens { ids, types, starts })
    }
}

fn encode_one(tokenizer: &Tokenizer, first: &str, second: Option<&str>) -> Result<Encoding, String> {
    let input = match second {
        Some(second) => EncodeInput::Dual(first.into(), second.into()),
        None => EncodeInput::Single(first.into()),
    };
    guarded(|| tokenizer.encode_fast(input, true))?.map_err(|error| error.to_string())
}

/// The number of token ids that a `tokenizer.json` can yield: one more than the largest.
///
/// # Errors
/// [`Error::Tokenizer`] if the bytes are no tokenizer, or its vocabulary is empty.
pub fn vocabulary_size(tokenizer_json: &[u8]) -> Result<usize, Error> {
    let largest = parse(tokenizer_json)?.get_vocab(true).into_values().max();
    largest.map(|id| id as usize + 1).ok_or_else(|| Error::Tokenizer { reason: "its vocabulary is empty".into() })
}

/// The tokenizer's parser panics on much that is not a tokenizer, truncated JSON among it: the bytes must be JSON
/// first, and a panic is an error then.
pub(crate) fn parse(bytes: &[u8]) -> Result<Tokenizer, Error> {
    let refused = |reason: String| Error::Tokenizer { reason };
    let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| refused(format!("no JSON: {error}")))?;
    if !json.get("model").is_some_and(serde_json::Value::is_object) {
        return Err(refused("it has no `model`".into()));
    }
    guarded(|| Tokenizer::from_bytes(bytes))
        .map_err(refused)?
        .map_err(|error| refused(error.to_string()))
}
