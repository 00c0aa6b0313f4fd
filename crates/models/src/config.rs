//! Configurations and heads, and their `config.json`.

use serde::Deserialize;

use crate::decoder::{self, Variant};
use crate::{Error, bert, mlp, t5};

/// The shape of a model's body.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Config {
    /// `model_type` "bert", "roberta" or "distilbert".
    Bert(bert::Config),
    /// `model_type` "gpt2", "gpt_neox", "llama" or "olmo2".
    Decoder(decoder::Config),
    /// `model_type` "t5".
    T5(t5::Config),
    /// `model_type` "samebasin-mlp".
    Mlp(mlp::Config),
}

/// What a model's last layer predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The masked tokens; the decoder is tied to the word embeddings.
    MaskedLanguage,
    /// The token after each.
    CausalLanguage,
    /// Each token of another sequence, given those before it.
    SequenceToSequence,
    /// One of a number of classes. A single one is a score, by which several inputs are compared.
    Classification {
        /// How many.
        labels: usize,
    },
}

impl Head {
    /// What messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MaskedLanguage => "masked-language",
            Self::CausalLanguage => "causal-language",
            Self::SequenceToSequence => "sequence-to-sequence",
            Self::Classification { .. } => "classification",
        }
    }

    /// Reads the head that a `config.json` names in `architectures`; the number of classes is that of `id2label`, or
    /// 2 as in transformers.
    ///
    /// # Errors
    /// [`Error::Json`] and, for any other architecture, [`Error::Unsupported`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let stated: Stated = parse(text)?;
        let architecture = stated.architectures.unwrap_or_default().into_iter().next().unwrap_or_default();
        if architecture.ends_with("ForMaskedLM") || architecture.ends_with("ForPreTraining") {
            Ok(Self::MaskedLanguage)
        } else if architecture.ends_with("ForConditionalGeneration") || architecture == "T5WithLMHeadModel" {
            Ok(Self::SequenceToSequence)
        } else if architecture.ends_with("ForCausalLM") || architecture.ends_with("LMHeadModel") {
            Ok(Self::CausalLanguage)
        } else if architecture.ends_with("ForSequenceClassification") || architecture == mlp::ARCHITECTURE {
            let labels = stated.id2label.map(|labels| labels.len()).or(stated.num_labels).unwrap_or(2);
            Ok(Self::Classification { labels })
        } else {
            Err(Error::Unsupported {
                field: "architectures",
                found: format!("`{architecture}`"),
                supported: "language models, masked, causal or from sequence to sequence, and sequence classifiers",
            })
        }
    }
}

#[derive(Deserialize)]
struct Stated {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    id2label: Option<std::collections::BTreeMap<String, String>>,
    num_labels: Option<usize>,
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Json { reason: error.to_string() })
}

impl Config {
    /// Reads a `config.json`. Fields that do not bear on what is computed are ignored.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Unsupported`] for what this crate does not compute, [`Error::Range`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let stated: Stated = parse(text)?;
        let decoder = |variant| Ok(Self::Decoder(decoder::Config::from_json(variant, text)?));
        match stated.model_type.as_deref() {
            Some("bert" | "roberta" | "distilbert") => Ok(Self::Bert(bert::Config::from_json(text)?)),
            Some("gpt2") => decoder(Variant::Gpt2),
            Some("gpt_neox") => decoder(Variant::GptNeoX),
            Some("llama") => decoder(Variant::Llama),
            Some("olmo2") => decoder(Variant::Olmo2),
            Some("t5") => Ok(Self::T5(t5::Config::from_json(text)?)),
            Some(mlp::MODEL_TYPE) => Ok(Self::Mlp(mlp::Config::from_json(text)?)),
            other => Err(Error::Unsupported {
                field: "model_type",
                found: other.map_or("missing".into(), |name| format!("`{name}`")),
                supported: "`bert`, `roberta`, `distilbert`, `gpt2`, `gpt_neox`, `llama`, `olmo2`, `t5` and `samebasin-mlp`",
            }),
        }
    }

    /// The `config.json` of a model with this head. `label_names` are in the order of the classes; where there are
    /// fewer, transformers' `LABEL_0`, `LABEL_1`... stand in.
    #[must_use]
    pub fn to_json(&self, head: Head, label_names: &[String]) -> String {
        match self {
            Self::Bert(config) => config.to_json(head, label_names),
            Self::Decoder(config) => config.to_json(head, label_names),
            Self::T5(config) => config.to_json(head, label_names),
            Self::Mlp(config) => config.to_json(head, label_names),
        }
    }

    /// The family's name in `config.json`.
    #[must_use]
    pub fn model_type(&self) -> &'static str {
        match self {
            Self::Bert(config) => config.variant.model_type(),
            Self::Decoder(config) => config.variant.model_type(),
            Self::T5(_) => "t5",
            Self::Mlp(_) => mlp::MODEL_TYPE,
        }
    }

    /// Raised whenever the family's results change.
    #[must_use]
    pub fn version(&self) -> u32 {
        match self {
            Self::Bert(_) => bert::VERSION,
            Self::Decoder(_) => decoder::VERSION,
            Self::T5(_) => t5::VERSION,
            Self::Mlp(_) => mlp::VERSION,
        }
    }

    /// Checks that a model can have this shape.
    ///
    /// # Errors
    /// [`Error::Range`] naming the first field that is off.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Bert(config) => config.check(),
            Self::Decoder(config) => config.check(),
            Self::T5(config) => config.check(),
            Self::Mlp(config) => config.check(),
        }
    }
}

/// Class names in order, padded with transformers' own.
pub(crate) fn label_names(head: Head, names: &[String]) -> Option<Vec<String>> {
    let Head::Classification { labels } = head else { return None };
    Some((0..labels).map(|i| names.get(i).cloned().unwrap_or_else(|| format!("LABEL_{i}"))).collect())
}

/// Pretty JSON with a newline at the end; the order is that of the struct's fields on every build.
pub(crate) fn render(fields: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(fields).expect("plain fields serialise");
    text.push('\n');
    text
}

/// Checks a size: at least 1, and small enough that products of sizes stay in range.
pub(crate) fn check_size(field: &'static str, found: usize) -> Result<(), Error> {
    if (1..1 << 20).contains(&found) {
        Ok(())
    } else {
        Err(Error::Range { field, found: found.to_string(), range: "in 1..1048576" })
    }
}

/// Checks a finite number in `low..high`.
pub(crate) fn check_in(
    field: &'static str,
    found: f64,
    range: std::ops::Range<f64>,
    says: &'static str,
) -> Result<(), Error> {
    if range.contains(&found) {
        Ok(())
    } else {
        Err(Error::Range { field, found: found.to_string(), range: says })
    }
}
