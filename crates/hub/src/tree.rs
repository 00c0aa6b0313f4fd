//! The list of a commit's files.

use serde::Deserialize;

use crate::{Digest, Error, Repository, names};

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its place in the repository, checked to stay inside any folder it is joined to.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What they hash to.
    pub digest: Digest,
}

/// An entry as the hub lists it. `hf-hub` 1.0 has a type for it that drops `lfs.oid`, the only digest of a large file.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    oid: Option<String>,
    size: Option<u64>,
    path: String,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    oid: Option<String>,
    sha256: Option<String>,
    size: Option<u64>,
}

/// Reads one page of a listing.
///
/// # Errors
/// [`Error::Answer`] for what is no listing, [`Error::Path`] for a file that would lie elsewhere.
pub(crate) fn page(repository: &Repository, body: &[u8]) -> Result<Vec<RemoteFile>, Error> {
    let senseless = |reason: String| Error::Answer { what: format!("the files of {repository}"), reason };
    let entries: Vec<Entry> = serde_json::from_slice(body).map_err(|error| senseless(error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        names::path(&entry.path).map_err(|why| Error::Path {
            repository: repository.to_string(),
            path: entry.path.chars().take(200).collect(),
            why,
        })?;
        if entry.kind != "file" {
            continue;
        }
        // The digest of a large file is that of its content; its `oid` is that of the pointer that git keeps.
        let (oid, size) = match entry.lfs {
            Some(large) => (large.oid.or(large.sha256), large.size.or(entry.size)),
            None => (entry.oid, entry.size),
        };
        let digest = oid.as_deref().and_then(Digest::parse);
        let (Some(digest), Some(size)) = (digest, size) else {
            return Err(senseless(format!("`{}` has no size or no digest", entry.path)));
        };
        files.push(RemoteFile { path: entry.path, size, digest });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn read(body: &str) -> Result<Vec<RemoteFile>, String> {
        let repository = Repository::new(Kind::Model, "a/b").unwrap();
        page(&repository, body.as_bytes()).map_err(|error| error.to_string())
    }

    /// As the hub answers `GET /api/models/{id}/tree/{commit}`.
    #[test]
    fn large_files_go_by_their_content() {
        let (git, sha256) = ("ce013625030ba8dba906f756967f9e9ca394464a", "5".repeat(64));
        let files = read(&format!(
            r#"[{{"type":"directory","oid":"{git}","size":0,"path":"onnx"}},
                {{"type":"file","oid":"{git}","size":570,"path":"config.json"}},
                {{"type":"file","oid":"{git}","size":134,"path":"model.safetensors","xetHash":"x",
                  "lfs":{{"oid":"{sha256}","size":440449768,"pointerSize":134}}}}]"#
        ))
        .unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!((files[0].size, files[0].digest.as_str()), (570, git));
        assert_eq!((files[1].size, &files[1].digest), (440_449_768, &Digest::Sha256(sha256)));
    }

    #[test]
    fn listings_that_lie_are_refused() {
        let entry =
            |path: &str, oid: &str| format!(r#"[{{"type":"file","oid":"{oid}","size":1,"path":"{path}"}}]"#);
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        read(&entry("a/b.txt", git)).unwrap();
        for path in ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\\\b", "a//b"] {
            let error = read(&entry(path, git)).unwrap_err();
            assert!(error.starts_with("a/b lists a file ") && error.contains("refused"), "{error}");
        }
        assert!(read(&entry("a", "../../../x")).unwrap_err().contains("no size or no digest"));
        for body in ["", "{}", "<html>", "[1]", "[{\"type\":\"file\"}]"] {
            assert!(read(body).unwrap_err().contains("makes no sense"), "{body}");
        }
    }
}
