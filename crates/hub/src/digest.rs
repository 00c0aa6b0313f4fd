//! What the hub says of a file's bytes, and whether they are that.

use std::fmt;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The digest under which git or the hub knows a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256 of the bytes: what large files are stored under, 64 hexadecimal digits.
    Sha256(String),
    /// Git's blob id, SHA-1 of `blob <length>\0` and the bytes: what small files are stored under, 40 digits.
    GitBlob(String),
}

impl Digest {
    /// The digest that these hexadecimal digits are, by their number; `None` if they are none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match text.len() {
            64 if hexadecimal => Some(Self::Sha256(text.into())),
            40 if hexadecimal => Some(Self::GitBlob(text.into())),
            _ => None,
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let (Self::Sha256(digits) | Self::GitBlob(digits)) = self;
        digits
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digits) => write!(f, "sha256 {digits}"),
            Self::GitBlob(digits) => write!(f, "git blob {digits}"),
        }
    }
}

/// A digest that is being computed, piece by piece.
pub struct Check {
    expected: Digest,
    state: State,
}

enum State {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Check {
    /// Begins to check that `size` bytes have this digest.
    #[must_use]
    pub fn new(expected: &Digest, size: u64) -> Self {
        let state = match expected {
            Digest::Sha256(_) => State::Sha256(Sha256::new()),
            Digest::GitBlob(_) => State::GitBlob(Sha1::new_with_prefix(format!("blob {size}\0"))),
        };
        Self { expected: expected.clone(), state }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::GitBlob(hasher) => hasher.update(bytes),
        }
    }

    /// Whether these were the bytes.
    ///
    /// # Errors
    /// The digest that they have.
    pub fn finish(self) -> Result<(), Digest> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = match self.state {
            State::Sha256(hasher) => Digest::Sha256(hex(&hasher.finalize())),
            State::GitBlob(hasher) => Digest::GitBlob(hex(&hasher.finalize())),
        };
        if found == self.expected { Ok(()) } else { Err(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(digits: &str, bytes: &[u8]) -> Result<(), Digest> {
        let mut check = Check::new(&Digest::parse(digits).unwrap(), bytes.len() as u64);
        for piece in bytes.chunks(3) {
            check.update(piece);
        }
        check.finish()
    }

    /// `printf 'hello\n' | git hash-object --stdin` and `printf 'hello\n' | sha256sum`.
    #[test]
    fn known_digests() {
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        check(git, b"hello\n").unwrap();
        check(sha256, b"hello\n").unwrap();
        check("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", b"").unwrap();
        assert_eq!(check(git, b"hello!").unwrap_err().as_str().len(), 40);
        assert!(check(sha256, b"hellp\n").is_err());
    }

    #[test]
    fn what_is_no_digest() {
        for text in ["", "main", "../../etc/passwd", &"G".repeat(40), &"A".repeat(64), &"a".repeat(63)] {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }
}
