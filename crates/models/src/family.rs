//! What each family answers for itself, so that nobody outside this crate has to match on families.
//!
//! Every method is exhaustive: a new family does not compile before it has answered.

use crate::{Config, Error, Head, decoder, mlp, t5};

/// What a family's language models are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// Recovering masked tokens (Devlin et al. 2019).
    MaskedTokens,
    /// Predicting each next token.
    NextTokens,
    /// Recovering masked spans, one after the other (Raffel et al. 2020).
    Spans,
    /// Telling classes apart: the family reads no text.
    Classes,
}

/// What the names of tensors outside a family's body begin with.
pub(crate) struct HeadNames {
    /// A hidden layer before the classifier, which some language models have.
    pub(crate) pooler: &'static [&'static str],
    /// The classifier.
    pub(crate) classifier: &'static [&'static str],
    /// The language head.
    pub(crate) language: &'static [&'static str],
}

impl Config {
    /// The family's name in `config.json`.
    #[must_use]
    pub fn model_type(&self) -> &'static str {
        match self {
            Self::Bert(config) => config.variant.model_type(),
            Self::Decoder(config) => config.variant.model_type(),
            Self::T5(_) => "t5",
            Self::Mlp(_) => mlp::MODEL_TYPE,
        }
    }

    /// The longest input in tokens, and at most `limit`.
    ///
    /// Positions of a T5 are relative, so that it takes whatever `limit` says; without one, what its texts are usually cut
    /// at. Vectors have no length: `limit` again.
    #[must_use]
    pub fn max_length(&self, limit: Option<usize>) -> usize {
        let own = match self {
            Self::Bert(config) => config.longest(),
            Self::Decoder(config) => config.max_position_embeddings,
            Self::T5(config) => limit.unwrap_or(config.n_positions),
            Self::Mlp(_) => usize::MAX,
        };
        limit.map_or(own, |limit| limit.min(own))
    }

    /// Number of tokens that the model knows; `None` if it reads no text.
    #[must_use]
    pub fn vocabulary(&self) -> Option<usize> {
        match self {
            Self::Bert(config) => Some(config.vocab_size),
            Self::Decoder(config) => Some(config.vocab_size),
            Self::T5(config) => Some(config.vocab_size),
            Self::Mlp(_) => None,
        }
    }

    /// Row of a sequence's first token in the table of positions: RoBERTa counts from behind its padding id.
    #[must_use]
    pub fn position_offset(&self) -> usize {
        match self {
            Self::Bert(config) => config.first_position(),
            Self::Decoder(_) | Self::T5(_) | Self::Mlp(_) => 0,
        }
    }

    /// Whether inputs of two segments are told apart.
    #[must_use]
    pub fn has_segments(&self) -> bool {
        match self {
            Self::Bert(config) => config.type_vocab_size > 1,
            Self::Decoder(_) | Self::T5(_) | Self::Mlp(_) => false,
        }
    }

    /// What the family's language models are trained on.
    #[must_use]
    pub fn objective(&self) -> Objective {
        match self {
            Self::Bert(_) => Objective::MaskedTokens,
            Self::Decoder(_) => Objective::NextTokens,
            Self::T5(_) => Objective::Spans,
            Self::Mlp(_) => Objective::Classes,
        }
    }

    /// Whether a model drops any units in training.
    #[must_use]
    pub fn has_dropout(&self) -> bool {
        let probabilities = match self {
            Self::Bert(config) => config.dropout().to_vec(),
            Self::Decoder(config) => {
                vec![config.embedding_dropout, config.attention_dropout, config.residual_dropout]
            }
            Self::T5(config) => vec![config.dropout_rate, config.classifier_dropout],
            Self::Mlp(_) => Vec::new(),
        };
        probabilities.iter().any(|&probability| probability > 0.0)
    }

    /// Drops units with this probability wherever the family drops any.
    ///
    /// # Errors
    /// [`Error::NoDropout`] if it drops none anywhere.
    pub fn set_dropout(&mut self, probability: f64) -> Result<(), Error> {
        match self {
            Self::Bert(config) => config.set_dropout(probability),
            Self::Decoder(config) => config.set_dropout(probability),
            Self::T5(config) => config.set_dropout(probability),
            Self::Mlp(_) => return Err(Error::NoDropout { model_type: self.model_type() }),
        }
        Ok(())
    }

    /// Name of the table of words of a model with this head; `None` if the family reads no words.
    #[must_use]
    pub fn embedding_name(&self, head: Head) -> Option<String> {
        match self {
            Self::Bert(config) => {
                Some(format!("{}.embeddings.word_embeddings.weight", config.variant.names().body))
            }
            Self::Decoder(config) => {
                let decoder::Names { body, words, .. } = config.variant.names();
                Some(format!("{body}.{words}.weight"))
            }
            Self::T5(_) => Some(format!("{}shared.weight", t5::body(head))),
            Self::Mlp(_) => None,
        }
    }

    /// What the names of tensors outside the body begin with, in checkpoints of this family.
    pub(crate) fn head_names(&self) -> HeadNames {
        match self {
            Self::Bert(config) => config.variant.head_names(),
            Self::Decoder(_) => {
                HeadNames { pooler: &[], classifier: &["score."], language: &["lm_head.", "embed_out."] }
            }
            Self::T5(_) => HeadNames {
                pooler: &["classification_head.dense."],
                classifier: &["classification_head."],
                language: &["lm_head."],
            },
            Self::Mlp(_) => HeadNames { pooler: &[], classifier: &["classifier."], language: &[] },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert;

    /// Each of the three places counts: DistilBERT's classifier drops units even where nothing else does.
    #[test]
    fn dropout_anywhere_is_dropout() {
        let none = bert::Config {
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..bert::Config::default()
        };
        assert!(!Config::Bert(none.clone()).has_dropout());
        for config in [
            bert::Config { hidden_dropout_prob: 0.1, ..none.clone() },
            bert::Config { attention_probs_dropout_prob: 0.1, ..none.clone() },
            bert::Config { classifier_dropout: Some(0.2), ..none },
        ] {
            assert!(Config::Bert(config.clone()).has_dropout(), "{config:?}");
        }
    }

    #[test]
    fn dropout_is_set_everywhere_or_refused() {
        let configs = [
            Config::Bert(bert::Config { classifier_dropout: Some(0.5), ..bert::Config::default() }),
            Config::Decoder(decoder::Config::of(decoder::Variant::Gpt2)),
            Config::Decoder(decoder::Config::of(decoder::Variant::Llama)),
            Config::T5(t5::Config::default()),
        ];
        for mut config in configs {
            config.set_dropout(0.0).unwrap();
            assert!(!config.has_dropout(), "{config:?}");
            config.set_dropout(0.2).unwrap();
            assert!(config.has_dropout() && config.check().is_ok(), "{config:?}");
        }
        let mut perceptron = Config::Mlp(mlp::Config { input_size: 2, hidden_sizes: vec![3] });
        assert!(!perceptron.has_dropout());
        let error = perceptron.set_dropout(0.1).unwrap_err().to_string();
        assert_eq!(error, "a model of type `samebasin-mlp` drops no units");
    }

    #[test]
    fn lengths_follow_positions_and_the_limit() {
        let roberta = Config::Bert(bert::Config {
            variant: bert::Variant::Roberta,
            max_position_embeddings: 514,
            pad_token_id: 1,
            ..bert::Config::default()
        });
        assert_eq!((roberta.position_offset(), roberta.max_length(None)), (2, 512));
        assert_eq!((roberta.max_length(Some(128)), roberta.max_length(Some(1000))), (128, 512));
        let t5 = Config::T5(t5::Config::default());
        assert_eq!((t5.max_length(None), t5.max_length(Some(1000))), (512, 1000));
        let perceptron = Config::Mlp(mlp::Config { input_size: 2, hidden_sizes: vec![] });
        assert_eq!((perceptron.max_length(Some(7)), perceptron.position_offset()), (7, 0));
    }

    /// The table of words is a tensor of every family that reads words, under each of its heads.
    #[test]
    fn tables_of_words_are_found() {
        for model in crate::maps::tests::models() {
            let name = model.config().embedding_name(model.head());
            let shape = name.map(|name| model.layout().entry(&name).map(|entry| entry.shape[0]));
            let expected = (model.config().objective() != Objective::Classes).then_some(Some(5));
            assert_eq!(shape, expected, "{}", model.config().model_type());
        }
    }
}
