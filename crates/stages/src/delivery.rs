//! Files outside the store: each is whole or not there, and nothing is touched that is not one's own.
//!
//! A folder that was delivered to holds a folder `.samebasin` with the list of the files that are ours. What an earlier
//! delivery left and this one does not write is removed; what is not listed is not touched. A kill at any instant leaves
//! whole files, all of them listed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::stage::Failure;

/// The folder of what a delivery notes for itself.
pub(crate) const NOTES: &str = ".samebasin";

/// Its list of files, a JSON array of paths.
const LIST: &str = "files.json";

/// Files that are being written into a folder.
pub(crate) struct Delivery {
    folder: PathBuf,
    /// One at a time delivers to a folder.
    _lock: File,
    /// What the folder holds of earlier deliveries.
    old: BTreeSet<String>,
    /// What it will hold.
    new: BTreeSet<String>,
    /// Of these, those that are written.
    written: Vec<String>,
}

impl Delivery {
    /// Begins to deliver to a folder, which is made if need be; waits for whoever delivers to it now.
    ///
    /// # Errors
    /// [`Failure::Io`] if the folder cannot be written to or its list not be read.
    pub(crate) fn begin(folder: &Path) -> Result<Self, Failure> {
        let notes = folder.join(NOTES);
        let lock = lock(&notes).map_err(at(folder))?;
        // Left by a kill.
        remove(fs::remove_dir_all(notes.join("partial"))).map_err(at(folder))?;
        let old = match fs::read(notes.join(LIST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            list => {
                let list = list.map_err(at(folder))?;
                serde_json::from_slice(&list).map_err(|error| at(&notes.join(LIST))(error.into()))?
            }
        };
        let (new, written) = (BTreeSet::new(), Vec::new());
        Ok(Self { folder: folder.to_owned(), _lock: lock, old, new, written })
    }

    /// Writes a file, which appears under its name at the end.
    ///
    /// # Errors
    /// [`Failure::Io`] if it cannot be written.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.partial(self.written.len());
        let written = folder_of(&path).and_then(|()| {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(at(&self.folder.join(name)))?;
        self.written.push(name.to_owned());
        self.new.insert(name.to_owned());
        Ok(())
    }

    /// Leaves a file that is there as it is. It stays ours if it was.
    pub(crate) fn keep(&mut self, name: &str) {
        if self.old.contains(name) {
            self.new.insert(name.to_owned());
        }
    }

    /// Gives all files their names, and removes those of earlier deliveries that were not written.
    ///
    /// # Errors
    /// [`Failure::Io`] if something cannot be renamed or removed.
    pub(crate) fn end(self) -> Result<(), Failure> {
        // Listed before it is there: a kill in between leaves nothing of ours that is not known as such.
        self.list(self.old.union(&self.new))?;
        for (number, name) in self.written.iter().enumerate() {
            let path = self.folder.join(name);
            folder_of(&path).and_then(|()| fs::rename(self.partial(number), &path)).map_err(at(&path))?;
        }
        for name in self.old.difference(&self.new).filter(|name| stays_inside(name)) {
            let path = self.folder.join(name);
            remove(fs::remove_file(&path)).map_err(at(&path))?;
            // A folder that is empty now was ours.
            if let Some(folder) = path.parent().filter(|folder| *folder != self.folder) {
                let _ = fs::remove_dir(folder);
            }
        }
        self.list(self.new.iter())?;
        remove(fs::remove_dir_all(self.folder.join(NOTES).join("partial"))).map_err(at(&self.folder))
    }

    /// Where the file of this number lies until the end.
    fn partial(&self, number: usize) -> PathBuf {
        self.folder.join(NOTES).join("partial").join(number.to_string())
    }

    fn list<'n>(&self, names: impl Iterator<Item = &'n String>) -> Result<(), Failure> {
        let names: Vec<&String> = names.collect();
        let list = self.folder.join(NOTES).join(LIST);
        let partial = list.with_extension("partial");
        let text = format!("{:#}\n", crate::stage::json(&names)?);
        fs::write(&partial, text).and_then(|()| fs::rename(&partial, &list)).map_err(at(&list))
    }
}

/// The files of a folder that no delivery wrote, or `None` where there is none: the first of them.
pub(crate) fn first_stranger(folder: &Path) -> Result<Option<String>, Failure> {
    let cannot = |source| Failure::Io { what: format!("cannot read {}", folder.display()), source };
    let list = fs::read(folder.join(NOTES).join(LIST)).unwrap_or_else(|_| b"[]".to_vec());
    let ours: BTreeSet<String> = serde_json::from_slice(&list).unwrap_or_default();
    let mut folders = vec![String::new()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inside)).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            if entry.file_type().map_err(cannot)?.is_dir() {
                folders.extend((name != NOTES).then_some(name));
            } else if !ours.contains(&name) {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// Locks a folder's notes. NFS locks exclusively only what is open for writing. The folder may be renamed while another
/// waits for it.
fn lock(notes: &Path) -> io::Result<File> {
    let path = notes.join("lock");
    loop {
        fs::create_dir_all(notes)?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        file.lock()?;
        let (locked, named) = (file.metadata()?, fs::metadata(&path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())) {
            return Ok(file);
        }
    }
}

/// A list may have been changed: what it names must lie below the folder.
fn stays_inside(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

fn folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// What is not there need not be removed.
fn remove(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let what = format!("cannot write {}", path.display());
    move |source| Failure::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver(folder: &Path, files: &[(&str, &str)]) {
        let mut delivery = Delivery::begin(folder).unwrap();
        files.iter().for_each(|(name, text)| delivery.write(name, text.as_bytes()).unwrap());
        delivery.end().unwrap();
    }

    #[test]
    fn what_is_not_ours_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        deliver(&folder, &[("a", "1"), ("tables/b", "1"), ("tables/parts/c", "1")]);
        fs::write(folder.join("tables/mine.parquet"), "mine").unwrap();
        fs::write(folder.join("a.1234.partial"), "mine").unwrap();
        deliver(&folder, &[("a", "2"), ("d", "2")]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        assert_eq!((read("a").as_deref(), read("d").as_deref()), (Some("2"), Some("2")));
        assert_eq!((read("tables/b"), folder.join("tables/parts").exists()), (None, false));
        assert_eq!(read("tables/mine.parquet").as_deref(), Some("mine"));
        assert_eq!(read("a.1234.partial").as_deref(), Some("mine"));
        assert!(!folder.join(NOTES).join("partial").exists());
        assert!(
            ["tables/mine.parquet", "a.1234.partial"]
                .contains(&first_stranger(&folder).unwrap().unwrap().as_str())
        );
    }

    /// A delivery that is dropped is one that was killed.
    #[test]
    fn a_killed_delivery_leaves_the_earlier_one_whole() {
        let root = tempfile::tempdir().unwrap();
        deliver(root.path(), &[("a", "1"), ("b", "1")]);
        let mut killed = Delivery::begin(root.path()).unwrap();
        killed.write("a", b"2").unwrap();
        killed.write("c", b"2").unwrap();
        drop(killed);
        assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "1");
        assert!(!root.path().join("c").exists());
        deliver(root.path(), &[("a", "3")]);
        assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "3");
        assert!(!root.path().join("b").exists());
        assert_eq!(first_stranger(root.path()).unwrap(), None);
    }

    #[test]
    fn a_list_that_lies_deletes_nothing_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        deliver(&folder, &[("a", "1")]);
        let precious = root.path().join("precious");
        fs::write(&precious, "x").unwrap();
        let list = format!("[\"../precious\", {precious:?}]");
        fs::write(folder.join(NOTES).join(LIST), list).unwrap();
        deliver(&folder, &[("a", "2")]);
        assert!(precious.exists());
    }
}
