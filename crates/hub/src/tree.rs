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

/// The files of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that can be taken.
    pub files: Vec<RemoteFile>,
    /// Those that cannot, with the reason. They matter to nobody who does not need them.
    pub refused: Vec<(String, String)>,
}

impl Listing {
    pub(crate) fn add(&mut self, page: Listing) {
        self.files.extend(page.files);
        self.refused.extend(page.refused);
    }
}

/// An entry as the hub lists it.
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

/// Reads one page of a listing. A file that would lie elsewhere, or that nothing vouches for, is told apart.
///
/// # Errors
/// [`Error::Answer`] for what is no listing.
pub(crate) fn page(repository: &Repository, body: &[u8]) -> Result<Listing, Error> {
    let senseless = |reason: String| Error::Answer { what: format!("the files of {repository}"), reason };
    let entries: Vec<Entry> = serde_json::from_slice(body).map_err(|error| senseless(error.to_string()))?;
    let mut listing = Listing::default();
    for entry in entries {
        let mut refuse = |why: &str| {
            let path = entry.path.chars().take(200).collect();
            listing.refused.push((path, why.to_owned()));
        };
        if let Err(why) = names::path(&entry.path) {
            refuse(why);
            continue;
        }
        if entry.kind != "file" {
            continue;
        }
        // The digest of a large file is that of its content; its `oid` is that of the pointer that git keeps.
        let (oid, size) = match entry.lfs {
            Some(large) => (large.oid.or(large.sha256), large.size.or(entry.size)),
            None => (entry.oid, entry.size),
        };
        match (oid.as_deref().and_then(Digest::parse), size) {
            (Some(digest), Some(size)) => {
                listing.files.push(RemoteFile { path: entry.path, size, digest });
            }
            _ => refuse("it is listed without a size or without a digest"),
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn read(body: &str) -> Result<Listing, String> {
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
        .unwrap()
        .files;
        assert_eq!(files.len(), 2);
        assert_eq!((files[0].size, files[0].digest.as_str()), (570, git));
        assert_eq!((files[1].size, &files[1].digest), (440_449_768, &Digest::Sha256(sha256)));
    }

    #[test]
    fn files_that_lie_are_told_apart_and_spoil_nothing() {
        let entry = |path: &str, oid: &str| {
            let good =
                r#"{"type":"file","oid":"ce013625030ba8dba906f756967f9e9ca394464a","size":1,"path":"good"}"#;
            format!(r#"[{good},{{"type":"file","oid":"{oid}","size":1,"path":"{path}"}}]"#)
        };
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(read(&entry("a/b.txt", git)).unwrap().files.len(), 2);
        for path in ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\\\\b", "a//b"] {
            let listing = read(&entry(path, git)).unwrap();
            assert_eq!((listing.files.len(), listing.refused.len()), (1, 1), "{path}");
        }
        assert!(read(&entry("a", "../../../x")).unwrap().refused[0].1.contains("without a digest"));
        for body in ["", "{}", "<html>", "[1]", "[{\"type\":\"file\"}]"] {
            assert!(read(body).unwrap_err().contains("makes no sense"), "{body}");
        }
    }
}
