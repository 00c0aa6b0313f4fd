//! Stores and manifests for tests.

use std::collections::BTreeMap;

use serde_json::json;
use tempfile::TempDir;

use crate::{Input, Manifest, Media, ObjectId, Output, Provenance, Recipe, StageKey, Store};

/// An empty store in an empty folder.
pub(crate) fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// An input that nothing in particular made.
pub(crate) fn input(n: u8) -> Input {
    Input { from: StageKey::of_canonical(&[n]), object: ObjectId::of(&[n]) }
}

/// The bytes that [`manifest`] and [`commit`] give to output `role`.
pub(crate) fn bytes(stage: &str, seed: u64, role: &str) -> Vec<u8> {
    format!("{role} of {stage} {seed}").into_bytes()
}

/// A manifest with parameter `seed`, outputs `model` and `members`, and the given inputs.
pub(crate) fn manifest(stage: &str, seed: u64, inputs: &[(&str, Input)]) -> Manifest {
    let mut by_role: BTreeMap<String, Vec<Input>> = BTreeMap::new();
    for (role, input) in inputs {
        by_role.entry((*role).to_owned()).or_default().push(*input);
    }
    let parameters = json!({"seed": seed, "rate": 5e-5}).as_object().unwrap().clone();
    let recipe = Recipe { stage: stage.to_owned(), version: 1, parameters, inputs: by_role };
    let outputs = [("model", Media::Safetensors), ("members", Media::Parquet)]
        .map(|(role, media)| (role.to_owned(), Output::of(&bytes(stage, seed, role), media)));
    let facts = [("loss".to_owned(), json!(0.25))].into();
    let provenance = Provenance { samebasin: "0.1.0".to_owned(), seconds: 1.5, ..Provenance::default() };
    Manifest::new(recipe, outputs.into(), facts, provenance).unwrap()
}

/// Puts the outputs of [`manifest`] and commits it.
pub(crate) fn commit(store: &Store, stage: &str, seed: u64, inputs: &[(&str, Input)]) -> Manifest {
    let manifest = manifest(stage, seed, inputs);
    for role in manifest.outputs.keys() {
        store.put(&bytes(stage, seed, role)).unwrap();
    }
    store.commit(&manifest).unwrap();
    manifest
}
