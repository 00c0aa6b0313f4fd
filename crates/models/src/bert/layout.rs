//! A BERT made of blocks: which they are, and where their parameters lie.
//!
//! Query, key and value weights stand one after the other, and so do their biases: one matrix `[3H, H]`, one product.

use kernels::attention::Heads;
use weights::Layout;

use super::{Config, Names};
use crate::blocks::attention::{Positions, Projections};
use crate::blocks::classifier::Hidden;
use crate::blocks::dropout::site;
use crate::blocks::map::Form;
use crate::blocks::{
    Activation, Attention, Classifier, Embedding, FeedForward, LanguageHead, Map, Norm, Place, Residual, Site,
};
use crate::reading::Reading;
use crate::stack::{Branch, Layer, Stack};
use crate::transformer::{Predictor, Transformer};
use crate::{Error, Head};

pub(crate) fn build(config: &Config, head: Head, layout: &mut Layout) -> Result<Transformer, Error> {
    let embedding = embedding(config, layout);
    let layers = (0..config.num_hidden_layers).map(|index| layer(config, index, layout)).collect();
    let head = match head {
        Head::MaskedLanguage => Predictor::Words(language_head(config, &embedding, layout)),
        Head::Classification { labels } => Predictor::Classes(classifier(config, labels, layout)),
        Head::CausalLanguage | Head::SequenceToSequence => {
            let model_type = config.variant.model_type();
            return Err(Error::Head { model_type, head: head.name() });
        }
    };
    let stack = Stack {
        embedding,
        layers,
        final_norm: None,
        drop: Site::NONE,
        frequencies: Vec::new(),
        distances: None,
    };
    Ok(Transformer { encoder: None, stack, head, reading: Reading::First })
}

fn embedding(config: &Config, layout: &mut Layout) -> Embedding {
    let (h, body) = (config.hidden_size, config.variant.names().body);
    let mut table = |kind: &str, rows: usize| {
        layout.push(format!("{body}.embeddings.{kind}_embeddings.weight"), &[rows, h])
    };
    let words = table("word", config.vocab_size);
    let positions = table("position", config.max_position_embeddings);
    let segments = match config.type_vocab_size {
        0 => positions.end..positions.end,
        segments => table("token_type", segments),
    };
    let norm = push_norm(config, &format!("{body}.embeddings.LayerNorm"), layout);
    Embedding {
        words,
        positions,
        numbering: config.numbering(),
        segments,
        width: h,
        norm: Some(norm),
        drop: Site { number: site::EMBEDDINGS, probability: config.hidden_dropout_prob },
    }
}

fn layer(config: &Config, index: usize, layout: &mut Layout) -> Layer {
    let (h, f) = (config.hidden_size, config.intermediate_size);
    let names = config.variant.names();
    let Names { body, layers, .. } = names;
    let name = |part: &str| format!("{body}.{layers}.{index}.{part}");
    let residual = |map: &str, norm: &str, inputs, drop, layout: &mut Layout| Residual {
        output: Map::push(layout, &name(map), h, inputs, Form::AFFINE),
        norm: push_norm(config, &name(norm), layout),
        place: Place::Behind,
        drop,
    };
    let drop = |number, probability| Site { number, probability };
    let projections = names.projections.map(|part| (name(part), h));
    let attention = Attention {
        projections: Projections::Own(Map::push_joined(layout, &projections, h, Form::AFFINE)),
        norms: None,
        heads: Heads::fused(config.num_attention_heads, h / config.num_attention_heads),
        positions: Positions::None,
        drop: drop(site::probabilities(index), config.attention_probs_dropout_prob),
    };
    let behind = drop(site::attention_output(index), config.attention_output_dropout());
    let attention_end = residual(names.attention_output, names.attention_norm, h, behind, layout);
    let feed_forward = FeedForward {
        inner: Map::push(layout, &name(names.intermediate), f, h, Form::AFFINE),
        width: f,
        activation: Activation::Gelu,
        drop: Site::NONE,
    };
    let behind = drop(site::output(index), config.hidden_dropout_prob);
    let feed_forward_end = residual(names.output, names.output_norm, f, behind, layout);
    Layer {
        attention: Branch { block: attention, residual: attention_end },
        cross: None,
        feed_forward: Branch { block: feed_forward, residual: feed_forward_end },
        is_parallel: false,
    }
}

