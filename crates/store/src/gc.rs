//! Garbage collection: what nothing leads to goes. What is needed is known by name, from refs and from the journals of
//! runs; the age of a file can spare it, and never condemns it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::catalog::{self, Catalog, Found};
use crate::files::{self, TEMPORARY};
use crate::roots::{self, Mark, Named, Run};
use crate::{Error, Lookup, Manifest, StageKey, Store};

/// What [`Store::gc`] shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Look or delete.
    pub mode: Mode,
    /// Results without a name that were made or found within this time are spared: somebody may be about to name them.
    pub grace: Duration,
    /// Remove the states that killed runs would go on from, too.
    pub unfinished: bool,
}

impl Default for Sweep {
    /// Look, an hour, keep states.
    fn default() -> Sweep {
        Sweep { mode: Mode::Look, grace: Duration::from_secs(3600), unfinished: false }
    }
}

impl Sweep {
    /// Is this spared for its age? So is what seems to come from the future: some clock was set.
    fn spares(&self, found: &Found) -> bool {
        let age = SystemTime::now().duration_since(found.modified);
        !self.grace.is_zero() && age.map_or(true, |age| age < self.grace)
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
    /// Keys of killed runs that can go on from a state, as `<stage> <key>`: it is kept, with what they need.
    pub unfinished: Vec<String>,
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
    /// State of a run that has committed, or that is given up.
    Scratch,
    /// Left by a write that was killed.
    Temporary,
}

impl Store {
    /// Frees what nothing leads to. What stays: every manifest that a ref names or that is upstream of one, with all its
    /// objects; the same for what a run under way reads, has found and has stored, and for what a killed run has, as long
    /// as its state is there; and, as a courtesy, results that were made or found a moment ago. The state of a run goes
    /// when its key is committed.
    ///
    /// Where something cannot be followed (a link among the refs, a ref or a manifest that cannot be read, one that is not
    /// there), nothing is deleted, for nobody knows what it leads to. What is downstream goes first, so that a sweep that
    /// is killed leaves a sound store.
    ///
    /// # Errors
    /// [`Error::Unfollowable`] and the like naming what cannot be followed; when something cannot be removed. To run it
    /// again is safe.
    pub fn gc(&self, sweep: &Sweep) -> Result<Collection, Error> {
        let delete = sweep.mode == Mode::Delete;
        let _lock = if delete { Some(self.sweep_alone()?) } else { self.hold_off_sweeps().ok() };
        let runs = Runs::look(self, sweep)?;
        let catalog = catalog::manifests(self)?;
        let manifests = roots::manifests(self, &catalog)?;
        let refs = catalog::refs(self)?;
        let mut mark = Mark::new(&manifests);
        mark.refs(self, &refs)?;
        runs.mark(&mut mark)?;
        for ((_, key), _) in catalog.found.iter().filter(|(_, found)| sweep.spares(found)) {
            mark.spare(*key);
        }

        let mut broom = Broom { store: self, delete, freed: Vec::new() };
        runs.sweep(&mut broom)?;
        broom.manifests(&catalog, &manifests, &mark)?;
        let objects = catalog::objects(self)?;
        let (mut kept_objects, mut kept_bytes) = (0, 0);
        for (object, found) in &objects.found {
            if mark.objects.contains(object) || sweep.spares(found) {
                kept_objects += 1;
                kept_bytes += found.bytes;
            } else {
                broom.take(Kind::Object, found)?;
            }
        }
        for found in [catalog.temporaries, objects.temporaries, refs.temporaries].iter().flatten() {
            broom.take(Kind::Temporary, found)?; // whoever writes there holds sweeps off
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
            running: runs.listed(|named| runs.is_running(named)),
            unfinished: runs.listed(|named| runs.goes_on(named) && !runs.is_running(named)),
        })
    }
}

/// The runs that have left a lock file or a state.
struct Runs {
    locks: BTreeMap<Named, Run>,
    states: Catalog<Named>,
    /// Those whose state goes.
    over: BTreeSet<Named>,
}

