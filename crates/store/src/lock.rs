//! One process at a time computes a key: the others wait, and then find the result.
//!
//! The lock's file is also a journal of the run, one JSON value a line: who holds it, what the run reads, and what it has
//! found and stored so far. [`gc`](Store::gc) spares all of that while the lock is held, and after a kill for as long as
//! there is a state to resume from.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{Error, Input, ObjectId, StageKey, Store, clock, files};

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process number on its machine.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// Since when, as RFC 3339 in UTC.
    pub since: String,
}

impl Holder {
    fn this_process() -> Holder {
        Holder { pid: std::process::id(), host: clock::host(), since: clock::rfc3339(SystemTime::now()) }
    }

    /// What the lock file says. A holder that has only just taken the lock is given a moment to say who it is.
    fn read(path: &Path) -> Holder {
        for _ in 0..20 {
            if let Some(holder) = Journal::read(path).ok().flatten().and_then(|journal| journal.holder) {
                return holder;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Holder { pid: 0, host: "unknown".to_owned(), since: "unknown".to_owned() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {} since {}", self.pid, self.host, self.since)
    }
}

/// A line of a lock's file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Holder(Holder),
    Key(StageKey),
    Object(ObjectId),
}

/// What a lock's file says of the runs that held it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The last holder; none in a file of another version, or one that was not written.
    pub(crate) holder: Option<Holder>,
    /// Results that the run needs, with all that they came from.
    pub(crate) keys: BTreeSet<StageKey>,
    /// Objects that the run needs.
    pub(crate) objects: BTreeSet<ObjectId>,
}

impl Journal {
    /// Reads a lock's file; `None` where there is none. A line that a kill has torn belongs to nothing that was used.
    pub(crate) fn read(path: &Path) -> Result<Option<Journal>, Error> {
        let Some(text) = files::read_if_exists(path)? else { return Ok(None) };
        let mut journal = Journal::default();
        for line in text.split(|&byte| byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Holder(holder)) => journal.holder = Some(holder),
                Ok(Line::Key(key)) => drop(journal.keys.insert(key)),
                Ok(Line::Object(object)) => drop(journal.objects.insert(object)),
                Err(_torn) => {}
            }
        }
        Ok(Some(journal))
    }
}

/// The right to compute a key, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct KeyLock {
    file: File,
    path: PathBuf,
    /// Where the run keeps its state: while that is there, the journal stays.
    state: PathBuf,
}

impl KeyLock {
    /// Notes that the run uses this result, so that no [`gc`](Store::gc) takes it or what it came from.
    ///
    /// # Errors
    /// When the lock's file cannot be written.
    pub fn uses(&self, key: &StageKey) -> Result<(), Error> {
        self.append(&[Line::Key(*key)])
    }

    /// Notes that the run has stored this object, so that no [`gc`](Store::gc) takes it.
    ///
    /// # Errors
    /// When the lock's file cannot be written.
    pub fn made(&self, object: &ObjectId) -> Result<(), Error> {
        self.append(&[Line::Object(*object)])
    }

    fn append(&self, lines: &[Line]) -> Result<(), Error> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).expect("names and numbers have a JSON form");
            text.push(b'\n');
        }
        let appended = (&self.file).write_all(&text).and_then(|()| self.file.sync_data());
        appended.map_err(Error::writing(&self.path))
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // The name goes first, while the lock is held: whoever waits for this file sees that its name is gone and
        // starts again. See `acquire`.
        if files::is_at(&self.file, &self.path) && !self.state.exists() {
            let _ = fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

impl Store {
    /// Takes the lock of a key for a run that reads these inputs, waiting for whoever holds it; `on_wait` is told who that
    /// is, once per holder. After waiting, [`find`](Store::find) again.
    ///
    /// The lock is the operating system's (`flock`), so that it also goes when its holder is killed. Another lock of
    /// the same key in the same process counts as another holder: a thread that takes one twice waits for ever.
    ///
    /// # Errors
    /// When `stage` is not a stage's name, or the lock file cannot be made, locked or written.
    pub fn lock(
        &self,
        stage: &str,
        key: &StageKey,
        inputs: &[Input],
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<KeyLock, Error> {
        let path = Store::per_key(&self.locks(), stage, key)?;
        let state = Store::per_key(&self.scratches(), stage, key)?;
        loop {
            let file = {
                // Between the taking of a lock and the writing of its journal no sweep may look at it.
                let _no_sweep = self.hold_off_sweeps()?;
                let file = open(&path)?;
                if try_lock(&file, &path)? {
                    if let Some(lock) = acquire(file, &path, &state, inputs)? {
                        return Ok(lock);
                    }
                    continue;
                }
                file
            };
            on_wait(&Holder::read(&path));
            wait(&file, &path)?;
            // Until here the journal is that of the last holder, who read the same inputs.
            let _no_sweep = self.hold_off_sweeps()?;
            if let Some(lock) = acquire(file, &path, &state, inputs)? {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock of a key unless somebody holds it: for callers that have something better to do than wait, such
    /// as to heed a signal. `None` may also mean that a [`gc`](Store::gc) looks at the lock just now.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub fn try_lock(&self, stage: &str, key: &StageKey, inputs: &[Input]) -> Result<Option<KeyLock>, Error> {
        let path = Store::per_key(&self.locks(), stage, key)?;
        let state = Store::per_key(&self.scratches(), stage, key)?;
        let _no_sweep = self.hold_off_sweeps()?;
        loop {
            let file = open(&path)?;
            if !try_lock(&file, &path)? {
                return Ok(None);
            }
            if let Some(lock) = acquire(file, &path, &state, inputs)? {
                return Ok(Some(lock));
            }
        }
    }
}

/// Is this lock file held by somebody? Asked with a shared lock, which a file that is open for reading can take on every
/// file system: holders lock exclusively.
pub(crate) fn is_held(path: &Path) -> Result<bool, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::locking(path)(error)),
    };
    Ok(!attempt(file.try_lock_shared(), path)?)
}

/// NFS locks exclusively only what is open for writing.
fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new().read(true).append(true).create(true).open(path).map_err(Error::writing(path))
}

