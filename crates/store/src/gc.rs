//! Garbage collection: what no ref leads to goes, after a time of grace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::catalog::{self, Catalog, Found};
use crate::{Error, Input, Lookup, Manifest, ObjectId, StageKey, Store, files, lock, scratch};

/// What [`Store::gc`] shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Look or delete.
    pub mode: Mode,
    /// What was written or found within this time is spared, for what publishes it may still be running. Counted
    /// back from now or from the beginning of the oldest run that holds a lock, whichever is earlier.
    pub grace: Duration,
    /// The state of an unfinished run is spared this long after it was last written.
    pub scratch_grace: Duration,
}

impl Default for Sweep {
    /// Look, an hour, 30 days.
    fn default() -> Sweep {
        let scratch_grace = Duration::from_secs(30 * 24 * 3600);
        Sweep { mode: Mode::Look, grace: Duration::from_secs(3600), scratch_grace }
    }
}

/// Whether anything is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A dry run: report what would go.
    Look,
    /// Delete it.
    Delete,
}

/// What a garbage collection did or, in a dry run, would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// Whether it did.
    pub mode: Mode,
    /// What goes, by kind and name.
    pub freed: Vec<Freed>,
    /// Bytes that go.
    pub freed_bytes: u64,
    /// Manifests that stay.
    pub kept_manifests: u64,
    /// Objects that stay.
    pub kept_objects: u64,
    /// Bytes of the objects that stay.
    pub kept_bytes: u64,
    /// Keys whose lock is held, as `<stage> <key>`: they are being computed.
    pub running: Vec<String>,
}

/// One thing that goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Freed {
    /// What it is.
    pub kind: Kind,
    /// Its path below the store.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl fmt::Display for Freed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes)
    }
}

/// What can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A manifest that no ref leads to.
    Manifest,
    /// An object that no manifest names.
    Object,
    /// State of a run that has committed, or that was given up long ago.
    Scratch,
    /// Left by a write that was killed.
    Temporary,
}

