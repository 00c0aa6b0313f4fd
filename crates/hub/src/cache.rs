//! The cache that the hub's own tools fill, read but never written.
//!
//! `models--owner--name/refs/<revision>` holds a commit, `snapshots/<commit>/<path>` links to `blobs/<digest>`: a blob's
//! name says what it must hash to. See
//! <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Check, Commit, Digest, Error, Kind, RemoteFile, Repository, names};

/// A folder that `huggingface_hub` keeps.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// A file in it.
#[derive(Clone, Debug)]
pub struct CachedFile {
    /// Its path in the repository, its size, and the digest that the cache keeps it under.
    pub file: RemoteFile,
    /// Where its bytes lie.
    pub blob: PathBuf,
}

impl Cache {
    /// The cache in this folder, which need not exist.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The commit that a revision was when it was last downloaded, if it was.
    ///
    /// # Errors
    /// [`Error::Name`] for what is no revision.
    pub fn commit(&self, repository: &Repository, revision: &str) -> Result<Option<Commit>, Error> {
        names::revision(revision)?;
        let folder = self.folder(repository);
        if let Ok(commit) = Commit::new(revision) {
            return Ok(folder.join("snapshots").join(commit.as_str()).is_dir().then_some(commit));
        }
        let text = fs::read_to_string(folder.join("refs").join(revision)).unwrap_or_default();
        Ok(Commit::new(text.trim()).ok())
    }

    /// The files of a commit that are there: often not all that the commit has.
    ///
    /// # Errors
    /// [`Error::Cache`] for a file without a digest, or one that lies elsewhere.
    pub fn files(&self, repository: &Repository, commit: &Commit) -> Result<Vec<CachedFile>, Error> {
        let folder = self.folder(repository);
        let snapshot = folder.join("snapshots").join(commit.as_str());
        let blobs = match folder.join("blobs").canonicalize() {
            Ok(blobs) => blobs,
            Err(_) => return Ok(Vec::new()),
        };
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(inside) = folders.pop() {
            let path = snapshot.join(&inside);
            let reading = |error| Error::io(format!("reading {}", path.display()))(error);
            for entry in fs::read_dir(&path).map_err(reading)? {
                let entry = entry.map_err(reading)?;
                let wrong = |reason: &str| Error::Cache { path: entry.path(), reason: reason.into() };
                let name = entry.file_name().into_string().map_err(|_| wrong("its name is not UTF-8"))?;
                let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                names::path(&name).map_err(wrong)?;
                if entry.file_type().map_err(reading)?.is_dir() {
                    folders.push(name);
                    continue;
                }
                let blob = entry.path().canonicalize().map_err(|_| wrong("it links to nothing"))?;
                if blob.parent() != Some(blobs.as_path()) {
                    return Err(wrong(
                        "it is no link into the repository's blobs, so that nothing vouches for it: copy the folder and fetch that",
                    ));
                }
                let digest = blob.file_name().and_then(|name| Digest::parse(name.to_str()?));
                let digest =
                    digest.ok_or_else(|| wrong("the blob that it links to is not named by a digest"))?;
                let size = fs::metadata(&blob).map_err(reading)?.len();
                files.push(CachedFile { file: RemoteFile { path: name, size, digest }, blob });
            }
        }
        files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        Ok(files)
    }

    /// The bytes of a file that the hub lists, if they were downloaded before, at whatever commit.
    #[must_use]
    pub fn blob(&self, repository: &Repository, file: &RemoteFile) -> Option<CachedFile> {
        let blob = self.folder(repository).join("blobs").join(file.digest.as_str());
        let there =
            fs::symlink_metadata(&blob).is_ok_and(|found| found.is_file() && found.len() == file.size);
        there.then(|| CachedFile { file: file.clone(), blob })
    }

    fn folder(&self, repository: &Repository) -> PathBuf {
        let kind = match repository.kind() {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        self.root.join(format!("{kind}--{}", repository.id().replace('/', "--")))
    }
}

impl CachedFile {
    /// Copies the file to `to` and checks what was copied.
    ///
    /// # Errors
    /// [`Error::Digest`] if these are not the bytes, [`Error::Io`].
    pub fn copy(&self, to: &Path) -> Result<(), Error> {
        let reading = |error| Error::io(format!("reading {}", self.blob.display()))(error);
        let writing = |error| Error::io(format!("writing {}", to.display()))(error);
        let mut from = File::open(&self.blob).map_err(reading)?;
        let mut copy = File::create(to).map_err(writing)?;
        let mut check = Check::new(&self.file.digest, self.file.size);
        let mut piece = vec![0; 1 << 20];
        loop {
            let n = from.read(&mut piece).map_err(reading)?;
            if n == 0 {
                break;
            }
            check.update(&piece[..n]);
            std::io::Write::write_all(&mut copy, &piece[..n]).map_err(writing)?;
        }
        check.finish().map_err(|found| Error::Digest {
            file: self.blob.display().to_string(),
            expected: self.file.digest.clone(),
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

    /// A cache with one repository, as `huggingface_hub` lays it out.
    fn cache() -> (tempfile::TempDir, Cache, Repository, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models--a--b");
        let snapshot = folder.join("snapshots").join(COMMIT);
        for part in ["refs", "blobs"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::create_dir_all(snapshot.join("onnx")).unwrap();
        fs::write(folder.join("refs/main"), COMMIT).unwrap();
        fs::write(folder.join("blobs").join(HELLO), "hello\n").unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{HELLO}"), snapshot.join("config.json")).unwrap();
        std::os::unix::fs::symlink(format!("../../../blobs/{HELLO}"), snapshot.join("onnx/x.json")).unwrap();
        let cache = Cache::new(root.path().into());
        (root, cache, Repository::new(Kind::Model, "a/b").unwrap(), folder)
    }

    #[test]
    fn what_was_downloaded_is_found_and_verified() {
        let (root, cache, repository, folder) = cache();
        let commit = cache.commit(&repository, "main").unwrap().unwrap();
        assert_eq!(commit.as_str(), COMMIT);
        assert_eq!(cache.commit(&repository, COMMIT).unwrap(), Some(commit.clone()));
        assert_eq!(cache.commit(&repository, "other").unwrap(), None);
        assert!(cache.commit(&repository, "../../x").is_err());
        let files = cache.files(&repository, &commit).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| file.file.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "onnx/x.json"]);
        let to = root.path().join("copy");
        files[0].copy(&to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"hello\n");
        assert!(cache.blob(&repository, &files[0].file).is_some());
        assert!(cache.blob(&repository, &RemoteFile { size: 7, ..files[0].file.clone() }).is_none());

        fs::write(folder.join("blobs").join(HELLO), "hellp\n").unwrap();
        assert!(matches!(files[0].copy(&to), Err(Error::Digest { .. })));
    }

    #[test]
    fn nothing_vouches_for_a_file_without_a_digest() {
        let (_root, cache, repository, folder) = cache();
        let commit = Commit::new(COMMIT).unwrap();
        let snapshot = folder.join("snapshots").join(COMMIT);
        for (name, target) in
            [("plain", "/etc/hostname"), ("other", "../../refs/main"), ("gone", "../../blobs/gone")]
        {
            let link = snapshot.join(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            let error = cache.files(&repository, &commit).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            fs::remove_file(&link).unwrap();
        }
        fs::write(snapshot.join("copy.json"), "{}").unwrap();
        assert!(
            cache.files(&repository, &commit).unwrap_err().to_string().contains("nothing vouches for it")
        );
    }
}
