//! One invocation: the store, the threads, and work done once for each key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use store::{
    Committed, Input, KeyLock, Lookup, Manifest, MappedObject, Media, NoSweep, ObjectId, Output, Recipe,
    Scratch, Sink, StageKey, Store,
};

use super::{Failure, Flags, Meter, provenance::provenance};

/// What an invocation works with.
pub struct Session {
    /// The artifact store.
    pub store: Store,
    /// Threads to use; never part of what is computed.
    pub threads: usize,
    quiet: bool,
    claim: Mutex<Claim>,
}

/// What keeps a garbage collection from what this invocation relies on.
#[derive(Default)]
struct Claim {
    /// Outside of work: no collection at all, for what was found by name is named nowhere else.
    no_sweep: Option<NoSweep>,
    /// During work: the lock of the outermost key, in which all that is read, found and stored is written down.
    lock: Option<Arc<KeyLock>>,
}

impl Session {
    pub(super) fn open(flags: &Flags) -> Result<Self, Failure> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = flags.threads.unwrap_or_else(cores);
        let store = Store::open(&flags.store)?;
        if let Some(name) = &flags.reference {
            // Not after the work is done.
            store.ref_path(name).map_err(|error| Failure::Usage(format!("--ref: {error}")))?;
        }
        // A store that cannot be written to is read all the same.
        let claim = Mutex::new(Claim { no_sweep: store.hold_off_sweeps().ok(), lock: None });
        Ok(Self { store, threads, quiet: flags.quiet, claim })
    }

    fn claim(&self) -> MutexGuard<'_, Claim> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock of the outermost key that is being computed.
    fn outermost(&self) -> Option<Arc<KeyLock>> {
        self.claim().lock.clone()
    }

    /// A progress meter of `total` units.
    #[must_use]
    pub fn meter(&self, what: impl Into<Cow<'static, str>>, total: u64) -> Meter {
        Meter::new(!self.quiet, what, total)
    }

    /// A progress meter of bytes.
    #[must_use]
    pub fn byte_meter(&self, what: impl Into<Cow<'static, str>>, bytes: u64) -> Meter {
        Meter::of_bytes(!self.quiet, what, bytes)
    }

    /// As [`Session::meter`], of work that goes on at `done`: rates count from there.
    #[must_use]
    pub fn meter_from(&self, what: impl Into<Cow<'static, str>>, done: u64, total: u64) -> Meter {
        Meter::new(!self.quiet, what, total).starting_at(done)
    }

    /// Says on stderr what a stage made.
    pub(super) fn tell(&self, stage: &str, words: &str) {
        if !self.quiet {
            super::say(&format!("samebasin {stage}: {words}"));
        }
    }

    /// Says something on stderr that a person should know and that is no failure.
    pub fn note(&self, words: &str) {
        if !self.quiet {
            super::say(&format!("note: {words}"));
        }
    }

    /// A pool of this session's threads, or nothing where one thread is all there is.
    ///
    /// # Errors
    /// [`Failure::Io`] if the system gives no threads.
    pub fn pool(&self) -> Result<Option<rayon::ThreadPool>, Failure> {
        if self.threads < 2 {
            return Ok(None);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build();
        pool.map(Some).map_err(|error| self.no_threads(error))
    }

    /// Does work whose parallel parts take this session's threads.
    ///
    /// # Errors
    /// [`Failure::Io`] if the system gives no threads, and whatever the work fails with.
    pub fn with_threads<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build();
        pool.map_err(|error| self.no_threads(error))?.install(work)
    }

    fn no_threads(&self, error: rayon::ThreadPoolBuildError) -> Failure {
        let what = format!("cannot start {} threads", self.threads);
        Failure::Io { what, source: std::io::Error::other(error) }
    }

    /// The bytes of an input, verified against its digest before anyone parses them.
    ///
    /// # Errors
    /// [`Failure::Store`] if the object is missing or corrupt.
    pub fn bytes(&self, input: &Input) -> Result<MappedObject, Failure> {
        Ok(self.store.map(&input.object)?)
    }

    /// The result of `recipe`, if it is there.
    ///
    /// # Errors
    /// [`Failure::Store`] if the store cannot be read.
    pub fn find(&self, recipe: &Recipe) -> Result<Option<Manifest>, Failure> {
        self.find_key(&recipe.stage, &recipe.key()?)
    }

    /// Finds a result, and writes down that this run relies on it.
    fn find_key(&self, stage: &str, key: &StageKey) -> Result<Option<Manifest>, Failure> {
        let Some(lock) = self.outermost() else {
            return Ok(hit(self.store.find(stage, key)?));
        };
        let _no_sweep = self.store.hold_off_sweeps()?;
        let found = hit(self.store.find(stage, key)?);
        if found.is_some() {
            lock.uses(key)?;
        }
        Ok(found)
    }

    /// The result of `recipe`: found, or computed by `work` and committed.
    ///
    /// Two processes that want the same key work once: the second waits for the first and finds its result.
    ///
    /// # Errors
    /// Whatever `work` returns; nothing is published then.
    pub fn keyed(
        &self,
        recipe: Recipe,
        work: impl FnOnce(&mut Work<'_>) -> Result<(), Failure>,
    ) -> Result<Manifest, Failure> {
        let key = recipe.key()?;
        if let Some(manifest) = self.find_key(&recipe.stage, &key)? {
            return Ok(manifest);
        }
        let outer = self.outermost();
        let inputs: Vec<Input> = recipe.inputs.values().flatten().copied().collect();
        let lock = self.store.lock(&recipe.stage, &key, &inputs, &mut |holder| {
            self.note(&format!("waiting for {holder}, which computes {} {}", recipe.stage, key.short()));
            // Whom it waits for reads the same inputs, and has written so down.
            self.claim().no_sweep = None;
        })?;
        if let Some(manifest) = self.find_key(&recipe.stage, &key)? {
            return Ok(manifest);
        }
        let lock = Arc::new(lock);
        if outer.is_none() {
            *self.claim() = Claim { no_sweep: None, lock: Some(Arc::clone(&lock)) };
        }
        let made = self.make(recipe, work, outer.as_ref().unwrap_or(&lock));
        if outer.is_none() {
            // The result has no name yet.
            *self.claim() = Claim { no_sweep: self.store.hold_off_sweeps().ok(), lock: None };
        }
        made
    }

    /// Computes the result of `recipe`, whose lock is held, and commits it; `outermost` is what it is written down in.
    fn make(
        &self,
        recipe: Recipe,
        work: impl FnOnce(&mut Work<'_>) -> Result<(), Failure>,
        outermost: &KeyLock,
    ) -> Result<Manifest, Failure> {
        let start = Instant::now();
        let scratch = self.store.scratch(&recipe.stage, &recipe.key()?)?;
        let mut job = Work {
            session: self,
            recipe: &recipe,
            scratch,
            outputs: BTreeMap::new(),
            facts: BTreeMap::new(),
        };
        work(&mut job)?;
        let Work { scratch, outputs, facts, .. } = job;
        let manifest = Manifest::new(recipe, outputs, facts, provenance(start, self.threads))?;
        let _no_sweep = self.store.hold_off_sweeps()?;
        outermost.uses(&manifest.key)?;
        let manifest = match self.store.commit(&manifest)? {
            Committed::New | Committed::Replaced(_) => manifest,
            Committed::Already(winner) => winner,
        };
        scratch.clear()?;
        Ok(manifest)
    }

    /// Stores a copy of a file, as an object that this run relies on. Returns its id and its bytes.
    ///
    /// # Errors
    /// [`Failure::Store`] if the file cannot be read, or the object not be written.
    pub fn put_file(&self, path: &std::path::Path) -> Result<(ObjectId, u64), Failure> {
        self.stored(|store| Ok(store.put_file(path)?), |&(object, _)| object)
    }

    /// Stores an object, and writes down that this run has.
    fn stored<T>(
        &self,
        put: impl FnOnce(&Store) -> Result<T, Failure>,
        object: impl Fn(&T) -> ObjectId,
    ) -> Result<T, Failure> {
        let _no_sweep = self.store.hold_off_sweeps()?;
        let stored = put(&self.store)?;
        if let Some(lock) = self.outermost() {
            lock.made(&object(&stored))?;
        }
        Ok(stored)
    }

    /// Answers `--dry-run`: whether the result exists and, if not, what changed since the ref was set.
    pub(super) fn explain_plan(&self, recipe: &Recipe, flags: &Flags) -> Result<(), Failure> {
        let key = recipe.key()?;
        let (verdict, reasons) = match self.store.find(&recipe.stage, &key)? {
            Lookup::Hit(_) => ("hit", Vec::new()),
            Lookup::Broken(damage) => ("run", vec![damage.to_string()]),
            Lookup::Missing => {
                let before = flags.reference.as_ref().and_then(|name| self.store.get_ref(name).ok());
                let reasons = match before {
                    Some(before) => {
                        let wanted = Manifest::new(
                            recipe.clone(),
                            BTreeMap::new(),
                            BTreeMap::new(),
                            Default::default(),
                        )?;
                        let differences = self.store.explain(&before, &wanted)?;
                        differences.iter().map(ToString::to_string).collect()
                    }
                    None => vec!["there is no result for this recipe yet".into()],
                };
                ("run", reasons)
            }
        };
        let mut out = std::io::stdout().lock();
        if flags.json {
            let plan = serde_json::json!({ "plan": verdict, "key": key, "reasons": reasons });
            return writeln!(out, "{plan:#}").map_err(Failure::printing);
        }
        let reasons: String = reasons.iter().map(|reason| format!("  {reason}\n")).collect();
        write!(out, "{verdict} {key}\n{reasons}").map_err(Failure::printing)
    }
}

fn hit(lookup: Lookup) -> Option<Manifest> {
    match lookup {
        Lookup::Hit(manifest) => Some(manifest),
        Lookup::Missing | Lookup::Broken(_) => None,
    }
}

/// The work on one key: inputs to read, outputs to publish.
pub struct Work<'a> {
    /// The invocation that this work is part of.
    pub session: &'a Session,
    /// What is being made.
    pub recipe: &'a Recipe,
    /// A place for state that lets a killed run go on; gone once the result is committed.
    pub scratch: Scratch,
    outputs: BTreeMap<String, Output>,
    facts: BTreeMap<String, serde_json::Value>,
}

