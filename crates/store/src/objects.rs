//! Objects: bytes under the name of their content, written once and verified whenever they are read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;

use crate::files::{self, Access, Unnamed};
use crate::{Error, ObjectId, Store};

/// The verified bytes of an object, mapped from its file where that is safe.
pub struct MappedObject {
    id: ObjectId,
    bytes: Bytes,
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl MappedObject {
    /// The object's id, which the bytes were checked against.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        &self.id
    }
}

impl MappedObject {
    /// Lets go of the memory that holds what was read so far. Nothing is lost: what is looked at again is read again.
    ///
    /// For walks over more bytes than a process should hold at a time.
    pub fn release(&self) {
        if let Bytes::Mapped(map) = &self.bytes {
            // SAFETY: a private read-only map of a file has no changes that could be lost; its pages are read anew.
            // That is advice: where it is refused, memory is merely kept.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

impl Deref for MappedObject {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl std::fmt::Debug for MappedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MappedObject({}, {} bytes)", self.id, self.len())
    }
}

/// An object that is being written: see [`Store::put_stream`].
pub struct Sink {
    file: Unnamed,
    hasher: blake3::Hasher,
}

impl Sink {
    /// Appends bytes. Pieces of a megabyte or more are hashed on all cores.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and the like.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update_rayon(bytes);
        self.file.write(bytes)
    }
}

impl Store {
    /// Stores bytes under their id. When this returns they are on the disk, and stay through a power cut.
    ///
    /// If the object exists, its file is hashed rather than trusted: reading costs less than writing, and so a put of
    /// the right bytes repairs a file in which a bit has flipped. Its modification time is set to now, so that a
    /// [`gc`](Store::gc) does not take an old object away before the manifest that names it is committed.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Unwritable`] and the like. Nothing partial is left then.
    pub fn put(&self, bytes: &[u8]) -> Result<ObjectId, Error> {
        let object = ObjectId::of(bytes);
        let path = self.object_path(&object);
        let _no_sweep = self.hold_off_sweeps()?;
        let intact = files::length(&path)? == Some(bytes.len() as u64)
            && ObjectId::of_file(&path).map_err(Error::reading(&path))? == object;
        // Another user's file cannot be made younger; then it is replaced by one of ours.
        if !(intact && freshen(&path)) {
            files::replace(&path, &[bytes], Access::ReadOnly)?;
        }
        Ok(object)
    }

    /// Stores what `write` writes, which need never be in memory as a whole. As [`put`](Store::put) otherwise, but the
    /// file is written even where the object exists.
    ///
    /// Returns the id and the number of bytes.
    ///
    /// # Errors
    /// As [`put`](Store::put), and whatever `write` fails with; nothing is left then.
    pub fn put_stream<E: From<Error>>(
        &self,
        write: impl FnOnce(&mut Sink) -> Result<(), E>,
    ) -> Result<(ObjectId, u64), E> {
        let _no_sweep = self.hold_off_sweeps()?;
        let mut sink = Sink { file: Unnamed::create(&self.objects())?, hasher: blake3::Hasher::new() };
        write(&mut sink)?;
        let bytes = sink.hasher.count();
        let object = ObjectId::of_hashed(&sink.hasher);
        sink.file.name(&self.object_path(&object), Access::ReadOnly)?;
        Ok((object, bytes))
    }

    /// Stores a copy of a file from elsewhere, piece by piece. Returns the id and the number of bytes.
    ///
    /// # Errors
    /// As [`put`](Store::put), and a failure to read the file.
    pub fn put_file(&self, path: &Path) -> Result<(ObjectId, u64), Error> {
        let mut file = File::open(path).map_err(Error::reading(path))?;
        let mut piece = vec![0; 1 << 22];
        self.put_stream(|sink| {
            loop {
                match file.read(&mut piece).map_err(Error::reading(path))? {
                    0 => return Ok(()),
                    n => sink.write(&piece[..n])?,
                }
            }
        })
    }

    /// Is there a file of this name? Says nothing of what is in it.
    #[must_use]
    pub fn has(&self, object: &ObjectId) -> bool {
        matches!(files::length(&self.object_path(object)), Ok(Some(_)))
    }

    /// The bytes of an object, verified.
    ///
    /// # Errors
    /// [`Error::MissingObject`], [`Error::CorruptObject`], or a failure to read.
    pub fn read(&self, object: &ObjectId) -> Result<Vec<u8>, Error> {
        let (mut file, path) = self.open_object(object)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::reading(&path))?;
        check(object, &path, &bytes)?;
        Ok(bytes)
    }

    /// The bytes of an object, verified, without a copy of them in memory. A file that somebody may write to is read
    /// instead of mapped.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn map(&self, object: &ObjectId) -> Result<MappedObject, Error> {
        let (file, path) = self.open_object(object)?;
        let metadata = file.metadata().map_err(Error::reading(&path))?;
        let writable = metadata.permissions().mode() & 0o222 != 0;
        if writable || metadata.len() == 0 {
            return Ok(MappedObject { id: *object, bytes: Bytes::Owned(self.read(object)?) });
        }
        // SAFETY: the file is a regular file of our own store that nobody has permission to write to, and the store
        // never writes to an object in place: it replaces or removes the name, and the mapping keeps the old file.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::reading(&path))?;
        check(object, &path, &map)?;
        Ok(MappedObject { id: *object, bytes: Bytes::Mapped(map) })
    }

    fn open_object(&self, object: &ObjectId) -> Result<(File, PathBuf), Error> {
        let path = self.object_path(object);
        match files::length(&path)? {
            Some(_) => {}
            None => return Err(Error::MissingObject { object: *object, path }),
        }
        match File::open(&path) {
            Ok(file) => Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::MissingObject { object: *object, path })
            }
            Err(error) => Err(Error::reading(&path)(error)),
        }
    }
}

fn check(object: &ObjectId, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let found = ObjectId::of(bytes);
    if found == *object {
        return Ok(());
    }
    let why = format!("its {} bytes hash to {found}", bytes.len());
    Err(Error::CorruptObject { object: *object, path: path.to_owned(), why })
}

/// Sets a file's modification time to now. True also where that is needless because nothing can be removed.
pub(crate) fn freshen(path: &Path) -> bool {
    match File::open(path).and_then(|file| file.set_modified(SystemTime::now())) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::ReadOnlyFilesystem,
    }
}

/// Removes an object's file if its bytes are still wrong.
pub(crate) fn remove_if_corrupt(store: &Store, object: &ObjectId) -> Result<bool, Error> {
    match store.read(object) {
        Err(Error::CorruptObject { path, .. }) => {
            fs::remove_file(&path).map_err(Error::writing(&path)).map(|()| true)
        }
        Ok(_) | Err(Error::MissingObject { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
