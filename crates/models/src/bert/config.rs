//! The shape of a BERT.

use kernels::embedding::Positions;

use super::Variant;
use crate::Error;
use crate::fields::{check_in, check_size};
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

impl Config {
    /// A variant's defaults in transformers: those of BERT but for a few.
    pub(super) fn of(variant: Variant) -> Self {
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
        if self.type_vocab_size == 0 || self.has_one_segment() {
            u32::MAX as usize
        } else {
            self.type_vocab_size
        }
    }

    /// Whether all tokens are of the same segment, whatever a tokenizer says: RoBERTa has a table of one row, and
    /// transformers never gives it another segment.
    pub(crate) fn has_one_segment(&self) -> bool {
        self.variant == Variant::Roberta && self.type_vocab_size == 1
    }

    /// Rows of the tokens in the table of positions.
    pub(crate) fn numbering(&self) -> Positions {
        self.variant.numbering(self.pad_token_id)
    }

    /// Row of a sequence's first token in the table of positions, where it is not the padding word.
    pub(crate) fn first_position(&self) -> usize {
        match self.numbering() {
            Positions::Place => 0,
            Positions::Behind(padding) => padding as usize + 1,
        }
    }

    /// The longest sequence, in tokens.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
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
        } else if self.type_vocab_size != 0 {
            return Err(Error::Range {
                field: "type_vocab_size",
                found: self.type_vocab_size.to_string(),
                range: "0 in DistilBERT",
            });
        } else if self.layer_norm_eps != Self::default().layer_norm_eps {
            return Err(Error::Range {
                field: "layer_norm_eps",
                found: self.layer_norm_eps.to_string(),
                range: "1e-12 in DistilBERT",
            });
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

    /// The three probabilities: of hidden states, of attention, before the classifier.
    pub(crate) fn dropout(&self) -> [f64; 3] {
        [self.hidden_dropout_prob, self.attention_probs_dropout_prob, self.classifier_dropout()]
    }

    /// Drops units with this probability everywhere, before the classifier as well.
    pub fn set_dropout(&mut self, probability: f64) {
        (self.hidden_dropout_prob, self.attention_probs_dropout_prob) = (probability, probability);
        self.classifier_dropout = None;
    }

    /// Dropout before the classifier.
    #[must_use]
    pub fn classifier_dropout(&self) -> f64 {
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
fn is_norm(name: &str) -> bool {
    name.contains("LayerNorm.") || name.contains("layer_norm.")
}
