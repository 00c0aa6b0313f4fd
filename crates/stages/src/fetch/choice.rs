//! Which of a model's files are fetched, by name: nothing else is looked at.

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use crate::stage::Failure;

/// Files that describe a model: its shape and its tokenizer.
const DESCRIPTION: [&str; 8] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
];

/// The name of the index of a sharded checkpoint.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// Whether pickles are read.
#[derive(Args, Clone, Debug, Default, Serialize)]
pub struct Pickles {
    /// Read weights from a pickle file where there is nothing else; nothing in it is executed
    #[arg(long)]
    pub allow_pickle: bool,
    /// Entry of the pickle that holds the weights, as in `state_dict` [default: the weights are all that it holds]
    #[arg(long, value_name = "NAME", requires = "allow_pickle")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
}

/// How a model's weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// `model.safetensors`.
    Whole,
    /// [`INDEX`] and the files that it names.
    Sharded,
    /// `pytorch_model.bin`, a pickle.
    Pickle,
}

impl Stored {
    /// The file to begin with.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Whole => "model.safetensors",
            Self::Sharded => INDEX,
            Self::Pickle => "pytorch_model.bin",
        }
    }
}

/// The files to take of those that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Those that describe the model.
    pub(super) description: Vec<&'static str>,
    /// A file of SentencePiece's, which nothing reads.
    pub(super) sentencepiece: Option<&'static str>,
    /// The weights.
    pub(super) weights: Stored,
}

impl Choice {
    /// Is this the name of a file that is taken wherever it is?
    pub(super) fn describes(name: &str) -> bool {
        DESCRIPTION.contains(&name)
    }

    /// The file that says in which others the weights are, where there is one.
    pub(super) fn index(&self) -> Option<&'static str> {
        (self.weights == Stored::Sharded).then_some(INDEX)
    }

    /// Chooses among `names`; `what` is whose files they are.
    pub(super) fn of(what: &str, names: &BTreeSet<&str>, allow_pickle: bool) -> Result<Self, Failure> {
        let missing = |reason: &str| Err(Failure::Input(format!("{what} {reason}")));
        if !names.contains("config.json") {
            return missing("has no config.json: it is no model that transformers saved");
        }
        let stored = [Stored::Whole, Stored::Sharded, Stored::Pickle];
        let Some(weights) = stored.into_iter().find(|stored| names.contains(stored.file())) else {
            return missing(match names.contains("pytorch_model.bin.index.json") {
                true => "has its weights in several pickle files, which are not read: save it as safetensors",
                false => "has neither model.safetensors nor pytorch_model.bin",
            });
        };
        if weights == Stored::Pickle && !allow_pickle {
            return missing(
                "has its weights in pytorch_model.bin alone, a pickle: --allow-pickle reads its tensors, and runs \
                 nothing that is in it",
            );
        }
        let description = DESCRIPTION.into_iter().filter(|name| names.contains(name)).collect();
        let sentencepiece = tasks::SENTENCEPIECE_FILES.into_iter().find(|name| names.contains(name));
        Ok(Self { description, sentencepiece, weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(names: &[&str], allow_pickle: bool) -> Result<Choice, String> {
        Choice::of("a/b", &names.iter().copied().collect(), allow_pickle).map_err(|error| error.to_string())
    }

    #[test]
    fn safetensors_come_first_and_strangers_stay_away() {
        let all = ["config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "run.py", INDEX];
        let choice = choose(&all, false).unwrap();
        assert_eq!(choice.description, ["config.json", "vocab.txt"]);
        assert_eq!((choice.sentencepiece, choice.weights), (None, Stored::Whole));
        let t5 = ["config.json", "model.safetensors", "spiece.model"];
        assert_eq!(choose(&t5, false).unwrap().sentencepiece, Some("spiece.model"));
        assert_eq!(choose(&["config.json", INDEX], false).unwrap().weights, Stored::Sharded);
    }

    #[test]
    fn a_pickle_needs_a_word() {
        let names = ["config.json", "pytorch_model.bin"];
        assert!(choose(&names, false).unwrap_err().contains("--allow-pickle"));
        assert_eq!(choose(&names, true).unwrap().weights, Stored::Pickle);
        assert!(choose(&["model.safetensors"], false).unwrap_err().contains("no config.json"));
        assert!(choose(&["config.json"], true).unwrap_err().contains("neither"));
        let sharded = ["config.json", "pytorch_model.bin.index.json"];
        assert!(choose(&sharded, true).unwrap_err().contains("several pickle files"));
    }
}
