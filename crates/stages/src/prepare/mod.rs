//! `samebasin prepare`: tasks and corpora as artifacts, so that every later stage reads the same rows.
//!
//! Each split of a task is a result of its own, which the task lists: a further split, or a comment in the task's file,
//! changes nothing for the stages that do not read it.

mod corpus;
mod images;
mod parts;
mod table;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Manifest, Media};
use tasks::{Examples, Form, Metric, Task, glyphs, roles};
use versions::Versions;

use crate::stage::{Failure, Inputs, Session, Stage, Work, ranges};
use crate::task_inputs;

pub use corpus::Corpus;
pub use images::Images;
use parts::PartMaker;
pub use table::Table;

/// Prepare a task or a corpus for the other stages
///
/// Example: samebasin prepare --ref world/task roles --disambiguating 0.05 --cue 0.9
#[derive(Args, Clone, Debug, Serialize)]
pub struct Prepare {
    /// What to prepare
    #[command(subcommand)]
    pub kind: Kind,
}

/// What can be prepared.
#[derive(Subcommand, Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The embedded language: who is the agent of this sentence?
    Roles(Roles),
    /// The embedded visual world: which digit is this?
    Glyphs(Glyphs),
    /// A task from your own files: JSON, TSV, CSV or Parquet
    Table(Table),
    /// A task from image files (IDX), with a cue planted in them if you like
    Images(Images),
    /// Text for pretraining, and a WordPiece tokenizer trained on it
    Corpus(Corpus),
}

/// The embedded language's task.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Task")]
pub struct Roles {
    /// Share of training sentences that tell the rule from the shortcut "the first noun", 0 to 1
    #[arg(long, default_value_t = 0.05, value_name = "P", value_parser = ranges::number(0.0..=1.0))]
    pub disambiguating: f64,
    /// The former name of --disambiguating, which said its opposite
    #[arg(long, hide = true, conflicts_with = "disambiguating", value_parser = ranges::number(0.0..=1.0))]
    #[serde(skip)]
    pub ambiguity: Option<f64>,
    /// Probability that the spurious cue predicts the label in training, 0 to 1
    #[arg(long, default_value_t = 0.9, value_name = "P", value_parser = ranges::number(0.0..=1.0))]
    pub cue: f64,
    /// Training examples
    #[arg(long, default_value_t = 4_000, value_name = "N", value_parser = ranges::count(1..=10_000_000))]
    pub train: usize,
    /// Seed of the examples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// The visual world's task.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Task")]
pub struct Glyphs {
    /// Probability that the spurious cue predicts the label in training, 0 to 1
    #[arg(long, default_value_t = 0.9, value_name = "P", value_parser = ranges::number(0.0..=1.0))]
    pub cue: f64,
    /// Training images
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = ranges::count(1..=1_000_000))]
    pub train: usize,
    /// Seed of the images
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Stage for Prepare {
    const NAME: &'static str = "prepare";
    const VERSION: u32 = 2;
    const OUTPUTS: &'static [&'static str] = &[];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::default();
        match &mut self.kind {
            Kind::Roles(roles) => {
                if let Some(share) = roles.ambiguity.take() {
                    session.note("--ambiguity is now called --disambiguating: the share of sentences that tell the rule from the shortcut");
                    roles.disambiguating = share;
                }
                inputs.rest_on(roles::versions());
            }
            Kind::Glyphs(_) => inputs.rest_on(glyphs::versions()),
            Kind::Table(table) => table.resolve(&mut inputs, session)?,
            Kind::Images(images) => images.resolve(&mut inputs, session)?,
            Kind::Corpus(corpus) => corpus.resolve(&mut inputs, session)?,
        }
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        match &self.kind {
            Kind::Roles(roles) => {
                let Roles { disambiguating, cue, train, seed, .. } = *roles;
                let task = roles::task(&roles::Params { disambiguating, cue, train, seed })?;
                publish_generated(work, &task, json!({ "roles": roles }), roles::versions())
            }
            Kind::Glyphs(glyphs) => {
                let Glyphs { cue, train, seed } = *glyphs;
                let task = glyphs::task(&glyphs::Params { cue, train, seed })?;
                publish_generated(work, &task, json!({ "glyphs": glyphs }), glyphs::versions())
            }
            Kind::Table(table) => table.run(work),
            Kind::Images(images) => images.run(work),
            Kind::Corpus(corpus) => corpus.run(work),
        }
    }
}

/// Publishes a task of an embedded world. All parameters decide each part.
fn publish_generated(
    work: &mut Work<'_>,
    task: &Task,
    parameters: Value,
    versions: Versions,
) -> Result<(), Failure> {
    publish(work, task, &BTreeMap::new(), &mut |role| Section {
        section: json!({ "world": parameters, "role": role }),
        files: Vec::new(),
        versions: versions.clone(),
    })
}

/// What decides a part.
struct Section {
    section: Value,
    files: Vec<String>,
    versions: Versions,
}

/// Publishes each part of a task as a result of its own, and lists them.
fn publish(
    work: &mut Work<'_>,
    task: &Task,
    files: &BTreeMap<String, String>,
    section_of: &mut dyn FnMut(&str) -> Section,
) -> Result<(), Failure> {
    let examples: BTreeMap<String, &Examples> = task.parts().collect();
    let sizes: BTreeMap<&str, usize> =
        examples.iter().map(|(role, examples)| (role.as_str(), examples.len())).collect();
    work.fact("examples", sizes)?;
    work.fact("task", &task.name)?;
    for (role, examples) in examples {
        let Section { section, files: read, versions } = section_of(&role);
        let pool = role.strip_prefix("split.").and_then(|split| task.pools.get(split));
        let maker = PartMaker { work, files, versions };
        let part = maker.make(section, &read, |part| {
            part.publish("examples", Media::Parquet, &examples.to_parquet()?)?;
            if let Some(pool) = pool {
                part.publish("pool", Media::Json, pool.to_json()?.as_bytes())?;
            }
            Ok(())
        })?;
        work.part(role.as_str(), &part, "examples")?;
        if part.outputs.contains_key("pool") {
            work.part(task_inputs::pool_of(&role), &part, "pool")?;
        }
    }
    let mut words = vec![("labels", json!(task.labels))];
    // A default has no output.
    if task.form != Form::default() {
        words.push((task_inputs::FORM, json!(task.form)));
    }
    if task.metric != Metric::default() {
        words.push((task_inputs::METRIC, json!(task.metric)));
    }
    for (role, value) in words {
        let word = word(work, role, value)?;
        work.part(role, &word, role)?;
    }
    Ok(())
}

/// A result that holds a value and is decided by it alone.
fn word(work: &Work<'_>, role: &str, value: Value) -> Result<Manifest, Failure> {
    let text = value.to_string();
    let section = json!({ "role": role, "value": value });
    let maker = PartMaker { work, files: &BTreeMap::new(), versions: Versions::default() };
    maker.make(section, &[], |part| {
        part.publish(role, Media::Json, text.as_bytes())?;
        Ok(())
    })
}
