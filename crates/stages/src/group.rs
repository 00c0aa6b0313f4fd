//! Several models of one architecture that stages take in together.

use models::{Config, Model};
use store::{Input, Manifest};
use weights::Weights;

use crate::checkpoint;
use crate::compute::Compute;
use crate::stage::{Failure, Inputs, Session, Source, Work};

/// Adds fine-tuned models to a stage's inputs: weights for each, one configuration, one tokenizer.
///
/// # Errors
/// [`Failure::Usage`] for fewer than `least` models or one named twice, [`Failure::Input`] if they are not of one
/// architecture and tokenizer.
pub(crate) fn add(
    inputs: &mut Inputs,
    session: &Session,
    models: &[Source],
    least: usize,
) -> Result<Vec<Manifest>, Failure> {
    if models.len() < least {
        return Err(Failure::Usage(format!("{} models given, at least {least} are needed", models.len())));
    }
    let mut manifests: Vec<Manifest> = Vec::with_capacity(models.len());
    for source in models {
        let manifest = source.manifest(session)?;
        if let Some(first) = manifests.first() {
            for output in ["config", "tokenizer"] {
                let of = |manifest: &Manifest| manifest.outputs.get(output).map(|output| output.object);
                if of(&manifest) != of(first) {
                    return Err(Failure::Input(format!(
                        "`{}` and `{}` have different {output}s: there is no line between them",
                        models[0].name, source.name
                    )));
                }
            }
        } else {
            inputs.add("config", &manifest, "config")?;
            if manifest.outputs.contains_key("tokenizer") {
                inputs.add("tokenizer", &manifest, "tokenizer")?;
            }
        }
        if manifests.iter().any(|other| other.key == manifest.key) {
            return Err(Failure::Usage(format!("`{}` is given twice", source.name)));
        }
        inputs.add("model", &manifest, source.role.as_deref().unwrap_or("model"))?;
        manifests.push(manifest);
    }
    Ok(manifests)
}

/// The models of a group, in memory.
pub(crate) struct Group {
    /// Their common architecture.
    pub model: Model,
    /// Their common configuration.
    pub config: Config,
    /// Where each came from, in the order given.
    pub inputs: Vec<Input>,
    /// Their weights, in the order given.
    pub weights: Vec<Weights>,
}

impl Group {
    /// Reads the models among a work's inputs.
    ///
    /// # Errors
    /// As [`checkpoint::weights`].
    pub(crate) fn load(work: &Work<'_>, labels: usize, compute: Compute) -> Result<Self, Failure> {
        let config = checkpoint::config(work.session, work.input("config")?)?;
        let model = checkpoint::classifier(config.clone(), labels, compute)?;
        let inputs = work.recipe.inputs.get("model").cloned().unwrap_or_default();
        let weights: Result<Vec<Weights>, Failure> =
            inputs.iter().map(|input| checkpoint::weights(work.session, input, &model)).collect();
        Ok(Self { model, config, weights: weights?, inputs })
    }
}
