//! `samebasin store list`: results by name, with what they measured.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use store::{Manifest, Store};

use super::CommandLine;
use super::text::{bare_table, size};
use crate::front_door;
use crate::stage::{Failure, told_facts};

/// Fewest digits that are taken for the beginning of a key.
const PREFIX_DIGITS: usize = 4;

/// A row.
#[derive(Serialize)]
struct Listed {
    name: Option<String>,
    stage: String,
    key: String,
    bytes: u64,
    seconds: f64,
    facts: std::collections::BTreeMap<String, Value>,
    #[serde(skip)]
    metrics: String,
}

impl Listed {
    fn of(name: Option<String>, manifest: Manifest) -> Self {
        Self {
            name,
            stage: manifest.stage.clone(),
            key: manifest.key.to_string(),
            bytes: manifest.outputs.values().map(|output| output.bytes).sum(),
            seconds: manifest.provenance.seconds,
            metrics: told_facts(&manifest),
            facts: manifest.facts,
        }
    }
}

/// Lists the results whose name or key begins with `prefix`: those that a person made or, with `all`, their parts as well.
pub(super) fn list(
    store: &Store,
    command: &CommandLine,
    prefix: Option<&str>,
    all: bool,
) -> Result<(), Failure> {
    let prefix = prefix.unwrap_or_default();
    let is_key = |key: &str| prefix.len() >= PREFIX_DIGITS && key.starts_with(prefix);
    let mut rows = Vec::new();
    let mut named = BTreeSet::new();
    for name in store.list_refs()? {
        let manifest = store.get_ref(&name)?;
        named.insert(manifest.key);
        if name.starts_with(prefix) || is_key(&manifest.key.to_string()) {
            rows.push(Listed::of(Some(name), manifest));
        }
    }
    let by_stage = store.list()?.into_iter();
    let wanted = by_stage.filter(|(stage, _)| all || front_door::is_stage(stage));
    for key in wanted.flat_map(|(_, keys)| keys).filter(|key| !named.contains(key)) {
        let is_wanted = prefix.is_empty() || is_key(&key.to_string());
        if let Some(manifest) = is_wanted.then(|| store.manifest(&key)).transpose()?.flatten() {
            rows.push(Listed::of(None, manifest));
        }
    }
    if rows.is_empty() && !prefix.is_empty() {
        return Err(Failure::Input(format!("no ref and no key begins with {prefix:?}")));
    }
    command.print(&rows, || {
        let mut table = bare_table(&["ref", "stage", "key", "size", "seconds", "measured"]);
        for row in &rows {
            table.add_row([
                row.name.as_deref().unwrap_or("-"),
                &row.stage,
                &row.key[..12],
                &size(row.bytes),
                &format!("{:.1}", row.seconds),
                &row.metrics,
            ]);
        }
        Ok(format!("{table}\n"))
    })
}
