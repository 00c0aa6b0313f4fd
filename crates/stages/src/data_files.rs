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
    let bytes = match work.recipe.inputs.contains_key(&role(name)) {
        true => work.bytes(&role(name))?.to_vec(),
        false => read(&place.root.join(name))?,
    };
    if name.ends_with(".gz") { unpacked(name, &bytes) } else { Ok(bytes) }
}

fn unpacked(name: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(bytes).take(LARGEST + 1);
    let refused = |reason: String| Failure::Input(format!("{name} cannot be unpacked: {reason}"));
    reader.read_to_end(&mut unpacked).map_err(|error| refused(error.to_string()))?;
    match unpacked.len() as u64 > LARGEST {
        true => Err(refused(format!("it holds more than {LARGEST} bytes"))),
        false => Ok(unpacked),
    }
}

/// The text of a file: all of it, or the lines of the column `text` of a Parquet file.
///
/// # Errors
/// As [`bytes`], and [`Failure::Input`] for what is not text.
pub(crate) fn text(work: &Work<'_>, place: &Place, name: &str) -> Result<String, Failure> {
    let bytes = bytes(work, place, name)?;
    if name.ends_with(".parquet") {
        let columns = tables::read_text_columns(&bytes, &["text"])
            .map_err(|error| Failure::Input(format!("{name}: {error}")))?;
        let lines = columns.into_iter().flatten().map(Option::unwrap_or_default);
        return Ok(lines.map(|line| line + "\n").collect());
    }
    utf8(name, bytes)
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
    std::fs::read(path).map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn roles_are_names() {
        assert_eq!(role("mnli/train 0%.parquet"), "file.mnli%2Ftrain%200%25.parquet");
        assert_eq!(role("é"), "file.%C3%A9");
    }
}