/// Map, GELU and norm, and a decoder that is tied to the words but for its bias.
fn language_head(config: &Config, embedding: &Embedding, layout: &mut Layout) -> LanguageHead {
    let (h, names) = (config.hidden_size, config.variant.names());
    let bias = layout.push(names.decoder_bias, &[config.vocab_size]);
    let transform = Map::push(layout, names.transform, h, h, Form::AFFINE);
    let norm = push_norm(config, names.transform_norm, layout);
    let decoder = Map::tied(embedding.words.clone(), bias, h);
    LanguageHead { transform: Some((transform, norm)), scale: 1.0, decoder }
}

fn classifier(config: &Config, labels: usize, layout: &mut Layout) -> Classifier {
    let (h, names) = (config.hidden_size, config.variant.names());
    let probability = config.classifier_dropout();
    let before = if config.variant.drops_features() { probability } else { 0.0 };
    let map = Map::push(layout, names.pooler, h, h, Form::AFFINE);
    let drop = [
        Site { number: site::FEATURES, probability: before },
        Site { number: site::CLASSIFIER, probability },
    ];
    let hidden = Hidden { map, rectifies: config.variant.rectifies(), drop };
    let output = Map::push(layout, names.classifier, labels, h, Form::AFFINE);
    Classifier { hidden: Some(hidden), output }
}

fn push_norm(config: &Config, name: &str, layout: &mut Layout) -> Norm {
    Norm::push(layout, name, config.hidden_size, true, config.layer_norm_eps)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and shapes of `BertForMaskedLM` and `BertForSequenceClassification` in transformers.
    #[test]
    fn names_are_those_of_transformers() {
        let config = Config {
            vocab_size: 5,
            hidden_size: 4,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 8,
            max_position_embeddings: 3,
            ..Config::default()
        };
        let names = |head| {
            let mut layout = Layout::default();
            build(&config, head, &mut layout).unwrap();
            let mut names: Vec<String> =
                layout.entries().iter().map(|entry| format!("{} {:?}", entry.name, entry.shape)).collect();
            names.sort();
            names
        };
        let body = [
            "bert.embeddings.LayerNorm.bias [4]",
            "bert.embeddings.LayerNorm.weight [4]",
            "bert.embeddings.position_embeddings.weight [3, 4]",
            "bert.embeddings.token_type_embeddings.weight [2, 4]",
            "bert.embeddings.word_embeddings.weight [5, 4]",
            "bert.encoder.layer.0.attention.output.LayerNorm.bias [4]",
            "bert.encoder.layer.0.attention.output.LayerNorm.weight [4]",
            "bert.encoder.layer.0.attention.output.dense.bias [4]",
            "bert.encoder.layer.0.attention.output.dense.weight [4, 4]",
            "bert.encoder.layer.0.attention.self.key.bias [4]",
            "bert.encoder.layer.0.attention.self.key.weight [4, 4]",
            "bert.encoder.layer.0.attention.self.query.bias [4]",
            "bert.encoder.layer.0.attention.self.query.weight [4, 4]",
            "bert.encoder.layer.0.attention.self.value.bias [4]",
            "bert.encoder.layer.0.attention.self.value.weight [4, 4]",
            "bert.encoder.layer.0.intermediate.dense.bias [8]",
            "bert.encoder.layer.0.intermediate.dense.weight [8, 4]",
            "bert.encoder.layer.0.output.LayerNorm.bias [4]",
            "bert.encoder.layer.0.output.LayerNorm.weight [4]",
            "bert.encoder.layer.0.output.dense.bias [4]",
            "bert.encoder.layer.0.output.dense.weight [4, 8]",
        ];
        let with =
            |more: &[&str]| -> Vec<String> { body.iter().chain(more).map(|&name| name.to_owned()).collect() };
        assert_eq!(
            names(Head::MaskedLanguage),
            with(&[
                "cls.predictions.bias [5]",
                "cls.predictions.transform.LayerNorm.bias [4]",
                "cls.predictions.transform.LayerNorm.weight [4]",
                "cls.predictions.transform.dense.bias [4]",
                "cls.predictions.transform.dense.weight [4, 4]",
            ])
        );
        assert_eq!(
            names(Head::Classification { labels: 3 }),
            with(&[
                "bert.pooler.dense.bias [4]",
                "bert.pooler.dense.weight [4, 4]",
                "classifier.bias [3]",
                "classifier.weight [3, 4]",
            ])
        );
    }
}
