//! The `config.json` of a decoder, as transformers reads it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Activation, Config, Variant};
use crate::Head;
use crate::fields::render;

impl Config {
    pub(crate) fn to_json(&self, head: Head, names: &[String]) -> String {
        let class = self.variant.class();
        let architecture = match (head, self.variant) {
            (Head::Classification { .. }, _) => format!("{class}ForSequenceClassification"),
            (_, Variant::Gpt2) => format!("{class}LMHeadModel"),
            _ => format!("{class}ForCausalLM"),
        };
        // In the order of their names on every build.
        let mut fields: BTreeMap<&str, Value> = BTreeMap::from([
            ("architectures", json!([architecture])),
            // Else transformers fills in tokens that may not exist.
            ("bos_token_id", Value::Null),
            ("eos_token_id", Value::Null),
            ("initializer_range", json!(self.initializer_range)),
            ("model_type", json!(self.variant.model_type())),
            ("pad_token_id", json!(self.pad_token_id)),
            ("tie_word_embeddings", json!(self.tie_word_embeddings)),
            ("torch_dtype", json!("float32")),
            ("use_cache", json!(true)),
            ("vocab_size", json!(self.vocab_size)),
        ]);
        match self.variant {
            Variant::Gpt2 => fields.extend(self.gpt2()),
            Variant::GptNeoX => fields.extend(self.gpt_neox()),
            Variant::Llama | Variant::Olmo2 => fields.extend(self.llama()),
        }
        if let Some(labels) = head.label_names(names) {
            let id2label: BTreeMap<usize, &String> = labels.iter().enumerate().collect();
            let label2id: BTreeMap<&String, usize> = labels.iter().zip(0..).collect();
            fields.extend([("id2label", json!(id2label)), ("label2id", json!(label2id))]);
        }
        render(&fields)
    }

    fn gpt2(&self) -> impl IntoIterator<Item = (&'static str, Value)> {
        [
            ("activation_function", json!(self.activation())),
            ("attn_pdrop", json!(self.attention_dropout)),
            ("embd_pdrop", json!(self.embedding_dropout)),
            ("layer_norm_epsilon", json!(self.norm_eps)),
            ("n_embd", json!(self.hidden_size)),
            ("n_head", json!(self.num_attention_heads)),
            ("n_inner", json!(self.intermediate_size)),
            ("n_layer", json!(self.num_hidden_layers)),
            ("n_positions", json!(self.max_position_embeddings)),
            ("resid_pdrop", json!(self.residual_dropout)),
            ("scale_attn_by_inverse_layer_idx", json!(self.scale_attn_by_inverse_layer_idx)),
        ]
    }

    /// Rotations under the names of transformers 4 and of transformers 5.
    fn gpt_neox(&self) -> impl IntoIterator<Item = (&'static str, Value)> {
        [
            ("attention_dropout", json!(self.attention_dropout)),
            ("hidden_act", json!(self.activation())),
            ("hidden_dropout", json!(self.residual_dropout)),
            ("hidden_size", json!(self.hidden_size)),
            ("intermediate_size", json!(self.intermediate_size)),
            ("layer_norm_eps", json!(self.norm_eps)),
            ("max_position_embeddings", json!(self.max_position_embeddings)),
            ("num_attention_heads", json!(self.num_attention_heads)),
            ("num_hidden_layers", json!(self.num_hidden_layers)),
            ("rope_parameters", self.written_rotations(true)),
            ("rotary_emb_base", json!(self.rope_theta)),
            ("rotary_pct", json!(self.partial_rotary_factor)),
            ("use_parallel_residual", json!(self.use_parallel_residual)),
        ]
    }

    fn llama(&self) -> impl IntoIterator<Item = (&'static str, Value)> {
        [
            ("attention_dropout", json!(self.attention_dropout)),
            ("head_dim", json!(self.head_dim)),
            ("hidden_act", json!(self.activation())),
            ("hidden_size", json!(self.hidden_size)),
            ("intermediate_size", json!(self.intermediate_size)),
            ("max_position_embeddings", json!(self.max_position_embeddings)),
            ("num_attention_heads", json!(self.num_attention_heads)),
            ("num_hidden_layers", json!(self.num_hidden_layers)),
            ("num_key_value_heads", json!(self.num_key_value_heads)),
            ("rms_norm_eps", json!(self.norm_eps)),
            ("rope_parameters", self.written_rotations(false)),
            ("rope_theta", json!(self.rope_theta)),
        ]
    }

    fn activation(&self) -> &'static str {
        match self.activation {
            Activation::Gelu => "gelu",
            Activation::GeluNew => "gelu_new",
            Activation::SwiGlu => "silu",
        }
    }
}
