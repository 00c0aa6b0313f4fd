//! The shape of the model that is pretrained: its family and sizes.

use clap::{Args, ValueEnum};
use models::{Config, Head, bert, decoder, mlp, t5};
use serde::{Deserialize, Serialize};
use tasks::corpus::Objective;
use tasks::{Corruption, Masking};

use super::world::Reads;
use crate::stage::{Failure, ranges};

/// Default standard deviation of the initial weights.
pub(super) const INITIALIZER_RANGE: f64 = 0.1;

/// The architecture that is trained on a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Encoder, trained with masked language modelling
    Bert,
    /// Decoder with learned positions, trained on next-token prediction
    Gpt2,
    /// Decoder with rotary positions and parallel blocks (Pythia)
    GptNeox,
    /// Decoder with rotary positions, RMSNorm and SwiGLU
    Llama,
    /// Encoder and decoder, trained with span corruption; needs a corpus with --sentinels
    T5,
}

impl Family {
    /// Omitted from the recipe when it is the default.
    pub(super) fn is_bert(&self) -> bool {
        *self == Self::Bert
    }

    fn decoder(self) -> Option<decoder::Variant> {
        match self {
            Self::Bert | Self::T5 => None,
            Self::Gpt2 => Some(decoder::Variant::Gpt2),
            Self::GptNeox => Some(decoder::Variant::GptNeoX),
            Self::Llama => Some(decoder::Variant::Llama),
        }
    }

    /// What is predicted from a text.
    pub(super) fn objective(self) -> Objective {
        match self {
            Self::Bert => Objective::Masked(Masking::BERT),
            Self::T5 => Objective::Spans(Corruption::T5),
            Self::Gpt2 | Self::GptNeox | Self::Llama => Objective::Causal,
        }
    }
}

/// Sizes of the model.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Model")]
pub struct Shape {
    /// Architecture, with --world corpus
    #[arg(long, value_enum, default_value_t = Family::Bert)]
    #[serde(skip_serializing_if = "Family::is_bert")]
    pub family: Family,
    /// Width of the hidden states
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = ranges::count(1..=65_536))]
    pub hidden: usize,
    /// Number of layers
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = ranges::count(0..=1_024))]
    pub layers: usize,
    /// Attention heads of a layer; they divide --hidden
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = ranges::count(1..=1_024))]
    pub heads: usize,
    /// Width of the feed-forward layers [default: 4 x --hidden]
    #[arg(long, value_name = "N", value_parser = ranges::count(1..=1_048_576))]
    pub intermediate: Option<usize>,
    /// Longest input in tokens
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = ranges::count(1..=1_048_576))]
    pub positions: usize,
    /// Standard deviation of the initial weights
    #[arg(long, default_value_t = INITIALIZER_RANGE, value_name = "STD", value_parser = ranges::number(0.0..=100.0))]
    pub initializer_range: f64,
    /// Dropout probability in pretraining, and the default of fine-tuning
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = ranges::number(0.0..=0.99))]
    pub dropout: f64,
}

impl Shape {
    /// The configuration and head of a model that reads this.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a shape that no model can have, [`Failure::Task`] for a tokenizer that cannot be read.
    pub(super) fn config(&self, reads: &Reads) -> Result<(Config, Head), Failure> {
        let (config, head) = match reads {
            Reads::Dense { width, classes, .. } => {
                let hidden_sizes = vec![self.hidden; self.layers];
                let config = mlp::Config { input_size: *width, hidden_sizes };
                (Config::Mlp(config), Head::Classification { labels: *classes })
            }
            Reads::Text(tokenizer) => match (self.family.decoder(), self.family) {
                (Some(variant), _) => {
                    (Config::Decoder(self.decoder(variant, tokenizer)?), Head::CausalLanguage)
                }
                (None, Family::T5) => (Config::T5(self.t5(tokenizer)?), Head::SequenceToSequence),
                (None, _) => (Config::Bert(self.bert(tokenizer)?), Head::MaskedLanguage),
            },
        };
        config.check().map_err(|error| Failure::Usage(format!("no model has this shape: {error}")))?;
        Ok((config, head))
    }

    fn intermediate(&self) -> usize {
        self.intermediate.unwrap_or(4 * self.hidden)
    }

    fn bert(&self, tokenizer: &[u8]) -> Result<bert::Config, Failure> {
        Ok(bert::Config {
            vocab_size: tasks::vocabulary_size(tokenizer)?,
            hidden_size: self.hidden,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            intermediate_size: self.intermediate(),
            max_position_embeddings: self.positions,
            initializer_range: self.initializer_range,
            hidden_dropout_prob: self.dropout,
            attention_probs_dropout_prob: self.dropout,
            ..Default::default()
        })
    }

    fn decoder(&self, variant: decoder::Variant, tokenizer: &[u8]) -> Result<decoder::Config, Failure> {
        let mut config = decoder::Config {
            vocab_size: tasks::vocabulary_size(tokenizer)?,
            hidden_size: self.hidden,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.heads,
            head_dim: self.hidden / self.heads,
            intermediate_size: self.intermediate(),
            max_position_embeddings: self.positions,
            initializer_range: self.initializer_range,
            pad_token_id: tasks::token_id(tokenizer, tasks::PADDING)?,
            ..decoder::Config::of(variant)
        };
        config.set_dropout(self.dropout);
        Ok(config)
    }

    /// Both stacks have the same number of layers.
    fn t5(&self, tokenizer: &[u8]) -> Result<t5::Config, Failure> {
        let pad_token_id = tasks::token_id(tokenizer, tasks::PADDING)?;
        let mut config = t5::Config {
            vocab_size: tasks::vocabulary_size(tokenizer)?,
            d_model: self.hidden,
            d_kv: self.hidden / self.heads,
            d_ff: self.intermediate(),
            num_layers: self.layers,
            num_decoder_layers: self.layers,
            num_heads: self.heads,
            n_positions: self.positions,
            pad_token_id,
            eos_token_id: tasks::token_id(tokenizer, &["</s>", "[SEP]"])?.unwrap_or_default(),
            decoder_start_token_id: pad_token_id.unwrap_or_default(),
            ..t5::Config::default()
        };
        config.set_dropout(self.dropout);
        Ok(config)
    }
}