impl Store {
    /// Frees what no ref leads to. What stays: every manifest that a ref names or that is upstream of one, with all its
    /// objects; the same for what is younger than the time of grace, and for keys whose lock is held. The state of a
    /// run goes when its key is committed. Until then, objects that no manifest names stay if they may be that run's:
    /// if they are younger than its state's beginning, less the time of grace.
    ///
    /// A store with a ref or a manifest that cannot be read is left alone, for nobody knows what it leads to.
    ///
    /// # Errors
    /// When a ref or a manifest cannot be read, or something cannot be removed. To run it again is safe.
    pub fn gc(&self, sweep: &Sweep) -> Result<Collection, Error> {
        let delete = sweep.mode == Mode::Delete;
        let _lock = if delete { Some(self.sweep_alone()?) } else { self.hold_off_sweeps().ok() };

        let mut running = BTreeMap::new();
        for ((stage, key), found) in catalog::locks(self)? {
            if lock::is_held(&found.path, delete)? {
                running.insert((stage, key), found.modified);
            }
        }
        let now = SystemTime::now();
        let oldest_run = running.values().copied().min().unwrap_or(now).min(now);
        let young = oldest_run.checked_sub(sweep.grace).unwrap_or(SystemTime::UNIX_EPOCH);

        let catalog = catalog::manifests(self)?;
        let manifests = read_all(&catalog)?;
        let mut mark = Mark { manifests: &manifests, keys: BTreeSet::new(), objects: BTreeSet::new() };
        let refs = catalog::refs(self)?;
        for name in refs.found.keys() {
            let copy = self.get_ref(name)?;
            mark.manifest(&copy); // the copy may name other bytes than the manifest does now
            mark.key(copy.key);
        }
        for ((stage, key), found) in &catalog.found {
            if found.modified >= young || running.contains_key(&(stage.clone(), *key)) {
                mark.key(*key);
            }
        }

        let scratches = catalog::scratches(self)?;
        let given_up = now.checked_sub(sweep.scratch_grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut unfinished = oldest_run;
        let mut done_with = Vec::new();
        for ((stage, key), found) in &scratches.found {
            let committed = mark.keys.contains(key) && matches!(self.look(stage, key)?, Lookup::Hit(_));
            if !running.contains_key(&(stage.clone(), *key)) && (committed || found.modified < given_up) {
                done_with.push(found);
            } else {
                unfinished = unfinished.min(scratch::since(found));
            }
        }
        let unnamed_young = unfinished.checked_sub(sweep.grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let named: BTreeSet<ObjectId> = manifests
            .values()
            .flat_map(|manifest| manifest.outputs.values())
            .map(|output| output.object)
            .collect();

        let mut broom = Broom { store: self, delete, freed: Vec::new() };
        for ((_, key), found) in &catalog.found {
            if !mark.keys.contains(key) {
                broom.take(Kind::Manifest, found)?; // before its objects, so that it never names what is gone
            }
        }
        let objects = catalog::objects(self)?;
        let (mut kept_objects, mut kept_bytes) = (0, 0);
        for (object, found) in &objects.found {
            let young = if named.contains(object) { young } else { unnamed_young };
            if mark.objects.contains(object) || found.modified >= young {
                kept_objects += 1;
                kept_bytes += found.bytes;
            } else {
                broom.take(Kind::Object, found)?;
            }
        }
        for found in done_with {
            broom.take(Kind::Scratch, found)?;
        }
        let left = [catalog.temporaries, objects.temporaries, refs.temporaries, scratches.temporaries];
        for found in left.iter().flatten().filter(|found| found.modified < young) {
            broom.take(Kind::Temporary, found)?;
        }

        let mut freed = broom.freed;
        freed.sort();
        Ok(Collection {
            mode: sweep.mode,
            freed_bytes: freed.iter().map(|freed| freed.bytes).sum(),
            freed,
            kept_manifests: mark.keys.len() as u64,
            kept_objects,
            kept_bytes,
            running: running.keys().map(|(stage, key)| format!("{stage} {key}")).collect(),
        })
    }
}

fn read_all(catalog: &Catalog<(String, StageKey)>) -> Result<BTreeMap<StageKey, Manifest>, Error> {
    let mut manifests = BTreeMap::new();
    for ((_, key), found) in &catalog.found {
        let json = fs::read(&found.path).map_err(Error::reading(&found.path))?;
        manifests.insert(*key, Manifest::from_json(&json, &found.path)?);
    }
    Ok(manifests)
}

/// What stays.
struct Mark<'a> {
    manifests: &'a BTreeMap<StageKey, Manifest>,
    keys: BTreeSet<StageKey>,
    objects: BTreeSet<ObjectId>,
}

impl Mark<'_> {
    /// Marks a key, all that it names, its parts, and all that is upstream of it.
    fn key(&mut self, key: StageKey) {
        let mut keys = vec![key];
        while let Some(key) = keys.pop() {
            let Some(manifest) = self.manifests.get(&key) else { continue };
            if self.keys.insert(key) {
                keys.extend(self.manifest(manifest));
            }
        }
    }

    /// Marks the objects that a manifest names, and returns the keys that it was made from.
    fn manifest(&mut self, manifest: &Manifest) -> Vec<StageKey> {
        self.objects.extend(manifest.outputs.values().map(|output| output.object));
        let origins: Vec<Input> = manifest.origins().map(|(_, _, input)| input).collect();
        self.objects.extend(origins.iter().map(|input| input.object));
        origins.into_iter().map(|input| input.from).collect()
    }
}

/// What goes.
struct Broom<'a> {
    store: &'a Store,
    delete: bool,
    freed: Vec<Freed>,
}

impl Broom<'_> {
    fn take(&mut self, kind: Kind, found: &Found) -> Result<(), Error> {
        let path = found.path.as_path();
        if self.delete && kind == Kind::Scratch {
            fs::remove_dir_all(path).map_err(Error::writing(path))?;
        } else if self.delete {
            files::remove(path)?;
        }
        let name = path.strip_prefix(self.store.root()).unwrap_or(path).display().to_string();
        self.freed.push(Freed { kind, name, bytes: found.bytes });
        Ok(())
    }
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;
