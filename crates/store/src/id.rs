//! The two names: of bytes ([`ObjectId`]) and of recipes ([`StageKey`]). Both are 256 bits and never meet: one is the
//! plain BLAKE3 hash, the other its key-derivation mode with our own context.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// BLAKE3 derive-key context of a stage key. A change of the canonical form is a new context.
const KEY_CONTEXT: &str = "samebasin 2026-11 stage key of a canonical recipe, form 1";

/// Number of hexadecimal digits of a full name.
pub(crate) const HEX_DIGITS: usize = 64;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The 32 bytes of the digest.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 12 hexadecimal digits, for people. `Store::resolve` accepts them.
            #[must_use]
            pub fn short(&self) -> String {
                let mut hex = self.to_string();
                hex.truncate(12);
                hex
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(blake3::Hash::from_bytes(self.0).to_hex().as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                parse(text).map(Self).ok_or_else(|| Error::InvalidId { what: $what, text: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest! {
    /// The name of bytes: BLAKE3 of the content of a file. Equal ids, equal bytes.
    ///
    /// Written as 64 lower-case hexadecimal digits; no other spelling is accepted, since it is also a file name.
    ObjectId, "an object id"
}

digest! {
    /// The name of a recipe: BLAKE3 in key-derivation mode over the recipe's canonical bytes, known before the stage
    /// runs. See [`Recipe`](crate::Recipe) for the canonical form.
    ///
    /// Written as 64 lower-case hexadecimal digits; no other spelling is accepted, since it is also a file name.
    StageKey, "a stage key"
}

impl ObjectId {
    /// The id of these bytes: about 3 GB/s on one core, and on all cores where there are megabytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> ObjectId {
        const WORTH_THREADS: usize = 4 << 20;
        let mut hasher = blake3::Hasher::new();
        match bytes.len() {
            0..WORTH_THREADS => hasher.update(bytes),
            _ => hasher.update_rayon(bytes),
        };
        ObjectId::of_hashed(&hasher)
    }

    /// The id of the bytes that a hasher has seen.
    pub(crate) fn of_hashed(hasher: &blake3::Hasher) -> ObjectId {
        ObjectId(*hasher.finalize().as_bytes())
    }

    /// The id of a file's bytes; the file must be a regular one.
    pub(crate) fn of_file(path: &std::path::Path) -> std::io::Result<ObjectId> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_mmap(path)?;
        Ok(ObjectId::of_hashed(&hasher))
    }
}

impl StageKey {
    /// The key of a recipe's canonical bytes.
    pub(crate) fn of_canonical(canonical: &[u8]) -> StageKey {
        StageKey(blake3::derive_key(KEY_CONTEXT, canonical))
    }
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != HEX_DIGITS || !text.bytes().all(lower) {
        return None;
    }
    blake3::Hash::from_hex(text).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published BLAKE3 test vector of the empty input.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn an_object_id_is_blake3_in_hex() {
        assert_eq!(ObjectId::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<ObjectId>().unwrap(), ObjectId::of(b""));
        let megabytes = vec![3; 5 << 20];
        assert_eq!(ObjectId::of(&megabytes).as_bytes(), blake3::hash(&megabytes).as_bytes());
        assert_eq!(ObjectId::of(b"").short(), "af1349b9f5f9");
        assert_eq!(format!("{:?}", ObjectId::of(b"")), format!("ObjectId({EMPTY})"));
    }

    #[test]
    fn a_stage_key_is_derived_and_never_equals_an_object_id() {
        let expected = blake3::Hasher::new_derive_key(KEY_CONTEXT).update(b"{}").finalize();
        assert_eq!(StageKey::of_canonical(b"{}").as_bytes(), expected.as_bytes());
        assert_ne!(StageKey::of_canonical(b"{}").as_bytes(), ObjectId::of(b"{}").as_bytes());
    }

    #[test]
    fn one_spelling_only() {
        let too_long = format!("{EMPTY}0");
        let upper = EMPTY.to_uppercase();
        let not_hex = EMPTY.replace('a', "g");
        let multibyte = format!("é{}", &EMPTY[2..]);
        for bad in ["", "af13", too_long.as_str(), &EMPTY[1..], &upper, &not_hex, &multibyte] {
            let error = bad.parse::<ObjectId>().unwrap_err();
            assert!(matches!(error, Error::InvalidId { .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn ids_are_strings_in_json() {
        let id = ObjectId::of(b"bytes");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<ObjectId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<ObjectId>("\"af13\"").is_err());
        assert!(serde_json::from_str::<ObjectId>("7").is_err());
    }
}
