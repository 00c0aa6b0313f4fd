//! The `config.json` of a decoder, as transformers 4 or 5 may have written it.

use serde_json::{Map, Value};

use super::{Activation, Config, Variant};
use crate::Error;
use crate::fields::Fields;

impl Config {
    pub(crate) fn from_json(variant: Variant, text: &str) -> Result<Self, Error> {
        let fields = Fields::parse(text)?;
        // Transformers then lets every token see every other.
        fields.only("is_causal", true, "`true`")?;
        let config = match variant {
            Variant::Gpt2 => gpt2(&fields),
            Variant::GptNeoX => gpt_neox(&fields),
            Variant::Llama | Variant::Olmo2 => llama(variant, &fields),
        }?;
        config.check()?;
        Ok(config)
    }
}

fn gpt2(fields: &Fields) -> Result<Config, Error> {
    fields.only("scale_attn_weights", true, "`true`")?;
    fields.only("add_cross_attention", false, "`false`")?;
    fields.only("pruned_heads", Value::Object(Map::new()), "none")?;
    // In `f32`, `reorder_and_upcast_attn` changes nothing.
    let default = Config::of(Variant::Gpt2);
    let hidden_size = fields.or("n_embd", default.hidden_size)?;
    let heads = fields.or("n_head", default.num_attention_heads)?;
    Ok(Config {
        hidden_size,
        num_hidden_layers: fields.or("n_layer", default.num_hidden_layers)?,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim: share(hidden_size, heads),
        intermediate_size: fields.or("n_inner", hidden_size.saturating_mul(4))?,
        max_position_embeddings: fields.or("n_positions", default.max_position_embeddings)?,
        activation: fields.gelu("activation_function", default.activation)?,
        scale_attn_by_inverse_layer_idx: fields.or("scale_attn_by_inverse_layer_idx", false)?,
        norm_eps: fields.or("layer_norm_epsilon", default.norm_eps)?,
        embedding_dropout: fields.or("embd_pdrop", default.embedding_dropout)?,
        attention_dropout: fields.or("attn_pdrop", default.attention_dropout)?,
        residual_dropout: fields.or("resid_pdrop", default.residual_dropout)?,
        ..common(fields, default)?
    })
}

fn gpt_neox(fields: &Fields) -> Result<Config, Error> {
    fields.only("attention_bias", true, "`true`")?;
    let mut default = Config::of(Variant::GptNeoX);
    default.read_rotations(fields, "rotary_emb_base", "rotary_pct")?;
    let hidden_size = fields.or("hidden_size", default.hidden_size)?;
    let heads = fields.or("num_attention_heads", default.num_attention_heads)?;
    let dropout = fields.or("hidden_dropout", default.residual_dropout)?;
    fields.only("head_dim", share(hidden_size, heads), "`hidden_size` / `num_attention_heads`")?;
    Ok(Config {
        hidden_size,
        num_hidden_layers: fields.or("num_hidden_layers", default.num_hidden_layers)?,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim: share(hidden_size, heads),
        intermediate_size: fields.or("intermediate_size", default.intermediate_size)?,
        max_position_embeddings: fields.or("max_position_embeddings", default.max_position_embeddings)?,
        activation: fields.gelu("hidden_act", default.activation)?,
        use_parallel_residual: fields.or("use_parallel_residual", default.use_parallel_residual)?,
        norm_eps: fields.or("layer_norm_eps", default.norm_eps)?,
        embedding_dropout: dropout,
        attention_dropout: fields.or("attention_dropout", default.attention_dropout)?,
        residual_dropout: dropout,
        ..common(fields, default)?
    })
}

fn llama(variant: Variant, fields: &Fields) -> Result<Config, Error> {
    fields.only("hidden_act", "silu", "`silu`")?;
    fields.only("attention_bias", false, "`false`")?;
    fields.only("mlp_bias", false, "`false`")?;
    let mut default = Config::of(variant);
    default.read_rotations(fields, "rope_theta", "partial_rotary_factor")?;
    let hidden_size = fields.or("hidden_size", default.hidden_size)?;
    let heads = fields.or("num_attention_heads", default.num_attention_heads)?;
    Ok(Config {
        hidden_size,
        num_hidden_layers: fields.or("num_hidden_layers", default.num_hidden_layers)?,
        num_attention_heads: heads,
        num_key_value_heads: fields.or("num_key_value_heads", heads)?,
        head_dim: fields.or("head_dim", share(hidden_size, heads))?,
        intermediate_size: fields.or("intermediate_size", default.intermediate_size)?,
        max_position_embeddings: fields.or("max_position_embeddings", default.max_position_embeddings)?,
        norm_eps: fields.or("rms_norm_eps", default.norm_eps)?,
        attention_dropout: fields.or("attention_dropout", default.attention_dropout)?,
        ..common(fields, default)?
    })
}