fn try_lock(file: &File, path: &Path) -> Result<bool, Error> {
    attempt(file.try_lock(), path)
}

fn attempt(outcome: Result<(), TryLockError>, path: &Path) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Error::locking(path)(error)),
    }
}

fn wait(file: &File, path: &Path) -> Result<(), Error> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(Error::locking(path)),
        }
    }
}

/// A locked file counts only while it still has its name: the last holder removes the name before it lets go.
fn acquire(file: File, path: &Path, state: &Path, inputs: &[Input]) -> Result<Option<KeyLock>, Error> {
    if !files::is_at(&file, path) {
        return Ok(None);
    }
    if !state.exists() {
        // Nothing goes on from what an earlier run has left.
        file.set_len(0).map_err(Error::writing(path))?;
    }
    let lock = KeyLock { file, path: path.to_owned(), state: state.to_owned() };
    // A kill may have torn the last line: this one begins on a line of its own.
    (&lock.file).write_all(b"\n").map_err(Error::writing(path))?;
    let read = inputs.iter().flat_map(|input| [Line::Key(input.from), Line::Object(input.object)]);
    let lines: Vec<Line> = std::iter::once(Line::Holder(Holder::this_process())).chain(read).collect();
    lock.append(&lines)?;
    Ok(Some(lock))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, ChildStdout, Command, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::sample;

    const ROOT: &str = "SAMEBASIN_TEST_HOLD_LOCK";

    fn key() -> StageKey {
        sample::input(1).from
    }

    /// A process of its own that takes the lock, says so, and holds it until it is killed or its stdin is closed.
    fn holder(store: &Store) -> (Child, BufReader<ChildStdout>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lock::tests::child_that_holds_the_lock", "--nocapture"])
            .env(ROOT, store.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        assert!(stdout.by_ref().lines().any(|line| line.unwrap().contains("locked")));
        (child, stdout)
    }

    #[test]
    fn child_that_holds_the_lock() {
        let Ok(root) = std::env::var(ROOT) else { return };
        let store = Store::open(root).unwrap();
        let _lock = store.lock("soup", &key(), &[], &mut |_| {}).unwrap();
        println!("\nlocked");
        let _ = io::stdin().read_line(&mut String::new());
    }

    #[test]
    fn another_process_waits_and_is_told_for_whom() {
        for kill in [false, true] {
            let (_folder, store) = sample::store();
            let (mut child, _stdout) = holder(&store);
            assert!(store.try_lock("soup", &key(), &[]).unwrap().is_none());
            let _other_stage = store.try_lock("finetune", &key(), &[]).unwrap().unwrap();
            let _other_key = store.try_lock("soup", &sample::input(2).from, &[]).unwrap().unwrap();
            let pid = child.id();
            let mut told = Vec::new();
            let _lock = store
                .lock("soup", &key(), &[], &mut |holder| {
                    told.push(holder.clone());
                    if kill { child.kill().unwrap() } else { drop(child.stdin.take()) }
                })
                .unwrap();
            child.wait().unwrap();
            assert_eq!(told.len(), 1);
            assert_eq!((told[0].pid, told[0].host.clone()), (pid, clock::host()));
            assert!(told[0].to_string().contains(&format!("process {pid} on ")));
        }
    }

    #[test]
    fn a_lock_leaves_no_file_and_can_be_taken_again() {
        let (_folder, store) = sample::store();
        for _ in 0..3 {
            let lock = store.lock("soup", &key(), &[], &mut |_| panic!("nobody holds it")).unwrap();
            let path = lock.path.clone();
            assert!(is_held(&path).unwrap() && path.exists());
            drop(lock);
            assert!(!path.exists());
        }
        let stale = Store::per_key(&store.locks(), "soup", &key()).unwrap();
        fs::write(&stale, b"left by a kill").unwrap();
        drop(store.lock("soup", &key(), &[], &mut |_| panic!("nobody holds it")).unwrap());
        fs::write(&stale, b"left by a kill").unwrap();
        assert!(!is_held(&stale).unwrap() && stale.exists());
    }

    /// Counts who is inside: with the removal of lock files, too, it is never more than one.
    #[test]
    fn threads_exclude_each_other() {
        let (_folder, store) = sample::store();
        let (inside, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (store, inside, entered) = (&store, &inside, &entered);
                scope.spawn(move || {
                    for _ in 0..25 {
                        let lock = if n % 2 == 0 {
                            store.lock("soup", &key(), &[], &mut |_| {}).unwrap()
                        } else {
                            loop {
                                if let Some(lock) = store.try_lock("soup", &key(), &[]).unwrap() {
                                    break lock;
                                }
                                std::thread::yield_now();
                            }
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        entered.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(entered.into_inner(), 200);
    }

    #[test]
    fn a_stage_that_is_not_a_name_has_no_lock() {
        let (_folder, store) = sample::store();
        assert!(store.lock("../soup", &key(), &[], &mut |_| {}).is_err());
    }
}
