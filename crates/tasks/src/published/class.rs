//! The classes of transformers' tokenizers, and what each does whatever `tokenizer.json` says.

use serde_json::{Map, Value, json};

use super::added::AddedTokens;
use super::{Settings, refused, template};
use crate::Error;

/// How a class makes its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// BERT's: the longest pieces that are known of words between spaces and punctuation.
    WordPiece {
        /// Whether the model is told which of two texts a token is of.
        segments: bool,
    },
    /// GPT-2's: pairs of bytes.
    Gpt2,
    /// GPT-2's with `<s> a </s></s> b </s>` around it.
    Roberta,
    /// GPT-2's behind Unicode's form C.
    GptNeoX,
    /// SentencePiece's pairs of characters, with bytes for what is unknown.
    Llama,
    /// Whatever `tokenizer.json` says.
    Generic,
}

/// A class by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class<'a> {
    /// The name, where the files have one.
    pub(super) name: Option<&'a str>,
    pub(super) kind: Kind,
}

/// The class that a model type has where its files name none, or a general one.
fn of_model(model_type: &str) -> Option<&'static str> {
    Some(match model_type {
        "bert" | "distilbert" | "electra" | "mobilebert" | "convbert" => "BertTokenizer",
        "roberta" => "RobertaTokenizer",
        "gpt2" => "GPT2Tokenizer",
        "gpt_neox" => "GPTNeoXTokenizer",
        "t5" => "T5Tokenizer",
        "xlm-roberta" => "XLMRobertaTokenizer",
        "camembert" => "CamembertTokenizer",
        "olmo2" => "TokenizersBackend",
        _ => return None,
    })
}

impl<'a> Class<'a> {
    /// The class that `AutoTokenizer` takes.
    pub(super) fn of(settings: &'a Settings, config: &'a Map<String, Value>, whole: Option<&Value>) -> Self {
        let named = |fields: &'a Map<String, Value>| fields.get("tokenizer_class").and_then(Value::as_str);
        let stated = named(&settings.fields).or_else(|| named(config));
        let stated = stated.map(|name| name.strip_suffix("Fast").unwrap_or(name));
        let usual = config.get("model_type").and_then(Value::as_str).and_then(of_model);
        let name = match (stated, usual) {
            // What a general class reads is in `tokenizer.json`.
            (Some(_), Some("TokenizersBackend")) => "TokenizersBackend",
            (Some(stated), _) => stated,
            (None, usual) => usual.unwrap_or("TokenizersBackend"),
        };
        let kind = match name {
            "DistilBertTokenizer" => Kind::WordPiece { segments: false },
            "BertTokenizer" | "ElectraTokenizer" | "MobileBertTokenizer" | "ConvBertTokenizer" => {
                Kind::WordPiece { segments: true }
            }
            "GPT2Tokenizer" => Kind::Gpt2,
            "RobertaTokenizer" => Kind::Roberta,
            "GPTNeoXTokenizer" => Kind::GptNeoX,
            "LlamaTokenizer" => Kind::Llama,
            _ => Kind::Generic,
        };
        let fits = whole.is_none_or(|whole| kind.fits(whole));
        Self { name: stated.or(usual), kind: if fits { kind } else { Kind::Generic } }
    }

    /// The class's name for a message.
    pub(super) fn shown(&self) -> String {
        self.name.map_or("of no class that its files name".into(), |name| format!("a `{name}`"))
    }

    /// Whether the model is told which of two texts a token is of.
    pub(super) fn has_segments(&self, settings: &Settings) -> bool {
        match settings.fields.get("model_input_names").and_then(Value::as_array) {
            Some(names) => names.iter().any(|name| name == "token_type_ids"),
            None => self.kind == Kind::WordPiece { segments: true },
        }
    }

    /// Names of the special tokens that the class has, by their purpose, where the files do not say otherwise.
    pub(super) fn special_tokens(&self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            Kind::WordPiece { .. } => &[
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Kind::Roberta => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Kind::Gpt2 => {
                &[("bos_token", END_OF_TEXT), ("eos_token", END_OF_TEXT), ("unk_token", END_OF_TEXT)]
            }
            Kind::GptNeoX => &[
                ("bos_token", END_OF_TEXT),
                ("eos_token", END_OF_TEXT),
                ("unk_token", END_OF_TEXT),
                ("pad_token", "<|padding|>"),
            ],
            Kind::Llama => &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")],
            Kind::Generic => &[],
        }
    }

