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
