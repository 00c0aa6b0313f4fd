//! Models as stages pass them on: weights, `config.json` and, for text, `tokenizer.json`.

use models::{Config, Head, Model};
use store::{Input, Manifest, Media};
use tasks::Encoder;
use weights::Weights;

use crate::stage::{Failure, Inputs, Session, Work};

/// Adds a model to a stage's inputs: its weights from output `weights`, and what is needed to run them.
///
/// # Errors
/// [`Failure::Store`] if the manifest has no such outputs: it is not of a model.
pub fn add_inputs(inputs: &mut Inputs, manifest: &Manifest, weights: &str) -> Result<(), Failure> {
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
pub fn config(session: &Session, input: &Input) -> Result<Config, Failure> {
    Ok(Config::from_json(&session.bytes(input)?)?)
}

/// The encoder of a text model, or that of dense rows where there is no tokenizer.
///
/// # Errors
/// [`Failure::Input`] if the tokenizer cannot be read.
pub fn encoder(session: &Session, input: Option<&Input>) -> Result<Encoder, Failure> {
    match input {
        Some(input) => Ok(Encoder::from_tokenizer_json(&session.bytes(input)?)?),
        None => Ok(Encoder::Dense),
    }
}

/// Weights for exactly this model.
///
/// # Errors
/// [`Failure::Input`] naming the tensor that is missing, superfluous, misshapen or not finite, and the object.
pub fn weights(session: &Session, input: &Input, model: &Model) -> Result<Weights, Failure> {
    let bytes = session.bytes(input)?;
    Weights::from_safetensors_as(&bytes, model.layout())
        .map_err(|error| Failure::Input(format!("object {}: {error}", input.object)))
}

/// All weights in a file, whatever the model.
///
/// # Errors
/// As [`weights`].
pub fn any_weights(session: &Session, input: &Input) -> Result<Weights, Failure> {
    let bytes = session.bytes(input)?;
    Weights::from_safetensors(&bytes).map_err(|error| Failure::Input(format!("object {}: {error}", input.object)))
}

/// A classifier with this configuration.
///
/// # Errors
/// [`Failure::Model`] if the configuration is not one.
pub fn classifier(config: Config, labels: usize) -> Result<Model, Failure> {
    Ok(Model::new(config, Head::Classification { labels })?)
}

/// Publishes what a model is made of, beside its weights.
///
/// # Errors
/// [`Failure::Store`] if it cannot be written.
pub fn publish_description(work: &mut Work<'_>, config: &Config, tokenizer: Option<&[u8]>) -> Result<(), Failure> {
    work.publish("config", Media::Json, config.to_json().as_bytes())?;
    if let Some(tokenizer) = tokenizer {
        work.publish("tokenizer", Media::Json, tokenizer)?;
    }
    Ok(())
}
