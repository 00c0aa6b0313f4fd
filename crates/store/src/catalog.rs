//! What lies in a store's folders: one sorted list per kind, for verify, gc, usage and the search for names.
//!
//! Other processes come and go meanwhile: a file that vanishes between being listed and being looked at is skipped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::TEMPORARY;
use crate::{Error, ObjectId, StageKey, Store, names};

/// A file or, for scratch, a folder.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

/// The files of one kind, by name, and what else lies among them.
#[derive(Debug)]
pub(crate) struct Catalog<K> {
    pub(crate) found: BTreeMap<K, Found>,
    /// Left by a process that was killed, or about to be renamed by one that is not.
    pub(crate) temporaries: Vec<Found>,
    /// Neither.
    pub(crate) strays: Vec<PathBuf>,
}

impl<K> Default for Catalog<K> {
    fn default() -> Self {
        Catalog { found: BTreeMap::new(), temporaries: Vec::new(), strays: Vec::new() }
    }
}

impl<K: Ord> Catalog<K> {
    /// Files an entry under the name that `parse` finds for it.
    fn file(&mut self, entry: Entry, parse: impl FnOnce(&str) -> Option<K>) {
        if entry.name.starts_with(TEMPORARY) && !entry.is_folder {
            self.temporaries.push(entry.found);
        } else if let Some(key) = parse(&entry.name) {
            self.found.insert(key, entry.found);
        } else {
            self.strays.push(entry.found.path);
        }
    }
}

/// All objects.
pub(crate) fn objects(store: &Store) -> Result<Catalog<ObjectId>, Error> {
    let mut catalog = Catalog::default();
    for entry in entries(&store.objects())? {
        let is_file = entry.is_file;
        catalog.file(entry, |name| name.parse().ok().filter(|_| is_file));
    }
    Ok(catalog)
}

/// The stages that have a folder of manifests.
pub(crate) fn stages(store: &Store) -> Result<Vec<String>, Error> {
    let folders = entries(&store.manifests())?.into_iter().filter(|entry| entry.is_folder);
    Ok(folders.map(|entry| entry.name).filter(|name| names::stage(name).is_ok()).collect())
}

/// All manifests, by stage and key.
pub(crate) fn manifests(store: &Store) -> Result<Catalog<(String, StageKey)>, Error> {
    let mut catalog = Catalog::default();
    for folder in entries(&store.manifests())? {
        if !folder.is_folder || names::stage(&folder.name).is_err() {
            catalog.file(folder, |_| None);
            continue;
        }
        for entry in entries(&folder.found.path)? {
            let is_file = entry.is_file;
            catalog.file(entry, |name| {
                let key = name.strip_suffix(".json")?.parse().ok()?;
                is_file.then(|| (folder.name.clone(), key))
            });
        }
    }
    Ok(catalog)
}

/// All refs, by name.
pub(crate) fn refs(store: &Store) -> Result<Catalog<String>, Error> {
    let mut catalog = Catalog::default();
    let mut folders = vec![(String::new(), store.refs())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in entries(&folder)? {
            if entry.is_folder {
                folders.push((format!("{prefix}{}/", entry.name), entry.found.path));
                continue;
            }
            let is_file = entry.is_file;
            catalog.file(entry, |name| {
                let name = format!("{prefix}{}", name.strip_suffix(".json")?);
                (is_file && names::reference(&name).is_ok()).then_some(name)
            });
        }
    }
    Ok(catalog)
}

/// The scratch folders, by stage and key: their bytes in all, and when they last changed.
pub(crate) fn scratches(store: &Store) -> Result<Catalog<(String, StageKey)>, Error> {
    let mut catalog = Catalog::default();
    for mut folder in entries(&store.scratches())? {
        if folder.is_folder {
            for entry in entries(&folder.found.path)? {
                folder.found.bytes += entry.found.bytes;
                folder.found.modified = folder.found.modified.max(entry.found.modified);
                if entry.name.starts_with(TEMPORARY) {
                    catalog.temporaries.push(entry.found);
                }
            }
        }
        // A state is given such a name before it is removed.
        if folder.is_folder && folder.name.starts_with(TEMPORARY) {
            catalog.temporaries.push(folder.found);
            continue;
        }
        let is_folder = folder.is_folder;
        catalog.file(folder, |name| stage_and_key(name).filter(|_| is_folder));
    }
    Ok(catalog)
}

/// The lock files, by stage and key, whether or not somebody holds them.
pub(crate) fn locks(store: &Store) -> Result<BTreeMap<(String, StageKey), Found>, Error> {
    let entries = entries(&store.locks())?.into_iter();
    Ok(entries.filter_map(|entry| Some((stage_and_key(&entry.name)?, entry.found))).collect())
}

/// `<stage>-<key>`.
fn stage_and_key(name: &str) -> Option<(String, StageKey)> {
    let (stage, key) = name.rsplit_once('-')?;
    names::stage(stage).ok()?;
    Some((stage.to_owned(), key.parse().ok()?))
}

struct Entry {
    name: String,
    is_file: bool,
    is_folder: bool,
    found: Found,
}

/// What is in a folder, sorted by name; links are listed and not followed; a missing folder is empty.
fn entries(folder: &Path) -> Result<Vec<Entry>, Error> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::reading(folder)(error)),
    };
    let mut entries = Vec::new();
    for entry in listing {
        let entry = entry.map_err(Error::reading(folder))?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::reading(&entry.path())(error)),
        };
        let (is_file, is_folder) = (metadata.is_file(), metadata.is_dir());
        let modified = metadata.modified().map_err(Error::reading(&entry.path()))?;
        let bytes = if is_file { metadata.len() } else { 0 };
        let found = Found { path: entry.path(), bytes, modified };
        // A name that is not Unicode is no name of ours, and stays none when its odd bytes are replaced.
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push(Entry { name, is_file, is_folder, found });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn everything_is_filed_under_its_kind() {
        let (_folder, store) = sample::store();
        let manifest = sample::commit(&store, "path-point", 1, &[]);
        store.set_ref("a/b", &manifest).unwrap();
        store.scratch("path-point", &manifest.key).unwrap().write("state", b"1234").unwrap();
        let _lock = store.lock("path-point", &manifest.key, &[], &mut |_| {}).unwrap();
        for path in ["objects/README", "manifests/x", "manifests/path-point/y.json", "refs/a/z", "scratch/w"]
        {
            fs::write(store.root().join(path), b"stray").unwrap();
        }
        for folder in ["objects", "manifests/path-point", "refs/a"] {
            fs::write(store.root().join(folder).join(".tmp-1-1"), b"left").unwrap();
        }
        let named = ("path-point".to_owned(), manifest.key);

        let objects = objects(&store).unwrap();
        assert_eq!((objects.found.len(), objects.temporaries.len(), objects.strays.len()), (2, 1, 1));
        let manifests = manifests(&store).unwrap();
        assert_eq!(manifests.found.keys().collect::<Vec<_>>(), [&named]);
        assert_eq!((manifests.temporaries.len(), manifests.strays.len()), (1, 2));
        let refs = refs(&store).unwrap();
        assert_eq!(refs.found.keys().collect::<Vec<_>>(), ["a/b"]);
        assert_eq!((refs.temporaries.len(), refs.strays.len()), (1, 1));
        let scratches = scratches(&store).unwrap();
        assert_eq!(scratches.found[&named].bytes, 32 + 4);
        assert_eq!(scratches.strays.len(), 1);
        assert_eq!(locks(&store).unwrap().keys().collect::<Vec<_>>(), [&named]);
        assert_eq!(stages(&store).unwrap(), ["path-point"]);
    }
}
