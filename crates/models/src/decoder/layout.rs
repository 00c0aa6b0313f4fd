//! Where a decoder's parameters lie.

use std::ops::Range;

use kernels::attention::{Heads, Sight};
use kernels::matmul::Precision;
use weights::Layout;

use super::parts::{Map, Norm};
use super::{Activation, Config};
use crate::{Error, Head};

/// A decoder: its shape and the places of its parameters in the flat buffer.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub(super) config: Config,
    pub(super) words: Range<usize>,
    /// Empty where positions are rotations; else they follow the words.
    pub(super) positions: Range<usize>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Norm,
    /// From a hidden state to the logits of words or classes.
    pub(super) head: Map,
    pub(super) is_classifier: bool,
    /// Of the rotations; empty where there are none.
    pub(super) frequencies: Vec<f32>,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// To queries, keys and values.
    pub(super) attention: Map,
    /// Of all queries together, and of all keys.
    pub(super) projection_norms: Option<[Norm; 2]>,
    pub(super) attention_output: Map,
    pub(super) attention_norm: Norm,
    /// Into the feed-forward block: gates and values where it is SwiGLU.
    pub(super) inner: Map,
    pub(super) output: Map,
    pub(super) output_norm: Norm,
}

impl Decoder {
    pub(crate) fn new(config: &Config, head: Head, layout: &mut Layout) -> Result<Self, Error> {
        let variant = config.variant;
        let (h, f, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let names = variant.names();
        let (body, has_biases, is_transposed) = (names.body, variant.has_biases(), variant.is_transposed());
        let words = layout.push(format!("{body}.{}.weight", names.words), &[v, h]);
        let positions = match names.positions {
            None => words.end..words.end,
            Some(name) => layout.push(format!("{body}.{name}.weight"), &[config.max_position_embeddings, h]),
        };
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let name = |part: &str| format!("{body}.{}.{i}.{part}", names.layers);
                let named = |parts: &[&str], outputs: &[usize]| -> Vec<(String, usize)> {
                    parts.iter().map(|part| name(part)).zip(outputs.iter().copied()).collect()
                };
                let projections = match names.projections {
                    [fused] => named(&[fused], &[queries + 2 * keys]),
                    parts => named(parts, &[queries, keys, keys]),
                };
                let map = |layout: &mut Layout, maps: &[(String, usize)], inputs| {
                    Map::push(layout, maps, inputs, has_biases, is_transposed)
                };
                let norm = |layout: &mut Layout, part: &str, width| {
                    Norm::push(layout, &name(part), width, has_biases, config.norm_eps)
                };
                Layer {
                    attention: map(layout, &projections, h),
                    projection_norms: names
                        .projection_norms
                        .map(|[q, k]| [norm(layout, q, queries), norm(layout, k, keys)]),
                    attention_output: map(layout, &named(&[names.attention_output], &[h]), queries),
                    attention_norm: norm(layout, names.attention_norm, h),
                    inner: map(layout, &named(names.inner, &[f, f]), h),
                    output: map(layout, &named(&[names.output], &[h]), f),
                    output_norm: norm(layout, names.output_norm, h),
                }
            })
            .collect();
        let final_norm =
            Norm::push(layout, &format!("{body}.{}", names.final_norm), h, has_biases, config.norm_eps);
        let linear = |layout: &mut Layout, name: &str, outputs| {
            Map::push(layout, &[(name.to_owned(), outputs)], h, false, false)
        };
        let head_map = match head {
            Head::CausalLanguage if config.tie_word_embeddings => Map::at(words.clone(), v, h),
            Head::CausalLanguage => linear(layout, names.decoder, v),
            Head::Classification { labels } => linear(layout, "score", labels),
            Head::MaskedLanguage | Head::SequenceToSequence => {
                return Err(Error::Head { model_type: variant.model_type(), head: head.name() });
            }
        };
        Ok(Self {
            config: config.clone(),
            words,
            positions,
            layers,
            final_norm,
            head: head_map,
            is_classifier: matches!(head, Head::Classification { .. }),
            frequencies: config.frequencies(),
        })
    }

    /// Sets what the products of the blocks and of the language head are computed in.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        for layer in &mut self.layers {
            for map in
                [&mut layer.attention, &mut layer.attention_output, &mut layer.inner, &mut layer.output]
            {
                map.precision = precision;
            }
        }
        if !self.is_classifier {
            self.head.precision = precision;
        }
    }

    /// How a layer's queries, keys and values lie in memory, and how they meet.
    pub(super) fn attention_heads(&self, layer: usize) -> Heads {
        let Config { num_attention_heads: count, num_key_value_heads: shared, head_dim, .. } = self.config;
        let heads = match self.config.variant {
            super::Variant::GptNeoX => Heads::interleaved(count, head_dim),
            _ => Heads::grouped(count, shared, head_dim),
        };
        let divisor = if self.config.scale_attn_by_inverse_layer_idx { layer + 1 } else { 1 };
        Heads { sight: Sight::Past, scale: heads.scale / divisor as f32, ..heads }
    }

    pub(super) fn is_gated(&self) -> bool {
        self.config.activation == Activation::SwiGlu
    }
}
