//! Files of data sets as stages pass them on: outputs of `fetch dataset`, inputs of `prepare`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use store::Manifest;

use crate::stage::{Failure, Inputs, Session, Source, Work};

/// Where named files are. Flatten it into a stage's flags, and skip it in the recipe: what the files hold is there.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Folder that the file names are relative to
    #[arg(long, env = "SAMEBASIN_DATA", hide_env_values = true, default_value = ".", value_name = "FOLDER")]
    pub root: PathBuf,
    /// Take the files from `fetch dataset` results instead (refs or keys)
    #[arg(long, num_args = 1.., value_name = "REF")]
    pub data: Vec<Source>,
}

impl Place {
    /// Names the files in a stage's inputs, or gives their digests where they are not in the store.
    ///
    /// # Errors
    /// [`Failure::Input`] naming a file that is not there.
    pub(crate) fn resolve<'a>(
        &self,
        inputs: &mut Inputs,
        session: &Session,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        if self.data.is_empty() {
            return digests(&self.root, names);
        }
        add(inputs, session, &self.data, names)?;
        Ok(BTreeMap::new())
    }

    /// The names of the files of a pattern in which a `*` stands for anything but a slash, in order.
    ///
    /// # Errors
    /// [`Failure::Input`] if there is none, or a folder cannot be read.
    pub(crate) fn matching(&self, session: &Session, pattern: &str) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        if self.data.is_empty() {
            below(&self.root, String::new(), pattern, &mut found)?;
        }
        for set in &self.data {
            let names = set.manifest(session)?.outputs.into_keys();
            found.extend(names.filter_map(|role| path(&role)).filter(|name| matches(pattern, name)));
        }
        found.sort_unstable();
        found.dedup();
        match found.is_empty() {
            true => Err(Failure::Input(format!("no file is called `{pattern}`"))),
            false => Ok(found),
        }
    }
}

/// Adds the files below `folder` whose path from there is of a pattern; `before` is the path of the folder.
fn below(folder: &Path, before: String, pattern: &str, found: &mut Vec<String>) -> Result<(), Failure> {
    let (first, rest) = pattern.split_once('/').map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    let mut names = Vec::new();
    if first.contains('*') {
        let cannot =
            |error: std::io::Error| Failure::Input(format!("cannot read {}: {error}", folder.display()));
        for entry in std::fs::read_dir(folder).map_err(cannot)? {
            // A name that is no text is of no pattern.
            names.extend(entry.map_err(cannot)?.file_name().into_string());
        }
        names.retain(|name| matches(first, name));
    } else {
        names.push(first.to_owned());
    }
    for name in names {
        let path = folder.join(&name);
        match rest {
            Some(rest) if path.is_dir() => below(&path, format!("{before}{name}/"), rest, found)?,
            None if path.is_file() => found.push(before.clone() + &name),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a path is of a pattern in which `*` stands for any run of characters but slashes.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, rest)) => path.strip_prefix(start).is_some_and(|tail| {
            let ends = (0..=tail.len()).filter(|&end| tail.is_char_boundary(end));
            ends.take_while(|&end| !tail[..end].contains('/')).any(|end| matches(rest, &tail[end..]))
        }),
    }
}

/// The path of a file whose role this is.
fn path(role: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = role.strip_prefix("file.")?.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok());
        let byte = escaped.flatten().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

/// The role of a file: its path, with what roles may not hold escaped as in an address.
pub(crate) fn role(path: &str) -> String {
    let mut role = "file.".to_owned();
    for byte in path.bytes() {
        match byte {
            b'/' | b'\\' | b'%' => role.push_str(&format!("%{byte:02X}")),
            _ if byte.is_ascii_graphic() => role.push(byte.into()),
            _ => role.push_str(&format!("%{byte:02X}")),
        }
    }
    role
}

/// Adds files of fetched data sets to a stage's inputs: each from the first data set that has it.
///
/// # Errors
/// [`Failure::Input`] naming the files that there are if one is in no data set.
fn add<'a>(
    inputs: &mut Inputs,
    session: &Session,
    data: &[Source],
    names: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    let sets: Vec<Manifest> = data.iter().map(|source| source.manifest(session)).collect::<Result<_, _>>()?;
    for name in names {
        let role = role(name);
        let Some(set) = sets.iter().find(|set| set.outputs.contains_key(&role)) else {
            let known: Vec<&str> =
                sets.iter().flat_map(|set| set.outputs.keys()).map(String::as_str).collect();
            return Err(Failure::Input(format!(
                "no fetched data set has `{name}` (output `{role}`); there are {}",
                known.join(", ")
            )));
        };
        inputs.add(&role, set, &role)?;
    }
    Ok(())
}

