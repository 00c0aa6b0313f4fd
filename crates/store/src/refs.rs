//! Refs: human names. A ref is a copy of a manifest, small enough to be the target of Make and an input of Snakemake.

use std::fs;
use std::path::PathBuf;

use crate::files::{self, Access, Created};
use crate::{Error, Lookup, Manifest, Store, catalog, names};

impl Store {
    /// Gives a committed manifest a name such as `world/p0/ladder`, in place of what had it. The file is always
    /// written anew, so that Make sees it as younger than what it was made from, whether or not it changed.
    ///
    /// What is written is the *committed* manifest of that key: where another run won, the name is that of the winner.
    ///
    /// # Errors
    /// When the name would not stay below `refs/` (absolute, `..`, an empty part, NUL, a backslash, a leading dot),
    /// the key is not committed or its objects are not there, or writing fails.
    pub fn set_ref(&self, name: &str, manifest: &Manifest) -> Result<(), Error> {
        let path = self.ref_path(name)?;
        let _no_sweep = self.hold_off_sweeps()?;
        let (stage, key) = (manifest.stage.clone(), manifest.key);
        let committed = match self.find(&stage, &key)? {
            Lookup::Hit(committed) => committed,
            Lookup::Missing => return Err(Error::NotCommitted { stage, key }),
            Lookup::Broken(damage) => return Err(Error::Incomplete { stage, key, damage: Box::new(damage) }),
        };
        if let Some(folder) = path.parent() {
            files::create_folder(folder)?;
        }
        files::replace(&path, &[&committed.to_json()], Access::Writable)
    }

    /// The manifest that a ref names.
    ///
    /// # Errors
    /// [`Error::Unknown`], with names that look like it, when there is none; [`Error::InvalidManifest`] or
    /// [`Error::TooNew`] when it cannot be read.
    pub fn get_ref(&self, name: &str) -> Result<Manifest, Error> {
        let path = self.ref_path(name)?;
        match files::read_if_exists(&path)? {
            Some(json) => Manifest::from_json(&json, &path),
            None => Err(self.unknown(name)?),
        }
    }

    /// Takes a name away. What it named stays until a [`gc`](Store::gc).
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none, or a failure to remove it.
    pub fn remove_ref(&self, name: &str) -> Result<(), Error> {
        let path = self.ref_path(name)?;
        self.has_ref(name)?;
        fs::remove_file(&path).map_err(Error::writing(&path))
    }

    /// Gives what a ref names another name.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is no such ref, [`Error::Taken`] when there is one of the new name, or a failure to
    /// write.
    pub fn rename_ref(&self, old: &str, new: &str) -> Result<(), Error> {
        let (from, to) = (self.ref_path(old)?, self.ref_path(new)?);
        self.has_ref(old)?;
        let _no_sweep = self.hold_off_sweeps()?;
        let taken = || Error::Taken { name: new.to_owned() };
        if files::length(&to)?.is_some() {
            return Err(taken());
        }
        let json = fs::read(&from).map_err(Error::reading(&from))?;
        if let Some(folder) = to.parent() {
            files::create_folder(folder)?;
        }
        match files::create(&to, &json, Access::Writable)? {
            Created::New => {}
            Created::Exists => return Err(taken()),
            Created::NoLinks => files::replace(&to, &[&json], Access::Writable)?,
        }
        // A kill in between leaves both names.
        files::remove(&from)
    }

    /// Checks that there is a ref of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`], with names that look like it, when there is none.
    pub fn has_ref(&self, name: &str) -> Result<(), Error> {
        match files::length(&self.ref_path(name)?)? {
            Some(_) => Ok(()),
            None => Err(self.unknown(name)?),
        }
    }

