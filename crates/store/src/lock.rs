//! One process at a time computes a key: the others wait, and then find the result.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{Error, StageKey, Store, clock, files};

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
            if let Some(holder) = fs::read(path).ok().and_then(|json| serde_json::from_slice(&json).ok()) {
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

/// The right to compute a key, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct KeyLock {
    file: File,
    path: PathBuf,
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // The name goes first, while the lock is held: whoever waits for this file sees that its name is gone and
        // starts again. See `acquire`.
        if files::is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

impl Store {
    /// Takes the lock of a key, waiting for whoever holds it; `on_wait` is told who that is, once per holder. After
    /// waiting, [`find`](Store::find) again.
    ///
    /// The lock is the operating system's (`flock`), so that it also goes when its holder is killed. Another lock of
    /// the same key in the same process counts as another holder: a thread that takes one twice waits for ever.
    ///
    /// # Errors
    /// When `stage` is not a stage's name, or the lock file cannot be made or locked.
    pub fn lock(
        &self,
        stage: &str,
        key: &StageKey,
        on_wait: &mut dyn FnMut(&Holder),
    ) -> Result<KeyLock, Error> {
        let path = Store::per_key(&self.locks(), stage, key)?;
        loop {
            let file = open(&path)?;
            if !try_lock(&file, &path)? {
                on_wait(&Holder::read(&path));
                wait(&file, &path)?;
            }
            if let Some(lock) = acquire(file, &path) {
                return Ok(lock);
            }
        }
    }

    /// Takes the lock of a key unless somebody holds it: for callers that have something better to do than wait, such
    /// as to heed a signal. `None` may also mean that a [`gc`](Store::gc) looks at the lock just now.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub fn try_lock(&self, stage: &str, key: &StageKey) -> Result<Option<KeyLock>, Error> {
        let path = Store::per_key(&self.locks(), stage, key)?;
        loop {
            let file = open(&path)?;
            if !try_lock(&file, &path)? {
                return Ok(None);
            }
            if let Some(lock) = acquire(file, &path) {
                return Ok(Some(lock));
            }
        }
    }
}

/// Is this lock file held by somebody? If not, it was left by a kill, and `remove_stale` takes it away.
pub(crate) fn is_held(path: &Path, remove_stale: bool) -> Result<bool, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::locking(path)(error)),
    };
    if !try_lock(&file, path)? {
        return Ok(true);
    }
    if remove_stale && files::is_at(&file, path) {
        files::remove(path)?;
    }
    Ok(false)
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::writing(path))
}

fn try_lock(file: &File, path: &Path) -> Result<bool, Error> {
    match file.try_lock() {
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
fn acquire(mut file: File, path: &Path) -> Option<KeyLock> {
    if !files::is_at(&file, path) {
        return None;
    }
    // Who holds it is a courtesy: the lock is good without it, even where the disk is full. The time matters to `gc`.
    let holder = serde_json::to_vec(&Holder::this_process()).unwrap_or_default();
    let _ = file.set_len(0).and_then(|()| file.write_all(&holder));
    let _ = file.set_modified(SystemTime::now());
    Some(KeyLock { file, path: path.to_owned() })
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
        let _lock = store.lock("soup", &key(), &mut |_| {}).unwrap();
        println!("\nlocked");
        let _ = io::stdin().read_line(&mut String::new());
    }

    #[test]
    fn another_process_waits_and_is_told_for_whom() {
        for kill in [false, true] {
            let (_folder, store) = sample::store();
            let (mut child, _stdout) = holder(&store);
            assert!(store.try_lock("soup", &key()).unwrap().is_none());
            let _other_stage = store.try_lock("finetune", &key()).unwrap().unwrap();
            let _other_key = store.try_lock("soup", &sample::input(2).from).unwrap().unwrap();
            let pid = child.id();
            let mut told = Vec::new();
            let _lock = store
                .lock("soup", &key(), &mut |holder| {
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
            let lock = store.lock("soup", &key(), &mut |_| panic!("nobody holds it")).unwrap();
            let path = lock.path.clone();
            assert!(is_held(&path, true).unwrap() && path.exists());
            drop(lock);
            assert!(!path.exists());
        }
        let stale = Store::per_key(&store.locks(), "soup", &key()).unwrap();
        fs::write(&stale, b"left by a kill").unwrap();
        drop(store.lock("soup", &key(), &mut |_| panic!("nobody holds it")).unwrap());
        fs::write(&stale, b"left by a kill").unwrap();
        assert!(!is_held(&stale, false).unwrap() && stale.exists());
        assert!(!is_held(&stale, true).unwrap() && !stale.exists());
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
                            store.lock("soup", &key(), &mut |_| {}).unwrap()
                        } else {
                            loop {
                                if let Some(lock) = store.try_lock("soup", &key()).unwrap() {
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
        assert!(store.lock("../soup", &key(), &mut |_| {}).is_err());
    }
}
