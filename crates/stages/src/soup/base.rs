//! The base of a merge: the checkpoint that all members were fine-tuned from, or the one that is named.

use models::{Draw, Model};
use store::{Input, Manifest};
use weights::Weights;

use crate::checkpoint;
use crate::stage::{Failure, Inputs, Session, Source, Work};

/// Adds a base that is named.
///
/// # Errors
/// [`Failure::Store`] if there is no such result, or it has no such output.
pub(super) fn add(inputs: &mut Inputs, session: &Session, base: &Source) -> Result<(), Failure> {
    let (manifest, role) = base.part(session, "model")?;
    inputs.add("base", &manifest, &role)
}

/// Adds what the members were fine-tuned from.
///
/// # Errors
/// [`Failure::Input`] if a member was not fine-tuned here, or from other weights than the first.
pub(super) fn add_common(
    inputs: &mut Inputs,
    members: &[Source],
    manifests: &[Manifest],
) -> Result<(), Failure> {
    let mut base: Option<&Input> = None;
    for (member, manifest) in members.iter().zip(manifests) {
        let start = manifest.inputs.get("model").and_then(|inputs| inputs.first());
        let start = start
            .filter(|_| ["finetune", "fetch-run"].contains(&manifest.stage.as_str()))
            .ok_or_else(|| {
                Failure::Input(format!(
                    "`{}` was not fine-tuned here: name what the members began from with --base",
                    member.name
                ))
            })?;
        match base {
            Some(base) if base.object != start.object => {
                return Err(Failure::Input(format!(
                    "`{}` and `{}` were fine-tuned from different checkpoints, objects {} and {}: they have no task \
                     vectors in common; --base names one",
                    members[0].name, member.name, base.object, start.object
                )));
            }
            Some(_) => {}
            None => base = Some(start),
        }
    }
    base.into_iter().for_each(|base| inputs.push("base", *base));
    Ok(())
}

/// The base as weights of the members' model, and which tensors it holds. What the checkpoint does not have, and the
/// task's head, it does not hold: task vectors would begin at random numbers there.
///
/// # Errors
/// [`Failure::Input`] naming the object if it is not a checkpoint of this architecture.
pub(super) fn load(work: &Work<'_>, model: &Model) -> Result<Option<(Weights, Vec<bool>)>, Failure> {
    let Some(input) = work.optional("base") else { return Ok(None) };
    let checkpoint = checkpoint::any_weights(work.session, input)?;
    let base = model
        .transfer(&checkpoint, 0, 0, Draw::Normal(0.0))
        .map_err(|error| Failure::Input(format!("the base, object {}: {error}", input.object)))?;
    let shared = model.head_and_missing(&checkpoint).into_iter().map(|is_own| !is_own).collect();
    Ok(Some((base, shared)))
}