impl Runs {
    fn look(store: &Store, sweep: &Sweep) -> Result<Runs, Error> {
        let (locks, states) = (roots::runs(store)?, catalog::scratches(store)?);
        let mut runs = Runs { locks, states, over: BTreeSet::new() };
        let mut over = BTreeSet::new();
        for named in runs.states.found.keys().filter(|named| !runs.is_running(named)) {
            if sweep.unfinished || matches!(store.look(&named.0, &named.1)?, Lookup::Hit(_)) {
                over.insert(named.clone());
            }
        }
        runs.over = over;
        Ok(runs)
    }

    fn is_running(&self, named: &Named) -> bool {
        self.locks.get(named).is_some_and(|run| run.is_running)
    }

    /// Is it running, or can it be taken up again?
    fn goes_on(&self, named: &Named) -> bool {
        self.is_running(named) || (self.states.found.contains_key(named) && !self.over.contains(named))
    }

    fn mark(&self, mark: &mut Mark<'_>) -> Result<(), Error> {
        let mut going_on = self.locks.iter().filter(|(named, _)| self.goes_on(named));
        going_on.try_for_each(|(named, run)| mark.run(named, &run.journal))
    }

    /// Removes the states of runs that are over, and the locks that killed runs have left.
    fn sweep(&self, broom: &mut Broom<'_>) -> Result<(), Error> {
        for (_, run) in self.locks.iter().filter(|(named, _)| broom.delete && !self.goes_on(named)) {
            files::remove(&run.lock)?;
        }
        let of_running = |found: &&Found| {
            let mut owners = self.states.found.iter().filter(|(named, _)| self.is_running(named));
            owners.any(|(_, state)| found.path.parent() == Some(&state.path))
        };
        for found in self.states.temporaries.iter().filter(|found| !of_running(found)) {
            broom.take(Kind::Temporary, found)?;
        }
        self.over.iter().try_for_each(|named| broom.take_state(&self.states.found[named]))
    }

    fn listed(&self, which: impl Fn(&Named) -> bool) -> Vec<String> {
        let all: BTreeSet<&Named> = self.locks.keys().chain(self.states.found.keys()).collect();
        all.into_iter().filter(|named| which(named)).map(|(stage, key)| format!("{stage} {key}")).collect()
    }
}

/// What goes.
struct Broom<'a> {
    store: &'a Store,
    delete: bool,
    freed: Vec<Freed>,
}

impl Broom<'_> {
    /// Takes the manifests that are not marked: before their objects, and each after all that was made from it, so that
    /// at no time one names what is gone.
    fn manifests(
        &mut self,
        catalog: &Catalog<Named>,
        manifests: &BTreeMap<StageKey, Manifest>,
        mark: &Mark<'_>,
    ) -> Result<(), Error> {
        let files: BTreeMap<StageKey, &Found> =
            catalog.found.iter().map(|((_, key), found)| (*key, found)).collect();
        let doomed = manifests.keys().copied().filter(|key| !mark.keys.contains(key)).collect();
        let order = roots::downstream_first(&doomed, manifests);
        order.into_iter().try_for_each(|key| self.take(Kind::Manifest, files[&key]))
    }

    fn take(&mut self, kind: Kind, found: &Found) -> Result<(), Error> {
        let path = found.path.as_path();
        if self.delete && path.is_dir() {
            fs::remove_dir_all(path).map_err(Error::writing(path))?;
        } else if self.delete {
            files::remove(path)?;
        }
        self.note(kind, found);
        Ok(())
    }

    /// Takes a run's state. It loses its name first: half a state is none.
    fn take_state(&mut self, found: &Found) -> Result<(), Error> {
        let path = found.path.as_path();
        if self.delete {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let nameless = path.with_file_name(format!("{TEMPORARY}{name}"));
            fs::rename(path, &nameless).map_err(Error::writing(path))?;
            fs::remove_dir_all(&nameless).map_err(Error::writing(&nameless))?;
        }
        self.note(Kind::Scratch, found);
        Ok(())
    }

    fn note(&mut self, kind: Kind, found: &Found) {
        let path = found.path.strip_prefix(self.store.root()).unwrap_or(&found.path);
        self.freed.push(Freed { kind, name: path.display().to_string(), bytes: found.bytes });
    }
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;
