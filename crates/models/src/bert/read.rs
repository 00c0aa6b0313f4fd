//! The `config.json` of a BERT and its relatives, as transformers may have written it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Config, Variant};
use crate::Error;
use crate::fields::parse;

/// What transformers may have written: absent fields mean its defaults.
#[derive(Deserialize)]
struct Read {
    model_type: Option<Variant>,
    vocab_size: Option<usize>,
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    hidden_act: Option<String>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    initializer_range: Option<f64>,
    layer_norm_eps: Option<f64>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    classifier_dropout: Option<f64>,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    add_cross_attention: Option<bool>,
    tie_word_embeddings: Option<bool>,
    pruned_heads: Option<BTreeMap<String, Vec<usize>>>,
    sinusoidal_pos_embds: Option<bool>,
}

/// DistilBERT's own names, and those of the same fields elsewhere.
const DISTILBERT_NAMES: [(&str, &str); 8] = [
    ("dim", "hidden_size"),
    ("n_layers", "num_hidden_layers"),
    ("n_heads", "num_attention_heads"),
    ("hidden_dim", "intermediate_size"),
    ("activation", "hidden_act"),
    ("dropout", "hidden_dropout_prob"),
    ("attention_dropout", "attention_probs_dropout_prob"),
    ("seq_classif_dropout", "classifier_dropout"),
];

/// The fields of a `config.json`, those of DistilBERT under the others' names.
fn read(text: &str) -> Result<Read, Error> {
    let mut fields: serde_json::Map<String, serde_json::Value> = parse(text)?;
    if fields.get("model_type").is_some_and(|name| name == Variant::DistilBert.model_type()) {
        for (own, name) in DISTILBERT_NAMES {
            if let Some(value) = fields.remove(own) {
                fields.insert(name.to_owned(), value);
            }
        }
        // What it does not look at.
        for name in ["type_vocab_size", "layer_norm_eps"] {
            fields.remove(name);
        }
    }
    serde_json::from_value(fields.into()).map_err(|error| Error::Json { reason: error.to_string() })
}

impl Config {
    pub(crate) fn from_json(text: &str) -> Result<Self, Error> {
        let read = read(text)?;
        only("hidden_act", read.hidden_act.as_deref(), "gelu", "`gelu` (with erf)")?;
        only("position_embedding_type", read.position_embedding_type.as_deref(), "absolute", "`absolute`")?;
        only("is_decoder", read.is_decoder, false, "`false`")?;
        only("add_cross_attention", read.add_cross_attention, false, "`false`")?;
        only("tie_word_embeddings", read.tie_word_embeddings, true, "`true`")?;
        only("pruned_heads", read.pruned_heads, BTreeMap::new(), "none")?;
        only("sinusoidal_pos_embds", read.sinusoidal_pos_embds, false, "`false` (learned positions)")?;
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
    fn relatives_in_name_alone_are_one_architecture() {
        let of =
            |name: &str| Config::from_json(&PUBLISHED.replace("\"bert\"", &format!("\"{name}\""))).unwrap();
        assert_eq!(of("xlm-roberta"), of("roberta"));
        assert_eq!(of("camembert"), of("roberta"));
        assert_ne!(of("bert"), of("roberta"));
    }

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

    /// DistilBERT's names mean nothing elsewhere, and some of the others' nothing to DistilBERT.
    #[test]
    fn each_family_reads_its_own_names() {
        let extras = PUBLISHED.replace("\"hidden_size\"", "\"dim\": 7, \"dropout\": 0.5, \"hidden_size\"");
        assert_eq!(Config::from_json(&extras).unwrap(), Config::from_json(PUBLISHED).unwrap());

        let text =
            Config { hidden_size: 24, ..Config::of(Variant::DistilBert) }.to_json(Head::MaskedLanguage, &[]);
        let distil = |more: &str| Config::from_json(&text.replacen('{', &format!("{{ {more},"), 1));
        let config = distil("\"layer_norm_eps\": 1e-5, \"type_vocab_size\": 2").unwrap();
        assert_eq!(config, Config { hidden_size: 24, ..Config::of(Variant::DistilBert) });
        let error = distil("\"sinusoidal_pos_embds\": true").unwrap_err().to_string();
        assert!(error.starts_with("configuration: `sinusoidal_pos_embds` is true"), "{error}");
        for (config, field) in [
            (Config { layer_norm_eps: 1e-5, ..config.clone() }, "layer_norm_eps"),
            (Config { type_vocab_size: 2, ..config.clone() }, "type_vocab_size"),
        ] {
            assert!(config.check().unwrap_err().to_string().contains(field));
        }
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
            ("\"bert\"", "\"gptj\"", "configuration: `model_type` is `gptj`"),
            ("\"vocab_size\": 30522", "\"vocab_size\": 0", "configuration: `vocab_size` is 0"),
        ] {
            assert!(PUBLISHED.contains(old));
            let error = crate::Config::from_json(&PUBLISHED.replace(old, new)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
