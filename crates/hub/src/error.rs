//! What can go wrong between a name and verified bytes.

use std::path::PathBuf;

use crate::Digest;

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is none.
    #[error("{name:?} is not {what}: {why}")]
    Name {
        /// A repository, a revision, a commit.
        what: &'static str,
        /// What was given.
        name: String,
        /// What would be one.
        why: &'static str,
    },
    /// An address or another setting of the environment that cannot be used.
    #[error("{setting}: {reason}")]
    Setting {
        /// The variable.
        setting: &'static str,
        /// What is wrong with it; a token is not shown.
        reason: String,
    },
    /// The network is needed and switched off.
    #[error(
        "HF_HUB_OFFLINE is set, and {what} is not in the cache at {}: unset it, or fetch with the 40-digit commit of \
         something that was fetched before",
        cache.display()
    )]
    Offline {
        /// What was asked for.
        what: String,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// The server has no such thing.
    #[error(
        "{what}: the server at {endpoint} has no such thing ({status}); look at the name, or set HF_TOKEN if it is private"
    )]
    NotFound {
        /// What was asked for.
        what: String,
        /// Which server.
        endpoint: String,
        /// Its answer.
        status: u16,
    },
    /// The server has it and does not give it.
    #[error("{what}: the server refuses ({status}): {advice}")]
    Denied {
        /// What was asked for.
        what: String,
        /// Its answer.
        status: u16,
        /// What helps.
        advice: &'static str,
    },
    /// It did not work, again and again.
    #[error("{what}: {reason} (tried {attempts} times); what was received is kept: run it again to go on")]
    Network {
        /// What was asked for.
        what: String,
        /// What happened the last time.
        reason: String,
        /// How often.
        attempts: u32,
    },
    /// An answer that makes no sense.
    #[error("{what}: the server's answer makes no sense: {reason}")]
    Answer {
        /// What was asked for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// More or fewer bytes than listed.
    #[error("{file}: {expected} bytes are listed, the server sends {found}")]
    Size {
        /// The file.
        file: String,
        /// Bytes listed.
        expected: u64,
        /// Bytes announced or received.
        found: String,
    },
    /// The right number of bytes, but not these.
    #[error(
        "{file}: its bytes have {found}, listed is {expected}: they were damaged on the way, or are not what the commit holds"
    )]
    Digest {
        /// The file.
        file: String,
        /// What is listed.
        expected: Digest,
        /// What the bytes have.
        found: Digest,
    },
    /// The disk.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system answered.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
