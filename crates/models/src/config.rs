//! Configurations of all families, and their `config.json`.

use serde::Deserialize;
use versions::Versions;

use crate::decoder::{self, Variant};
use crate::fields::parse;
use crate::{Error, Head, bert, mlp, t5};

/// The shape of a model's body.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Config {
    /// `model_type` "bert", "roberta" (or "xlm-roberta", "camembert", which are the same) or "distilbert".
    Bert(bert::Config),
    /// `model_type` "gpt2", "gpt_neox", "llama" or "olmo2".
    Decoder(decoder::Config),
    /// `model_type` "t5".
    T5(t5::Config),
    /// `model_type` "samebasin-mlp".
    Mlp(mlp::Config),
}

#[derive(Deserialize)]
struct Stated {
    model_type: Option<String>,
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
            Some("bert" | "roberta" | "xlm-roberta" | "camembert" | "distilbert") => {
                Ok(Self::Bert(bert::Config::from_json(text)?))
            }
            Some("gpt2") => decoder(Variant::Gpt2),
            Some("gpt_neox") => decoder(Variant::GptNeoX),
            Some("llama") => decoder(Variant::Llama),
            Some("olmo2") => decoder(Variant::Olmo2),
            Some("t5") => Ok(Self::T5(t5::Config::from_json(text)?)),
            Some(mlp::MODEL_TYPE) => Ok(Self::Mlp(mlp::Config::from_json(text)?)),
            other => Err(Error::Unsupported {
                field: "model_type",
                found: other.map_or("missing".into(), |name| format!("`{name}`")),
                supported: "`bert`, `roberta`, `xlm-roberta`, `camembert`, `distilbert`, `gpt2`, `gpt_neox`, `llama`, `olmo2`, `t5` and `samebasin-mlp`",
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

    /// Versions of the family's passes and of the kernels that they rest on.
    #[must_use]
    pub fn versions(&self) -> Versions {
        let (family, version) = match self {
            Self::Bert(_) => ("bert", bert::VERSION),
            Self::Decoder(_) => ("decoder", decoder::VERSION),
            Self::T5(_) => ("t5", t5::VERSION),
            Self::Mlp(_) => ("mlp", mlp::VERSION),
        };
        let versions = Versions::of(family, version).and(kernels::versions());
        match self {
            Self::Bert(config) => versions.and(config.variant.versions()),
            Self::Decoder(_) | Self::T5(_) | Self::Mlp(_) => versions,
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
