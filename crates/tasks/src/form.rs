//! What a model is asked about an example.

use serde::{Deserialize, Serialize};

/// How an example becomes logits over a task's labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The model reads it, both texts of a pair at once, and gives a logit for each label.
    #[default]
    Classification,
    /// The model reads the two texts of a pair apart and gives each a score: the logits of the labels, which say which
    /// text is preferred. The cross-entropy is `-log sigmoid(s_preferred - s_other)`, that of a reward model (Stiennon et
    /// al. 2020).
    Preference,
}

impl Form {
    /// Numbers that a model gives for what it reads at once.
    #[must_use]
    pub fn outputs(self, labels: usize) -> usize {
        match self {
            Self::Classification => labels,
            Self::Preference => 1,
        }
    }

    /// What it reads apart for one example.
    #[must_use]
    pub fn inputs(self) -> usize {
        match self {
            Self::Classification => 1,
            Self::Preference => 2,
        }
    }
}