    /// The names of all refs, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list_refs(&self) -> Result<Vec<String>, Error> {
        Ok(catalog::refs(self)?.found.into_keys().collect())
    }

    /// Where the ref of this name lies, whether it exists or not.
    ///
    /// # Errors
    /// When the name is not one.
    pub fn ref_path(&self, name: &str) -> Result<PathBuf, Error> {
        names::reference(name)?;
        Ok(self.refs().join(format!("{name}.json")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{Media, Output, sample};

    #[test]
    fn a_ref_is_a_copy_of_the_committed_manifest() {
        let (_folder, store) = sample::store();
        let one = sample::commit(&store, "soup", 1, &[]);
        let two = sample::commit(&store, "soup", 2, &[]);
        store.set_ref("world/p0/soup", &one).unwrap();
        store.set_ref("world/p0", &two).unwrap();
        assert_eq!(store.list_refs().unwrap(), ["world/p0", "world/p0/soup"]);
        assert_eq!(store.get_ref("world/p0/soup").unwrap(), one);
        assert_eq!(fs::read(store.root().join("refs/world/p0/soup.json")).unwrap(), one.to_json());
        store.set_ref("world/p0/soup", &two).unwrap();
        assert_eq!(store.get_ref("world/p0/soup").unwrap(), two);
        store.remove_ref("world/p0/soup").unwrap();
        assert!(matches!(store.remove_ref("world/p0/soup"), Err(Error::Unknown { .. })));
        assert_eq!(store.list_refs().unwrap(), ["world/p0"]);
    }

    #[test]
    fn a_ref_is_renamed_and_takes_nobody_s_name() {
        let (_folder, store) = sample::store();
        let [one, two] = [1, 2].map(|seed| sample::commit(&store, "soup", seed, &[]));
        store.set_ref("one", &one).unwrap();
        store.set_ref("two", &two).unwrap();
        assert!(matches!(store.rename_ref("one", "two"), Err(Error::Taken { .. })));
        assert!(matches!(store.rename_ref("three", "four"), Err(Error::Unknown { .. })));
        assert!(store.rename_ref("one", "../x").is_err());
        store.rename_ref("one", "a/b").unwrap();
        assert_eq!(store.list_refs().unwrap(), ["a/b", "two"]);
        assert_eq!((store.get_ref("a/b").unwrap(), store.get_ref("two").unwrap()), (one, two));
    }

    #[test]
    fn the_name_is_that_of_the_winner() {
        let (_folder, store) = sample::store();
        let winner = sample::commit(&store, "soup", 1, &[]);
        let mut loser = winner.clone();
        loser.outputs.insert("model".to_owned(), Output::of(b"rounded otherwise", Media::Safetensors));
        store.set_ref("soup", &loser).unwrap();
        assert_eq!(store.get_ref("soup").unwrap(), winner);
    }

    #[test]
    fn only_what_is_whole_gets_a_name() {
        let (_folder, store) = sample::store();
        let manifest = sample::manifest("soup", 1, &[]);
        assert!(matches!(store.set_ref("soup", &manifest), Err(Error::NotCommitted { .. })));
        sample::commit(&store, "soup", 1, &[]);
        fs::remove_file(store.object_path(&manifest.outputs["model"].object)).unwrap();
        assert!(matches!(store.set_ref("soup", &manifest), Err(Error::Incomplete { .. })));
        assert!(store.list_refs().unwrap().is_empty());
    }

    #[test]
    fn setting_a_ref_again_makes_it_younger() {
        let (_folder, store) = sample::store();
        let manifest = sample::commit(&store, "soup", 1, &[]);
        store.set_ref("soup", &manifest).unwrap();
        let path = store.ref_path("soup").unwrap();
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::File::open(&path).unwrap().set_modified(hour_ago).unwrap();
        store.set_ref("soup", &manifest).unwrap();
        assert!(fs::metadata(&path).unwrap().modified().unwrap() > hour_ago + Duration::from_secs(3000));
    }

    #[test]
    fn no_name_leaves_the_folder() {
        let (folder, store) = sample::store();
        let manifest = sample::commit(&store, "soup", 1, &[]);
        for name in ["../x", "/x", "a/../../x", "a//b", "", "a\0", "a\\b", ".x", "a/"] {
            assert!(matches!(store.set_ref(name, &manifest), Err(Error::InvalidName { .. })), "{name:?}");
            assert!(store.get_ref(name).is_err());
        }
        let long = vec!["x".repeat(200); 30].join("/");
        assert!(matches!(store.set_ref(&long, &manifest), Err(Error::NameTooLong { .. })));
        assert!(!folder.path().join("x.json").exists());
    }

    #[test]
    fn a_damaged_ref_is_an_error_that_names_its_file() {
        let (_folder, store) = sample::store();
        fs::write(store.ref_path("soup").unwrap(), b"{}").unwrap();
        let error = store.get_ref("soup").unwrap_err();
        assert!(error.to_string().contains("refs/soup.json"), "{error}");
    }
}
