//! A decoder made of blocks: which they are, and where their parameters lie.

use kernels::attention::{Heads, Sight};
use kernels::glu::Gate;
use weights::Layout;

use super::{Activation, Config, Names, Variant};
use crate::blocks::attention::{Positions, Projections};
use crate::blocks::dropout::site;
use crate::blocks::map::Form;
use crate::blocks::{
    self, Attention, Classifier, Embedding, FeedForward, LanguageHead, Map, Norm, Place, Residual, Site,
};
use crate::reading::Reading;
use crate::stack::{Branch, Layer, Stack};
use crate::transformer::{Predictor, Transformer};
use crate::{Error, Head};

pub(crate) fn build(config: &Config, head: Head, layout: &mut Layout) -> Result<Transformer, Error> {
    let (variant, h, v) = (config.variant, config.hidden_size, config.vocab_size);
    let names = variant.names();
    let embedding = embedding(config, layout);
    let layers = (0..config.num_hidden_layers).map(|index| layer(config, index, layout)).collect();
    let final_norm = push_norm(config, &format!("{}.{}", names.body, names.final_norm), h, layout);
    let words = |decoder| Predictor::Words(LanguageHead { transform: None, scale: 1.0, decoder });
    let head = match head {
        Head::CausalLanguage if config.tie_word_embeddings => {
            words(Map::tied(embedding.words.clone(), 0..0, h))
        }
        Head::CausalLanguage => words(Map::push(layout, names.decoder, v, h, Form::LINEAR)),
        Head::Classification { labels } => {
            let output = Map::push(layout, "score", labels, h, Form::LINEAR);
            Predictor::Classes(Classifier { hidden: None, output })
        }
        Head::MaskedLanguage | Head::SequenceToSequence => {
            return Err(Error::Head { model_type: variant.model_type(), head: head.name() });
        }
    };
    let stack = Stack {
        embedding,
        layers,
        final_norm: Some(final_norm),
        drop: Site::NONE,
        frequencies: config.frequencies(),
        distances: None,
    };
    let reading = Reading::Last { padding: config.pad_token_id };
    Ok(Transformer { encoder: None, stack, head, reading })
}

fn embedding(config: &Config, layout: &mut Layout) -> Embedding {
    let (h, Names { body, words, positions, .. }) = (config.hidden_size, config.variant.names());
    let words = layout.push(format!("{body}.{words}.weight"), &[config.vocab_size, h]);
    let drop = Site { number: site::EMBEDDINGS, probability: config.embedding_dropout };
    let mut embedding = Embedding::of_words(words, h, drop);
    if let Some(name) = positions {
        let shape = [config.max_position_embeddings, h];
        embedding.positions = layout.push(format!("{body}.{name}.weight"), &shape);
        embedding.segments = embedding.positions.end..embedding.positions.end;
    }
    embedding
}

fn layer(config: &Config, index: usize, layout: &mut Layout) -> Layer {
    let (variant, h, f) = (config.variant, config.hidden_size, config.intermediate_size);
    let [queries, keys] =
        [config.num_attention_heads, config.num_key_value_heads].map(|heads| heads * config.head_dim);
    let names = variant.names();
    let name = |part: &str| format!("{}.{}.{index}.{part}", names.body, names.layers);
    let form = Form { has_bias: variant.has_biases(), is_transposed: variant.is_transposed() };
    let place = if variant.normalises_outputs() { Place::OfOutput } else { Place::Before };
    let joined = |parts: &[&str], outputs: &[usize], layout: &mut Layout| {
        let maps: Vec<(String, usize)> =
            parts.iter().map(|part| name(part)).zip(outputs.iter().copied()).collect();
        Map::push_joined(layout, &maps, h, form)
    };
    let residual = |map: &str, norm: &str, inputs, number, layout: &mut Layout| Residual {
        output: Map::push(layout, &name(map), h, inputs, form),
        norm: push_norm(config, &name(norm), h, layout),
        place,
        drop: Site { number, probability: config.residual_dropout },
    };
    let projections = match names.projections {
        [_] => joined(names.projections, &[queries + 2 * keys], layout),
        parts => joined(parts, &[queries, keys, keys], layout),
    };
    let norms = names.projection_norms.map(|[q, k]| {
        [(q, queries), (k, keys)].map(|(part, width)| push_norm(config, &name(part), width, layout))
    });
    let attention = Attention {
        projections: Projections::Own(projections),
        norms,
        heads: heads(config, index),
        positions: if variant.rotates() { Positions::Rotary } else { Positions::None },
        drop: Site { number: site::probabilities(index), probability: config.attention_dropout },
    };
    let (output, norm) = (names.attention_output, names.attention_norm);
    let attention_end = residual(output, norm, queries, site::attention_output(index), layout);
    let activation = match config.activation {
        Activation::Gelu => blocks::Activation::Gelu,
        Activation::GeluNew => blocks::Activation::GeluNew,
        Activation::SwiGlu => blocks::Activation::Gated(Gate::Silu),
    };
    let inner = joined(names.inner, &[f, f], layout);
    let feed_forward = FeedForward { inner, width: f, activation, drop: Site::NONE };
    let feed_forward_end = residual(names.output, names.output_norm, f, site::output(index), layout);
    Layer {
        attention: Branch { block: attention, residual: attention_end },
        cross: None,
        feed_forward: Branch { block: feed_forward, residual: feed_forward_end },
        is_parallel: config.use_parallel_residual,
    }
}

/// How a layer's queries, keys and values lie in memory, and how they meet.
fn heads(config: &Config, layer: usize) -> Heads {
    let Config { num_attention_heads: count, num_key_value_heads: shared, head_dim, .. } = *config;
    let heads = match config.variant {
        Variant::GptNeoX => Heads::interleaved(count, head_dim),
        Variant::Gpt2 | Variant::Llama | Variant::Olmo2 => Heads::grouped(count, shared, head_dim),
    };
    let divisor = if config.scale_attn_by_inverse_layer_idx { layer + 1 } else { 1 };
    Heads { sight: Sight::Past, scale: heads.scale / divisor as f32, ..heads }
}

fn push_norm(config: &Config, name: &str, width: usize, layout: &mut Layout) -> Norm {
    Norm::push(layout, name, width, config.variant.has_biases(), config.norm_eps)
}

/// The row that stands for each sequence: its last token that is not padding, or its first if all are; of a language model,
/// its last.
pub(crate) fn ends(config: &Config, is_classifier: bool, tokens: &crate::Tokens<'_>, ends: &mut Vec<u32>) {
    crate::reading::ends(config.pad_token_id.filter(|_| is_classifier), tokens, ends);
}
