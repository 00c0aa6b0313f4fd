//! The shape of a BERT and its `config.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Variant;
use crate::Error;
use crate::config::{check_in, check_size, parse};
use crate::start::Initial;

/// Shape and probabilities of a BERT, under their names in `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which of the architectures with this encoder: `model_type`.
    pub variant: Variant,
    /// Number of words.
    pub vocab_size: usize,
    /// Width of the residual stream, H.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides the width.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward blocks.
    pub intermediate_size: usize,
    /// Rows of the table of positions: see [`Config::longest`].
    pub max_position_embeddings: usize,
    /// Number of segments; 0 for a variant that knows none.
    pub type_vocab_size: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Added to the variance in LayerNorms.
    pub layer_norm_eps: f64,
    /// Dropout after embeddings, attention outputs (not in DistilBERT) and feed-forward blocks.
    pub hidden_dropout_prob: f64,
    /// Dropout of attention probabilities.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classifier; `hidden_dropout_prob` if none is given.
    pub classifier_dropout: Option<f64>,
    /// Word that pads batches elsewhere.
    pub pad_token_id: u32,
}

impl Default for Config {
    /// BERT-base, with transformers' defaults.
    fn default() -> Self {
        Self {
            variant: Variant::Bert,
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            pad_token_id: 0,
        }
    }
}

/// What transformers may have written: absent fields mean its defaults. DistilBERT's own names are aliases.
#[derive(Deserialize)]
struct Read {
    model_type: Option<Variant>,
    vocab_size: Option<usize>,
    #[serde(alias = "dim")]
    hidden_size: Option<usize>,
    #[serde(alias = "n_layers")]
    num_hidden_layers: Option<usize>,
    #[serde(alias = "n_heads")]
    num_attention_heads: Option<usize>,
    #[serde(alias = "hidden_dim")]
    intermediate_size: Option<usize>,
    #[serde(alias = "activation")]
    hidden_act: Option<String>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    initializer_range: Option<f64>,
    layer_norm_eps: Option<f64>,
    #[serde(alias = "dropout")]
    hidden_dropout_prob: Option<f64>,
    #[serde(alias = "attention_dropout")]
    attention_probs_dropout_prob: Option<f64>,
    #[serde(alias = "seq_classif_dropout")]
    classifier_dropout: Option<f64>,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    add_cross_attention: Option<bool>,
    tie_word_embeddings: Option<bool>,
    pruned_heads: Option<BTreeMap<String, Vec<usize>>>,
}

impl Config {
    /// A variant's defaults in transformers: those of BERT but for a few.
    fn of(variant: Variant) -> Self {
        match variant {
            Variant::Bert => Self::default(),
            Variant::DistilBert => Self {
                variant,
                num_hidden_layers: 6,
                type_vocab_size: 0,
                classifier_dropout: Some(0.2),
                ..Self::default()
            },
            Variant::Roberta => Self { variant, vocab_size: 50_265, pad_token_id: 1, ..Self::default() },
        }
    }

    /// One more than the largest segment that inputs may name; a model without segments looks at none.
    pub(crate) fn segments(&self) -> usize {
        if self.type_vocab_size == 0 { u32::MAX as usize } else { self.type_vocab_size }
    }

    /// Row of a sequence's first token in the table of positions.
    pub(crate) fn first_position(&self) -> usize {
        self.variant.first_position(self.pad_token_id)
    }

    /// The longest sequence, in tokens.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, Error> {
        let read: Read = parse(text)?;
        only("hidden_act", read.hidden_act.as_deref(), "gelu", "`gelu` (with erf)")?;
        only("position_embedding_type", read.position_embedding_type.as_deref(), "absolute", "`absolute`")?;
        only("is_decoder", read.is_decoder, false, "`false`")?;
        only("add_cross_attention", read.add_cross_attention, false, "`false`")?;
        only("tie_word_embeddings", read.tie_word_embeddings, true, "`true`")?;
        only("pruned_heads", read.pruned_heads, BTreeMap::new(), "none")?;
        let default = Self::of(read.model_type.unwrap_or_default());
        let config = Self {
            variant: default.variant,
            vocab_size: read.vocab_size.unwrap_or(default.vocab_size),
            hidden_size: read.hidden_size.unwrap_or(default.hidden_size),
            num_hidden_layers: read.num_hidden_layers.unwrap_or(default.num_hidden_layers),
            num_attention_heads: read.num_attention_heads.unwrap_or(default.num_attention_heads),
            intermediate_size: read.intermediate_size.unwrap_or(default.intermediate_size),
            max_position_embeddings: read.max_position_embeddings.unwrap_or(default.max_position_embeddings),
            type_vocab_size: read.type_vocab_size.unwrap_or(default.type_vocab_size),
            initializer_range: read.initializer_range.unwrap_or(default.initializer_range),
            layer_norm_eps: read.layer_norm_eps.unwrap_or(default.layer_norm_eps),
            hidden_dropout_prob: read.hidden_dropout_prob.unwrap_or(default.hidden_dropout_prob),
            attention_probs_dropout_prob: read
                .attention_probs_dropout_prob
                .unwrap_or(default.attention_probs_dropout_prob),
            classifier_dropout: read.classifier_dropout.or(default.classifier_dropout),
            pad_token_id: read.pad_token_id.unwrap_or(default.pad_token_id),
        };
        config.check()?;
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_size("vocab_size", self.vocab_size)?;
        check_size("hidden_size", self.hidden_size)?;
        check_size("num_hidden_layers", self.num_hidden_layers)?;
        check_size("num_attention_heads", self.num_attention_heads)?;
        check_size("intermediate_size", self.intermediate_size)?;
        check_size("max_position_embeddings", self.max_position_embeddings)?;
        if self.variant != Variant::DistilBert {
            check_size("type_vocab_size", self.type_vocab_size)?;
        }
        if self.longest() == 0 {
            return Err(Error::Range {
                field: "max_position_embeddings",
                found: self.max_position_embeddings.to_string(),
                range: "above `pad_token_id` + 1, from where positions are counted",
            });
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::Range {
                field: "num_attention_heads",
                found: self.num_attention_heads.to_string(),
                range: "a divisor of `hidden_size`",
            });
        }
        check_in("initializer_range", self.initializer_range, 0.0..1e6, "at least 0 and finite")?;
        check_in("layer_norm_eps", self.layer_norm_eps, 1e-30..1.0, "in 1e-30..1")?;
        check_in("hidden_dropout_prob", self.hidden_dropout_prob, 0.0..1.0, "in 0..1")?;
        check_in("attention_probs_dropout_prob", self.attention_probs_dropout_prob, 0.0..1.0, "in 0..1")?;
        check_in("classifier_dropout", self.classifier_dropout.unwrap_or(0.0), 0.0..1.0, "in 0..1")
    }

    /// Dropout behind the attention's last map.
    pub(crate) fn attention_output_dropout(&self) -> f64 {
        if self.variant.drops_attention_output() { self.hidden_dropout_prob } else { 0.0 }
    }

    /// Dropout before the classifier.
    pub(crate) fn classifier_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// How a tensor begins.
    pub(crate) fn initial(&self, name: &str) -> Initial {
        if name.ends_with(".bias") {
            Initial::Zeros
        } else if is_norm(name) && name.ends_with(".weight") {
            Initial::Ones
        } else {
            Initial::Normal(self.initializer_range)
        }
    }
}

