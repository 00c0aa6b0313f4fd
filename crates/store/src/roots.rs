//! What must stay: all that refs, runs under way and unfinished runs lead to.
//!
//! What cannot be followed is an error and no end: behind it may lie anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::catalog::{self, Catalog, Found};
use crate::lock::{Journal, is_held};
use crate::{Error, Input, Manifest, ObjectId, StageKey, Store};

/// A stage and the key of its recipe.
pub(crate) type Named = (String, StageKey);

/// A run that has left a lock file: it goes on, or it was killed.
pub(crate) struct Run {
    /// Is its lock held?
    pub(crate) is_running: bool,
    /// What it needs.
    pub(crate) journal: Journal,
    /// The lock's file.
    pub(crate) lock: PathBuf,
}

/// The runs that have left a lock file.
pub(crate) fn runs(store: &Store) -> Result<BTreeMap<Named, Run>, Error> {
    let mut runs = BTreeMap::new();
    for ((stage, key), Found { path, .. }) in catalog::locks(store)? {
        let is_running = is_held(&path)?;
        let Some(journal) = Journal::read(&path)? else { continue };
        if is_running && journal.holder.is_none() {
            let why = "its lock is held by a version of samebasin that does not say: wait until it ends";
            return Err(Error::Unfollowable { what: format!("{stage} {key}"), why: why.to_owned() });
        }
        runs.insert((stage, key), Run { is_running, journal, lock: path });
    }
    Ok(runs)
}

/// All manifests, by key.
pub(crate) fn manifests(
    store: &Store,
    catalog: &Catalog<Named>,
) -> Result<BTreeMap<StageKey, Manifest>, Error> {
    let mut manifests = BTreeMap::new();
    for (stage, key) in catalog.found.keys() {
        if let Some(manifest) = store.read_manifest(stage, key)? {
            manifests.insert(*key, manifest);
        }
    }
    Ok(manifests)
}

/// What stays.
pub(crate) struct Mark<'a> {
    manifests: &'a BTreeMap<StageKey, Manifest>,
    pub(crate) keys: BTreeSet<StageKey>,
    pub(crate) objects: BTreeSet<ObjectId>,
}

impl<'a> Mark<'a> {
    pub(crate) fn new(manifests: &'a BTreeMap<StageKey, Manifest>) -> Mark<'a> {
        Mark { manifests, keys: BTreeSet::new(), objects: BTreeSet::new() }
    }

    /// Marks what every ref leads to. A ref is as good as its manifest, and may name other bytes than that does now.
    pub(crate) fn refs(&mut self, store: &Store, refs: &Catalog<String>) -> Result<(), Error> {
        if let Some(path) = refs.strays.iter().find(|path| may_lead_somewhere(path)) {
            let why =
                "it is a link, or no name of a ref: make it a file or a folder of its own, or remove it";
            return Err(Error::Unfollowable { what: path.display().to_string(), why: why.to_owned() });
        }
        for name in refs.found.keys() {
            let what = format!("ref {name}");
            let copy = store.get_ref(name)?;
            let own = self.manifests.contains_key(&copy.key).then_some(copy.key);
            let upstream = self.named_by(&copy);
            own.into_iter().chain(upstream).try_for_each(|key| self.key(&what, key))?;
        }
        Ok(())
    }

    /// Marks what a run needs: what it reads, what it has found and stored, and its result, if that is there.
    pub(crate) fn run(&mut self, (stage, key): &Named, journal: &Journal) -> Result<(), Error> {
        let what = format!("run {stage} {}", key.short());
        self.objects.extend(&journal.objects);
        let own = self.manifests.contains_key(key).then_some(key);
        journal.keys.iter().chain(own).try_for_each(|&key| self.key(&what, key))
    }

    /// Marks a manifest with what it came from, as far as that is there: what is spared as a courtesy.
    pub(crate) fn spare(&mut self, key: StageKey) {
        self.walk(key);
    }

    fn key(&mut self, what: &str, key: StageKey) -> Result<(), Error> {
        match self.walk(key) {
            None => Ok(()),
            Some(missing) => Err(Error::Unfollowable {
                what: what.to_owned(),
                why: format!(
                    "it leads to {}, whose manifest is not in the store: make that again, or remove what leads to it",
                    missing.short()
                ),
            }),
        }
    }

    /// Marks a key, all that it names, its parts, and all that is upstream of it. Returns a key that is not there.
    fn walk(&mut self, key: StageKey) -> Option<StageKey> {
        let mut keys = vec![key];
        let mut missing = None;
        while let Some(key) = keys.pop() {
            if self.keys.contains(&key) {
                continue;
            }
            let Some(manifest) = self.manifests.get(&key) else {
                missing = Some(key);
                continue;
            };
            self.keys.insert(key);
            keys.extend(self.named_by(manifest));
        }
        missing
    }

    /// Marks the objects that a manifest names, and returns the keys that it was made from.
    fn named_by(&mut self, manifest: &Manifest) -> Vec<StageKey> {
        self.objects.extend(manifest.outputs.values().map(|output| output.object));
        let origins: Vec<Input> = manifest.origins().map(|(_, _, input)| input).collect();
        self.objects.extend(origins.iter().map(|input| input.object));
        origins.into_iter().map(|input| input.from).collect()
    }
}

/// May a file among the refs stand for results? A note or a `.DS_Store` does not.
fn may_lead_somewhere(path: &Path) -> bool {
    path.is_symlink() || path.extension().is_some_and(|extension| extension == "json")
}

/// The keys of `doomed`, each after all that was made from it: whatever part of them is deleted in this order, what is left
/// names nothing that is gone.
pub(crate) fn downstream_first(
    doomed: &BTreeSet<StageKey>,
    manifests: &BTreeMap<StageKey, Manifest>,
) -> Vec<StageKey> {
    let origins = |key: &StageKey| -> BTreeSet<StageKey> {
        let origins = manifests[key].origins().map(|(_, _, input)| input.from);
        origins.filter(|from| doomed.contains(from) && from != key).collect()
    };
    let mut readers: BTreeMap<StageKey, usize> = doomed.iter().map(|&key| (key, 0)).collect();
    for key in doomed {
        for from in origins(key) {
            *readers.entry(from).or_default() += 1;
        }
    }
    let mut ready: Vec<StageKey> = doomed.iter().copied().filter(|key| readers[key] == 0).collect();
    let mut order = Vec::with_capacity(doomed.len());
    while let Some(key) = ready.pop() {
        order.push(key);
        for from in origins(&key) {
            let left = readers.entry(from).or_default();
            *left -= 1;
            if *left == 0 {
                ready.push(from);
            }
        }
    }
    order
}
