//! What can go wrong, and what a person can do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Damage, ObjectId, StageKey};

/// Everything that the store refuses or fails to do. The messages name the file and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that should be 64 lower-case hexadecimal digits is not.
    #[error("{text:?} is not {what}: 64 lower-case hexadecimal digits are")]
    InvalidId {
        /// "an object id" or "a stage key".
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A stage, role, ref or scratch name that cannot be a file name or would leave its folder.
    #[error("{name:?} cannot be {what}: {why}")]
    InvalidName {
        /// What it was to name, such as "a ref".
        what: &'static str,
        /// The name.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A `null` in a recipe. serde writes NaN and infinities as `null`, so that two recipes would share a key.
    #[error("{path} is null; a recipe states every value, and NaN or infinity would read as null")]
    NullInRecipe {
        /// JSON path of the value.
        path: String,
    },
    /// A number in a recipe that no finite 64-bit number holds.
    #[error("{path} is {text}, which is not a finite 64-bit number")]
    NonFiniteInRecipe {
        /// JSON path of the value.
        path: String,
        /// The number as it was written.
        text: String,
    },
    /// A recipe nested so deeply that its manifest could not be read back.
    #[error("{path} is nested more than {limit} levels deep")]
    TooDeep {
        /// JSON path of the value.
        path: String,
        /// The greatest depth.
        limit: usize,
    },
    /// A file of a newer version of samebasin.
    #[error("{} has {what} {found}, and this version reads up to {newest}: use a newer samebasin", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// "manifest format" or "store format".
        what: &'static str,
        /// What the file says.
        found: u32,
        /// The newest that can be read.
        newest: u32,
    },
    /// A manifest or a ref that cannot be read as one.
    #[error("{} is not a valid manifest: {why}", path.display())]
    InvalidManifest {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// No store at this path, or a folder whose format marker is something else.
    #[error("{} is not a store: {why}", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A manifest has no output of this role.
    #[error("{stage} {} has no output {role:?}; it has {}", key.short(), list(roles))]
    NoOutput {
        /// The manifest's stage.
        stage: String,
        /// The manifest's key.
        key: StageKey,
        /// The role that was asked for.
        role: String,
        /// The roles that exist.
        roles: Vec<String>,
    },
    /// An object that should be there is not.
    #[error("object {object} is missing at {}: run the stage that makes it again", path.display())]
    MissingObject {
        /// The object.
        object: ObjectId,
        /// Where it should be.
        path: PathBuf,
    },
    /// An object's bytes are not what its name says.
    #[error("object {object} is corrupt at {}: {why}; run `samebasin store verify`", path.display())]
    CorruptObject {
        /// The object.
        object: ObjectId,
        /// The file.
        path: PathBuf,
        /// What was found instead.
        why: String,
    },
    /// A manifest that was to be committed or named by a ref, but whose outputs are not all there.
    #[error("{stage} {} cannot be published: {damage}", key.short())]
    Incomplete {
        /// The manifest's stage.
        stage: String,
        /// The manifest's key.
        key: StageKey,
        /// What is missing.
        damage: Box<Damage>,
    },
    /// A ref can only name what is committed.
    #[error("{stage} {} is not committed", key.short())]
    NotCommitted {
        /// The manifest's stage.
        stage: String,
        /// The manifest's key.
        key: StageKey,
    },
    /// Nothing of this name.
    #[error("no ref, ref file or key is called {name:?}{}", near_matches(near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// A ref of this name exists, and was not to be replaced.
    #[error("there is a ref {name:?}: remove it first with `samebasin store rm`")]
    Taken {
        /// The name.
        name: String,
    },
    /// A key prefix that several keys share.
    #[error("{prefix:?} is the beginning of several keys: {}", list(matches))]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// `<stage> <key>` of each.
        matches: Vec<String>,
    },
    /// Something that may lead to results, and cannot be followed: what is needed cannot be known.
    #[error("nothing was deleted, since it is not known what {what} needs: {why}")]
    Unfollowable {
        /// A ref, a run or a file.
        what: String,
        /// What stops there, and what can be done.
        why: String,
    },
    /// The disk or the quota is full. Nothing partial was left behind.
    #[error("no space left to write {}: free some, for instance with `samebasin store gc`", path.display())]
    NoSpace {
        /// The file that was being written.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The store cannot be written to.
    #[error("{} is not writable: check its permissions and the mount, or choose another --store", path.display())]
    Unwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file system does not take a name this long.
    #[error("the file system refuses the name {}: choose a shorter one", path.display())]
    NameTooLong {
        /// The file that was to be written.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("cannot {deed} {}: {source}", path.display())]
    Io {
        /// "read", "write" or "lock".
        deed: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` on an operation that reads `path`.
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { deed: "read", path, source }
    }

    /// For `map_err` on an operation that writes `path`; names the common causes.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace { path, source },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::Unwritable { path, source }
            }
            io::ErrorKind::InvalidFilename => Error::NameTooLong { path, source },
            _ => Error::Io { deed: "write", path, source },
        }
    }

    /// For `map_err` on taking a lock.
    pub(crate) fn locking(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { deed: "lock", path, source }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn near_matches(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_causes_have_a_name_and_a_hint() {
        let path = Path::new("store/objects/x");
        let error = |kind: io::ErrorKind| Error::writing(path)(kind.into());
        assert!(matches!(error(io::ErrorKind::StorageFull), Error::NoSpace { .. }));
        assert!(matches!(error(io::ErrorKind::QuotaExceeded), Error::NoSpace { .. }));
        assert!(matches!(error(io::ErrorKind::ReadOnlyFilesystem), Error::Unwritable { .. }));
        assert!(matches!(error(io::ErrorKind::PermissionDenied), Error::Unwritable { .. }));
        assert!(matches!(error(io::ErrorKind::InvalidFilename), Error::NameTooLong { .. }));
        assert!(matches!(error(io::ErrorKind::NotFound), Error::Io { .. }));
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::NotFound] {
            assert!(error(kind).to_string().contains("store/objects/x"));
        }
        assert!(error(io::ErrorKind::StorageFull).to_string().contains("samebasin store gc"));
    }
}
