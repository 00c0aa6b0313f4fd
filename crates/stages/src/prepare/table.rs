//! A task from files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tasks::table::Spec;

use super::{Section, publish};
use crate::data_files::{self, Place};
use crate::stage::{Failure, Inputs, Session, Work};

/// A task from files.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Task")]
pub struct Table {
    /// Task file (TOML): names the data files, their columns and the labels
    #[arg(value_name = "SPEC")]
    #[serde(skip)]
    pub spec: PathBuf,
    /// Where the files are.
    #[command(flatten)]
    #[serde(skip)]
    pub place: Place,
    /// What the files hold.
    #[arg(skip)]
    pub content: Content,
}

/// What files hold, so that a key depends on their meaning and not on where they lie.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Content {
    /// The specification as it was understood: comments and the order of its sections are not part of it.
    pub specification: Value,
    /// BLAKE3 of each file that is not in the store, by its name relative to the root.
    pub files: BTreeMap<String, String>,
    /// The same, to work with.
    #[serde(skip)]
    pub parsed: Option<Box<Spec>>,
}

impl Table {
    pub(super) fn resolve(&mut self, inputs: &mut Inputs, session: &Session) -> Result<(), Failure> {
        let name = self.spec.display().to_string();
        let text = data_files::utf8(&name, data_files::read(&self.spec)?)?;
        let mut spec = Spec::parse(&text).map_err(|error| Failure::Input(format!("{name}: {error}")))?;
        spec.expand(|pattern| self.place.matching(session, pattern))?;
        let files = spec.files();
        self.content.files = self.place.resolve(inputs, session, files.iter().map(String::as_str))?;
        self.content.specification = spec.canonical();
        for recipe in spec.part_recipes().into_values() {
            inputs.rest_on(recipe.versions);
        }
        self.content.parsed = Some(Box::new(spec));
        Ok(())
    }

    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let Some(spec) = &self.content.parsed else {
            return Err(Failure::Bug("the specification was not read".into()));
        };
        let read = spec.read_with(|name| data_files::bytes(work, &self.place, name))?;
        for note in &read.notes {
            work.session.note(note);
        }
        let counts = [
            ("overlap_with_train", &read.overlap),
            ("duplicates", &read.duplicates),
            ("contradictions", &read.contradictions),
            ("skipped", &read.skipped),
        ];
        for (name, counts) in counts {
            // An overlap of none is worth saying.
            if !counts.is_empty() {
                work.fact(name, counts)?;
            }
        }
        let mut recipes = spec.part_recipes();
        publish(work, &read.task, &self.content.files, &mut |role| match recipes.remove(role) {
            Some(recipe) => Section {
                section: json!({ "table": recipe.section }),
                files: recipe.files.into_iter().collect(),
                versions: recipe.versions,
            },
            // A part that no section describes is decided by the whole.
            None => Section {
                section: json!({ "table": self.content.specification, "role": role }),
                files: spec.files().into_iter().collect(),
                versions: tasks::table::versions(),
            },
        })
    }
}