/// Whether a tensor belongs to a LayerNorm.
pub(crate) fn is_norm(name: &str) -> bool {
    name.contains("LayerNorm.") || name.contains("layer_norm.")
}

/// Checks that a field is absent or has the one value that is computed.
fn only<T: PartialEq<U> + std::fmt::Debug, U>(
    field: &'static str,
    found: Option<T>,
    wanted: U,
    supported: &'static str,
) -> Result<(), Error> {
    match found {
        Some(value) if value != wanted => {
            Err(Error::Unsupported { field, found: format!("{value:?}"), supported })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Head;

    /// As `BertConfig().to_json_string()` of transformers writes it, with some of a hub file's extras.
    const PUBLISHED: &str = r#"{
        "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "classifier_dropout": null,
        "gradient_checkpointing": false, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 128,
        "initializer_range": 0.02, "intermediate_size": 512, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 2, "num_hidden_layers": 2,
        "pad_token_id": 0, "position_embedding_type": "absolute", "transformers_version": "4.57.0",
        "type_vocab_size": 2, "use_cache": true, "vocab_size": 30522 }"#;

    #[test]
    fn there_and_back() {
        let config = Config::from_json(PUBLISHED).unwrap();
        assert_eq!((config.hidden_size, config.intermediate_size, config.num_hidden_layers), (128, 512, 2));
        for head in [Head::MaskedLanguage, Head::Classification { labels: 12 }] {
            let text = config.to_json(head, &["no".into(), "yes".into()]);
            assert_eq!(crate::Config::from_json(&text).unwrap(), crate::Config::Bert(config.clone()));
            assert_eq!(Head::from_json(&text).unwrap(), head);
        }
        assert_eq!(Config::from_json("{}").unwrap(), Config::default());
    }

    #[test]
    fn relatives_go_there_and_back_under_their_own_names() {
        for (variant, width) in
            [(Variant::Bert, "hidden_size"), (Variant::Roberta, "hidden_size"), (Variant::DistilBert, "dim")]
        {
            let config = Config { hidden_size: 24, num_attention_heads: 3, ..Config::of(variant) };
            for head in [Head::MaskedLanguage, Head::Classification { labels: 2 }] {
                let text = config.to_json(head, &[]);
                assert!(text.contains(&format!("\"{width}\": 24")), "{text}");
                assert_eq!(crate::Config::from_json(&text).unwrap(), crate::Config::Bert(config.clone()));
                assert_eq!(Head::from_json(&text).unwrap(), head);
            }
        }
        let none_left = PUBLISHED.replace("\"bert\"", "\"roberta\"").replace("512,", "1,");
        let error = crate::Config::from_json(&none_left).unwrap_err().to_string();
        assert!(error.contains("`max_position_embeddings` is 1"), "{error}");
    }

    #[test]
    fn what_is_not_computed_is_named() {
        for (old, new, message) in [
            (
                "\"gelu\"",
                "\"gelu_new\"",
                "configuration: `hidden_act` is \"gelu_new\", this program computes `gelu`",
            ),
            (
                "\"absolute\"",
                "\"relative_key\"",
                "configuration: `position_embedding_type` is \"relative_key\"",
            ),
            (
                "\"num_attention_heads\": 2",
                "\"num_attention_heads\": 3",
                "configuration: `num_attention_heads` is 3",
            ),
            (
                "\"hidden_dropout_prob\": 0.1",
                "\"hidden_dropout_prob\": 1.0",
                "configuration: `hidden_dropout_prob`",
            ),
            ("\"hidden_size\": 128", "\"hidden_size\": -1", "configuration: "),
            ("\"bert\"", "\"gpt_neox\"", "configuration: `model_type` is `gpt_neox`"),
            ("\"vocab_size\": 30522", "\"vocab_size\": 0", "configuration: `vocab_size` is 0"),
        ] {
            assert!(PUBLISHED.contains(old));
            let error = crate::Config::from_json(&PUBLISHED.replace(old, new)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
