//! The shape of a T5.

use crate::Error;
use crate::fields::{check_in, check_size};
use crate::start::Initial;

/// What happens inside the feed-forward blocks: `feed_forward_proj`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// `relu` of one map (T5).
    Relu,
    /// `gated-gelu`: `gelu_new` of one map times another (T5 1.1).
    GatedGelu,
}

/// Shape and probabilities of a T5.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Number of words.
    pub vocab_size: usize,
    /// Width of the residual stream, H.
    pub d_model: usize,
    /// Values per head; the heads together may be wider or narrower than the stream.
    pub d_kv: usize,
    /// Width inside the feed-forward blocks.
    pub d_ff: usize,
    /// Number of layers of the encoder.
    pub num_layers: usize,
    /// Number of layers of the decoder.
    pub num_decoder_layers: usize,
    /// Number of heads.
    pub num_heads: usize,
    /// Number of biases by distance of each head.
    pub relative_attention_num_buckets: usize,
    /// Distances from this one on share a bias.
    pub relative_attention_max_distance: usize,
    /// What happens inside the feed-forward blocks.
    pub feed_forward: FeedForward,
    /// Whether the language head's weights are those of the words, and its input is multiplied by `d_model^-0.5` (T5), or
    /// neither (T5 1.1).
    pub tie_word_embeddings: bool,
    /// Factor of fresh weights' standard deviations, which depend on the tensor.
    pub initializer_factor: f64,
    /// Added to the mean square in norms.
    pub layer_norm_epsilon: f64,
    /// Dropout of embeddings, attention probabilities, blocks and outputs.
    pub dropout_rate: f64,
    /// Dropout around the classifier's hidden layer.
    pub classifier_dropout: f64,
    /// Tokens that a text is usually cut at. Positions are relative, so that nothing else bounds it.
    pub n_positions: usize,
    /// Word that pads batches elsewhere.
    pub pad_token_id: Option<u32>,
    /// Word that ends a sequence: where it stands last, a sequence is classified.
    pub eos_token_id: u32,
    /// Word that the decoder's input begins with.
    pub decoder_start_token_id: u32,
}

impl Default for Config {
    /// transformers' own: T5 small.
    fn default() -> Self {
        Self {
            vocab_size: 32_128,
            d_model: 512,
            d_kv: 64,
            d_ff: 2048,
            num_layers: 6,
            num_decoder_layers: 6,
            num_heads: 8,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            feed_forward: FeedForward::Relu,
            tie_word_embeddings: true,
            initializer_factor: 1.0,
            layer_norm_epsilon: 1e-6,
            dropout_rate: 0.1,
            classifier_dropout: 0.0,
            n_positions: 512,
            pad_token_id: Some(0),
            eos_token_id: 1,
            decoder_start_token_id: 0,
        }
    }
}

impl Config {
    /// Drops units with this probability wherever the family drops any.
    pub fn set_dropout(&mut self, probability: f64) {
        (self.dropout_rate, self.classifier_dropout) = (probability, probability);
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_size("vocab_size", self.vocab_size)?;
        check_size("d_model", self.d_model)?;
        check_size("d_kv", self.d_kv)?;
        check_size("d_ff", self.d_ff)?;
        check_size("num_layers", self.num_layers)?;
        check_size("num_decoder_layers", self.num_decoder_layers)?;
        check_size("num_heads", self.num_heads)?;
        // The width of all heads together, so that products of it stay in range as well.
        check_size("num_heads", self.num_heads.saturating_mul(self.d_kv))?;
        check_size("n_positions", self.n_positions)?;
        check_size("relative_attention_num_buckets", self.relative_attention_num_buckets)?;
        check_size("relative_attention_max_distance", self.relative_attention_max_distance)?;
        let is = |holds: bool, field, found: String, range| {
            if holds { Ok(()) } else { Err(Error::Range { field, found, range }) }
        };
        let (buckets, farthest) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        is(buckets >= 4, "relative_attention_num_buckets", buckets.to_string(), "at least 4")?;
        let says = "more than half of `relative_attention_num_buckets`";
        is(farthest > buckets / 2, "relative_attention_max_distance", farthest.to_string(), says)?;
        for (field, word) in
            [("eos_token_id", self.eos_token_id), ("decoder_start_token_id", self.decoder_start_token_id)]
        {
            is((word as usize) < self.vocab_size, field, word.to_string(), "below `vocab_size`")?;
        }
        check_in("initializer_factor", self.initializer_factor, 0.0..1e6, "at least 0 and finite")?;
        check_in("layer_norm_epsilon", self.layer_norm_epsilon, 1e-30..1.0, "in 1e-30..1")?;
        check_in("dropout_rate", self.dropout_rate, 0.0..1.0, "in 0..1")?;
        check_in("classifier_dropout", self.classifier_dropout, 0.0..1.0, "in 0..1")
    }

    /// How a tensor begins: from a normal distribution whose width keeps what it makes at the size of its input, as
    /// transformers and Mesh TensorFlow have it. Queries are smaller, since scores are not scaled.
    pub(crate) fn initial(&self, name: &str, shape: &[usize]) -> Initial {
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let over = |n: usize| Initial::Normal(self.initializer_factor / (n as f64).sqrt());
        if name.ends_with(".bias") {
            Initial::Zeros
        } else if shape.len() == 1 {
            Initial::Ones
        } else if ends(&["shared.weight", "lm_head.weight"]) {
            Initial::Normal(self.initializer_factor)
        } else if ends(&[".q.weight"]) {
            over(self.d_model * self.d_kv)
        } else if ends(&[".o.weight"]) {
            over(self.num_heads * self.d_kv)
        } else if ends(&[".wo.weight"]) {
            over(self.d_ff)
        } else {
            over(self.d_model)
        }
    }
}
