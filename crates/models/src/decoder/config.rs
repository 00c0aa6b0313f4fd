//! The shape of a decoder.

use super::{Scaling, Variant};
use crate::Error;
use crate::fields::{check_in, check_size};
use crate::start::Initial;

/// What happens inside the feed-forward blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU with erf: `gelu`.
    Gelu,
    /// Its tanh approximation: `gelu_new`.
    GeluNew,
    /// SwiGLU: `silu` of one map times another.
    SwiGlu,
}

/// Shape and probabilities of a decoder. Where variants call a field otherwise in `config.json`, the name is Llama's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which of the architectures: `model_type`.
    pub variant: Variant,
    /// Number of words.
    pub vocab_size: usize,
    /// Width of the residual stream, H.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of heads of queries.
    pub num_attention_heads: usize,
    /// Number of heads of keys and values; divides that of queries.
    pub num_key_value_heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// Width inside the feed-forward blocks.
    pub intermediate_size: usize,
    /// The longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// What happens inside the feed-forward blocks.
    pub activation: Activation,
    /// Base of the rotations' frequencies. Means nothing to GPT-2.
    pub rope_theta: f64,
    /// What became of those frequencies. Means nothing to GPT-2.
    pub rope_scaling: Scaling,
    /// Share of each head that is rotated, from its start. Means nothing to GPT-2.
    pub partial_rotary_factor: f64,
    /// Whether attention and feed-forward block of a layer read the same stream (GPT-NeoX).
    pub use_parallel_residual: bool,
    /// Whether scores of layer `i`, counted from 0, are divided by `i + 1` as well (GPT-2).
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Whether the language head's weights are those of the words.
    pub tie_word_embeddings: bool,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Added to the variance or the mean square in norms.
    pub norm_eps: f64,
    /// Dropout of the embeddings: GPT-2's `embd_pdrop`, GPT-NeoX's `hidden_dropout`.
    pub embedding_dropout: f64,
    /// Dropout of attention probabilities.
    pub attention_dropout: f64,
    /// Dropout behind both blocks: GPT-2's `resid_pdrop`, GPT-NeoX's `hidden_dropout`.
    pub residual_dropout: f64,
    /// Word that pads batches elsewhere: a sequence is classified at its last token that is another one.
    pub pad_token_id: Option<u32>,
}

impl Config {
    /// Llama 7B's, as another variant.
    fn like_llama(variant: Variant) -> Self {
        Self {
            variant,
            vocab_size: 32_000,
            hidden_size: 4096,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: 32,
            head_dim: 128,
            intermediate_size: 11_008,
            max_position_embeddings: 2048,
            activation: Activation::SwiGlu,
            rope_theta: 1e4,
            rope_scaling: Scaling::None,
            partial_rotary_factor: 1.0,
            use_parallel_residual: false,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: false,
            initializer_range: 0.02,
            norm_eps: 1e-6,
            embedding_dropout: 0.0,
            attention_dropout: 0.0,
            residual_dropout: 0.0,
            pad_token_id: None,
        }
    }

    /// A variant's defaults in transformers: GPT-2 small, GPT-NeoX-20B, Llama 7B, OLMo 2 7B.
    #[must_use]
    pub fn of(variant: Variant) -> Self {
        let llama = Self::like_llama(variant);
        match variant {
            Variant::Llama => llama,
            Variant::Olmo2 => Self { vocab_size: 50_304, norm_eps: 1e-5, pad_token_id: Some(1), ..llama },
            Variant::GptNeoX => Self {
                vocab_size: 50_432,
                hidden_size: 6144,
                num_hidden_layers: 44,
                num_attention_heads: 64,
                num_key_value_heads: 64,
                head_dim: 96,
                intermediate_size: 24_576,
                activation: Activation::Gelu,
                partial_rotary_factor: 0.25,
                use_parallel_residual: true,
                norm_eps: 1e-5,
                ..llama
            },
            Variant::Gpt2 => Self {
                vocab_size: 50_257,
                hidden_size: 768,
                num_hidden_layers: 12,
                num_attention_heads: 12,
                num_key_value_heads: 12,
                head_dim: 64,
                intermediate_size: 3072,
                max_position_embeddings: 1024,
                activation: Activation::GeluNew,
                tie_word_embeddings: true,
                norm_eps: 1e-5,
                embedding_dropout: 0.1,
                attention_dropout: 0.1,
                residual_dropout: 0.1,
                ..llama
            },
        }
    }

