//! Heads: what a model predicts, and how `config.json` says so.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Error;
use crate::fields::parse;

/// What `config.json` calls a perceptron that classifies.
pub(crate) const MLP_ARCHITECTURE: &str = "SamebasinMlpClassifier";

/// What a model's last layer predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The masked tokens; the decoder is tied to the word embeddings.
    MaskedLanguage,
    /// The token after each.
    CausalLanguage,
    /// Each token of another sequence, given those before it.
    SequenceToSequence,
    /// One of a number of classes. A single one is a score, by which several inputs are compared.
    Classification {
        /// How many.
        labels: usize,
    },
}

impl Head {
    /// What messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MaskedLanguage => "masked-language",
            Self::CausalLanguage => "causal-language",
            Self::SequenceToSequence => "sequence-to-sequence",
            Self::Classification { .. } => "classification",
        }
    }

    /// Reads the head that a `config.json` names in `architectures`; the number of classes is that of `id2label`, or
    /// 2 as in transformers.
    ///
    /// # Errors
    /// [`Error::Json`] and, for any other architecture, [`Error::Unsupported`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let stated: Stated = parse(text)?;
        let architecture = stated.architectures.unwrap_or_default().into_iter().next().unwrap_or_default();
        if architecture.ends_with("ForMaskedLM") || architecture.ends_with("ForPreTraining") {
            Ok(Self::MaskedLanguage)
        } else if architecture.ends_with("ForConditionalGeneration") || architecture == "T5WithLMHeadModel" {
            Ok(Self::SequenceToSequence)
        } else if architecture.ends_with("ForCausalLM") || architecture.ends_with("LMHeadModel") {
            Ok(Self::CausalLanguage)
        } else if architecture.ends_with("ForSequenceClassification") || architecture == MLP_ARCHITECTURE {
            let labels = stated.id2label.map(|labels| labels.len()).or(stated.num_labels).unwrap_or(2);
            Ok(Self::Classification { labels })
        } else {
            Err(Error::Unsupported {
                field: "architectures",
                found: format!("`{architecture}`"),
                supported: "language models, masked, causal or from sequence to sequence, and sequence classifiers",
            })
        }
    }

    /// Names of the classes in order, those that are missing as transformers calls them; `None` if there are no classes.
    pub(crate) fn label_names(self, names: &[String]) -> Option<Vec<String>> {
        let Self::Classification { labels } = self else { return None };
        Some((0..labels).map(|i| names.get(i).cloned().unwrap_or_else(|| format!("LABEL_{i}"))).collect())
    }
}

#[derive(Deserialize)]
struct Stated {
    architectures: Option<Vec<String>>,
    id2label: Option<BTreeMap<String, String>>,
    num_labels: Option<usize>,
}
