//! Where a T5's parameters lie.

use std::ops::Range;

use kernels::attention::{Heads, Sight};
use kernels::matmul::Precision;
use weights::Layout;

use super::buckets::Buckets;
use super::{Config, FeedForward, names};
use crate::decoder::parts::{Map, Norm};
use crate::{Error, Head};

/// A T5: its shape and the places of its parameters in the flat buffer.
#[derive(Clone, Debug)]
pub(crate) struct T5 {
    pub(super) config: Config,
    pub(super) words: Range<usize>,
    pub(super) encoder: Stack,
    pub(super) decoder: Stack,
    pub(super) head: HeadPlaces,
}

/// What the decoder's states are mapped to.
#[derive(Clone, Debug)]
pub(super) enum HeadPlaces {
    /// Logits of words.
    Language(Map),
    /// A hidden layer, and logits of classes.
    Classifier { dense: Map, output: Map },
}

/// The encoder or the decoder.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// The table of biases, `[buckets, heads]`.
    pub(super) distances: Range<usize>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Norm,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// To queries, keys and values.
    pub(super) attention: Map,
    pub(super) attention_output: Map,
    pub(super) attention_norm: Norm,
    /// Of the decoder alone.
    pub(super) cross: Option<Cross>,
    /// Into the feed-forward block: gates and values where it is gated.
    pub(super) inner: Map,
    pub(super) output: Map,
    pub(super) output_norm: Norm,
}

/// Attention to what the encoder made.
#[derive(Clone, Debug)]
pub(super) struct Cross {
    pub(super) queries: Map,
    /// To keys and values.
    pub(super) memory: Map,
    pub(super) output: Map,
    pub(super) norm: Norm,
}

impl T5 {
    pub(crate) fn new(config: &Config, head: Head, layout: &mut Layout) -> Result<Self, Error> {
        let (h, v) = (config.d_model, config.vocab_size);
        let body = names::body(head);
        let words = layout.push(format!("{body}shared.weight"), &[v, h]);
        let encoder =
            Stack::push(config, layout, &format!("{body}encoder"), config.num_layers, Side::Encoder);
        let decoder =
            Stack::push(config, layout, &format!("{body}decoder"), config.num_decoder_layers, Side::Decoder);
        let map = |layout: &mut Layout, name: &str, outputs, has_bias| {
            Map::push(layout, &[(name.to_owned(), outputs)], h, has_bias, false)
        };
        let head = match head {
            Head::SequenceToSequence if config.tie_word_embeddings => {
                HeadPlaces::Language(Map::at(words.clone(), v, h))
            }
            Head::SequenceToSequence => HeadPlaces::Language(map(layout, "lm_head", v, false)),
            Head::Classification { labels } => HeadPlaces::Classifier {
                dense: map(layout, "classification_head.dense", h, true),
                output: map(layout, "classification_head.out_proj", labels, true),
            },
            Head::MaskedLanguage | Head::CausalLanguage => {
                return Err(Error::Head { model_type: "t5", head: head.name() });
            }
        };
        Ok(Self { config: config.clone(), words, encoder, decoder, head })
    }

    /// The precision of the products of the blocks and of a language head.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        for layer in self.encoder.layers.iter_mut().chain(&mut self.decoder.layers) {
            let Layer { attention, attention_output, cross, inner, output, .. } = layer;
            let crossing = cross.iter_mut().flat_map(|c| [&mut c.queries, &mut c.memory, &mut c.output]);
            for map in crossing.chain([attention, attention_output, inner, output]) {
                map.precision = precision;
            }
        }
        if let HeadPlaces::Language(map) = &mut self.head {
            map.precision = precision;
        }
    }

    /// How a stack's queries, keys and values lie in memory, and how they meet: without a factor.
    pub(super) fn heads(&self, stack: &Stack) -> Heads {
        let sight = if stack.is_decoder() { Sight::Past } else { Sight::All };
        Heads { sight, scale: 1.0, ..Heads::fused(self.config.num_heads, self.config.d_kv) }
    }

    /// The same of so many queries of the decoder and the encoder's keys and values.
    pub(super) fn cross_heads(&self, queries: usize) -> Heads {
        Heads { scale: 1.0, ..Heads::split(self.config.num_heads, self.config.d_kv, queries) }
    }

    /// How a stack's distances fall into buckets.
    pub(super) fn buckets(&self, stack: &Stack) -> Buckets {
        self.config.buckets(stack.is_decoder())
    }

    /// What the input of the language head is multiplied by.
    pub(super) fn output_scale(&self) -> f32 {
        if self.config.tie_word_embeddings { (self.config.d_model as f32).powf(-0.5) } else { 1.0 }
    }
}

impl Config {
    /// How distances fall into the buckets of a stack.
    pub(crate) fn buckets(&self, is_decoder: bool) -> Buckets {
        Buckets {
            count: self.relative_attention_num_buckets,
            farthest: self.relative_attention_max_distance,
            both_ways: !is_decoder,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Encoder,
    Decoder,
}

impl Stack {
    fn push(config: &Config, layout: &mut Layout, name: &str, n_layers: usize, side: Side) -> Self {
        let (h, f, width) = (config.d_model, config.d_ff, config.num_heads * config.d_kv);
        let norm = |layout: &mut Layout, name: &str| {
            Norm::push(layout, &format!("{name}.layer_norm"), h, false, config.layer_norm_epsilon)
        };
        let map = |layout: &mut Layout, block: &str, parts: &[&str], outputs, inputs| {
            let maps: Vec<(String, usize)> =
                parts.iter().map(|part| (format!("{block}.{part}"), outputs)).collect();
            Map::push(layout, &maps, inputs, false, false)
        };
        let mut distances = 0..0;
        let layers = (0..n_layers)
            .map(|i| {
                let block = |number| format!("{name}.block.{i}.layer.{number}");
                let own = format!("{}.SelfAttention", block(0));
                let attention = map(layout, &own, &["q", "k", "v"], width, h);
                let attention_output = map(layout, &own, &["o"], h, width);
                if i == 0 {
                    let shape = [config.relative_attention_num_buckets, config.num_heads];
                    distances = layout.push(format!("{own}.relative_attention_bias.weight"), &shape);
                }
                let attention_norm = norm(layout, &block(0));
                let cross = (side == Side::Decoder).then(|| {
                    let other = format!("{}.EncDecAttention", block(1));
                    Cross {
                        queries: map(layout, &other, &["q"], width, h),
                        memory: map(layout, &other, &["k", "v"], width, h),
                        output: map(layout, &other, &["o"], h, width),
                        norm: norm(layout, &block(1)),
                    }
                });
                let last = block(1 + usize::from(cross.is_some()));
                let dense = format!("{last}.DenseReluDense");
                let inner: &[&str] = match config.feed_forward {
                    FeedForward::Relu => &["wi"],
                    FeedForward::GatedGelu => &["wi_0", "wi_1"],
                };
                Layer {
                    attention,
                    attention_output,
                    attention_norm,
                    cross,
                    inner: map(layout, &dense, inner, f, h),
                    output: map(layout, &dense, &["wo"], h, f),
                    output_norm: norm(layout, &last),
                }
            })
            .collect();
        let final_norm =
            Norm::push(layout, &format!("{name}.final_layer_norm"), h, false, config.layer_norm_epsilon);
        Self { distances, layers, final_norm }
    }

    pub(super) fn is_decoder(&self) -> bool {
        self.layers[0].cross.is_some()
    }
}