/// What all of them call the same.
fn common(fields: &Fields, default: Config) -> Result<Config, Error> {
    let pad_token_id = match fields.get("pad_token_id") {
        // Written by hand for "none", and so it means in transformers: no token is -1.
        Some(value) if *value == -1 => None,
        Some(_) => fields.or("pad_token_id", None)?,
        None if fields.has("pad_token_id") => None,
        None => default.pad_token_id,
    };
    Ok(Config {
        vocab_size: fields.or("vocab_size", default.vocab_size)?,
        tie_word_embeddings: fields.or("tie_word_embeddings", default.tie_word_embeddings)?,
        initializer_range: fields.or("initializer_range", default.initializer_range)?,
        pad_token_id,
        ..default
    })
}

/// Values per head; nonsense is left for the check to refuse.
fn share(hidden_size: usize, heads: usize) -> usize {
    hidden_size.checked_div(heads).unwrap_or(0)
}

impl Fields {
    fn gelu(&self, field: &'static str, default: Activation) -> Result<Activation, Error> {
        let Some(value) = self.get(field) else { return Ok(default) };
        match value.as_str() {
            Some("gelu") => Ok(Activation::Gelu),
            // One formula under three names.
            Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh") => Ok(Activation::GeluNew),
            _ => Err(Error::Unsupported {
                field,
                found: value.to_string(),
                supported: "`gelu`, `gelu_new`, `gelu_fast` and `gelu_pytorch_tanh`",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Head;
    use crate::decoder::Scaling;

    /// As published: the fields that count here, under the names of their time.
    const PUBLISHED: [&str; 4] = [
        r#"{ "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
            "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12,
            "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "summary_type": "cls_index",
            "vocab_size": 50257 }"#,
        r#"{ "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu",
            "hidden_size": 512, "initializer_range": 0.02, "intermediate_size": 2048, "layer_norm_eps": 1e-05,
            "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 8,
            "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false,
            "torch_dtype": "float16", "use_cache": true, "use_parallel_residual": true, "vocab_size": 50304 }"#,
        r#"{ "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
            "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 5632,
            "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32,
            "num_hidden_layers": 22, "num_key_value_heads": 4, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
            "rope_scaling": null, "rope_theta": 10000.0, "tie_word_embeddings": false, "vocab_size": 32000 }"#,
        r#"{ "architectures": ["Olmo2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
            "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008,
            "max_position_embeddings": 4096, "model_type": "olmo2", "num_attention_heads": 32,
            "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 100277, "rms_norm_eps": 1e-06,
            "rope_parameters": { "rope_theta": 500000, "rope_type": "default" }, "vocab_size": 100352 }"#,
    ];

