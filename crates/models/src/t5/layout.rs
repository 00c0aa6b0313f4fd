//! A T5 made of blocks: which they are, and where their parameters lie.

use kernels::attention::{Heads, Sight};
use kernels::glu::Gate;
use weights::Layout;

use super::{CLASSIFIER, Config, FeedForward as Kind, Given, Site, Sites, names};
use crate::blocks::attention::{Positions, Projections};
use crate::blocks::buckets::Buckets;
use crate::blocks::classifier::Hidden;
use crate::blocks::map::Form;
use crate::blocks::{
    self, Activation, Attention, Classifier, Embedding, FeedForward, LanguageHead, Map, Norm, Place, Residual,
};
use crate::reading::Reading;
use crate::stack::{Branch, Distances, Layer, Stack};
use crate::transformer::{Predictor, Transformer};
use crate::{Error, Head, Targets, Tokens};

pub(crate) fn build(config: &Config, head: Head, layout: &mut Layout) -> Result<Transformer, Error> {
    let (h, v) = (config.d_model, config.vocab_size);
    let body = names::body(head);
    let words = layout.push(format!("{body}shared.weight"), &[v, h]);
    let [encoder, stack] = [Side::Encoder, Side::Decoder].map(|side| {
        let sites = Sites::new(None, config.dropout_rate, side == Side::Decoder);
        let embedding = Embedding::of_words(words.clone(), h, sites.of_embeddings());
        Builder { config, side, sites, layout: &mut *layout }.stack(body, embedding)
    });
    let decoder = |decoder, scale| Predictor::Words(LanguageHead { transform: None, scale, decoder });
    let head = match head {
        Head::SequenceToSequence if config.tie_word_embeddings => {
            decoder(Map::tied(words, 0..0, h), (h as f32).powf(-0.5))
        }
        Head::SequenceToSequence => decoder(Map::push(layout, "lm_head", v, h, Form::LINEAR), 1.0),
        Head::Classification { labels } => {
            let drop =
                CLASSIFIER.map(|number| blocks::Site { number, probability: config.classifier_dropout });
            let map = Map::push(layout, "classification_head.dense", h, h, Form::AFFINE);
            let output = Map::push(layout, "classification_head.out_proj", labels, h, Form::AFFINE);
            Predictor::Classes(Classifier { hidden: Some(Hidden { map, rectifies: false, drop }), output })
        }
        Head::MaskedLanguage | Head::CausalLanguage => {
            return Err(Error::Head { model_type: "t5", head: head.name() });
        }
    };
    Ok(Transformer { encoder: Some(encoder), stack, head, reading: config.reading() })
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

    fn reading(&self) -> Reading {
        Reading::Later { start: self.decoder_start_token_id, end: self.eos_token_id }
    }
}

impl Given {
    /// What the decoder is given.
    pub(crate) fn fill_for(
        &mut self,
        config: &Config,
        is_classifier: bool,
        tokens: &Tokens<'_>,
        targets: Option<&Targets<'_>>,
    ) {
        self.fill(config.reading(), is_classifier, tokens, targets);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Encoder,
    Decoder,
}

/// Makes one of the stacks.
struct Builder<'a> {
    config: &'a Config,
    side: Side,
    sites: Sites,
    layout: &'a mut Layout,
}

