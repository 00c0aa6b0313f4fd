//! Where a BERT's parameters lie.
//!
//! Query, key and value weights stand one after the other, and so do their biases: one matrix `[3H, H]`, one product.

use std::ops::Range;

use kernels::matmul::Precision;
use weights::Layout;

use super::Config;
use crate::{Error, Head};

/// A BERT: its shape and the places of its parameters in the flat buffer.
#[derive(Clone, Debug)]
pub(crate) struct Bert {
    pub(super) config: Config,
    pub(super) embeddings: Embeddings,
    pub(super) layers: Vec<Layer>,
    pub(super) head: HeadPlaces,
    /// Of the products of the blocks and of the language head.
    pub(super) precision: Precision,
}

/// An affine map `[outputs, inputs]` and its bias.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

/// Weight and bias of a LayerNorm, side by side.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) both: Range<usize>,
    width: usize,
}

impl Norm {
    pub(super) fn split<'a>(&self, values: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        values[self.both.clone()].split_at(self.width)
    }

    pub(super) fn split_mut<'a>(&self, values: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        values[self.both.clone()].split_at_mut(self.width)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Embeddings {
    pub(super) words: Range<usize>,
    /// Follow the words.
    pub(super) positions: Range<usize>,
    /// Values of the positions' table before the row of a sequence's first token.
    pub(super) before_first: usize,
    /// Follow the positions.
    pub(super) segments: Range<usize>,
    pub(super) norm: Norm,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Query, key, value: weight `[3H, H]`, bias `[3H]`.
    pub(super) attention: Affine,
    pub(super) attention_output: Affine,
    pub(super) attention_norm: Norm,
    pub(super) intermediate: Affine,
    pub(super) output: Affine,
    pub(super) output_norm: Norm,
}

#[derive(Clone, Debug)]
pub(super) enum HeadPlaces {
    Language { bias: Range<usize>, transform: Affine, norm: Norm },
    Classifier { pooler: Affine, classifier: Affine, labels: usize },
}

impl Bert {
    pub(crate) fn new(config: &Config, head: Head, layout: &mut Layout) -> Result<Self, Error> {
        let h = config.hidden_size;
        let f = config.intermediate_size;
        let names = config.variant.names();
        let body = names.body;
        let mut table = |kind: &str, rows: usize| {
            layout.push(format!("{body}.embeddings.{kind}_embeddings.weight"), &[rows, h])
        };
        let words = table("word", config.vocab_size);
        let positions = table("position", config.max_position_embeddings);
        let segments = match config.type_vocab_size {
            0 => positions.end..positions.end,
            segments => table("token_type", segments),
        };
        let embeddings = Embeddings {
            words,
            positions,
            before_first: h * config.first_position(),
            segments,
            norm: push_norm(layout, &format!("{body}.embeddings.LayerNorm"), h),
        };
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let name = |part: &str| format!("{body}.{}.{i}.{part}", names.layers);
                let parts = names.projections.map(&name);
                let [weight, bias] = [("weight", &[h, h][..]), ("bias", &[h])].map(|(kind, shape)| {
                    let places = parts.each_ref().map(|part| layout.push(format!("{part}.{kind}"), shape));
                    places[0].start..places[2].end
                });
                Layer {
                    attention: Affine { weight, bias },
                    attention_output: push_affine(layout, &name(names.attention_output), h, h),
                    attention_norm: push_norm(layout, &name(names.attention_norm), h),
                    intermediate: push_affine(layout, &name(names.intermediate), f, h),
                    output: push_affine(layout, &name(names.output), h, f),
                    output_norm: push_norm(layout, &name(names.output_norm), h),
                }
            })
            .collect();
        let head = match head {
            Head::MaskedLanguage => HeadPlaces::Language {
                bias: layout.push(names.decoder_bias, &[config.vocab_size]),
                transform: push_affine(layout, names.transform, h, h),
                norm: push_norm(layout, names.transform_norm, h),
            },
            Head::Classification { labels } => HeadPlaces::Classifier {
                pooler: push_affine(layout, names.pooler, h, h),
                classifier: push_affine(layout, names.classifier, labels, h),
                labels,
            },
            Head::CausalLanguage | Head::SequenceToSequence => {
                let model_type = config.variant.model_type();
                return Err(Error::Head { model_type, head: head.name() });
            }
        };
        Ok(Self { config: config.clone(), embeddings, layers, head, precision: Precision::F32 })
    }

    /// Sets what the products of the blocks and of the language head are computed in.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }
}

fn push_affine(layout: &mut Layout, name: &str, outputs: usize, inputs: usize) -> Affine {
    let weight = layout.push(format!("{name}.weight"), &[outputs, inputs]);
    Affine { weight, bias: layout.push(format!("{name}.bias"), &[outputs]) }
}

fn push_norm(layout: &mut Layout, name: &str, width: usize) -> Norm {
    let weight = layout.push(format!("{name}.weight"), &[width]);
    let bias = layout.push(format!("{name}.bias"), &[width]);
    Norm { both: weight.start..bias.end, width }
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
            Bert::new(&config, head, &mut layout).unwrap();
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
