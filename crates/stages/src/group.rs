//! Several models of one architecture that stages take in together.

use models::{Config, Model};
use store::{Input, Manifest, MappedObject};
use weights::Weights;

use crate::compute::Compute;
use crate::stage::{Failure, Inputs, Session, Source, Work};
use crate::task_inputs::TaskInputs;
use crate::{checkpoint, labels, sameness};

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
) -> Result<(Vec<Manifest>, Config), Failure> {
    if models.len() < least {
        return Err(Failure::Usage(format!("{} models given, at least {least} are needed", models.len())));
    }
    let mut manifests: Vec<Manifest> = Vec::with_capacity(models.len());
    let mut config = None;
    for source in models {
        let (manifest, role) = source.part(session, "model")?;
        if manifests.iter().any(|other| other.key == manifest.key) {
            return Err(Failure::Usage(format!("`{}` is given twice", source.name)));
        }
        if let Some(first) = manifests.first()
            && let Some(difference) = difference(session, first, &manifest)?
        {
            return Err(Failure::Input(format!(
                "`{}` and `{}` are not of one architecture, so there is no line between them: {difference}",
                models[0].name, source.name
            )));
        }
        inputs.add("model", &manifest, &role)?;
        // Each with its own description: that of a pair is its own first model's.
        config = Some(checkpoint::add_description(inputs, session, &manifest)?);
        manifests.push(manifest);
    }
    let config = config.ok_or_else(|| Failure::Usage("no model is given".into()))?;
    Ok((manifests, config))
}

/// What keeps two models from being averaged, if anything does.
fn difference(session: &Session, a: &Manifest, b: &Manifest) -> Result<Option<String>, Failure> {
    let [one, other] =
        [a, b].map(|manifest| -> Result<_, Failure> { session.bytes(&manifest.input_of("config")?) });
    let (one, other) = (one?, other?);
    if let Some(difference) = sameness::configs(&one, &other) {
        return Ok(Some(format!("in config.json {difference}")));
    }
    let (one, other) = (labels::of_config(&one), labels::of_config(&other));
    let names = |classes: &Option<labels::Classes>| Some(classes.as_ref()?.names()?.to_vec());
    if let (Some(one), Some(other)) = (names(&one), names(&other))
        && one != other
    {
        let (one, other) = (labels::listed(&one), labels::listed(&other));
        return Ok(Some(format!("the labels of one are {one}, those of the other {other}")));
    }
    let tokenizer = |manifest: &Manifest| -> Result<Option<MappedObject>, Failure> {
        match manifest.outputs.contains_key("tokenizer") {
            true => Ok(Some(session.bytes(&manifest.input_of("tokenizer")?)?)),
            false => Ok(None),
        }
    };
    Ok(match (tokenizer(a)?, tokenizer(b)?) {
        (Some(one), Some(other)) => {
            sameness::tokenizers(&one, &other).map(|difference| format!("in tokenizer.json {difference}"))
        }
        (None, None) => None,
        _ => Some("one of them has no tokenizer".to_owned()),
    })
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
    /// Reads the models among a work's inputs, and notes in what order they give the task's labels.
    ///
    /// # Errors
    /// As [`checkpoint::weights`] and [`TaskInputs::answered_by`].
    pub(crate) fn load(work: &Work<'_>, task: &mut TaskInputs, compute: Compute) -> Result<Self, Failure> {
        let described = work.input("config")?;
        task.answered_by(checkpoint::classes(work.session, described)?.as_ref())?;
        let config = checkpoint::config(work.session, described)?;
        let model = checkpoint::classifier(config.clone(), task.outputs(), compute)?;
        let inputs = work.recipe.inputs.get("model").cloned().unwrap_or_default();
        let weights: Result<Vec<Weights>, Failure> =
            inputs.iter().map(|input| checkpoint::weights(work.session, input, &model)).collect();
        Ok(Self { model, config, weights: weights?, inputs })
    }
}
