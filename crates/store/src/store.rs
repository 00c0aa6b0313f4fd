//! The folder: where things lie, and how it is opened.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::files::{self, Access};
use crate::{Error, ObjectId, StageKey, names};

/// Version of the folder's layout.
///
/// - 1: the first: flat `objects/<id>`, `manifests/<stage>/<key>.json`, `refs/`, `locks/`, `scratch/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreFormat(pub u32);

impl StoreFormat {
    /// What this version writes, and the newest that it reads.
    pub const CURRENT: StoreFormat = StoreFormat(1);
}

/// What stands before the number in the format marker.
const MARKER: &str = "samebasin store ";

/// A folder of objects, manifests and refs. Cheap to clone; safe to use from many threads and processes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`, and makes one if there is none. Nothing is written to a store that is complete, so
    /// that an archived, read-only one can be read.
    ///
    /// # Errors
    /// When the folders cannot be made, when the format marker is not one, or is newer than this version reads.
    pub fn open(root: impl Into<PathBuf>) -> Result<Store, Error> {
        let store = Store { root: root.into() };
        files::create_folder(&store.root)?;
        let marker = store.marker();
        if files::length(&marker)?.is_none() {
            let text = format!("{MARKER}{}\n", StoreFormat::CURRENT.0);
            if files::create(&marker, text.as_bytes(), Access::ReadOnly)? == files::Created::NoLinks {
                files::replace(&marker, &[text.as_bytes()], Access::ReadOnly)?;
            }
        }
        store.check_format()?;
        for folder in [store.objects(), store.manifests(), store.refs(), store.locks(), store.scratches()] {
            files::create_folder(&folder)?;
        }
        Ok(store)
    }

    /// Opens the store at `root`, and fails if there is none: for commands that only read, where a mistyped path
    /// should not become an empty store.
    ///
    /// # Errors
    /// [`Error::NotAStore`] if there is none; otherwise as [`Store::open`].
    pub fn open_existing(root: impl Into<PathBuf>) -> Result<Store, Error> {
        let root = root.into();
        if files::length(&root.join("store-format"))?.is_none() {
            return Err(Error::NotAStore { path: root, why: "it has no file `store-format`".to_owned() });
        }
        Store::open(root)
    }

    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where an object lies, whether it exists or not. Bytes should be read through [`Store::read`] or
    /// [`Store::map`], which verify them.
    #[must_use]
    pub fn object_path(&self, object: &ObjectId) -> PathBuf {
        self.objects().join(object.to_string())
    }

    /// Where the manifest of a key lies, whether it exists or not. `stage` must have been checked.
    pub(crate) fn manifest_path(&self, stage: &str, key: &StageKey) -> PathBuf {
        self.manifests().join(stage).join(format!("{key}.json"))
    }

    /// Where what belongs to one key lies in a flat folder: `<stage>-<key>`.
    pub(crate) fn per_key(folder: &Path, stage: &str, key: &StageKey) -> Result<PathBuf, Error> {
        names::stage(stage)?;
        Ok(folder.join(format!("{stage}-{key}")))
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    pub(crate) fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    pub(crate) fn scratches(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Keeps every [`gc`](Store::gc) from sweeping until it is dropped: taken for moments by all that publishes, and for as
    /// long as somebody relies on results that no ref and no lock names yet.
    ///
    /// # Errors
    /// When the lock cannot be taken.
    pub fn hold_off_sweeps(&self) -> Result<NoSweep, Error> {
        self.inner_lock(".sweep", File::lock_shared).map(NoSweep)
    }

    /// Waits until nobody publishes, and keeps others from it: `gc`.
    pub(crate) fn sweep_alone(&self) -> Result<NoSweep, Error> {
        self.inner_lock(".sweep", File::lock).map(NoSweep)
    }

    /// One process at a time replaces broken manifests.
    pub(crate) fn mend_alone(&self) -> Result<File, Error> {
        self.inner_lock(".mend", File::lock)
    }

    fn inner_lock(&self, name: &str, lock: fn(&File) -> io::Result<()>) -> Result<File, Error> {
        let path = self.locks().join(name);
        // NFS gives an exclusive lock only to what is open for writing, and a shared one to what is open for reading. To
        // lock is not to write: someone who may only read the store can still hold off a sweep.
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = match options {
            Err(error) if is_refused(&error) => File::open(&path),
            other => other,
        };
        let file = file.map_err(Error::writing(&path))?;
        loop {
            match lock(&file) {
                Ok(()) => return Ok(file),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::locking(&path)(error)),
            }
        }
    }

    fn marker(&self) -> PathBuf {
        self.root.join("store-format")
    }

    fn check_format(&self) -> Result<(), Error> {
        let marker = self.marker();
        let text = fs::read_to_string(&marker).map_err(Error::reading(&marker))?;
        let number = text.strip_prefix(MARKER).and_then(|text| text.trim_end().parse::<u32>().ok());
        match number {
            Some(found) if (1..=StoreFormat::CURRENT.0).contains(&found) => Ok(()),
            Some(found) if found > 0 => {
                let newest = StoreFormat::CURRENT.0;
                Err(Error::TooNew { path: marker, what: "store format", found, newest })
            }
            _ => {
                let why = format!("its `store-format` does not read {MARKER:?} and a number");
                Err(Error::NotAStore { path: self.root.clone(), why })
            }
        }
    }
}

