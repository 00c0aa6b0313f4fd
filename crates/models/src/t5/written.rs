//! The `config.json` of a T5, as transformers 4 and 5 read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Config, FeedForward};
use crate::Head;
use crate::fields::render;

impl Config {
    pub(crate) fn to_json(&self, head: Head, names: &[String]) -> String {
        let architecture = match head {
            Head::Classification { .. } => "T5ForSequenceClassification",
            _ => "T5ForConditionalGeneration",
        };
        let (projection, activation, is_gated) = match self.feed_forward {
            FeedForward::Relu => ("relu", "relu", false),
            FeedForward::GatedGelu => ("gated-gelu", "gelu_new", true),
        };
        // In the order of their names on every build.
        let mut fields: BTreeMap<&str, Value> = BTreeMap::from([
            ("architectures", json!([architecture])),
            ("classifier_dropout", json!(self.classifier_dropout)),
            ("d_ff", json!(self.d_ff)),
            ("d_kv", json!(self.d_kv)),
            ("d_model", json!(self.d_model)),
            ("decoder_start_token_id", json!(self.decoder_start_token_id)),
            ("dense_act_fn", json!(activation)),
            ("dropout_rate", json!(self.dropout_rate)),
            ("eos_token_id", json!(self.eos_token_id)),
            ("feed_forward_proj", json!(projection)),
            ("initializer_factor", json!(self.initializer_factor)),
            ("is_encoder_decoder", json!(true)),
            ("is_gated_act", json!(is_gated)),
            ("layer_norm_epsilon", json!(self.layer_norm_epsilon)),
            ("model_type", json!("t5")),
            ("n_positions", json!(self.n_positions)),
            ("num_decoder_layers", json!(self.num_decoder_layers)),
            ("num_heads", json!(self.num_heads)),
            ("num_layers", json!(self.num_layers)),
            ("pad_token_id", json!(self.pad_token_id)),
            ("relative_attention_max_distance", json!(self.relative_attention_max_distance)),
            ("relative_attention_num_buckets", json!(self.relative_attention_num_buckets)),
            // Transformers 5 asks for the factor before the head apart from the tie, transformers 4 does not.
            ("scale_decoder_outputs", json!(self.tie_word_embeddings)),
            ("tie_word_embeddings", json!(self.tie_word_embeddings)),
            ("torch_dtype", json!("float32")),
            ("use_cache", json!(true)),
            ("vocab_size", json!(self.vocab_size)),
        ]);
        if let Some(labels) = head.label_names(names) {
            let id2label: BTreeMap<usize, &String> = labels.iter().enumerate().collect();
            let label2id: BTreeMap<&String, usize> = labels.iter().zip(0..).collect();
            fields.extend([("id2label", json!(id2label)), ("label2id", json!(label2id))]);
        }
        render(&fields)
    }
}
