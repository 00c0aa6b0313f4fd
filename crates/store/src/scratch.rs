//! State of an unfinished run, to resume from: not published, not named by anything, and gone after the commit.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::files::{self, Access};
use crate::{Error, ObjectId, StageKey, Store, names};

/// Bytes of the digest in front of the content.
const DIGEST_BYTES: usize = 32;

/// The folder of one key's unfinished run. Only the holder of the key's lock should use it.
///
/// A file is replaced as a whole, and begins with the BLAKE3 of its content: one that is torn or damaged reads as if it
/// were not there, so that a run then starts further back instead of going on from nonsense.
#[derive(Clone, Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Store {
    /// The scratch folder of a key. Nothing is created before the first write.
    ///
    /// # Errors
    /// When `stage` is not a stage's name.
    pub fn scratch(&self, stage: &str, key: &StageKey) -> Result<Scratch, Error> {
        Ok(Scratch { folder: Store::per_key(&self.scratches(), stage, key)? })
    }
}

impl Scratch {
    /// Where a file lies that its writer fills piece by piece and checks by means of its own, such as a download. The
    /// folder exists then; the file may not.
    ///
    /// # Errors
    /// When `name` is not the name of a file, or the folder cannot be made.
    pub fn path(&self, name: &str) -> Result<PathBuf, Error> {
        names::scratch(name)?;
        self.make_folder()?;
        Ok(self.folder.join(name))
    }

    /// Writes a file, over what was there: after a kill at any instant there is either the old content or the new.
    ///
    /// # Errors
    /// When `name` is not the name of a file, or writing fails; the old content stays then.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        names::scratch(name)?;
        self.make_folder()?;
        let digest = ObjectId::of(bytes);
        files::replace(&self.folder.join(name), &[digest.as_bytes(), bytes], Access::Writable)
    }

    fn make_folder(&self) -> Result<(), Error> {
        files::create_folder(&self.folder)
    }

    /// The content of a file; `None` where there is none or it is not what was written.
    ///
    /// # Errors
    /// When `name` is not the name of a file, or reading fails.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        names::scratch(name)?;
        let Some(mut bytes) = files::read_if_exists(&self.folder.join(name))? else {
            return Ok(None);
        };
        let Some((digest, content)) = bytes.split_first_chunk::<DIGEST_BYTES>() else {
            return Ok(None);
        };
        if ObjectId::of(content).as_bytes() != digest {
            return Ok(None);
        }
        bytes.drain(..DIGEST_BYTES);
        Ok(Some(bytes))
    }

    /// Removes one file, if it is there.
    ///
    /// # Errors
    /// When `name` is not the name of a file, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        names::scratch(name)?;
        files::remove(&self.folder.join(name))
    }

    /// Removes everything: after the commit.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<(), Error> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::writing(&self.folder)(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn state_comes_back_until_it_is_cleared() {
        let (_folder, store) = sample::store();
        let scratch = store.scratch("finetune", &sample::input(1).from).unwrap();
        assert_eq!(scratch.read("state").unwrap(), None);
        assert!(!scratch.folder.exists());
        scratch.write("state", b"step 1").unwrap();
        scratch.write("state", b"step 2").unwrap();
        scratch.write("empty", b"").unwrap();
        fs::write(scratch.path("part").unwrap(), b"half a file").unwrap();
        let again = store.scratch("finetune", &sample::input(1).from).unwrap();
        assert_eq!(again.read("state").unwrap().unwrap(), b"step 2");
        assert_eq!(again.read("empty").unwrap().unwrap(), b"");
        assert_eq!(fs::read(again.path("part").unwrap()).unwrap(), b"half a file");
        let other = store.scratch("finetune", &sample::input(2).from).unwrap();
        assert_eq!(other.read("state").unwrap(), None);
        scratch.remove("empty").unwrap();
        scratch.remove("empty").unwrap();
        assert_eq!(scratch.read("empty").unwrap(), None);
        scratch.clear().unwrap();
        scratch.clear().unwrap();
        assert_eq!(scratch.read("state").unwrap(), None);
    }

    #[test]
    fn torn_or_damaged_state_is_no_state() {
        let (_folder, store) = sample::store();
        let scratch = store.scratch("finetune", &sample::input(1).from).unwrap();
        scratch.write("state", b"a state that matters").unwrap();
        let path = scratch.folder.join("state");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(scratch.read("state").unwrap(), None, "{length} bytes");
        }
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(scratch.read("state").unwrap(), None, "byte {position}");
        }
        fs::write(&path, &whole).unwrap();
        assert!(scratch.read("state").unwrap().is_some());
    }

    #[test]
    fn names_stay_in_the_folder() {
        let (_folder, store) = sample::store();
        assert!(store.scratch("../x", &sample::input(1).from).is_err());
        let scratch = store.scratch("finetune", &sample::input(1).from).unwrap();
        for name in ["", "..", "a/b", "/etc/passwd", ".tmp-1-1", "a\0"] {
            assert!(scratch.write(name, b"").is_err() && scratch.read(name).is_err(), "{name:?}");
            assert!(scratch.path(name).is_err(), "{name:?}");
        }
    }
}
