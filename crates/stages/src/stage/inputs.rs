//! The inputs of a stage: named on the command line, found through manifests.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use store::{Input, Manifest};

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
}

/// Resolved inputs by role; within a role, order counts.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    roles: BTreeMap<String, Vec<Input>>,
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
