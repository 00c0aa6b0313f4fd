//! Models as stages pass them on: weights, `config.json` and, for text, `tokenizer.json`.

use models::{Config, Head, Model};
use store::{Input, Manifest, Media};
use tasks::Encoder;
use weights::Weights;

use crate::compute::Compute;
use crate::labels;
use crate::stage::{Failure, Inputs, Session, Source, Work};

/// Adds a model to a stage's inputs: its weights, and what is needed to run them. Returns the configuration.
///
/// # Errors
/// [`Failure::Store`] if the result has no such outputs: it is not of a model; otherwise as [`Source::part`] and
/// [`add_description`].
pub(crate) fn add_inputs(inputs: &mut Inputs, session: &Session, source: &Source) -> Result<Config, Failure> {
    let (manifest, role) = source.part(session, "model")?;
    inputs.add("model", &manifest, &role)?;
    add_description(inputs, session, &manifest)
}

/// Adds what describes a model, its configuration and tokenizer, with the versions of what runs and reads it. Returns the
/// configuration.
///
/// # Errors
/// [`Failure::Store`] if the manifest has no configuration; otherwise as [`config`].
pub(crate) fn add_description(
    inputs: &mut Inputs,
    session: &Session,
    manifest: &Manifest,
) -> Result<Config, Failure> {
    inputs.add("config", manifest, "config")?;
    let config = config(session, &manifest.input_of("config")?)?;
    inputs.rest_on(config.versions());
    if manifest.outputs.contains_key("tokenizer") {
        inputs.add("tokenizer", manifest, "tokenizer")?;
        inputs.rest_on(tasks::encoding_versions());
    }
    Ok(config)
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

/// A model's classes, where its `config.json` has them.
///
/// # Errors
/// [`Failure::Store`] if the object is missing or corrupt.
pub(crate) fn classes(session: &Session, config: &Input) -> Result<Option<labels::Classes>, Failure> {
    Ok(labels::of_config(&session.bytes(config)?))
}

/// The encoder of a text model, by its tokenizer, or that of dense rows.
///
/// # Errors
/// [`Failure::Input`] if the tokenizer cannot be read, or a model that reads text has none.
pub(crate) fn encoder(session: &Session, input: Option<&Input>, config: &Config) -> Result<Encoder, Failure> {
    match (input, config.vocabulary()) {
        (Some(input), Some(size)) => {
            Ok(Encoder::from_tokenizer_json(&session.bytes(input)?)?.for_vocabulary(size))
        }
        (None, Some(_)) => Err(Failure::Input(format!(
            "the model, of type `{}`, came without a tokenizer: fetch it again with a tokenizer.json beside it",
            config.model_type()
        ))),
        (_, None) => Ok(Encoder::Dense),
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
