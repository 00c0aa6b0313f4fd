//! Why two manifests are not one: the differences of their recipes, followed upstream to where they begin.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::difference::way;
use crate::{Change, Difference, Error, Hop, Input, Manifest, StageKey, Store, canonical};

impl Store {
    /// Why `b` is not `a`: what differs in their recipes; an input that differs is followed upstream, so that what is
    /// named is the parameter far above and not the hash that it changed. Empty if they are the same.
    ///
    /// # Errors
    /// When an upstream manifest cannot be read.
    pub fn explain(&self, a: &Manifest, b: &Manifest) -> Result<Vec<Difference>, Error> {
        let mut explanation = Explanation { store: self, at: vec![], given: BTreeMap::new(), found: vec![] };
        explanation.recipes(a, b)?;
        if a.key == b.key {
            explanation.outputs(a, b);
        }
        Ok(explanation.found)
    }
}

struct Explanation<'a> {
    store: &'a Store,
    at: Vec<Hop>,
    /// Pairs of keys that are explained, and where.
    given: BTreeMap<(StageKey, StageKey), String>,
    found: Vec<Difference>,
}

impl Explanation<'_> {
    fn say(&mut self, change: Change) {
        self.found.push(Difference { at: self.at.clone(), change });
    }

    fn recipes(&mut self, a: &Manifest, b: &Manifest) -> Result<(), Error> {
        if a.stage != b.stage {
            self.say(Change::Stage { before: a.stage.clone(), after: b.stage.clone() });
            return Ok(());
        }
        if a.version != b.version {
            self.say(Change::Version { before: a.version, after: b.version });
        }
        let (before, after) = (Value::Object(a.parameters.clone()), Value::Object(b.parameters.clone()));
        self.values("", Some(&before), Some(&after));
        let roles: BTreeSet<&String> = a.inputs.keys().chain(b.inputs.keys()).collect();
        for role in roles {
            let inputs = |manifest: &Manifest| manifest.inputs.get(role).cloned().unwrap_or_default();
            self.inputs(role, &inputs(a), &inputs(b))?;
        }
        Ok(())
    }

    fn values(&mut self, path: &str, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    self.values(&canonical::member(path, key), a.get(key), b.get(key));
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.values(&format!("{path}[{index}]"), Some(a), Some(b));
                }
            }
            // As a key sees them: 1 and 1.0 are no difference.
            (a, b) if a.map(canonical::text) == b.map(canonical::text) => {}
            (before, after) => {
                let (before, after) = (before.cloned(), after.cloned());
                self.say(Change::Parameter { path: path.to_owned(), before, after });
            }
        }
    }

    fn inputs(&mut self, role: &str, a: &[Input], b: &[Input]) -> Result<(), Error> {
        let (only_a, only_b) = (without(a, b), without(b, a));
        if only_a.is_empty() && only_b.is_empty() && a != b {
            self.say(Change::Order { role: role.to_owned() });
        }
        for (&(index, x), &(_, y)) in only_a.iter().zip(&only_b) {
            let index = (a.len() > 1 || b.len() > 1).then_some(index);
            self.pair(role, index, x, y)?;
        }
        let n_pairs = only_a.len().min(only_b.len());
        for &(index, input) in &only_a[n_pairs..] {
            self.say(Change::Removed { role: role.to_owned(), index, input });
        }
        for &(index, input) in &only_b[n_pairs..] {
            self.say(Change::Added { role: role.to_owned(), index, input });
        }
        Ok(())
    }

    /// Two inputs that differ, in the same place.
    fn pair(&mut self, role: &str, index: Option<usize>, x: Input, y: Input) -> Result<(), Error> {
        let role = role.to_owned();
        let (a, b) = (self.store.manifest(&x.from)?, self.store.manifest(&y.from)?);
        let (Some(a), Some(b)) = (&a, &b) else {
            let missing = [(x.from, &a), (y.from, &b)];
            let missing: BTreeSet<StageKey> =
                missing.iter().filter(|(_, manifest)| manifest.is_none()).map(|(key, _)| *key).collect();
            self.say(Change::Lost { role, index, missing: missing.into_iter().collect() });
            return Ok(());
        };
        let taken = |manifest: &Manifest, input: Input| {
            manifest
                .outputs
                .iter()
                .find(|(_, output)| output.object == input.object)
                .map(|(role, _)| role.clone())
        };
        let (before, after) = (taken(a, x), taken(b, y));
        match (before, after) {
            (Some(before), Some(after)) if before != after => {
                self.say(Change::Taken { role: role.clone(), index, before, after });
            }
            _ if x.from == y.from => {
                self.say(Change::Bytes { role, index, from: x.from });
                return Ok(());
            }
            _ => {}
        }
        if x.from == y.from {
            return Ok(());
        }
        if let Some(reason) = self.given.get(&(x.from, y.from)) {
            let reason = reason.clone();
            self.say(Change::Same { role, index, reason });
            return Ok(());
        }
        self.at.push(Hop { role, index, stage: b.stage.clone() });
        self.given.insert((x.from, y.from), way(&self.at));
        self.recipes(a, b)?;
        self.at.pop();
        Ok(())
    }

    fn outputs(&mut self, a: &Manifest, b: &Manifest) {
        let roles: BTreeSet<&String> = a.outputs.keys().chain(b.outputs.keys()).collect();
        for role in roles {
            let object = |manifest: &Manifest| manifest.outputs.get(role).map(|output| output.object);
            let (before, after) = (object(a), object(b));
            if before != after {
                self.say(Change::Output { role: role.clone(), before, after });
            }
        }
    }
}

/// The elements of `a` that have no partner in `b`, with their positions.
fn without(a: &[Input], b: &[Input]) -> Vec<(usize, Input)> {
    let mut counts: BTreeMap<Input, usize> = BTreeMap::new();
    for input in b {
        *counts.entry(*input).or_default() += 1;
    }
    let mut left = Vec::new();
    for (index, input) in a.iter().enumerate() {
        match counts.get_mut(input) {
            Some(count) if *count > 0 => *count -= 1,
            _ => left.push((index, *input)),
        }
    }
    left
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
