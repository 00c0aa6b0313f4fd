//! From what a person types to a manifest.

use std::path::Path;

use crate::id::HEX_DIGITS;
use crate::{Error, Manifest, StageKey, Store, catalog, files, names};

/// Fewest hexadecimal digits that are taken for the beginning of a key.
const PREFIX_DIGITS: usize = 4;

/// Most names that an error suggests.
const N_SUGGESTIONS: usize = 5;

impl Store {
    /// The manifest that `name` means: a full key, the name of a ref, the path of a ref's file (as Make and Snakemake
    /// hold it), or the first 4 or more digits of a key, tried in this order.
    ///
    /// # Errors
    /// [`Error::Unknown`], with names that look like it; [`Error::Ambiguous`] for the beginning of several keys; and
    /// when what was found cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Manifest, Error> {
        if let Ok(key) = name.parse::<StageKey>() {
            return match self.manifest(&key)? {
                Some(manifest) => Ok(manifest),
                None => Err(self.unknown(name)?),
            };
        }
        if names::reference(name).is_ok() && files::length(&self.ref_path(name)?)?.is_some() {
            return self.get_ref(name);
        }
        let path = Path::new(name);
        if path.is_file() {
            let json = std::fs::read(path).map_err(Error::reading(path))?;
            return Manifest::from_json(&json, path);
        }
        let matches = self.keys_that_begin(name)?;
        match matches.as_slice() {
            [] => Err(self.unknown(name)?),
            [(stage, key)] => match self.read_manifest(stage, key)? {
                Some(manifest) => Ok(manifest),
                None => Err(self.unknown(name)?),
            },
            _ => Err(Error::Ambiguous {
                prefix: name.to_owned(),
                matches: matches.iter().map(|(stage, key)| format!("{stage} {key}")).collect(),
            }),
        }
    }

    fn keys_that_begin(&self, prefix: &str) -> Result<Vec<(String, StageKey)>, Error> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !(PREFIX_DIGITS..HEX_DIGITS).contains(&prefix.len()) || !prefix.bytes().all(hex) {
            return Ok(Vec::new());
        }
        let mut keys: Vec<_> = catalog::manifests(self)?.found.into_keys().collect();
        keys.retain(|(_, key)| key.to_string().starts_with(prefix));
        Ok(keys)
    }

    /// The error for a name that means nothing, with those that it may have meant.
    pub(crate) fn unknown(&self, name: &str) -> Result<Error, Error> {
        let mut near: Vec<(usize, String)> = Vec::new();
        for candidate in self.list_refs()? {
            let distance = edit_distance(name, &candidate);
            let contained = name.len() >= 3 && (candidate.contains(name) || name.contains(&candidate));
            if distance <= 1 + name.chars().count() / 4 || contained {
                near.push((distance, candidate));
            }
        }
        near.sort();
        near.truncate(N_SUGGESTIONS);
        Ok(Error::Unknown { name: name.to_owned(), near: near.into_iter().map(|(_, name)| name).collect() })
    }
}

/// Levenshtein's distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 0..b.len() {
            let replaced = diagonal + usize::from(a != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn all_four_ways_lead_to_the_manifest() {
        let (_folder, store) = sample::store();
        let manifest = sample::commit(&store, "soup", 1, &[]);
        store.set_ref("world/p0/soup", &manifest).unwrap();
        let key = manifest.key.to_string();
        let path = store.ref_path("world/p0/soup").unwrap();
        for name in
            ["world/p0/soup", path.to_str().unwrap(), &key, &key[..4], &key[..63], &manifest.key.short()]
        {
            assert_eq!(store.resolve(name).unwrap(), manifest, "{name}");
        }
        for name in [&key[..3], &key[1..20], &key.to_uppercase(), "soup", "", "/", "..", "a\0", "/etc/passwd"]
        {
            assert!(store.resolve(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn errors_suggest_what_was_meant() {
        let (_folder, store) = sample::store();
        let manifest = sample::commit(&store, "soup", 1, &[]);
        for name in ["world/p0/ladder", "world/p1/ladder", "world/p0/soup"] {
            store.set_ref(name, &manifest).unwrap();
        }
        let near = |name: &str| match store.resolve(name).unwrap_err() {
            Error::Unknown { near, .. } => near,
            other => panic!("{other}"),
        };
        assert_eq!(near("world/p0/lader"), ["world/p0/ladder", "world/p1/ladder"]);
        assert_eq!(near("soup"), ["world/p0/soup"]);
        assert!(near("something else").is_empty());
        let message = store.resolve("world/p0/suop").unwrap_err().to_string();
        assert!(message.contains("did you mean world/p0/soup"), "{message}");
        assert!(
            matches!(store.get_ref("world/p0/lader"), Err(Error::Unknown { near, .. }) if near.len() == 2)
        );
    }

    #[test]
    fn the_beginning_of_two_keys_is_refused() {
        let (_folder, store) = sample::store();
        for end in ["00", "01"] {
            let path = store.manifests().join("soup").join(format!("{}{end}.json", "ab".repeat(31)));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"{}").unwrap();
        }
        let error = store.resolve("abababab").unwrap_err();
        assert!(matches!(&error, Error::Ambiguous { matches, .. } if matches.len() == 2), "{error}");
        assert!(error.to_string().contains("soup abab"));
        assert!(matches!(store.resolve(&"ab".repeat(32)), Err(Error::Unknown { .. })));
    }

    #[test]
    fn edit_distances_are_levenshtein_s() {
        for (a, b, distance) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("é", "e", 1), ("ab", "ba", 2)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
            assert_eq!(edit_distance(b, a), distance, "{b} {a}");
        }
    }
}
