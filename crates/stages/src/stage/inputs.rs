//! The inputs of a stage: named on the command line, found through manifests.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use store::{Input, Manifest};
use versions::Versions;

use super::{Failure, Session};

/// An input as a person names it: a ref, a key or a ref file, and where it matters which of its outputs.
///
/// `world/ladder/0:step-1000` is the output `step-1000` of what the ref `world/ladder/0` points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Ref, key or path of a manifest.
    pub name: String,
    /// The output's role, if one was given.
    pub role: Option<String>,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, role) = match text.rsplit_once(':') {
            Some((name, role)) => (name, Some(role.to_owned())),
            None => (text, None),
        };
        match name.is_empty() || role.as_ref().is_some_and(String::is_empty) {
            true => Err("expected a ref or a key, and perhaps `:role`".into()),
            false => Ok(Self { name: name.into(), role }),
        }
    }
}

impl Serialize for Source {
    /// Names never reach a recipe: what they point at does, as an input.
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("the name of an input is not part of a recipe: skip this field"))
    }
}

impl Source {
    /// The manifest that the name points at.
    ///
    /// # Errors
    /// [`Failure::Store`] if there is none.
    pub fn manifest(&self, session: &Session) -> Result<Manifest, Failure> {
        Ok(session.store.resolve(&self.name)?)
    }

    /// The result that made the output that is named, or the output `default` where none is, and its role there. A rung
    /// of a ladder is a result of its own, with its own description of the model.
    ///
    /// # Errors
    /// [`Failure::Store`] if there is no such result or output, [`Failure::Input`] if the result that a part is of is not
    /// in the store.
    pub fn part(&self, session: &Session, default: &str) -> Result<(Manifest, String), Failure> {
        let manifest = self.manifest(session)?;
        let role = self.role.as_deref().unwrap_or(default);
        let output = manifest.output(role)?;
        let Some(from) = output.from else { return Ok((manifest, role.to_owned())) };
        let part = session.store.manifest(&from)?;
        let part = part.ok_or_else(|| {
            Failure::Input(format!(
                "`{}:{role}` is a part made by {}, which is not in the store: run {} again",
                self.name,
                from.short(),
                manifest.stage
            ))
        })?;
        let is_it = |role: &&String| part.outputs[*role].object == output.object;
        let Some(role) = part.outputs.keys().find(is_it).cloned() else {
            return Err(Failure::Input(format!(
                "`{}:{role}` names other bytes than {} {}: run {} again",
                self.name,
                part.stage,
                from.short(),
                manifest.stage
            )));
        };
        Ok((part, role))
    }
}

/// Resolved inputs by role, and the versions of the methods that read them; within a role, order counts.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    roles: BTreeMap<String, Vec<Input>>,
    versions: Versions,
}

impl Inputs {
    /// Adds output `output` of `manifest` under `role`.
    ///
    /// # Errors
    /// [`Failure::Store`] naming the outputs that exist if that one does not.
    pub fn add(&mut self, role: &str, manifest: &Manifest, output: &str) -> Result<(), Failure> {
        self.roles.entry(role.into()).or_default().push(manifest.input_of(output)?);
        Ok(())
    }

    /// Adds an input that is already resolved.
    pub fn push(&mut self, role: &str, input: Input) {
        self.roles.entry(role.into()).or_default().push(input);
    }

    /// Notes that the result depends on these methods.
    pub fn rest_on(&mut self, versions: Versions) {
        self.versions.add(versions);
    }

    /// Versions of all methods that the result depends on.
    #[must_use]
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The inputs of one role, in order.
    #[must_use]
    pub fn of(&self, role: &str) -> &[Input] {
        self.roles.get(role).map_or(&[], Vec::as_slice)
    }

    /// Roles that start with `prefix`, without it.
    pub fn roles_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.roles.keys().filter_map(move |role| role.strip_prefix(prefix))
    }

    /// All inputs, as a recipe names them.
    #[must_use]
    pub fn of_recipe(&self) -> BTreeMap<String, Vec<Input>> {
        self.roles.clone()
    }
}
