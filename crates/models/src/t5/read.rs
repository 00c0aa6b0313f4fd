//! The `config.json` of a T5, as transformers 4 or 5 may have written it.

use super::{Config, FeedForward};
use crate::Error;
use crate::fields::Fields;

impl Config {
    pub(crate) fn from_json(text: &str) -> Result<Self, Error> {
        let fields = Fields::parse(text)?;
        fields.only("is_encoder_decoder", true, "`true`")?;
        let default = Self::default();
        let num_layers = fields.or("num_layers", default.num_layers)?;
        let pad_token_id = match fields.get("pad_token_id") {
            None if fields.has("pad_token_id") => None,
            _ => fields.or("pad_token_id", default.pad_token_id)?,
        };
        let config = Self {
            vocab_size: fields.or("vocab_size", default.vocab_size)?,
            d_model: fields.or("d_model", default.d_model)?,
            d_kv: fields.or("d_kv", default.d_kv)?,
            d_ff: fields.or("d_ff", default.d_ff)?,
            num_layers,
            num_decoder_layers: fields.or("num_decoder_layers", num_layers)?,
            num_heads: fields.or("num_heads", default.num_heads)?,
            relative_attention_num_buckets: fields
                .or("relative_attention_num_buckets", default.relative_attention_num_buckets)?,
            relative_attention_max_distance: fields
                .or("relative_attention_max_distance", default.relative_attention_max_distance)?,
            feed_forward: feed_forward(&fields)?,
            tie_word_embeddings: is_tied(&fields)?,
            initializer_factor: fields.or("initializer_factor", default.initializer_factor)?,
            layer_norm_epsilon: fields.or("layer_norm_epsilon", default.layer_norm_epsilon)?,
            dropout_rate: fields.or("dropout_rate", default.dropout_rate)?,
            classifier_dropout: fields.or("classifier_dropout", default.classifier_dropout)?,
            n_positions: fields.or("n_positions", default.n_positions)?,
            pad_token_id,
            eos_token_id: fields.or("eos_token_id", default.eos_token_id)?,
            // The first files do not name it: it has always been the padding.
            decoder_start_token_id: fields.or("decoder_start_token_id", pad_token_id.unwrap_or(0))?,
        };
        config.check()?;
        Ok(config)
    }
}

/// Transformers takes the activation from this field alone, whatever `dense_act_fn` and `is_gated_act` say.
fn feed_forward(fields: &Fields) -> Result<FeedForward, Error> {
    const FIELD: &str = "feed_forward_proj";
    match fields.get(FIELD) {
        None => Ok(FeedForward::Relu),
        Some(value) => match value.as_str() {
            Some("relu") => Ok(FeedForward::Relu),
            Some("gated-gelu" | "gated-gelu_new") => Ok(FeedForward::GatedGelu),
            _ => Err(Error::Unsupported {
                field: FIELD,
                found: value.to_string(),
                supported: "`relu` and `gated-gelu`",
            }),
        },
    }
}

