//! Models as stages pass them on: weights, `config.json` and, for text, `tokenizer.json`.

use models::{Config, Head, Model};
use store::{Input, Manifest, Media};
use tasks::Encoder;
use weights::Weights;

use crate::compute::Compute;
use crate::stage::{Failure, Inputs, Session, Work};

/// Version of whatever family a checkpoint turns out to be of: a key is computed before a byte is read.
pub(crate) const MODELS_VERSION: u32 =
    models::bert::VERSION + models::decoder::VERSION + models::t5::VERSION + models::mlp::VERSION;

/// Adds a model to a stage's inputs: its weights from output `weights`, and what is needed to run them.
///
/// # Errors
/// [`Failure::Store`] if the manifest has no such outputs: it is not of a model.
pub(crate) fn add_inputs(inputs: &mut Inputs, manifest: &Manifest, weights: &str) -> Result<(), Failure> {
    inputs.add("model", manifest, weights)?;
    inputs.add("config", manifest, "config")?;
    if manifest.outputs.contains_key("tokenizer") {
        inputs.add("tokenizer", manifest, "tokenizer")?;
    }
    Ok(())
}

/// The configuration that an input's `config.json` holds.
///
/// # Errors
/// [`Failure::Store`] if the object is corrupt, [`Failure::Model`] if no family here fits it.
pub(crate) fn config(session: &Session, input: &Input) -> Result<Config, Failure> {
    let bytes = session.bytes(input)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        Failure::Input(format!("object {}: config.json is not UTF-8: {error}", input.object))
    })?;
    Ok(Config::from_json(text)?)
}

/// The encoder of a text model, or that of dense rows where there is no tokenizer.
///
/// # Errors
/// [`Failure::Input`] if the tokenizer cannot be read.
pub(crate) fn encoder(session: &Session, input: Option<&Input>) -> Result<Encoder, Failure> {
    match input {
        Some(input) => Ok(Encoder::from_tokenizer_json(&session.bytes(input)?)?),
        None => Ok(Encoder::Dense),
    }
}

/// Weights for exactly this model.
///
/// # Errors
/// [`Failure::Input`] naming the tensor that is missing, superfluous, misshapen or not finite, and the object.
pub(crate) fn weights(session: &Session, input: &Input, model: &Model) -> Result<Weights, Failure> {
    let bytes = session.bytes(input)?;
    Weights::from_safetensors_as(&bytes, model.layout())
        .map_err(|error| Failure::Input(format!("object {}: {error}", input.object)))
}

/// All weights in a file, whatever the model.
///
/// # Errors
/// As [`weights`].
pub(crate) fn any_weights(session: &Session, input: &Input) -> Result<Weights, Failure> {
    let bytes = session.bytes(input)?;
    Weights::from_safetensors(&bytes)
        .map_err(|error| Failure::Input(format!("object {}: {error}", input.object)))
}

/// A classifier with this configuration, computed like this.
///
/// # Errors
/// [`Failure::Model`] if the configuration is not one, or its family not computed so.
pub(crate) fn classifier(config: Config, labels: usize, compute: Compute) -> Result<Model, Failure> {
    compute.apply(Model::new(config, Head::Classification { labels })?)
}

/// Publishes what a model is made of, beside its weights.
///
/// # Errors
/// [`Failure::Store`] if it cannot be written.
pub(crate) fn publish_description(
    work: &mut Work<'_>,
    model: &Model,
    label_names: &[String],
    tokenizer: Option<&[u8]>,
) -> Result<(), Failure> {
    work.publish("config", Media::Json, model.config().to_json(model.head(), label_names).as_bytes())?;
    if let Some(tokenizer) = tokenizer {
        work.publish("tokenizer", Media::Json, tokenizer)?;
    }
    Ok(())
}

/// Longest input that a model takes, in tokens, and at most `limit` if there is one; of a T5 `limit`, or where texts are
/// usually cut.
#[must_use]
pub(crate) fn max_length(config: &Config, limit: Option<usize>) -> usize {
    let positions = match config {
        Config::Bert(bert) => bert.longest(),
        Config::Decoder(decoder) => decoder.max_position_embeddings,
        // Positions are relative: it takes as many as are asked for.
        Config::T5(t5) => limit.unwrap_or(t5.n_positions),
        _ => usize::MAX,
    };
    limit.map_or(positions, |limit| limit.min(positions))
}

/// Whether a model drops units in training.
#[must_use]
pub(crate) fn has_dropout(config: &Config) -> bool {
    match config {
        Config::Bert(bert) => {
            let places =
                [bert.hidden_dropout_prob, bert.attention_probs_dropout_prob, bert.classifier_dropout()];
            places.iter().any(|&probability| probability > 0.0)
        }
        Config::Decoder(decoder) => {
            let places = [decoder.embedding_dropout, decoder.attention_dropout, decoder.residual_dropout];
            places.iter().any(|&probability| probability > 0.0)
        }
        Config::T5(t5) => t5.dropout_rate > 0.0 || t5.classifier_dropout > 0.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use models::bert;

    use super::*;

    /// Each of the three places counts: DistilBERT's classifier drops units even where nothing else does.
    #[test]
    fn dropout_anywhere_is_dropout() {
        let none = bert::Config {
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..bert::Config::default()
        };
        assert!(!has_dropout(&Config::Bert(none.clone())));
        for config in [
            bert::Config { hidden_dropout_prob: 0.1, ..none.clone() },
            bert::Config { attention_probs_dropout_prob: 0.1, ..none.clone() },
            bert::Config { classifier_dropout: Some(0.2), ..none },
        ] {
            assert!(has_dropout(&Config::Bert(config.clone())), "{config:?}");
        }
    }
}
