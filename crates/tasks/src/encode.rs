//! From examples to what models read.

use std::collections::HashMap;

use tables::guarded;
use tokenizers::{
    EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

use crate::{Content, Error, roles};

/// Changes whenever the same examples are encoded otherwise.
pub const ENCODING_VERSION: u32 = 1;

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
    /// The embedded language's words, if this is its tokenizer.
    words: Option<HashMap<&'static str, u32>>,
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
        let words = (bytes == roles::tokenizer_json().as_bytes())
            .then(|| roles::VOCABULARY.into_iter().zip(0..).collect());
        Ok(Self::Text(Box::new(TextEncoder { tokenizer, words })))
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
                encoder.encode(first, second.as_deref(), max_length, TruncationDirection::Right)
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
                encoder.encode(&texts, None, max_length, TruncationDirection::Left)
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
            if second.is_none() && self.look_up(text, max_length, &mut ids) {
                types.resize(ids.len(), 0);
                starts.push(ids.len() as u32);
                continue;
            }
            let pair = second.map(|second| second[index].as_str());
            let refused =
                |reason: String| Error::Encode { index, text: text.chars().take(60).collect(), reason };
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
    let json: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| refused(format!("no JSON: {error}")))?;
    if !json.get("model").is_some_and(serde_json::Value::is_object) {
        return Err(refused("it has no `model`".into()));
    }
    guarded(|| Tokenizer::from_bytes(bytes)).map_err(refused)?.map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::train_tokenizer;
    use crate::golden;

    fn pieces() -> Encoder {
        let json =
            train_tokenizer(&["the cat sat on the mat. a dog and the cats", "the the cat cat"], 60).unwrap();
        Encoder::from_tokenizer_json(json.as_bytes()).unwrap()
    }

    fn content(first: &[&str], second: Option<&[&str]>) -> Content {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Content::Text { first: owned(first), second: second.map(owned) }
    }

    fn tokens(encoded: Encoded) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        match encoded {
            Encoded::Tokens { ids, types, starts } => (ids, types, starts),
            Encoded::Dense { .. } => panic!("dense"),
        }
    }

    #[test]
    fn pairs_have_two_segments() {
        let (ids, types, starts) =
            tokens(pieces().encode(&content(&["the", ""], Some(&["cat the", "the"])), 16).unwrap());
        let (cls, sep) = (2, 3);
        let (the, cat) = (ids[1], ids[3]);
        assert_eq!(ids, [cls, the, sep, cat, the, sep, cls, sep, the, sep]);
        assert_eq!(types, [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]);
        assert_eq!(starts, [0, 6, 10]);
    }

    #[test]
    fn the_longer_of_a_pair_is_cut() {
        let the = |n: usize| vec!["the"; n].join(" ");
        let len = |first: usize, second: usize, max: usize| {
            let (_, types, _) =
                tokens(pieces().encode(&content(&[&the(first)], Some(&[&the(second)])), max).unwrap());
            let second = types.iter().filter(|&&segment| segment == 1).count();
            (types.len() - second - 2, second - 1)
        };
        assert_eq!(len(3, 4, 10), (3, 4));
        assert_eq!(len(2, 40, 13), (2, 8));
        assert_eq!(len(40, 2, 13), (8, 2));
        assert_eq!(len(40, 40, 13), (5, 5));
        let (ids, ..) = tokens(pieces().encode(&content(&[&the(40)], None), 8).unwrap());
        assert_eq!((ids.len(), ids[0], ids[7]), (8, 2, 3));
    }

    #[test]
    fn a_batch_is_its_rows() {
        let encoded = pieces().encode(&content(&["the", "the cat", "a"], None), 16).unwrap();
        let (ids, _, starts) = tokens(encoded.gather(&[2, 1, 2]));
        let (all, _, all_starts) = tokens(encoded.clone());
        let row = |row: usize| &all[all_starts[row] as usize..all_starts[row + 1] as usize];
        assert_eq!(ids, [row(2), row(1), row(2)].concat());
        assert_eq!(starts, [0, 3, 7, 10]);
        assert_eq!(encoded.gather(&[0, 1, 2]), encoded);
        let dense = Encoded::Dense { values: vec![0.0, 1.0, 2.0, 3.0], width: 2 };
        assert_eq!(dense.gather(&[1, 1]), Encoded::Dense { values: vec![2.0, 3.0, 2.0, 3.0], width: 2 });
        assert_eq!((dense.len(), encoded.len()), (2, 3));
    }

    #[test]
    fn wrong_kinds_and_lengths_are_named() {
        let dense = Content::Dense { values: vec![0.5], width: 1 };
        let message = |result: Result<Encoded, Error>| result.unwrap_err().to_string();
        assert_eq!(
            message(pieces().encode(&dense, 8)),
            "the model reads texts, but the examples are rows of numbers"
        );
        assert_eq!(
            message(Encoder::Dense.encode(&content(&["a"], None), 8)),
            "the model reads rows of numbers, but the examples are texts"
        );
        assert!(message(pieces().encode(&content(&["a"], None), 2)).contains("`max_length` is 2"));
        assert!(message(pieces().encode(&content(&["a"], Some(&["a"])), 3)).contains("`max_length` is 3"));
        assert!(Encoder::Dense.encode(&dense, 8).is_ok());
    }

    #[test]
    fn looking_words_up_changes_nothing() {
        let json = roles::tokenizer_json();
        let quick = Encoder::from_tokenizer_json(json.as_bytes()).unwrap();
        // Another byte, the same tokenizer.
        let slow = Encoder::from_tokenizer_json(format!("{json} ").as_bytes()).unwrap();
        let mut stream = random::Stream::new(0, "test");
        for _ in 0..2_000 {
            let gaps = [" ", "  ", "\t", "\u{a0}\n", ""];
            let text: String = (0..stream.below(12))
                .map(|_| format!("{}{}", stream.choose(&gaps), stream.choose(&roles::VOCABULARY)))
                .collect();
            let encode = |encoder: &Encoder| {
                encoder.encode(&content(&[&text], None), 10).map_err(|error| error.to_string())
            };
            assert_eq!(encode(&quick), encode(&slow), "{text:?}");
        }
    }

    #[test]
    fn wild_ids_are_refused() {
        let json = roles::tokenizer_json().replace("\"zuzan\": 52", "\"zuzan\": 4000000000");
        assert!(vocabulary_size(json.as_bytes()).unwrap_err().to_string().contains("4000000000"));
    }

    /// If this changes, `ENCODING_VERSION` must rise.
    #[test]
    fn golden_encoding() {
        let texts =
            content(&["the cat sat", "a dog's hat"], Some(&["on the mat", "the the the the the the the"]));
        let (ids, types, starts) = tokens(pieces().encode(&texts, 12).unwrap());
        assert_eq!(
            golden::hash(format!("{ids:?} {types:?} {starts:?}").as_bytes()),
            5_471_894_052_550_797_086
        );
    }

    /// A tokenizer brings its own padding and truncation at times; they are not ours.
    #[test]
    fn the_files_own_padding_is_not_used() {
        let json = roles::tokenizer_json();
        let padding = r#"{"strategy":{"Fixed":32},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"}"#;
        let truncation = r#"{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}"#;
        let json = json.replace("\"padding\": null", &format!("\"padding\": {padding}"));
        let json = json.replace("\"truncation\": null", &format!("\"truncation\": {truncation}"));
        let encoder = Encoder::from_tokenizer_json(json.as_bytes()).unwrap();
        let (ids, ..) = tokens(encoder.encode(&content(&["M0 kalo garit malo"], None), 16).unwrap());
        assert_eq!(ids, [1, 13, 17, 41, 23]);
    }

    #[test]
    fn damaged_tokenizers_are_errors() {
        let whole = train_tokenizer(&["the cat sat on the mat"], 40).unwrap().into_bytes();
        let mut stream = random::Stream::new(0, "damage");
        let mut refused = 0;
        for _ in 0..4_000 {
            let mut bytes = whole.clone();
            for _ in 0..=stream.below(3) {
                let at = stream.below(bytes.len());
                match stream.below(3) {
                    0 => bytes[at] ^= 1 << stream.below(7),
                    1 => bytes[at] = *stream.choose(b"0{}[]\",:nul9- "),
                    _ => drop(bytes.splice(at..bytes.len().min(at + 1 + stream.below(30)), [])),
                }
            }
            // What is accepted must also encode, or say why not.
            match Encoder::from_tokenizer_json(&bytes) {
                Ok(encoder) => drop(encoder.encode(&content(&["the cat sat zebra"], Some(&["[CLS] ##"])), 8)),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 1_000, "{refused}");
        for len in (0..whole.len()).step_by(7) {
            assert!(Encoder::from_tokenizer_json(&whole[..len]).is_err());
        }
        assert!(Encoder::from_tokenizer_json(b"{}").is_err());
    }
}