    /// Gives a tokenizer the normalizer, the splitting and the model's settings of its class.
    pub(super) fn shape(&self, tokenizer: &mut Value, settings: &Settings) -> Result<(), Error> {
        let prefix = settings.truth("add_prefix_space")?;
        let byte_level = || {
            json!({
                "type": "ByteLevel", "add_prefix_space": prefix.unwrap_or(false), "trim_offsets": true, "use_regex": true,
            })
        };
        match self.kind {
            Kind::Generic => return Ok(()),
            Kind::WordPiece { .. } => {
                let lowercase = settings.truth("do_lower_case")?.unwrap_or(true);
                let handle_chinese_chars = settings.truth("tokenize_chinese_chars")?.unwrap_or(true);
                tokenizer["normalizer"] = json!({
                    "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": handle_chinese_chars,
                    "strip_accents": settings.truth("strip_accents")?, "lowercase": lowercase,
                });
                tokenizer["pre_tokenizer"] = json!({ "type": "BertPreTokenizer" });
                let model = &mut tokenizer["model"];
                model["unk_token"] = settings.token("unk_token", "[UNK]").into();
                model["continuing_subword_prefix"] = "##".into();
                model["max_input_chars_per_word"] = 100.into();
            }
            Kind::Gpt2 | Kind::Roberta | Kind::GptNeoX => {
                let normal_form =
                    if self.kind == Kind::GptNeoX { json!({ "type": "NFC" }) } else { Value::Null };
                tokenizer["normalizer"] = normal_form;
                tokenizer["pre_tokenizer"] = byte_level();
                pairs(&mut tokenizer["model"], false);
            }
            Kind::Llama => {
                let scheme = match (prefix.unwrap_or(true), settings.truth("legacy")?.unwrap_or(false)) {
                    (false, _) => "never",
                    (true, true) => "always",
                    (true, false) => "first",
                };
                tokenizer["normalizer"] = Value::Null;
                tokenizer["pre_tokenizer"] = json!({
                    "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false,
                });
                pairs(&mut tokenizer["model"], true);
            }
        }
        Ok(())
    }

    /// Gives a tokenizer what its class puts around texts.
    pub(super) fn process(
        &self,
        tokenizer: &mut Value,
        settings: &Settings,
        added: &AddedTokens,
        is_whole: bool,
    ) -> Result<(), Error> {
        let token = |purpose: &str, default: &str| -> Result<(String, u32), Error> {
            let token = settings.token(purpose, default);
            let id = added.id(&token).ok_or_else(|| refused(format!("it has no token `{token}`")))?;
            Ok((token, id))
        };
        match self.kind {
            Kind::WordPiece { .. } => {
                let (cls, sep) = (token("cls_token", "[CLS]")?, token("sep_token", "[SEP]")?);
                tokenizer["post_processor"] = template::bert(&cls, &sep);
            }
            Kind::Roberta => {
                let (cls, sep) = (token("cls_token", "<s>")?, token("sep_token", "</s>")?);
                tokenizer["post_processor"] = json!({
                    "type": "RobertaProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1],
                    "trim_offsets": settings.truth("trim_offsets")?.unwrap_or(true),
                    "add_prefix_space": settings.truth("add_prefix_space")?.unwrap_or(false),
                });
            }
            // Beside a whole tokenizer these flags do not count: what it puts around texts is its own.
            Kind::Gpt2 | Kind::Llama | Kind::Generic if is_whole => {}
            Kind::GptNeoX if is_whole => tokenizer["post_processor"] = Value::Null,
            Kind::Gpt2 | Kind::GptNeoX | Kind::Llama | Kind::Generic => {
                let around = |flag: &str, purpose: &str| -> Result<Option<(String, u32)>, Error> {
                    let is_added = settings.truth(flag)?.unwrap_or(false);
                    is_added.then(|| token(purpose, END_OF_TEXT)).transpose()
                };
                let (bos, eos) =
                    (around("add_bos_token", "bos_token")?, around("add_eos_token", "eos_token")?);
                tokenizer["post_processor"] = template::between(bos.as_ref(), eos.as_ref());
            }
        }
        Ok(())
    }
}

const END_OF_TEXT: &str = "<|endoftext|>";

impl Kind {
    /// Whether a `tokenizer.json` is of this kind.
    fn fits(self, whole: &Value) -> bool {
        let model = &whole["model"];
        let is_pairs = model["merges"].is_array();
        match self {
            Self::Generic => true,
            Self::WordPiece { .. } => {
                // Older files do not say the type.
                let is_type = model["type"].is_null() || model["type"] == "WordPiece";
                is_type && model["vocab"].is_object() && model.get("continuing_subword_prefix").is_some()
            }
            Self::Gpt2 | Self::Roberta | Self::GptNeoX => is_pairs,
            Self::Llama => is_pairs && !whole.to_string().contains("\"ByteLevel\""),
        }
    }
}

/// The settings of a model of pairs that its class decides.
fn pairs(model: &mut Value, has_bytes: bool) {
    let is_off = |value: &Value| value.is_null() || value == "" || *value == Value::Bool(false);
    for name in ["unk_token", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"] {
        if !is_off(&model[name]) {
            model[name] = if name == "ignore_merges" { Value::Bool(false) } else { Value::Null };
        }
    }
    for name in ["fuse_unk", "byte_fallback"] {
        if is_off(&model[name]) == has_bytes {
            model[name] = has_bytes.into();
        }
    }
}
