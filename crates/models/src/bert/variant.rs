//! Relatives that share BERT's encoder: what they call their tensors, and where they differ.

use kernels::embedding::Positions;
use serde::{Deserialize, Serialize};

use versions::Versions;

use crate::Head;
use crate::family::HeadNames;

/// One of the architectures with BERT's encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Devlin et al. 2019: segments, and a pooler before the classifier.
    #[default]
    Bert,
    /// Liu et al. 2019: positions are counted from behind the padding id, and the classifier has a hidden layer of
    /// its own, with dropout on both sides. XLM-RoBERTa and CamemBERT are RoBERTa with other vocabularies.
    #[serde(alias = "xlm-roberta", alias = "camembert")]
    Roberta,
    /// Sanh et al. 2019: no segments, no dropout behind the attention, and a rectifier in the place of the pooler's tanh.
    DistilBert,
}

/// What a variant calls its parts.
pub(crate) struct Names {
    /// The body.
    pub(crate) body: &'static str,
    /// The layers within the body; a layer's number follows.
    pub(crate) layers: &'static str,
    /// Parts of a layer: the maps to queries, keys and values, and behind the attention, and so on.
    pub(crate) projections: [&'static str; 3],
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) intermediate: &'static str,
    pub(crate) output: &'static str,
    pub(crate) output_norm: &'static str,
    /// First map of the language head, its LayerNorm, and the bias of its decoder.
    pub(crate) transform: &'static str,
    pub(crate) transform_norm: &'static str,
    pub(crate) decoder_bias: &'static str,
    /// Map before the tanh of the classifier, and the classifier's last.
    pub(crate) pooler: &'static str,
    pub(crate) classifier: &'static str,
}

impl Variant {
    /// `model_type` in `config.json`.
    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::DistilBert => "distilbert",
        }
    }

    /// `architectures` in `config.json`.
    pub(crate) fn architecture(self, head: Head) -> &'static str {
        match (self, head) {
            (Self::Bert, Head::Classification { .. }) => "BertForSequenceClassification",
            (Self::Bert, _) => "BertForMaskedLM",
            (Self::Roberta, Head::Classification { .. }) => "RobertaForSequenceClassification",
            (Self::Roberta, _) => "RobertaForMaskedLM",
            (Self::DistilBert, Head::Classification { .. }) => "DistilBertForSequenceClassification",
            (Self::DistilBert, _) => "DistilBertForMaskedLM",
        }
    }

    /// Names of tensors as transformers writes them.
    pub(crate) fn names(self) -> Names {
        match self {
            Self::Bert => Names {
                body: "bert",
                layers: "encoder.layer",
                projections: ["attention.self.query", "attention.self.key", "attention.self.value"],
                attention_output: "attention.output.dense",
                attention_norm: "attention.output.LayerNorm",
                intermediate: "intermediate.dense",
                output: "output.dense",
                output_norm: "output.LayerNorm",
                transform: "cls.predictions.transform.dense",
                transform_norm: "cls.predictions.transform.LayerNorm",
                decoder_bias: "cls.predictions.bias",
                pooler: "bert.pooler.dense",
                classifier: "classifier",
            },
            Self::Roberta => Names {
                body: "roberta",
                transform: "lm_head.dense",
                transform_norm: "lm_head.layer_norm",
                decoder_bias: "lm_head.bias",
                pooler: "classifier.dense",
                classifier: "classifier.out_proj",
                ..Self::Bert.names()
            },
            Self::DistilBert => Names {
                body: "distilbert",
                layers: "transformer.layer",
                projections: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
                attention_output: "attention.out_lin",
                attention_norm: "sa_layer_norm",
                intermediate: "ffn.lin1",
                output: "ffn.lin2",
                output_norm: "output_layer_norm",
                transform: "vocab_transform",
                transform_norm: "vocab_layer_norm",
                decoder_bias: "vocab_projector.bias",
                pooler: "pre_classifier",
                classifier: "classifier",
            },
        }
    }

    /// What the names of tensors outside the body begin with: RoBERTa's published checkpoints have a pooler that no head reads.
    pub(crate) fn head_names(self) -> HeadNames {
        let (pooler, language): (&[_], &[_]) = match self {
            Self::Bert => (&["bert.pooler."], &["cls."]),
            Self::Roberta => (&["classifier.dense.", "roberta.pooler."], &["lm_head."]),
            Self::DistilBert => (&["pre_classifier."], &["vocab_"]),
        };
        HeadNames { pooler, classifier: &["classifier."], language }
    }

    /// Versions of what a variant does on top of the family.
    pub(crate) fn versions(self) -> Versions {
        match self {
            // 2: positions are numbered by the tokens that are no padding, and pairs have one segment.
            Self::Roberta => Versions::of("roberta", 2),
            Self::Bert | Self::DistilBert => Versions::default(),
        }
    }

    /// How tokens are numbered in the table of positions.
    pub(crate) fn numbering(self, pad_token_id: u32) -> Positions {
        match self {
            Self::Bert | Self::DistilBert => Positions::Place,
            Self::Roberta => Positions::Behind(pad_token_id),
        }
    }

    /// Whether the classifier's first map ends in a rectifier, and not in tanh.
    pub(crate) fn rectifies(self) -> bool {
        self == Self::DistilBert
    }

    /// Whether units are dropped behind the attention's last map, as they are behind the feed-forward block's.
    pub(crate) fn drops_attention_output(self) -> bool {
        self != Self::DistilBert
    }

    /// Whether units are dropped before the classifier's first map as well.
    pub(crate) fn drops_features(self) -> bool {
        self == Self::Roberta
    }
}
