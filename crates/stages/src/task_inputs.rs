//! A prepared task as other stages take it in.

use std::collections::BTreeMap;

use measures::scores::Confusion;
use measures::{pooling, scores};
use store::{Input, Manifest};
use tasks::{Encoded, Encoder, Examples, Form, LabelledBatch, Metric, Pool, PoolBy};

use crate::labels;
use crate::stage::{Failure, Inputs, Work};

/// What a stage's roles for parts of a task start with.
const PREFIX: &str = "task.";

/// What the roles of pools start with; the rest is the part that they are of.
const POOL: &str = "pool.";

/// The role of what the labels of `part` pool by. Tasks whose labels do not pool have no such output.
pub(crate) fn pool_of(part: &str) -> String {
    format!("{POOL}{part}")
}

/// The role of what a task is scored by. A task that is scored by accuracy has no such output.
pub(crate) const METRIC: &str = "metric";

/// The role of what a model is asked about an example. A task of classification has no such output.
pub(crate) const FORM: &str = "form";

/// Adds what a task is scored by to a stage's inputs.
///
/// # Errors
/// [`Failure::Store`] if the manifest names it and it does not exist.
pub(crate) fn add_metric(inputs: &mut Inputs, task: &Manifest) -> Result<(), Failure> {
    match task.outputs.contains_key(METRIC) {
        true => inputs.add(&format!("{PREFIX}{METRIC}"), task, METRIC),
        false => Ok(()),
    }
}

/// The metric's value of logits `[labels, names]`; none for F1 where the second label is neither asked for nor given, and
/// for a correlation where one side is constant.
pub(crate) fn value(metric: Metric, logits: &[f32], labels: &[u32], names: &[String]) -> Option<f64> {
    let table = || Confusion::new(&scores::predictions(logits, names.len()), labels, names.len());
    match metric {
        Metric::Accuracy => Some(table().accuracy()),
        Metric::Mcc => Some(table().mcc()),
        Metric::F1 => table().f1(1),
        Metric::MacroF1 => Some(table().macro_f1()),
        Metric::Pearson => {
            let ratings = tasks::ratings(names).ok()?;
            let right: Vec<f64> = labels.iter().map(|&label| ratings[label as usize]).collect();
            scores::pearson(&scores::expectations(logits, &ratings), &right)
        }
    }
}