/// While it lives, no [`gc`](Store::gc) sweeps.
#[derive(Debug)]
#[must_use = "sweeps go on when this is dropped"]
pub struct NoSweep(#[expect(dead_code, reason = "a file that is locked until it is closed")] File);

/// May this user not write to the file?
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn open_makes_a_store_once() {
        let folder = TempDir::new().unwrap();
        let root = folder.path().join("deep/store");
        assert!(matches!(Store::open_existing(&root), Err(Error::NotAStore { .. })));
        assert!(!root.exists());
        let store = Store::open(&root).unwrap();
        let id = store.put(b"bytes").unwrap();
        assert_eq!(fs::read_to_string(root.join("store-format")).unwrap(), "samebasin store 1\n");
        assert!(Store::open_existing(&root).unwrap().has(&id));
        assert!(Store::open(&root).unwrap().has(&id));
    }

    #[test]
    fn a_newer_or_foreign_folder_is_refused() {
        let folder = TempDir::new().unwrap();
        let marker = folder.path().join("store-format");
        fs::write(&marker, "samebasin store 2\n").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(Error::TooNew { found: 2, newest: 1, .. })));
        for text in ["samebasin store 0\n", "samebasin store x\n", "something else", ""] {
            fs::write(&marker, text).unwrap();
            assert!(matches!(Store::open(folder.path()), Err(Error::NotAStore { .. })), "{text:?}");
        }
        assert!(!folder.path().join("objects").exists());
    }

    #[test]
    fn many_may_open_at_once() {
        let folder = TempDir::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| Store::open(folder.path()).unwrap().put(b"bytes").unwrap());
            }
        });
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = Store::open(file.join("store")).unwrap_err();
        assert!(error.to_string().contains("file/store"), "{error}");
    }

    /// Permissions mean nothing to root, so that this test runs itself again as nobody where it can.
    #[test]
    fn an_unwritable_store_can_be_read_and_says_so_when_written_to() {
        const ROOT: &str = "SAMEBASIN_TEST_UNWRITABLE";
        if let Ok(root) = std::env::var(ROOT) {
            let store = Store::open(root).unwrap();
            assert_eq!(store.read(&ObjectId::of(b"bytes")).unwrap(), b"bytes");
            let error = store.put(b"other bytes").unwrap_err();
            assert!(matches!(error, Error::Unwritable { .. }), "{error}");
            return;
        }
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        store.put(b"bytes").unwrap();
        let _ = store.hold_off_sweeps().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(store.objects(), fs::Permissions::from_mode(0o555)).unwrap();
        // A copy of the test that another user can reach, whatever folder this one was built in.
        let copy = folder.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let name = "store::tests::an_unwritable_store_can_be_read_and_says_so_when_written_to";
        let arguments = ["--exact", name, "--nocapture"];
        let is_root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let mut command = Command::new(&copy);
        if is_root {
            std::os::unix::process::CommandExt::uid(&mut command, 65534);
        }
        let output = command.args(arguments).env(ROOT, store.root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    }
}
