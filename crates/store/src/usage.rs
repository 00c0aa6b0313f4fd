//! How much room everything takes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{Error, Manifest, ObjectId, Store, catalog, files};

/// How much room a store takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// By stage. An object that two stages made is counted for both.
    pub stages: BTreeMap<String, StageUsage>,
    /// All objects, each once.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Of these, objects that no manifest names.
    pub unnamed_objects: u64,
    /// Their bytes.
    pub unnamed_bytes: u64,
    /// Bytes of all manifests and refs.
    pub manifest_bytes: u64,
    /// Refs.
    pub refs: u64,
    /// Bytes of unfinished runs.
    pub scratch_bytes: u64,
    /// Bytes of temporary files.
    pub temporary_bytes: u64,
    /// All bytes.
    pub bytes: u64,
}

/// How much room the outputs of a stage take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageUsage {
    /// Committed manifests.
    pub manifests: u64,
    /// Objects that they name, each once.
    pub objects: u64,
    /// Bytes of those that are there.
    pub bytes: u64,
}

impl Store {
    /// How much room everything takes. A manifest that cannot be read counts, but not for its objects.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn usage(&self) -> Result<Usage, Error> {
        let objects = catalog::objects(self)?;
        let manifests = catalog::manifests(self)?;
        let refs = catalog::refs(self)?;
        let scratches = catalog::scratches(self)?;

        let mut usage = Usage::default();
        let mut named: BTreeMap<&str, BTreeSet<ObjectId>> = BTreeMap::new();
        for ((stage, _), found) in &manifests.found {
            usage.stages.entry(stage.clone()).or_default().manifests += 1;
            usage.manifest_bytes += found.bytes;
            let json = files::read_if_exists(&found.path)?.unwrap_or_default();
            if let Ok(manifest) = Manifest::from_json(&json, &found.path) {
                let outputs = manifest.outputs.values().map(|output| output.object);
                named.entry(stage).or_default().extend(outputs);
            }
        }
        for (stage, named) in &named {
            let stage = usage.stages.entry((*stage).to_owned()).or_default();
            stage.objects = named.len() as u64;
            stage.bytes =
                named.iter().filter_map(|object| objects.found.get(object)).map(|found| found.bytes).sum();
        }
        for (object, found) in &objects.found {
            usage.objects += 1;
            usage.object_bytes += found.bytes;
            if !named.values().any(|named| named.contains(object)) {
                usage.unnamed_objects += 1;
                usage.unnamed_bytes += found.bytes;
            }
        }
        usage.refs = refs.found.len() as u64;
        usage.manifest_bytes += refs.found.values().map(|found| found.bytes).sum::<u64>();
        usage.scratch_bytes = scratches.found.values().map(|found| found.bytes).sum();
        let temporaries = [&objects.temporaries, &manifests.temporaries, &refs.temporaries];
        usage.temporary_bytes = temporaries.into_iter().flatten().map(|found| found.bytes).sum();
        usage.bytes = usage.object_bytes + usage.manifest_bytes + usage.scratch_bytes + usage.temporary_bytes;
        Ok(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn everything_is_counted_once() {
        let (_folder, store) = sample::store();
        assert_eq!(store.usage().unwrap(), Usage::default());
        let first = sample::commit(&store, "soup", 1, &[]);
        let second = sample::commit(&store, "soup", 2, &[]);
        sample::commit(&store, "finetune", 1, &[]);
        // The same outputs by another recipe: more manifests, no more bytes.
        let twin = Manifest::new(
            crate::Recipe { version: 2, ..first.recipe() },
            first.outputs.clone(),
            first.facts.clone(),
            first.provenance.clone(),
        )
        .unwrap();
        store.commit(&twin).unwrap();
        store.set_ref("soup", &first).unwrap();
        store.put(b"named by nothing").unwrap();
        store.scratch("soup", &first.key).unwrap().write("state", b"1234").unwrap();
        std::fs::write(store.objects().join(".tmp-1-1"), b"half").unwrap();

        let usage = store.usage().unwrap();
        let of = |manifest: &Manifest| manifest.outputs.values().map(|output| output.bytes).sum::<u64>();
        let soup = StageUsage { manifests: 3, objects: 4, bytes: of(&first) + of(&second) };
        assert_eq!(usage.stages["soup"], soup);
        assert_eq!((usage.stages["finetune"].manifests, usage.stages["finetune"].objects), (1, 2));
        assert_eq!((usage.objects, usage.unnamed_objects, usage.unnamed_bytes, usage.refs), (7, 1, 16, 1));
        assert_eq!((usage.scratch_bytes, usage.temporary_bytes), (36, 4));
        assert_eq!(usage.object_bytes, store.verify().unwrap().object_bytes);
        let parts = usage.object_bytes + usage.manifest_bytes + usage.scratch_bytes + usage.temporary_bytes;
        assert_eq!(usage.bytes, parts);
        assert_eq!(serde_json::to_value(&usage).unwrap()["stages"]["soup"]["manifests"], 3);
    }
}
