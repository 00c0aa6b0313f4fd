//! A prepared task as other stages take it in.

use std::collections::BTreeMap;

use store::{Manifest, ObjectId};
use tasks::{Encoded, Encoder, Examples};

use crate::stage::{Failure, Inputs, Work};

/// What a stage's roles for parts of a task start with.
const PREFIX: &str = "task.";

/// Adds a task's labels and the outputs `parts` of its manifest to a stage's inputs.
///
/// # Errors
/// [`Failure::Store`] naming the parts that exist if one does not.
pub(crate) fn add(inputs: &mut Inputs, task: &Manifest, parts: &[&str]) -> Result<(), Failure> {
    for part in ["labels"].iter().chain(parts) {
        inputs.add(&format!("{PREFIX}{part}"), task, part)?;
    }
    Ok(())
}

/// Number of examples in a part, as the task's manifest states it.
///
/// # Errors
/// [`Failure::Input`] if it does not: the manifest is not of a task.
pub(crate) fn size(task: &Manifest, part: &str) -> Result<u64, Failure> {
    let sizes = task.facts.get("examples");
    sizes.and_then(|sizes| sizes.get(part)?.as_u64()).ok_or_else(|| {
        Failure::Input(format!(
            "{} {} does not say how many examples `{part}` has: is it a task?",
            task.stage,
            task.key.short()
        ))
    })
}

/// A part of a task, ready for a model.
#[derive(Clone, Debug)]
pub(crate) struct EncodedExamples {
    /// Ids, cases and labels.
    pub ids: Vec<String>,
    /// Sub-case of each example.
    pub cases: Vec<String>,
    /// Class index of each example.
    pub labels: Vec<u32>,
    /// Tokens or dense rows.
    pub inputs: Encoded,
}

/// The parts of a task that a stage has among its inputs.
pub(crate) struct TaskInputs {
    /// Names of the labels, in order of their class index.
    pub labels: Vec<String>,
    parts: BTreeMap<String, (ObjectId, Examples)>,
}

impl TaskInputs {
    /// Reads all of a work's inputs that are parts of a task.
    ///
    /// # Errors
    /// [`Failure::Store`] for a corrupt object, [`Failure::Input`] for one that is not a table of examples.
    pub(crate) fn load(work: &Work<'_>) -> Result<Self, Failure> {
        let labels: Vec<String> = serde_json::from_slice(&work.bytes("task.labels")?)
            .map_err(|error| Failure::Input(format!("the task's labels are not a list of names: {error}")))?;
        let mut parts = BTreeMap::new();
        for (role, inputs) in &work.recipe.inputs {
            let Some(part) = role.strip_prefix(PREFIX).filter(|&part| part != "labels") else { continue };
            for input in inputs {
                let examples = Examples::from_parquet(&work.session.bytes(input)?).map_err(|error| {
                    Failure::Input(format!("task part `{part}`, object {}: {error}", input.object))
                })?;
                if let Some(label) = examples.labels.iter().find(|&&label| label as usize >= labels.len()) {
                    return Err(Failure::Input(format!(
                        "task part `{part}` has label {label}, but the task has {} labels",
                        labels.len()
                    )));
                }
                parts.insert(part.to_owned(), (input.object, examples));
            }
        }
        Ok(Self { labels, parts })
    }

    /// Names of the parts that start with `prefix`, without it.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.parts.keys().filter_map(move |part| part.strip_prefix(prefix))
    }

    /// A part, encoded for a model that takes at most `max_length` tokens.
    ///
    /// # Errors
    /// [`Failure::Input`] if there is no such part, or the model cannot read it.
    pub(crate) fn encoded(
        &self,
        encoder: &Encoder,
        part: &str,
        max_length: usize,
    ) -> Result<EncodedExamples, Failure> {
        let (_, examples) = self.parts.get(part).ok_or_else(|| {
            let known: Vec<&str> = self.parts.keys().map(String::as_str).collect();
            Failure::Input(format!("the task has no part `{part}`; it has {}", known.join(", ")))
        })?;
        let inputs = encoder.encode(&examples.content, max_length)?;
        Ok(EncodedExamples {
            ids: examples.ids.clone(),
            cases: examples.cases.clone(),
            labels: examples.labels.clone(),
            inputs,
        })
    }
}