    fn read(text: &str) -> Result<Config, Error> {
        match crate::Config::from_json(text)? {
            crate::Config::Decoder(config) => Ok(config),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn published_files_are_understood() {
        let [gpt2, pythia, llama, olmo] = PUBLISHED.map(|text| read(text).unwrap());
        assert_eq!(gpt2, Config::of(Variant::Gpt2));
        assert_eq!((pythia.head_dim, pythia.rotated(), pythia.hidden_size), (64, 16, 512));
        assert!(pythia.use_parallel_residual && pythia.pad_token_id.is_none());
        assert_eq!((llama.num_key_value_heads, llama.head_dim, llama.rope_theta), (4, 64, 1e4));
        assert_eq!((olmo.rope_theta, olmo.pad_token_id, olmo.norm_eps), (5e5, Some(100_277), 1e-6));
        let later = PUBLISHED[1].replace(
            r#""rotary_emb_base": 10000, "rotary_pct": 0.25"#,
            r#""rope_parameters": { "partial_rotary_factor": 0.25, "rope_theta": 10000, "rope_type": "default" }"#,
        );
        assert_eq!(read(&later).unwrap(), pythia);
        // Llama 3.1's.
        let scaling = r#""rope_scaling": { "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3" }"#;
        let longer = read(&PUBLISHED[2].replace(r#""rope_scaling": null"#, scaling)).unwrap();
        let llama3 = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, before: 8192 };
        assert_eq!(longer, Config { rope_scaling: llama3, ..llama });
    }

    #[test]
    fn there_and_back() {
        for (text, variant) in PUBLISHED.into_iter().zip(Variant::ALL) {
            let published = read(text).unwrap();
            for config in [
                published.clone(),
                Config {
                    tie_word_embeddings: !published.tie_word_embeddings,
                    rope_theta: 123.5,
                    ..published.clone()
                },
                Config {
                    rope_scaling: Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, before: 100 },
                    ..published.clone()
                },
                Config { rope_scaling: Scaling::Linear { factor: 2.5 }, ..published.clone() },
                Config { pad_token_id: Some(3), norm_eps: 1e-4, attention_dropout: 0.3, ..published.clone() },
            ] {
                // GPT-2 has no words for rotations.
                let config = match variant.rotates() {
                    true => config,
                    false => Config { rope_theta: 1e4, rope_scaling: Scaling::None, ..config },
                };
                for head in [
                    Head::CausalLanguage,
                    Head::Classification { labels: 1 },
                    Head::Classification { labels: 3 },
                ] {
                    let text = config.to_json(head, &["no".into(), "yes".into()]);
                    assert_eq!(read(&text).unwrap(), config);
                    assert_eq!(Head::from_json(&text).unwrap(), head);
                }
            }
        }
    }

    #[test]
    fn what_is_not_computed_is_named() {
        let [gpt2, pythia, llama, olmo] = PUBLISHED;
        for (text, more, message) in [
            (gpt2, r#""scale_attn_weights": false"#, "`scale_attn_weights` is false"),
            (gpt2, r#""add_cross_attention": true"#, "`add_cross_attention` is true"),
            (gpt2, r#""activation_function": "relu""#, r#"`activation_function` is "relu""#),
            (gpt2, r#""n_head": 7"#, "`num_attention_heads` is 7"),
            (gpt2, r#""n_embd": "wide""#, r#"`n_embd` is "wide""#),
            (gpt2, r#""is_causal": false"#, "`is_causal` is false"),
            (pythia, r#""attention_bias": false"#, "`attention_bias` is false"),
            (pythia, r#""hidden_act": "silu""#, r#"`hidden_act` is "silu""#),
            (pythia, r#""rotary_pct": 0.01"#, "`partial_rotary_factor` is 0.01"),
            (pythia, r#""rope_scaling": { "type": "dynamic", "factor": 2.0 }"#, "`rope_scaling` is {"),
            (pythia, r#""rope_scaling": { "type": "linear" }"#, "`rope_scaling` is {"),
            (pythia, r#""rope_scaling": { "type": "linear", "factor": 0.5 }"#, "`factor` is 0.5"),
            (llama, r#""rope_scaling": { "rope_type": "llama3", "factor": 8.0 }"#, "`rope_scaling` is {"),
            (llama, r#""attention_bias": true"#, "`attention_bias` is true"),
            (llama, r#""mlp_bias": true"#, "`mlp_bias` is true"),
            (llama, r#""hidden_act": "gelu""#, r#"`hidden_act` is "gelu""#),
            (
                llama,
                r#""rope_parameters": { "rope_type": "yarn" }"#,
                r#"`rope_parameters` is {"rope_type":"yarn"}"#,
            ),
            (llama, r#""partial_rotary_factor": 0.5"#, "`partial_rotary_factor` is 0.5"),
            (llama, r#""num_key_value_heads": 5"#, "`num_key_value_heads` is 5"),
            (llama, r#""num_attention_heads": 0"#, "`num_attention_heads` is 0"),
            (olmo, r#""vocab_size": -1"#, "`vocab_size` is -1"),
            (
                olmo,
                r#""rope_parameters": { "full_attention": { "rope_type": "default" } }"#,
                "`rope_parameters` is {",
            ),
        ] {
            // A later field of the same name counts.
            let text = text.strip_suffix('}').unwrap();
            let error = read(&format!("{text}, {more} }}")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("configuration: {message}")), "{more}: {error}");
        }
    }
}