/// Adds a task's labels, the outputs `parts` of its manifest and how their labels pool to a stage's inputs.
///
/// # Errors
/// [`Failure::Store`] naming the parts that exist if one does not.
pub(crate) fn add(inputs: &mut Inputs, task: &Manifest, parts: &[&str]) -> Result<(), Failure> {
    inputs.rest_on(tables::versions());
    if task.outputs.contains_key(FORM) {
        inputs.add(&format!("{PREFIX}{FORM}"), task, FORM)?;
    }
    for part in ["labels"].iter().chain(parts) {
        inputs.add(&format!("{PREFIX}{part}"), task, part)?;
        let pool = pool_of(part);
        if task.outputs.contains_key(&pool) {
            inputs.add(&format!("{PREFIX}{pool}"), task, &pool)?;
            inputs.rest_on(pooling::versions());
        }
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
    /// Names of the labels, in order of their class index.
    pub label_names: Vec<String>,
    /// Tokens or dense rows: [`Form::inputs`] for each example.
    pub inputs: Encoded,
    form: Form,
    pool: Option<Pool>,
    classes: Option<Vec<usize>>,
}

impl EncodedExamples {
    /// The batch of these examples, in this order.
    pub(crate) fn batch(&self, rows: &[u32]) -> LabelledBatch {
        let labels = rows.iter().map(|&row| self.labels[row as usize]).collect();
        let apart = self.form.inputs() as u32;
        let read: Vec<u32> = rows.iter().flat_map(|&row| row * apart..(row + 1) * apart).collect();
        LabelledBatch { inputs: self.inputs.gather(&read), labels }
    }

    /// A model's logits over the task's labels as logits over these examples' own, `[examples, label_names]`.
    pub(crate) fn answers(&self, logits: Vec<f32>) -> Vec<f32> {
        let logits = match &self.classes {
            Some(classes) => labels::reorder(logits, classes),
            None => logits,
        };
        let Some(pool) = &self.pool else { return logits };
        let rule = match pool.by {
            PoolBy::Max => pooling::Rule::Max,
            PoolBy::Sum => pooling::Rule::Sum,
        };
        pooling::pool(&logits, &pool.of, rule)
    }
}

/// What a word among the inputs says, or the default where a task does not have it.
fn word_of<T: Default + serde::de::DeserializeOwned>(work: &Work<'_>, role: &str) -> Result<T, Failure> {
    let Some(input) = work.optional(&format!("{PREFIX}{role}")) else { return Ok(T::default()) };
    serde_json::from_slice(&work.session.bytes(input)?)
        .map_err(|error| Failure::Input(format!("object {} is no {role}: {error}", input.object)))
}

fn of_part(part: &str, input: &Input, error: &tasks::Error) -> Failure {
    Failure::Input(format!("task part `{part}`, object {}: {error}", input.object))
}

/// The parts of a task that a stage has among its inputs.
pub(crate) struct TaskInputs {
    /// Names of the labels, in order of their class index.
    pub labels: Vec<String>,
    /// What a model is asked about an example.
    pub form: Form,
    /// What it is scored by.
    pub metric: Metric,
    parts: BTreeMap<String, Part>,
    /// The model's class of each label, where the model has another order.
    classes: Option<Vec<usize>>,
}

/// Examples, and how the task's labels pool into theirs.
struct Part {
    examples: Examples,
    pool: Option<Pool>,
}

impl TaskInputs {
    /// Reads all of a work's inputs that are parts of a task.
    ///
    /// # Errors
    /// [`Failure::Store`] for a corrupt object, [`Failure::Input`] for one that is not a table of examples.
    pub(crate) fn load(work: &Work<'_>) -> Result<Self, Failure> {
        let labels: Vec<String> = serde_json::from_slice(&work.bytes("task.labels")?)
            .map_err(|error| Failure::Input(format!("the task's labels are not a list of names: {error}")))?;
        let form = word_of(work, FORM)?;
        let metric = word_of(work, METRIC)?;
        let mut pools = BTreeMap::new();
        for (role, inputs) in &work.recipe.inputs {
            let Some(part) = role.strip_prefix(PREFIX).and_then(|part| part.strip_prefix(POOL)) else {
                continue;
            };
            for input in inputs {
                let pool = Pool::from_json(&work.session.bytes(input)?, labels.len());
                pools.insert(part.to_owned(), pool.map_err(|error| of_part(part, input, &error))?);
            }
        }
        let mut parts = BTreeMap::new();
        for (role, inputs) in &work.recipe.inputs {
            let Some(part) = role.strip_prefix(PREFIX) else { continue };
            if [FORM, METRIC, "labels"].contains(&part) || part.starts_with(POOL) {
                continue;
            }
            let pool = pools.remove(part);
            let classes = pool.as_ref().map_or(labels.len(), |pool| pool.labels.len());
            for input in inputs {
                let examples = Examples::from_parquet(&work.session.bytes(input)?);
                let examples = examples.map_err(|error| of_part(part, input, &error))?;
                if let Some(label) = examples.labels.iter().find(|&&label| label as usize >= classes) {
                    return Err(Failure::Input(format!(
                        "task part `{part}` has label {label}, but there are {classes} labels"
                    )));
                }
                parts.insert(part.to_owned(), Part { examples, pool: pool.clone() });
            }
        }
        Ok(Self { labels, form, metric, parts, classes: None })
    }

    /// Notes in what order a model gives its answers, by the names of its classes: from here on they are put into the order
    /// of the task's labels.
    ///
    /// # Errors
    /// [`Failure::Input`] with both orders if the model has other labels than the task.
    pub(crate) fn answered_by(&mut self, classes: Option<&labels::Classes>) -> Result<(), Failure> {
        self.classes = match self.form {
            Form::Classification => labels::classes_of(classes, &self.labels)?,
            Form::Preference => None,
        };
        Ok(())
    }

    /// The task with its labels in the order of a model's classes, which it learns from then on.
    ///
    /// # Errors
    /// As [`TaskInputs::answered_by`].
    pub(crate) fn in_order_of(mut self, classes: Option<&labels::Classes>) -> Result<Self, Failure> {
        self.answered_by(classes)?;
        let Some(classes) = self.classes.take() else { return Ok(self) };
        let mut labels = self.labels.clone();
        for (label, &class) in self.labels.iter().zip(&classes) {
            labels[class].clone_from(label);
        }
        self.labels = labels;
        for part in self.parts.values_mut() {
            match &mut part.pool {
                None => {
                    part.examples.labels.iter_mut().for_each(|label| *label = classes[*label as usize] as u32)
                }
                // Examples have the pool's labels; it is what falls into them that is reordered.
                Some(pool) => {
                    let before = pool.of.clone();
                    for (label, &class) in classes.iter().enumerate() {
                        pool.of[class] = before[label];
                    }
                }
            }
        }
        Ok(self)
    }

    /// Numbers that a model of this task gives for what it reads at once.
    pub(crate) fn outputs(&self) -> usize {
        self.form.outputs(self.labels.len())
    }

    /// Names of these numbers, for a model's `config.json`.
    pub(crate) fn output_names(&self) -> Vec<String> {
        match self.form {
            Form::Classification => self.labels.clone(),
            Form::Preference => vec!["score".into()],
        }
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
        let Part { examples, pool } = self.parts.get(part).ok_or_else(|| {
            let known: Vec<&str> = self.parts.keys().map(String::as_str).collect();
            Failure::Input(format!("the task has no part `{part}`; it has {}", known.join(", ")))
        })?;
        let inputs = match self.form {
            Form::Classification => encoder.encode(&examples.content, max_length),
            Form::Preference => encoder.encode_apart(&examples.content, max_length),
        };
        let inputs = inputs.map_err(|error| match error {
            tasks::Error::Encode { index, text, reason } => {
                let hint = if text.trim().is_empty() {
                    "; `skip_empty = true` in the task file leaves such rows out"
                } else {
                    ""
                };
                Failure::Input(format!(
                    "task part `{part}`: example `{}` (`{}`) cannot be encoded: {reason}{hint}",
                    examples.ids[index],
                    text.escape_debug()
                ))
            }
            other => other.into(),
        })?;
        Ok(EncodedExamples {
            ids: examples.ids.clone(),
            cases: examples.cases.clone(),
            labels: examples.labels.clone(),
            label_names: pool.as_ref().map_or(&self.labels, |pool| &pool.labels).clone(),
            inputs,
            form: self.form,
            pool: pool.clone(),
            classes: self.classes.clone(),
        })
    }
}
