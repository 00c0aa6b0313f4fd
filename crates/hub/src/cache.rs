//! The cache that the hub's own tools fill, read but never written.
//!
//! `models--owner--name/refs/<revision>` holds a commit, `snapshots/<commit>/<path>` links to `blobs/<digest>`: a blob's
//! name says what it must hash to. See
//! <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Check, Commit, Digest, Error, GitRef, Kind, Listing, RemoteFile, Repository, names};

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

    /// The branches and tags that were downloaded, by name, each at the commit that it was then.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn refs(&self, repository: &Repository) -> Result<Vec<GitRef>, Error> {
        let folder = self.folder(repository).join("refs");
        let mut found = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(inside) = folders.pop() {
            for (name, entry) in listed(&folder.join(&inside))? {
                let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                if entry.is_dir() {
                    folders.push(name);
                } else if let Ok(Some(commit)) = self.commit(repository, &name)
                    && self.commit(repository, commit.as_str())?.is_some()
                {
                    found.push(GitRef { name, commit });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Names of an owner's model repositories that were downloaded and contain `search`, sorted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn models_of(&self, owner: &str, search: &str) -> Result<Vec<String>, Error> {
        let prefix = format!("models--{owner}--");
        let names = listed(&self.root)?.into_iter().filter_map(|(name, _)| {
            let name = name.strip_prefix(&prefix)?;
            Some(format!("{owner}/{name}"))
        });
        let mut found: Vec<String> = names.filter(|id| Repository::new(Kind::Model, id).is_ok()).collect();
        found.retain(|id| id.contains(search));
        found.sort();
        Ok(found)
    }

    /// The files of a commit that are there: often not all that the commit has. What lies among them without a digest is
    /// told apart: a file manager's notes, a file that was copied there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn files(&self, repository: &Repository, commit: &Commit) -> Result<Listing, Error> {
        let folder = self.folder(repository);
        let snapshot = folder.join("snapshots").join(commit.as_str());
        let mut listing = Listing::default();
        let Ok(blobs) = folder.join("blobs").canonicalize() else { return Ok(listing) };
        let mut folders = vec![String::new()];
        while let Some(inside) = folders.pop() {
            for (name, path) in listed(&snapshot.join(&inside))? {
                let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                if path.is_dir() && !path.is_symlink() {
                    folders.push(name);
                    continue;
                }
                match vouched(&path, &blobs) {
                    Ok((size, digest)) if names::path(&name).is_ok() => {
                        listing.files.push(RemoteFile { path: name, size, digest });
                    }
                    Ok(_) => listing.refused.push((name, "its name is refused".to_owned())),
                    Err(reason) => listing.refused.push((name, reason)),
                }
            }
        }
        listing.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
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

/// What is in a folder, by name; names that are not UTF-8 are nobody's. A folder that is not there is empty.
fn listed(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let reading = |error| Error::io(format!("reading {}", folder.display()))(error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(reading)?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(reading)?;
        if let Ok(name) = entry.file_name().into_string() {
            listed.push((name, entry.path()));
        }
    }
    listed.sort();
    Ok(listed)
}

/// What a file links to that holds a path instead of being a link: what is left of links where a cache was packed, or was
/// copied to a file system without them. The blob that it leads to is checked as any other.
fn linked_by_text(path: &Path) -> Option<PathBuf> {
    const LONGEST: u64 = 1_024;
    if fs::metadata(path).ok()?.len() > LONGEST {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let target = text.trim_end().strip_prefix("../").map(|_| text.trim_end())?;
    path.parent()?.join(target).canonicalize().ok()
}

/// The size and the digest of a file of a snapshot: the name of the blob that it links to says what that must hash to.
fn vouched(path: &Path, blobs: &Path) -> Result<(u64, Digest), String> {
    let blob = path.canonicalize().map_err(|_| "it links to nothing")?;
    let blob = if path.is_symlink() { blob } else { linked_by_text(&blob).unwrap_or(blob) };
    if blob.parent() != Some(blobs) {
        return Err(
            "it is no link into the repository's blobs, so that nothing vouches for it: copy the folder and \
                    fetch that"
                .to_owned(),
        );
    }
    let digest = blob.file_name().and_then(|name| Digest::parse(name.to_str()?));
    let digest = digest.ok_or("the blob that it links to is not named by a digest")?;
    let size = fs::metadata(&blob).map_err(|error| error.to_string())?.len();
    Ok((size, digest))
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
        let files = cache.files(&repository, &commit).unwrap().files;
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "onnx/x.json"]);
        let to = root.path().join("copy");
        let cached = cache.blob(&repository, &files[0]).unwrap();
        cached.copy(&to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"hello\n");
        assert!(cache.blob(&repository, &RemoteFile { size: 7, ..files[0].clone() }).is_none());

        fs::write(folder.join("blobs").join(HELLO), "hellp\n").unwrap();
        assert!(matches!(cached.copy(&to), Err(Error::Digest { .. })));
    }

    #[test]
    fn what_there_is_to_choose_from_is_listed() {
        let (root, cache, repository, folder) = cache();
        fs::create_dir_all(folder.join("refs/refs/pr")).unwrap();
        fs::write(folder.join("refs/refs/pr/1"), COMMIT).unwrap();
        fs::write(folder.join("refs/gone"), COMMIT.replace('0', "1")).unwrap();
        fs::write(folder.join("refs/.DS_Store"), "notes").unwrap();
        let names: Vec<String> =
            cache.refs(&repository).unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["main", "refs/pr/1"], "a branch without files cannot be taken");
        for name in ["models--a--run-step_1", "models--b--run", "datasets--a--run"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        assert_eq!(cache.models_of("a", "").unwrap(), ["a/b", "a/run-step_1"]);
        assert_eq!(cache.models_of("a", "step").unwrap(), ["a/run-step_1"]);
        assert!(Cache::new("/nowhere".into()).models_of("a", "").unwrap().is_empty());
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
            let listing = cache.files(&repository, &commit).unwrap();
            assert_eq!((listing.files.len(), listing.refused[0].0.as_str()), (2, name));
            fs::remove_file(&link).unwrap();
        }
        fs::write(snapshot.join("text.json"), format!("../../blobs/{HELLO}\n")).unwrap();
        let listing = cache.files(&repository, &commit).unwrap();
        assert_eq!((listing.files.len(), listing.refused.len()), (3, 0), "a link in words");
        fs::write(snapshot.join("text.json"), "../../refs/main").unwrap();
        assert_eq!(cache.files(&repository, &commit).unwrap().refused.len(), 1);
        fs::remove_file(snapshot.join("text.json")).unwrap();
        fs::write(snapshot.join("copy.json"), "{}").unwrap();
        let listing = cache.files(&repository, &commit).unwrap();
        assert!(listing.refused[0].1.contains("nothing vouches for it"), "{:?}", listing.refused);
    }
}