/// Whether the head is tied and its input scaled. Transformers 5 ties what is equal whatever the file says, and writes
/// whether it scales; transformers 4 does both where `tie_word_embeddings` is not `false`.
fn is_tied(fields: &Fields) -> Result<bool, Error> {
    let is_tied = fields.or("tie_word_embeddings", true)?;
    let scales = fields.or("scale_decoder_outputs", is_tied)?;
    if scales && !is_tied {
        return Err(Error::Unsupported {
            field: "scale_decoder_outputs",
            found: "true, and `tie_word_embeddings` is false".into(),
            supported: "both or neither",
        });
    }
    Ok(scales)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Head;

    /// As published: `t5-small`, and `google/t5-v1_1-small`.
    const PUBLISHED: [&str; 2] = [
        r#"{ "architectures": ["T5ForConditionalGeneration"], "d_ff": 2048, "d_kv": 64, "d_model": 512,
            "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1, "initializer_factor": 1.0,
            "is_encoder_decoder": true, "layer_norm_epsilon": 1e-06, "model_type": "t5", "n_positions": 512,
            "num_heads": 8, "num_layers": 6, "output_past": true, "pad_token_id": 0,
            "relative_attention_num_buckets": 32, "vocab_size": 32128 }"#,
        r#"{ "architectures": ["T5ForConditionalGeneration"], "d_ff": 1024, "d_kv": 64, "d_model": 512,
            "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu",
            "initializer_factor": 1.0, "is_encoder_decoder": true, "layer_norm_epsilon": 1e-06, "model_type": "t5",
            "num_decoder_layers": 8, "num_heads": 6, "num_layers": 8, "output_past": true, "pad_token_id": 0,
            "relative_attention_num_buckets": 32, "tie_word_embeddings": false, "use_cache": true,
            "vocab_size": 32128 }"#,
    ];

    fn read(text: &str) -> Result<Config, Error> {
        match crate::Config::from_json(text)? {
            crate::Config::T5(config) => Ok(config),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn published_files_are_understood() {
        let [small, later] = PUBLISHED.map(|text| read(text).unwrap());
        assert_eq!(small, Config::default());
        assert_eq!((later.num_heads, later.d_kv, later.num_decoder_layers), (6, 64, 8));
        assert_eq!((later.feed_forward, later.tie_word_embeddings), (FeedForward::GatedGelu, false));
        // As transformers 5 writes it again.
        let again = PUBLISHED[1].replace(
            r#""tie_word_embeddings": false"#,
            r#""tie_word_embeddings": true, "scale_decoder_outputs": false, "dense_act_fn": "gelu_new""#,
        );
        assert_eq!(read(&again).unwrap(), later);
    }

    #[test]
    fn there_and_back() {
        for text in PUBLISHED {
            let published = read(text).unwrap();
            for config in [
                published.clone(),
                Config { num_decoder_layers: 3, dropout_rate: 0.2, pad_token_id: None, ..published.clone() },
                Config { eos_token_id: 5, decoder_start_token_id: 6, n_positions: 64, ..published },
            ] {
                let classes = |labels| Head::Classification { labels };
                for head in [Head::SequenceToSequence, classes(1), classes(3)] {
                    let text = config.to_json(head, &["no".into(), "yes".into()]);
                    assert_eq!(read(&text).unwrap(), config);
                    assert_eq!(Head::from_json(&text).unwrap(), head);
                }
            }
        }
    }

    #[test]
    fn what_is_not_computed_is_named() {
        for (more, message) in [
            (r#""feed_forward_proj": "gated-silu""#, r#"`feed_forward_proj` is "gated-silu""#),
            (r#""is_encoder_decoder": false"#, "`is_encoder_decoder` is false"),
            (
                r#""tie_word_embeddings": false, "scale_decoder_outputs": true"#,
                "`scale_decoder_outputs` is true, and",
            ),
            (r#""relative_attention_num_buckets": 3"#, "`relative_attention_num_buckets` is 3"),
            (r#""relative_attention_max_distance": 16"#, "`relative_attention_max_distance` is 16"),
            (r#""eos_token_id": 32128"#, "`eos_token_id` is 32128"),
            (r#""eos_token_id": [1, 2]"#, "`eos_token_id` is [1,2]"),
            (r#""decoder_start_token_id": 40000"#, "`decoder_start_token_id` is 40000"),
            (r#""d_kv": 0"#, "`d_kv` is 0"),
            (r#""dropout_rate": 1.0"#, "`dropout_rate` is 1"),
            (r#""model_type": "mt5""#, "`model_type` is `mt5`"),
            (r#""model_type": "umt5""#, "`model_type` is `umt5`"),
            (r#""model_type": "longt5""#, "`model_type` is `longt5`"),
        ] {
            // Of a field that is there twice, the last counts.
            let text =
                PUBLISHED[0].replace(r#""vocab_size": 32128"#, &format!(r#""vocab_size": 32128, {more}"#));
            let text = if more.contains("model_type") {
                text.replacen(r#""model_type": "t5","#, "", 1)
            } else {
                text
            };
            let text = if more.contains("is_encoder") {
                text.replacen(r#""is_encoder_decoder": true,"#, "", 1)
            } else {
                text
            };
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{more}: {error}");
        }
    }
}
