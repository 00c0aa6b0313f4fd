//! Names of repositories, commits and files. What comes from outside passes here before it is part of an address or a
//! path.

use std::fmt;

use crate::Error;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights.
    Model,
    /// Rows.
    Dataset,
}

impl Kind {
    /// Part of the address of the interface: `models`, `datasets`.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// Part of the address of files: models live at the root.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }
}

/// A repository: `owner/name`, or a `name` alone, as the oldest models have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    kind: Kind,
    id: String,
}

impl Repository {
    /// The repository of this name.
    ///
    /// # Errors
    /// [`Error::Name`] if no repository can be called so.
    pub fn new(kind: Kind, id: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = id.split('/').collect();
        let good = |part: &&str| {
            let visible = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(visible)
        };
        if parts.len() > 2 || !parts.iter().all(good) {
            return Err(Error::Name {
                what: "a repository",
                name: id.into(),
                why: "expected `owner/name` of letters, digits, `-`, `_` and `.`",
            });
        }
        Ok(Self { kind, id: id.into() })
    }

    /// `owner/name`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.id)
    }
}

/// A git commit: what a repository held at one time, for ever the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commit(String);

impl Commit {
    /// Forty lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Name`] for anything else.
    pub fn new(text: &str) -> Result<Self, Error> {
        match text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            true => Ok(Self(text.into())),
            false => Err(Error::Name {
                what: "a commit",
                name: text.chars().take(80).collect(),
                why: "expected 40 hexadecimal digits",
            }),
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a revision (a branch, a tag, a commit) is refused: git allows none of these either.
pub(crate) fn revision(name: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    if name.is_empty()
        || name.len() > 200
        || name.contains("..")
        || name.starts_with(['/', '-', '.'])
        || name.ends_with('/')
        || name.chars().any(bad)
    {
        let why = "expected a branch, a tag or a commit";
        return Err(Error::Name { what: "a revision", name: name.chars().take(80).collect(), why });
    }
    Ok(())
}

/// Why a file's path within a repository is refused: whoever joins it to a folder must stay in that folder.
pub(crate) fn path(path: &str) -> Result<(), &'static str> {
    if path.len() > 500 {
        return Err("it is longer than 500 bytes");
    }
    if path.starts_with('/') {
        return Err("it is absolute");
    }
    if path.contains('\\') {
        return Err("it contains a backslash");
    }
    if path.chars().any(char::is_control) {
        return Err("it contains a control character");
    }
    if path.contains(':') {
        return Err("it contains a colon");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a part of it is empty, `.` or `..`");
    }
    Ok(())
}

/// A path in an address: everything but unreserved characters is escaped, and slashes where they are no separators.
pub(crate) fn escape(text: &str, keep_slashes: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            b'/' if keep_slashes => escaped.push('/'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        for id in ["gpt2", "google/multiberts-seed_0-step_20k", "a.b/c"] {
            assert_eq!(Repository::new(Kind::Model, id).unwrap().id(), id);
        }
        for name in ["main", "step143000", "refs/pr/1", "stage1-step150-tokens1B"] {
            revision(name).unwrap();
        }
        for name in ["config.json", "mnli/train-00000-of-00001.parquet", "..a/b..", "å b.txt"] {
            path(name).unwrap();
        }
        assert_eq!(escape("å b/c.txt", true), "%C3%A5%20b/c.txt");
        assert_eq!(escape("refs/pr/1", false), "refs%2Fpr%2F1");
    }

    #[test]
    fn names_that_lie_are_refused() {
        for id in ["", "/", "a/", "/a", "a/b/c", "../a", "a/..", "a b", "a/b?x", "a\\b", "å"] {
            assert!(Repository::new(Kind::Model, id).is_err(), "{id}");
        }
        for name in ["", "../main", "a..b", "-x", "a b", "a\n", "/a", "a/", "a:b", "a\\b"] {
            assert!(revision(name).is_err(), "{name}");
        }
        for name in ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb", "C:x"] {
            assert!(path(name).is_err(), "{name}");
        }
        let upper = "A".repeat(40);
        for commit in ["", "main", "abc", upper.as_str(), &"g".repeat(40), &"a".repeat(41)] {
            assert!(Commit::new(commit).is_err(), "{commit}");
        }
        Commit::new(&"a0".repeat(20)).unwrap();
    }
}