impl Builder<'_> {
    fn stack(mut self, body: &str, embedding: Embedding) -> Stack {
        let (name, n_layers) = match self.side {
            Side::Encoder => (format!("{body}encoder"), self.config.num_layers),
            Side::Decoder => (format!("{body}decoder"), self.config.num_decoder_layers),
        };
        let mut distances = None;
        let layers = (0..n_layers).map(|index| self.layer(&name, index, &mut distances)).collect();
        let epsilon = self.config.layer_norm_epsilon;
        let name = format!("{name}.final_layer_norm");
        let final_norm = Norm::push(self.layout, &name, self.config.d_model, false, epsilon);
        let drop = self.sites.of_states();
        Stack { embedding, layers, final_norm: Some(final_norm), drop, frequencies: Vec::new(), distances }
    }

    fn layer(&mut self, stack: &str, index: usize, distances: &mut Option<Distances>) -> Layer {
        let Config { d_model: h, d_ff: f, num_heads, d_kv, .. } = *self.config;
        let width = num_heads * d_kv;
        let block = |number| format!("{stack}.block.{index}.layer.{number}");
        let own = format!("{}.SelfAttention", block(0));
        let projections = Projections::Own(self.map(&own, &["q", "k", "v"], width, h));
        let sight = if self.side == Side::Decoder { Sight::Past } else { Sight::All };
        let output = self.map(&own, &["o"], h, width);
        if index == 0 {
            let count = self.config.relative_attention_num_buckets;
            let name = format!("{own}.relative_attention_bias.weight");
            let table = self.layout.push(name, &[count, num_heads]);
            let buckets = self.config.buckets(self.side == Side::Decoder);
            *distances = Some(Distances { table, buckets, heads: num_heads });
        }
        // Scores are not scaled.
        let heads = Heads { sight, scale: 1.0, ..Heads::fused(num_heads, d_kv) };
        let drop = self.sites.of_layer(index, Site::Probabilities);
        let attention = Attention { projections, norms: None, heads, positions: Positions::Distances, drop };
        let residual = self.residual(output, &block(0), index, Site::AttentionOutput);
        let attention = Branch { block: attention, residual };
        let cross = (self.side == Side::Decoder).then(|| self.cross(&block(1), index));
        let last = block(1 + usize::from(cross.is_some()));
        let dense = format!("{last}.DenseReluDense");
        let (parts, activation): (&[&str], _) = match self.config.feed_forward {
            Kind::Relu => (&["wi"], Activation::Relu),
            Kind::GatedGelu => (&["wi_0", "wi_1"], Activation::Gated(Gate::GeluNew)),
        };
        let inner = self.map(&dense, parts, f, h);
        let output = self.map(&dense, &["wo"], h, f);
        let residual = self.residual(output, &last, index, Site::Output);
        let drop = self.sites.of_layer(index, Site::Inner);
        let feed_forward = Branch { block: FeedForward { inner, width: f, activation, drop }, residual };
        Layer { attention, cross, feed_forward, is_parallel: false }
    }

    /// Attention to what the encoder made.
    fn cross(&mut self, block: &str, index: usize) -> Branch<Attention> {
        let Config { d_model: h, num_heads, d_kv, .. } = *self.config;
        let (name, width) = (format!("{block}.EncDecAttention"), num_heads * d_kv);
        let queries = self.map(&name, &["q"], width, h);
        let memory = self.map(&name, &["k", "v"], width, h);
        let output = self.map(&name, &["o"], h, width);
        let attention = Attention {
            projections: Projections::Across { queries, memory },
            norms: None,
            heads: Heads { scale: 1.0, ..Heads::fused(num_heads, d_kv) },
            positions: Positions::None,
            drop: self.sites.of_layer(index, Site::CrossProbabilities),
        };
        Branch { block: attention, residual: self.residual(output, block, index, Site::CrossOutput) }
    }

    fn residual(&mut self, output: Map, block: &str, index: usize, site: Site) -> Residual {
        let (h, epsilon) = (self.config.d_model, self.config.layer_norm_epsilon);
        let norm = Norm::push(self.layout, &format!("{block}.layer_norm"), h, false, epsilon);
        Residual { output, norm, place: Place::Before, drop: self.sites.of_layer(index, site) }
    }

    /// Maps of a block, side by side, with so many outputs each.
    fn map(&mut self, block: &str, parts: &[&str], outputs: usize, inputs: usize) -> Map {
        let maps: Vec<(String, usize)> =
            parts.iter().map(|part| (format!("{block}.{part}"), outputs)).collect();
        Map::push_joined(self.layout, &maps, inputs, Form::LINEAR)
    }
}