impl Work<'_> {
    /// The only input of a role.
    ///
    /// # Errors
    /// [`Failure::Input`] if the role has none.
    pub fn input(&self, role: &str) -> Result<&Input, Failure> {
        let inputs = self.recipe.inputs.get(role);
        inputs
            .and_then(|inputs| inputs.first())
            .ok_or_else(|| Failure::Input(format!("input `{role}` is missing")))
    }

    /// The only input of a role that need not be there.
    #[must_use]
    pub fn optional(&self, role: &str) -> Option<&Input> {
        self.recipe.inputs.get(role)?.first()
    }

    /// The verified bytes of the only input of a role that need not be there: `None` where the stage has no such input.
    ///
    /// # Errors
    /// As [`Session::bytes`]: an input that is named and cannot be read ends the stage.
    pub fn optional_bytes(&self, role: &str) -> Result<Option<MappedObject>, Failure> {
        self.optional(role).map(|input| self.session.bytes(input)).transpose()
    }

    /// The verified bytes of the only input of a role.
    ///
    /// # Errors
    /// As [`Work::input`] and [`Session::bytes`].
    pub fn bytes(&self, role: &str) -> Result<MappedObject, Failure> {
        self.session.bytes(self.input(role)?)
    }

    /// Publishes an output. It becomes visible with the manifest, when the work is done.
    ///
    /// # Errors
    /// [`Failure::Store`] if it cannot be written.
    pub fn publish(
        &mut self,
        role: impl Into<String>,
        media: Media,
        bytes: &[u8],
    ) -> Result<ObjectId, Failure> {
        let object = self.session.stored(|store| Ok(store.put(bytes)?), |&object| object)?;
        self.outputs.insert(role.into(), Output { object, bytes: bytes.len() as u64, media, from: None });
        Ok(object)
    }

    /// Publishes an output that is written piece by piece. As [`Work::publish`] otherwise.
    ///
    /// # Errors
    /// [`Failure::Store`] if it cannot be written, and whatever `write` fails with.
    pub fn publish_stream(
        &mut self,
        role: impl Into<String>,
        media: Media,
        write: impl FnOnce(&mut Sink) -> Result<(), Failure>,
    ) -> Result<ObjectId, Failure> {
        let (object, bytes) = self.session.stored(|store| store.put_stream(write), |&(object, _)| object)?;
        self.outputs.insert(role.into(), Output { object, bytes, media, from: None });
        Ok(object)
    }

    /// Publishes a file that lies outside the store's objects: an input of the work, or a part of its scratch.
    ///
    /// # Errors
    /// [`Failure::Store`] if the file cannot be read, or the object not be written.
    pub fn publish_file(
        &mut self,
        role: impl Into<String>,
        media: Media,
        path: &std::path::Path,
    ) -> Result<ObjectId, Failure> {
        let (object, bytes) = self.session.put_file(path)?;
        self.outputs.insert(role.into(), Output { object, bytes, media, from: None });
        Ok(object)
    }

    /// Publishes an object that is in the store already: an input that is handed on, or one kept before a kill.
    ///
    /// # Errors
    /// [`Failure::Store`] if it is not there.
    pub fn adopt(&mut self, role: impl Into<String>, media: Media, object: ObjectId) -> Result<(), Failure> {
        let bytes = self.session.store.map(&object)?.len() as u64;
        self.outputs.insert(role.into(), Output { object, bytes, media, from: None });
        Ok(())
    }

    /// Lists output `output` of another result as a part of this one: it keeps the recipe that made it.
    ///
    /// # Errors
    /// [`Failure::Store`] naming the outputs that exist if that one does not.
    pub fn part(
        &mut self,
        role: impl Into<String>,
        manifest: &Manifest,
        output: &str,
    ) -> Result<ObjectId, Failure> {
        let Input { from, object } = manifest.input_of(output)?;
        self.outputs.insert(role.into(), Output { from: Some(from), ..*manifest.output(output)? });
        Ok(object)
    }

    /// Hands an input on as an output: it keeps the recipe that made it.
    ///
    /// # Errors
    /// [`Failure::Store`] if the object is not there.
    pub fn pass(&mut self, role: impl Into<String>, media: Media, input: Input) -> Result<(), Failure> {
        let bytes = self.session.store.map(&input.object)?.len() as u64;
        self.outputs
            .insert(role.into(), Output { object: input.object, bytes, media, from: Some(input.from) });
        Ok(())
    }

    /// Checks that outputs of these roles are there and, where a model was read with its tokenizer, that it is handed on
    /// with it.
    ///
    /// # Errors
    /// [`Failure::Bug`] naming the role that is not.
    pub(super) fn require(&self, roles: &[&'static str]) -> Result<(), Failure> {
        let described = roles.contains(&"config") && self.recipe.inputs.contains_key("tokenizer");
        let tokenizer = described.then_some("tokenizer");
        match roles.iter().copied().chain(tokenizer).find(|role| !self.outputs.contains_key(*role)) {
            Some(role) => Err(Failure::Bug(format!("the result has no output `{role}`"))),
            None => Ok(()),
        }
    }

    /// Notes a fact that follows from the recipe, for readers of the manifest.
    ///
    /// # Errors
    /// [`Failure::Bug`] if it has no JSON form.
    pub fn fact(&mut self, name: &str, value: impl Serialize) -> Result<(), Failure> {
        self.facts.insert(name.into(), super::json(&value)?);
        Ok(())
    }
}