/// BLAKE3 of files below `root`, by name: what a key knows of files that are not in the store.
///
/// # Errors
/// [`Failure::Input`] naming the file that cannot be read.
fn digests<'a>(
    root: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, String>, Failure> {
    names.map(|name| Ok((name.to_owned(), blake3::hash(&read(&root.join(name))?).to_string()))).collect()
}

/// Bytes of an unpacked file, at most: a small file may claim to hold anything.
const LARGEST: u64 = 4 << 30;

/// The bytes of a file: the work's input of that name if it is one, else the one below the root. What is packed by gzip
/// (`.gz`) is unpacked.
///
/// # Errors
/// [`Failure::Store`] for a corrupt input, [`Failure::Input`] for a file that cannot be read or unpacked.
pub(crate) fn bytes(work: &Work<'_>, place: &Place, name: &str) -> Result<Vec<u8>, Failure> {
    let bytes = packed(work, place, name)?;
    if name.ends_with(".gz") { unpacked(name, &bytes) } else { Ok(bytes) }
}

/// The bytes of a file as they lie, for readers that unpack no more than they need. As [`bytes`] otherwise.
///
/// # Errors
/// As [`bytes`].
pub(crate) fn packed(work: &Work<'_>, place: &Place, name: &str) -> Result<Vec<u8>, Failure> {
    match work.recipe.inputs.contains_key(&role(name)) {
        true => Ok(work.bytes(&role(name))?.to_vec()),
        false => read(&place.root.join(name)),
    }
}

pub(crate) fn unpacked(name: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(LARGEST + 1);
    let refused = |reason: String| Failure::Input(format!("{name} cannot be unpacked: {reason}"));
    reader.read_to_end(&mut unpacked).map_err(|error| refused(error.to_string()))?;
    match unpacked.len() as u64 > LARGEST {
        true => Err(refused(format!("it holds more than {LARGEST} bytes"))),
        false => Ok(unpacked),
    }
}

/// Bytes that are text.
///
/// # Errors
/// [`Failure::Input`] if they are not UTF-8.
pub(crate) fn utf8(name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| Failure::Input(format!("{name} is not UTF-8: {error}")))
}

/// The bytes of a file outside the store.
///
/// # Errors
/// [`Failure::Input`] naming it if it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    check_pointer(path)?;
    std::fs::read(path).map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))
}

/// What Git LFS leaves in the place of a large file where it is not installed begins with this.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Checks that a file is not a pointer to the file that it stands for.
///
/// # Errors
/// [`Failure::Input`] naming it if it is one, or cannot be read.
pub(crate) fn check_pointer(path: &Path) -> Result<(), Failure> {
    let cannot = |error| Failure::Input(format!("cannot read {}: {error}", path.display()));
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(POINTER.len() as u64).read_to_end(&mut start).map_err(cannot)?;
    match start == POINTER {
        true => Err(Failure::Input(format!(
            "{} is a pointer of Git LFS and not the file itself: install Git LFS and run `git lfs pull`",
            path.display()
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_not_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.csv");
        std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:5\nsize 5\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("git lfs pull"));
        std::fs::write(&path, "version,").unwrap();
        assert_eq!(read(&path).unwrap(), b"version,");
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, b"hello").unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(unpacked("a.gz", &packed).unwrap(), b"hello");
        for damaged in [&packed[..packed.len() - 3], b"hello"] {
            assert!(unpacked("a.gz", damaged).unwrap_err().to_string().contains("a.gz cannot be unpacked"));
        }
    }

    #[test]
    fn patterns() {
        for (pattern, path) in [
            ("a/b.txt", "a/b.txt"),
            ("mnli/*.parquet", "mnli/x-0.parquet"),
            ("*/train*", "q/train-0"),
            ("*", "é"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("a", "ab"), ("*.parquet", "mnli/x.parquet"), ("m*/t*x", "mnli/train/x"), ("", "a")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn files_of_a_pattern_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/x-1.tsv", "a/x-0.tsv", "b/x-2.tsv", "b/y.tsv", "c"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| {
            let mut found = Vec::new();
            below(folder.path(), String::new(), pattern, &mut found).unwrap();
            found.sort_unstable();
            found
        };
        assert_eq!(found("a/x-*.tsv"), ["a/x-0.tsv", "a/x-1.tsv"]);
        assert_eq!(found("*/x-*"), ["a/x-0.tsv", "a/x-1.tsv", "b/x-2.tsv"]);
        assert_eq!(found("*"), ["c"]);
        assert!(below(folder.path(), String::new(), "d*/x", &mut Vec::new()).is_ok());
    }

    #[test]
    fn roles_are_names() {
        assert_eq!(role("mnli/train 0%.parquet"), "file.mnli%2Ftrain%200%25.parquet");
        assert_eq!(role("é"), "file.%C3%A9");
        for name in ["mnli/train 0%.parquet", "é", "a\\b"] {
            assert_eq!(path(&role(name)).as_deref(), Some(name));
        }
    }
}