    /// Drops units with this probability wherever the variant drops any.
    pub fn set_dropout(&mut self, probability: f64) {
        self.attention_dropout = probability;
        if self.variant.has_biases() {
            (self.embedding_dropout, self.residual_dropout) = (probability, probability);
        }
    }

    /// Values of a head that are rotated.
    pub(super) fn rotated(&self) -> usize {
        if self.variant.rotates() { (self.head_dim as f64 * self.partial_rotary_factor) as usize } else { 0 }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_size("vocab_size", self.vocab_size)?;
        check_size("hidden_size", self.hidden_size)?;
        check_size("num_hidden_layers", self.num_hidden_layers)?;
        check_size("num_attention_heads", self.num_attention_heads)?;
        check_size("num_key_value_heads", self.num_key_value_heads)?;
        check_size("head_dim", self.head_dim)?;
        check_size("intermediate_size", self.intermediate_size)?;
        check_size("max_position_embeddings", self.max_position_embeddings)?;
        let (variant, heads) = (self.variant, self.num_attention_heads);
        let is = |holds: bool, field, found: String, range| {
            if holds { Ok(()) } else { Err(Error::Range { field, found, range }) }
        };
        let divides = self.hidden_size.is_multiple_of(heads);
        is(divides, "num_attention_heads", heads.to_string(), "a divisor of `hidden_size`")?;
        let shared = self.num_key_value_heads;
        is(
            heads.is_multiple_of(shared),
            "num_key_value_heads",
            shared.to_string(),
            "a divisor of `num_attention_heads`",
        )?;
        if !variant.shares_keys() {
            let is_own = shared == heads;
            is(is_own, "num_key_value_heads", shared.to_string(), "`num_attention_heads` in this family")?;
            let fits = self.head_dim * heads == self.hidden_size;
            let says = "`hidden_size` / `num_attention_heads` in this family";
            is(fits, "head_dim", self.head_dim.to_string(), says)?;
        }
        check_in("partial_rotary_factor", self.partial_rotary_factor, 0.0..1.0 + f64::EPSILON, "in 0..=1")?;
        check_in("rope_theta", self.rope_theta, 1e-3..1e12, "in 1e-3..1e12")?;
        self.rope_scaling.check()?;
        if variant.rotates() {
            let says = "so large that an even number of a head's values is rotated, at least 2";
            let rotated = self.rotated();
            let fits = rotated > 0 && rotated.is_multiple_of(2);
            is(fits, "partial_rotary_factor", self.partial_rotary_factor.to_string(), says)?;
        }
        let is_known = (self.activation == Activation::SwiGlu) != variant.has_biases();
        is(is_known, "hidden_act", format!("{:?}", self.activation), "one that this family has")?;
        let may_be = self.use_parallel_residual <= (variant == Variant::GptNeoX);
        is(may_be, "use_parallel_residual", "true".into(), "`false` in this family")?;
        let may_be = self.scale_attn_by_inverse_layer_idx <= (variant == Variant::Gpt2);
        is(may_be, "scale_attn_by_inverse_layer_idx", "true".into(), "`false` in this family")?;
        check_in("initializer_range", self.initializer_range, 0.0..1e6, "at least 0 and finite")?;
        check_in("norm_eps", self.norm_eps, 1e-30..1.0, "in 1e-30..1")?;
        check_in("embedding_dropout", self.embedding_dropout, 0.0..1.0, "in 0..1")?;
        check_in("attention_dropout", self.attention_dropout, 0.0..1.0, "in 0..1")?;
        check_in("residual_dropout", self.residual_dropout, 0.0..1.0, "in 0..1")?;
        let (before, behind) = (self.embedding_dropout, self.residual_dropout);
        let is_known = match variant {
            Variant::Gpt2 => true,
            Variant::GptNeoX => before == behind,
            Variant::Llama | Variant::Olmo2 => before == 0.0 && behind == 0.0,
        };
        is(is_known, "embedding_dropout", before.to_string(), "what `config.json` can say in this family")
    }

    /// How a tensor begins. GPT-2 makes the maps at the ends of its blocks smaller, so that the stream does not grow
    /// with the number of layers.
    pub(crate) fn initial(&self, name: &str, shape: &[usize]) -> Initial {
        if name.ends_with(".bias") {
            Initial::Zeros
        } else if shape.len() == 1 {
            Initial::Ones
        } else if self.variant == Variant::Gpt2 && name.ends_with(".c_proj.weight") {
            Initial::Normal(self.initializer_range / (2.0 * self.num_hidden_layers as f64).sqrt())
        } else {
            Initial::Normal(self.initializer_range)
        }
    }
}
