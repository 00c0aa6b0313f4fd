//! What the decoders call their tensors, and how they are built.

/// One of the architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Radford et al. 2019: learned positions, weights stored `[in, out]`, the decoder tied to the words.
    Gpt2,
    /// Black et al. 2022, and Pythia: some values of each head are rotated, query, key and value of a head lie side by
    /// side, and attention and feed-forward block may read the same stream.
    GptNeoX,
    /// Touvron et al. 2023: RMSNorm, rotated heads that may share keys and values, SwiGLU, no biases.
    Llama,
    /// OLMo team 2024: Llama, but each block's output is normalised instead of its input, and so are all queries
    /// together and all keys.
    Olmo2,
}

/// What a variant calls its parts.
pub(crate) struct Names {
    /// The body.
    pub(crate) body: &'static str,
    /// The table of words.
    pub(crate) words: &'static str,
    /// The table of positions, where there is one.
    pub(crate) positions: Option<&'static str>,
    /// The layers within the body; a layer's number follows.
    pub(crate) layers: &'static str,
    /// Parts of a layer: one map to queries, keys and values or one for each, the map behind the attention, and so on.
    pub(crate) projections: &'static [&'static str],
    pub(crate) projection_norms: Option<[&'static str; 2]>,
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norm: &'static str,
    /// One map into the feed-forward block, or those of gates and values.
    pub(crate) inner: &'static [&'static str],
    pub(crate) output: &'static str,
    pub(crate) output_norm: &'static str,
    /// The norm behind the layers, within the body.
    pub(crate) final_norm: &'static str,
    /// The language head, where it is not tied to the words.
    pub(crate) decoder: &'static str,
}

impl Variant {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::Gpt2, Self::GptNeoX, Self::Llama, Self::Olmo2];

    /// `model_type` in `config.json`.
    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::GptNeoX => "gpt_neox",
            Self::Llama => "llama",
            Self::Olmo2 => "olmo2",
        }
    }

    /// What the names of its classes in transformers begin with.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Gpt2 => "GPT2",
            Self::GptNeoX => "GPTNeoX",
            Self::Llama => "Llama",
            Self::Olmo2 => "Olmo2",
        }
    }

    /// Names of tensors in published checkpoints.
    pub(crate) fn names(self) -> Names {
        match self {
            Self::Gpt2 => Names {
                body: "transformer",
                words: "wte",
                positions: Some("wpe"),
                layers: "h",
                projections: &["attn.c_attn"],
                projection_norms: None,
                attention_output: "attn.c_proj",
                attention_norm: "ln_1",
                inner: &["mlp.c_fc"],
                output: "mlp.c_proj",
                output_norm: "ln_2",
                final_norm: "ln_f",
                decoder: "lm_head",
            },
            Self::GptNeoX => Names {
                body: "gpt_neox",
                words: "embed_in",
                positions: None,
                layers: "layers",
                projections: &["attention.query_key_value"],
                projection_norms: None,
                attention_output: "attention.dense",
                attention_norm: "input_layernorm",
                inner: &["mlp.dense_h_to_4h"],
                output: "mlp.dense_4h_to_h",
                output_norm: "post_attention_layernorm",
                final_norm: "final_layer_norm",
                decoder: "embed_out",
            },
            Self::Llama => Names {
                body: "model",
                words: "embed_tokens",
                positions: None,
                layers: "layers",
                projections: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
                projection_norms: None,
                attention_output: "self_attn.o_proj",
                attention_norm: "input_layernorm",
                inner: &["mlp.gate_proj", "mlp.up_proj"],
                output: "mlp.down_proj",
                output_norm: "post_attention_layernorm",
                final_norm: "norm",
                decoder: "lm_head",
            },
            Self::Olmo2 => Names {
                projection_norms: Some(["self_attn.q_norm", "self_attn.k_norm"]),
                attention_norm: "post_attention_layernorm",
                output_norm: "post_feedforward_layernorm",
                ..Self::Llama.names()
            },
        }
    }

    /// Today's name of a tensor of a published checkpoint: that of a bare body lacks its leading name. `None` for a
    /// constant that older versions of transformers kept among the weights: causal masks, frequencies.
    pub(crate) fn current_name(self, name: &str) -> Option<String> {
        const CONSTANTS: [&str; 5] = [
            ".attn.bias",
            ".attn.masked_bias",
            ".attention.bias",
            ".attention.masked_bias",
            "rotary_emb.inv_freq",
        ];
        if CONSTANTS.iter().any(|end| name.ends_with(end)) {
            return None;
        }
        let names = self.names();
        let first = name.split('.').next();
        let parts = [Some(names.words), names.positions, Some(names.layers), Some(names.final_norm)];
        if parts.iter().flatten().any(|&part| Some(part) == first) {
            return Some(format!("{}.{name}", names.body));
        }
        // Transformers 5 calls every language head alike in memory.
        Some(
            name.strip_prefix("lm_head.").map_or(name.to_owned(), |rest| format!("{}.{rest}", names.decoder)),
        )
    }

    /// Whether weights are stored `[in, out]`.
    pub(crate) fn is_transposed(self) -> bool {
        self == Self::Gpt2
    }

    /// Whether maps have biases and norms subtract the mean and have a shift: LayerNorm, and not RMSNorm.
    pub(super) fn has_biases(self) -> bool {
        matches!(self, Self::Gpt2 | Self::GptNeoX)
    }

    /// Whether what a block adds to the stream is normalised, and not what it reads.
    pub(crate) fn normalises_outputs(self) -> bool {
        self == Self::Olmo2
    }

    /// Whether positions are rotations of queries and keys, and not a table.
    pub(super) fn rotates(self) -> bool {
        self != Self::Gpt2
    }

    /// Whether heads of queries may share one of keys and values, and heads may be wider than the stream allows.
    pub(crate) fn shares_keys(self) -> bool {
        matches!(self, Self::Llama | Self::Olmo2)
    }
}
