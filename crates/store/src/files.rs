//! Whole files or none: everything that the store writes goes through here.
//!
//! A file is written under a temporary name beside its target, synced, and then renamed over it ([`replace`]) or
//! linked to it if nothing is there ([`create`]); then the folder is synced. A kill leaves a `.tmp-*` file at most.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// How the names of temporary files begin. No other file of a store begins with a dot, but for its own locks.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// May a file's owner write to it later?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Never: written once.
    ReadOnly,
    /// It is replaced now and then.
    Writable,
}

/// What became of a [`create`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// The file is ours.
    New,
    /// There was one, and it is untouched.
    Exists,
    /// The file system has no hard links; nothing was created.
    NoLinks,
}

/// Writes the concatenation of `parts` to `target`, over whatever is there.
pub(crate) fn replace(target: &Path, parts: &[&[u8]], access: Access) -> Result<(), Error> {
    let temporary = Temporary::filled(target, parts, access)?;
    temporary.rename(target)
}

/// Writes `bytes` to `target` if nothing is there. Of several at once one wins.
pub(crate) fn create(target: &Path, bytes: &[u8], access: Access) -> Result<Created, Error> {
    let temporary = Temporary::filled(target, &[bytes], access)?;
    match fs::hard_link(&temporary.path, target) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Created::Exists),
        Err(error) if no_links(&error) => return Ok(Created::NoLinks),
        Err(error) => return Err(Error::writing(target)(error)),
    }
    drop(temporary);
    sync_folder(target)?;
    Ok(Created::New)
}

/// EPERM and ENOTSUP are what file systems without hard links answer; the folder is known to be writable by now.
fn no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// Makes a folder and those above it, unless it is there.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(Error::writing(path))?;
    sync_folder(path)
}

/// The bytes of a file, or `None` where there is none.
pub(crate) fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::reading(path)(error)),
    }
}

/// Removes a file, which another process may have done already.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::writing(path)(error)),
        _ => Ok(()),
    }
}

/// The length of a regular file; `None` where there is none, or something else.
pub(crate) fn length(path: &Path) -> Result<Option<u64>, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::reading(path)(error)),
    }
}

/// Is the open file still the one at this path?
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

/// Makes the name of `target` survive a power cut.
fn sync_folder(target: &Path) -> Result<(), Error> {
    let folder = folder_of(target);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        // Some network file systems refuse to sync a folder; they order its changes themselves.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        other => other.map_err(Error::writing(folder)),
    }
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that gets its name when it is complete, because the name follows from what is in it.
pub(crate) struct Unnamed {
    temporary: Temporary,
    file: File,
}

impl Unnamed {
    /// An empty file in this folder.
    pub(crate) fn create(folder: &Path) -> Result<Unnamed, Error> {
        let (temporary, file) = Temporary::create(&folder.join("an object"))?;
        Ok(Unnamed { temporary, file })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::writing(&self.temporary.path))
    }

    /// Puts the file on the disk and under its name, over whatever is there.
    pub(crate) fn name(self, target: &Path, access: Access) -> Result<(), Error> {
        let Unnamed { temporary, file } = self;
        finish(&file, access).map_err(Error::writing(target))?;
        temporary.rename(target)
    }
}

/// Sets a file's permissions and waits until its bytes are on the disk.
fn finish(file: &File, access: Access) -> io::Result<()> {
    if access == Access::ReadOnly {
        let mut permissions = file.metadata()?.permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions)?;
    }
    file.sync_all()
}

/// A file under a temporary name, removed when dropped.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A temporary file beside `target`, complete and on the disk.
    fn filled(target: &Path, parts: &[&[u8]], access: Access) -> Result<Temporary, Error> {
        let (temporary, mut file) = Temporary::create(target)?;
        let mut fill = || -> io::Result<()> {
            for part in parts {
                file.write_all(part)?;
            }
            finish(&file, access)
        };
        fill().map_err(Error::writing(target))?;
        Ok(temporary)
    }

    fn rename(self, target: &Path) -> Result<(), Error> {
        fs::rename(&self.path, target).map_err(Error::writing(target))?;
        std::mem::forget(self); // there is nothing left to remove
        sync_folder(target)
    }

    fn create(target: &Path) -> Result<(Temporary, File), Error> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let folder = folder_of(target);
        loop {
            let n = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{TEMPORARY}{}-{n}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Temporary { path }, file)),
                // Left by a killed process of the same number, or another machine's: not ours to touch.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::writing(target)(error)),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // `gc` will
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn create_never_overwrites_and_replace_does() {
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("x");
        assert_eq!(create(&target, b"one", Access::ReadOnly).unwrap(), Created::New);
        assert_eq!(create(&target, b"two", Access::ReadOnly).unwrap(), Created::Exists);
        assert_eq!(fs::read(&target).unwrap(), b"one");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o222, 0);
        replace(&target, &[b"th", b"ree"], Access::Writable).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"three");
        assert_ne!(fs::metadata(&target).unwrap().permissions().mode() & 0o200, 0);
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = TempDir::new().unwrap();
        let blocked = folder.path().join("folder");
        fs::create_dir(&blocked).unwrap();
        fs::write(blocked.join("y"), b"").unwrap();
        assert!(replace(&blocked, &[b"bytes"], Access::ReadOnly).is_err());
        let long = folder.path().join("x".repeat(300));
        assert!(matches!(replace(&long, &[b""], Access::ReadOnly), Err(Error::NameTooLong { .. })));
        assert!(replace(&folder.path().join("no/such/folder"), &[b""], Access::ReadOnly).is_err());
        assert_eq!(names(folder.path()), ["folder"]);
    }

    #[test]
    fn of_many_creators_one_wins() {
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("x");
        let wins: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16u8)
                .map(|n| {
                    let target = &target;
                    scope.spawn(move || create(target, &[n; 1000], Access::ReadOnly).unwrap() == Created::New)
                })
                .collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(wins, 1);
        let bytes = fs::read(&target).unwrap();
        assert!(bytes.len() == 1000 && bytes.iter().all(|&byte| byte == bytes[0]));
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn leftovers_of_a_killed_process_of_the_same_number_are_stepped_over() {
        let folder = TempDir::new().unwrap();
        for n in 0..200 {
            let left = folder.path().join(format!("{TEMPORARY}{}-{n}", std::process::id()));
            fs::write(left, b"left").unwrap();
        }
        replace(&folder.path().join("x"), &[b"bytes"], Access::Writable).unwrap();
        assert_eq!(fs::read(folder.path().join("x")).unwrap(), b"bytes");
        assert_eq!(names(folder.path()).len(), 201);
    }
}
