//! The `config.json` of a BERT and its relatives, as transformers reads it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Config, Variant};
use crate::Head;
use crate::fields::render;

#[derive(Serialize)]
struct Written {
    architectures: [&'static str; 1],
    attention_probs_dropout_prob: f64,
    classifier_dropout: Option<f64>,
    hidden_act: &'static str,
    hidden_dropout_prob: f64,
    hidden_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id2label: Option<BTreeMap<usize, String>>,
    initializer_range: f64,
    intermediate_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    label2id: Option<BTreeMap<String, usize>>,
    layer_norm_eps: f64,
    max_position_embeddings: usize,
    model_type: &'static str,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    pad_token_id: u32,
    position_embedding_type: &'static str,
    tie_word_embeddings: bool,
    torch_dtype: &'static str,
    type_vocab_size: usize,
    use_cache: bool,
    vocab_size: usize,
}

/// DistilBERT has names of its own.
#[derive(Serialize)]
struct WrittenDistil {
    activation: &'static str,
    architectures: [&'static str; 1],
    attention_dropout: f64,
    dim: usize,
    dropout: f64,
    hidden_dim: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id2label: Option<BTreeMap<usize, String>>,
    initializer_range: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    label2id: Option<BTreeMap<String, usize>>,
    max_position_embeddings: usize,
    model_type: &'static str,
    n_heads: usize,
    n_layers: usize,
    pad_token_id: u32,
    seq_classif_dropout: f64,
    tie_word_embeddings: bool,
    torch_dtype: &'static str,
    vocab_size: usize,
}

impl Config {
    pub(crate) fn to_json(&self, head: Head, names: &[String]) -> String {
        let labels = head.label_names(names);
        let id2label: Option<BTreeMap<usize, String>> =
            labels.clone().map(|labels| labels.into_iter().enumerate().collect());
        let label2id: Option<BTreeMap<String, usize>> =
            labels.map(|labels| labels.into_iter().enumerate().map(|(i, name)| (name, i)).collect());
        if self.variant == Variant::DistilBert {
            return render(&WrittenDistil {
                activation: "gelu",
                architectures: [self.variant.architecture(head)],
                attention_dropout: self.attention_probs_dropout_prob,
                dim: self.hidden_size,
                dropout: self.hidden_dropout_prob,
                hidden_dim: self.intermediate_size,
                id2label,
                initializer_range: self.initializer_range,
                label2id,
                max_position_embeddings: self.max_position_embeddings,
                model_type: self.variant.model_type(),
                n_heads: self.num_attention_heads,
                n_layers: self.num_hidden_layers,
                pad_token_id: self.pad_token_id,
                seq_classif_dropout: self.classifier_dropout(),
                tie_word_embeddings: true,
                torch_dtype: "float32",
                vocab_size: self.vocab_size,
            });
        }
        render(&Written {
            architectures: [self.variant.architecture(head)],
            attention_probs_dropout_prob: self.attention_probs_dropout_prob,
            classifier_dropout: self.classifier_dropout,
            hidden_act: "gelu",
            hidden_dropout_prob: self.hidden_dropout_prob,
            hidden_size: self.hidden_size,
            id2label,
            initializer_range: self.initializer_range,
            intermediate_size: self.intermediate_size,
            label2id,
            layer_norm_eps: self.layer_norm_eps,
            max_position_embeddings: self.max_position_embeddings,
            model_type: self.variant.model_type(),
            num_attention_heads: self.num_attention_heads,
            num_hidden_layers: self.num_hidden_layers,
            pad_token_id: self.pad_token_id,
            position_embedding_type: "absolute",
            tie_word_embeddings: true,
            torch_dtype: "float32",
            type_vocab_size: self.type_vocab_size,
            use_cache: true,
            vocab_size: self.vocab_size,
        })
    }
}
