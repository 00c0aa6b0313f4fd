//! Relatives that share BERT's encoder: what they call their tensors, and where they differ.

use serde::{Deserialize, Serialize};

use crate::Head;

/// One of the architectures with BERT's encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Devlin et al. 2019: segments, and a pooler before the classifier.
    #[default]
    Bert,
    /// Liu et al. 2019: positions are counted from behind the padding id, and the classifier has a hidden layer of
    /// its own, with dropout on both sides.
    Roberta,
}

/// What a variant calls its parts; the encoder's layers have the same names in all.
pub(crate) struct Names {
    /// The body.
    pub(crate) body: &'static str,
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
        }
    }

    /// `architectures` in `config.json`.
    pub(crate) fn architecture(self, head: Head) -> &'static str {
        match (self, head) {
            (Self::Bert, Head::MaskedLanguage) => "BertForMaskedLM",
            (Self::Bert, Head::Classification { .. }) => "BertForSequenceClassification",
            (Self::Roberta, Head::MaskedLanguage) => "RobertaForMaskedLM",
            (Self::Roberta, Head::Classification { .. }) => "RobertaForSequenceClassification",
        }
    }

    /// Names of tensors as transformers writes them.
    pub(crate) fn names(self) -> Names {
        match self {
            Self::Bert => Names {
                body: "bert",
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
            },
        }
    }

    /// Rows of the table of positions before that of the first token.
    pub(crate) fn first_position(self, pad_token_id: u32) -> usize {
        match self {
            Self::Bert => 0,
            Self::Roberta => pad_token_id as usize + 1,
        }
    }

    /// Whether units are dropped before the classifier's first map as well.
    pub(crate) fn drops_features(self) -> bool {
        self == Self::Roberta
    }
}
