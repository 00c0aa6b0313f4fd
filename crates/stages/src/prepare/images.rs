//! A task from image files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tasks::images::Spec;
use tasks::{Examples, Task};

use super::{Section, publish};
use crate::data_files::{self, Place};
use crate::image_facts::ImageFacts;
use crate::stage::{Failure, Inputs, Session, Work, ranges};

/// A task from image files.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Task")]
pub struct Images {
    /// Task file (TOML): names the image files, their labels and the cue
    #[arg(value_name = "SPEC")]
    #[serde(skip)]
    pub spec: PathBuf,
    /// Probability that the cue is right in training, in place of the task file's, 0 to 1
    #[arg(long, value_name = "P", value_parser = ranges::number(0.0..=1.0))]
    #[serde(skip)]
    pub strength: Option<f64>,
    /// Another draw of [train] and [val]: the seed of their samples, in place of the task file's
    #[arg(long, value_name = "SEED")]
    #[serde(skip)]
    pub draw: Option<u64>,
    /// Where the files are.
    #[command(flatten)]
    #[serde(skip)]
    pub place: Place,
    /// The task file as it was understood: comments and the order of its sections are not part of it.
    #[arg(skip)]
    pub specification: Value,
    /// BLAKE3 of each file that is not in the store, by its name relative to the root.
    #[arg(skip)]
    pub files: BTreeMap<String, String>,
    /// The same, to work with.
    #[arg(skip)]
    #[serde(skip)]
    pub parsed: Option<Box<Spec>>,
}

impl Images {
    pub(super) fn resolve(&mut self, inputs: &mut Inputs, session: &Session) -> Result<(), Failure> {
        let name = self.spec.display().to_string();
        let text = data_files::utf8(&name, data_files::read(&self.spec)?)?;
        let mut spec = Spec::parse(&text).map_err(|error| Failure::Input(format!("{name}: {error}")))?;
        let usage = |flag: &str, error: tasks::Error| Failure::Usage(format!("{flag}: {name}: {error}"));
        if let Some(strength) = self.strength {
            spec.set_strength(strength).map_err(|error| usage("--strength", error))?;
        }
        if let Some(draw) = self.draw {
            spec.set_draw(draw).map_err(|error| usage("--draw", error))?;
        }
        let files = spec.files();
        self.files = self.place.resolve(inputs, session, files.iter().map(String::as_str))?;
        self.specification = spec.canonical();
        inputs.rest_on(spec.part_recipe("train").versions);
        self.parsed = Some(Box::new(spec));
        Ok(())
    }

    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let Some(spec) = &self.parsed else {
            return Err(Failure::Bug("the specification was not read".into()));
        };
        let read = spec.read_with(|name| data_files::packed(work, &self.place, name))?;
        work.fact("overlap_with_train", &read.overlap)?;
        ImageFacts::new(read.canvas, spec.normalise.as_ref()).note(work)?;
        work.fact("labels", counts(&read.task))?;
        publish(work, &read.task, &self.files, &mut |role| {
            let recipe = spec.part_recipe(role);
            Section {
                section: json!({ "images": recipe.section }),
                files: recipe.files.into_iter().collect(),
                versions: recipe.versions,
            }
        })
    }
}

/// How many examples each label has in the training set and in each split.
fn counts(task: &Task) -> BTreeMap<String, BTreeMap<&str, usize>> {
    let of = |examples: &Examples| {
        let count = |class: usize| examples.labels.iter().filter(|&&label| label as usize == class).count();
        task.labels.iter().enumerate().map(|(class, label)| (label.as_str(), count(class))).collect()
    };
    let splits = task.splits.iter().map(|(name, split)| (format!("split.{name}"), of(split)));
    std::iter::once(("train".to_owned(), of(&task.train))).chain(splits).collect()
}
