//! The `tokenizer.json` files that this crate makes.
//!
//! Written field by field and word by word in order of their ids: a generic JSON map would come out sorted or not,
//! depending on features that other crates switch on.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A tokenizer to be written.
pub(crate) struct TokenizerFile<'a, W> {
    /// All words, in order of their ids.
    pub(crate) vocabulary: &'a [W],
    /// Ids of the special tokens, ascending.
    pub(crate) special: Vec<usize>,
    /// How a word becomes tokens.
    pub(crate) kind: Kind,
}

/// How a text becomes tokens.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Split at spaces, a token each, `[CLS]` in front.
    Words,
    /// BERT's (Devlin et al. 2019): lower case or not, split at spaces and punctuation, then into the longest pieces
    /// that are known; `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
    WordPieces {
        /// Whether letters become small and lose their accents.
        lowercase: bool,
    },
}

impl<W: AsRef<str>> TokenizerFile<'_, W> {
    /// The file.
    pub(crate) fn to_json(&self) -> String {
        let special = |name: &'static str| {
            let id = self.vocabulary.iter().position(|word| word.as_ref() == name);
            (name, id.expect("templates name special tokens of the vocabulary"))
        };
        let (cls, sep) = ("[CLS]", "[SEP]");
        let (normalizer, pre_tokenizer, single, pair, names, decoder) = match self.kind {
            Kind::Words => (
                None,
                PreTokenizer::WhitespaceSplit,
                vec![Piece::special(cls, 0), Piece::text("A", 0)],
                vec![Piece::special(cls, 0), Piece::text("A", 0), Piece::text("B", 0)],
                vec![cls],
                None,
            ),
            Kind::WordPieces { lowercase } => {
                let single = vec![Piece::special(cls, 0), Piece::text("A", 0), Piece::special(sep, 0)];
                let mut pair = single.clone();
                pair.extend([Piece::text("B", 1), Piece::special(sep, 1)]);
                let normalizer = Normalizer::BertNormalizer {
                    clean_text: true,
                    handle_chinese_chars: true,
                    strip_accents: None,
                    lowercase,
                };
                let decoder = Decoder::WordPiece { prefix: "##", cleanup: true };
                (
                    Some(normalizer),
                    PreTokenizer::BertPreTokenizer,
                    single,
                    pair,
                    vec![cls, sep],
                    Some(decoder),
                )
            }
        };
        let vocab = Map(self.vocabulary.iter().map(AsRef::as_ref).zip(0_u32..).collect());
        let unk_token = "[UNK]";
        let model = match self.kind {
            Kind::Words => Model::WordLevel { vocab, unk_token },
            Kind::WordPieces { .. } => Model::WordPiece {
                unk_token,
                continuing_subword_prefix: "##",
                max_input_chars_per_word: 100,
                vocab,
            },
        };
        let file = File {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: (self.special.iter())
                .map(|&id| AddedToken {
                    id,
                    content: self.vocabulary[id].as_ref(),
                    single_word: false,
                    lstrip: false,
                    rstrip: false,
                    normalized: false,
                    special: true,
                })
                .collect(),
            normalizer,
            pre_tokenizer,
            post_processor: PostProcessor::TemplateProcessing {
                single,
                pair,
                special_tokens: Map(names
                    .into_iter()
                    .map(special)
                    .map(|(name, id)| (name, SpecialToken { id: name, ids: [id], tokens: [name] }))
                    .collect()),
            },
            decoder,
            model,
        };
        let mut json = serde_json::to_string_pretty(&file).expect("structs of text and numbers are JSON");
        json.push('\n');
        json
    }
}

#[derive(serde::Serialize)]
struct File<'a> {
    version: &'static str,
    truncation: Option<()>,
    padding: Option<()>,
    added_tokens: Vec<AddedToken<'a>>,
    normalizer: Option<Normalizer>,
    pre_tokenizer: PreTokenizer,
    post_processor: PostProcessor,
    decoder: Option<Decoder>,
    model: Model<'a>,
}

#[derive(serde::Serialize)]
struct AddedToken<'a> {
    id: usize,
    content: &'a str,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(serde::Serialize)]
#[serde(tag = "type")]
enum Normalizer {
    BertNormalizer {
        clean_text: bool,
        handle_chinese_chars: bool,
        strip_accents: Option<bool>,
        lowercase: bool,
    },
}

#[derive(serde::Serialize)]
#[serde(tag = "type")]
enum PreTokenizer {
    WhitespaceSplit,
    BertPreTokenizer,
}

#[derive(serde::Serialize)]
#[serde(tag = "type")]
enum PostProcessor {
    TemplateProcessing {
        single: Vec<Piece>,
        pair: Vec<Piece>,
        special_tokens: Map<&'static str, SpecialToken>,
    },
}

#[derive(Clone, serde::Serialize)]
enum Piece {
    SpecialToken { id: &'static str, type_id: u32 },
    Sequence { id: &'static str, type_id: u32 },
}

impl Piece {
    fn special(id: &'static str, type_id: u32) -> Self {
        Self::SpecialToken { id, type_id }
    }

    fn text(id: &'static str, type_id: u32) -> Self {
        Self::Sequence { id, type_id }
    }
}

#[derive(serde::Serialize)]
struct SpecialToken {
    id: &'static str,
    ids: [usize; 1],
    tokens: [&'static str; 1],
}

#[derive(serde::Serialize)]
#[serde(tag = "type")]
enum Decoder {
    WordPiece { prefix: &'static str, cleanup: bool },
}

#[derive(serde::Serialize)]
#[serde(tag = "type")]
enum Model<'a> {
    WordLevel {
        vocab: Map<&'a str, u32>,
        unk_token: &'static str,
    },
    WordPiece {
        unk_token: &'static str,
        continuing_subword_prefix: &'static str,
        max_input_chars_per_word: u32,
        vocab: Map<&'a str, u32>,
    },
}

/// A JSON object in the order given.
struct Map<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
