//! Merges over the checkpoint that all members were fine-tuned from.

use models::Draw;
use store::{Input, Manifest};
use weights::{Weights, merges, soups};

use crate::checkpoint;
use crate::compute::Compute;
use crate::group::Group;
use crate::stage::{Failure, Inputs, Source, Work};
use crate::task_inputs::TaskInputs;

/// Adds what the members were fine-tuned from as the input `base`.
///
/// # Errors
/// [`Failure::Input`] if a member was not fine-tuned here, or from other weights than the first.
pub(super) fn add_base(
    inputs: &mut Inputs,
    members: &[Source],
    manifests: &[Manifest],
) -> Result<(), Failure> {
    let mut base: Option<&Input> = None;
    for (member, manifest) in members.iter().zip(manifests) {
        let start = manifest.inputs.get("model").and_then(|inputs| inputs.first());
        let start = start.filter(|_| manifest.stage == "finetune").ok_or_else(|| {
            let name = &member.name;
            Failure::Input(format!(
                "`{name}` was not fine-tuned here: a merge needs what its members began from"
            ))
        })?;
        match base {
            Some(base) if base.object != start.object => {
                return Err(Failure::Input(format!(
                    "`{}` and `{}` were fine-tuned from different checkpoints, objects {} and {}: they have no task vectors in common",
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

/// The members and their merge. What the checkpoint does not have, and the task's head, is averaged: its task vectors
/// would begin at random numbers.
///
/// # Errors
/// As [`Group::load`] and [`merges::Method::merge`].
pub(super) fn merge(work: &Work<'_>, method: merges::Method) -> Result<(Group, Weights), Failure> {
    let mut task = TaskInputs::load(work)?;
    let group = Group::load(work, &mut task, Compute::default())?;
    let members: Vec<&Weights> = group.weights.iter().collect();
    if let merges::Method::Slerp { .. } = method {
        let merged = method.merge(members[0], &members)?;
        return Ok((group, merged));
    }
    let checkpoint = checkpoint::any_weights(work.session, work.input("base")?)?;
    let base = group.model.transfer(&checkpoint, 0, 0, Draw::Normal(0.0))?;
    let is_shared: Vec<bool> =
        group.model.head_and_missing(&checkpoint).into_iter().map(|is_own| !is_own).collect();
    let parts: Vec<Weights> = members.iter().map(|member| member.part(&is_shared)).collect();
    let parts: Vec<&Weights> = parts.iter().collect();
    let mut merged = soups::uniform::soup(&members)?;
    merged.set_part(&method.merge(&base.part(&is_shared), &parts)?);
    Ok((group, merged))
}
