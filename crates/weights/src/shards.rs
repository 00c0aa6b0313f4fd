//! Checkpoints in several files, and the one file that they are.
//!
//! `model.safetensors.index.json` says in which shard each tensor lies, as transformers writes it for large models.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use safetensors::tensor::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::Error;
use crate::constants::may_be_constant;
use crate::stored::header_of;

/// In which file each tensor lies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Index {
    /// Name of the file by name of the tensor.
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads a `model.safetensors.index.json`.
    ///
    /// # Errors
    /// [`Error::Index`] for what is none, or one that names no file.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let index: Self =
            serde_json::from_slice(json).map_err(|error| Error::Index { reason: error.to_string() })?;
        match index.weight_map.is_empty() {
            true => Err(Error::Index { reason: "it names no tensor".into() }),
            false => Ok(index),
        }
    }

    /// The files that it names, each once.
    #[must_use]
    pub fn files(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }

    /// Hands `write` the bytes of one safetensors file with all tensors of the shards, types and values as they are,
    /// piece by piece. The same tensors give the same bytes however they were sharded.
    ///
    /// As transformers does, all that lies in the shards is taken, whether the index names it or not, and in whichever of
    /// them it lies. A constant that the index names need not be there.
    ///
    /// # Errors
    /// [`Error::Format`] naming a shard that is no safetensors file, [`Error::Index`] for a tensor that is missing or lies in
    /// two of them; whatever `write` fails with.
    pub fn merge<E: From<Error>>(
        &self,
        shards: &BTreeMap<String, impl std::ops::Deref<Target = [u8]>>,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let lie = |reason: String| Err(E::from(Error::Index { reason }));
        let mut tensors: Vec<(String, Dtype, Vec<usize>, &[u8])> = Vec::new();
        let mut found: BTreeMap<String, &str> = BTreeMap::new();
        for (file, bytes) in shards {
            let shard = SafeTensors::deserialize(bytes)
                .map_err(|error| Error::Format { reason: format!("{file}: {error}") })?;
            for (name, view) in shard.tensors() {
                if let Some(other) = found.insert(name.clone(), file) {
                    return lie(format!("`{name}` lies in {other} and in {file}"));
                }
                tensors.push((name, view.dtype(), view.shape().to_vec(), view.data()));
            }
        }
        let is_there = |name: &str| found.contains_key(name) || may_be_constant(name);
        let missing: Vec<(&String, &String)> =
            self.weight_map.iter().filter(|(name, _)| !is_there(name)).collect();
        if let Some((name, file)) = missing.first() {
            let others = if missing.len() > 1 {
                format!(", nor are {} others", missing.len() - 1)
            } else {
                String::new()
            };
            return lie(format!("`{name}` is not in {file}, which it names for it{others}"));
        }
        // Wide types first, so that each tensor is aligned for its own.
        tensors.sort_by(|(a, a_type, ..), (b, b_type, ..)| {
            (Reverse(a_type.bitsize()), a).cmp(&(Reverse(b_type.bitsize()), b))
        });
        write(&header_of(tensors.iter().map(|(name, dtype, shape, _)| (&**name, *dtype, &**shape))))?;
        tensors.iter().try_for_each(|(.., data)| write(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Weights;
    use crate::tests::weights;

    /// One tensor of [`weights`] as a file.
    fn shard(names: &[&str]) -> Vec<u8> {
        let whole = weights(1);
        let mut layout = crate::Layout::default();
        for &name in names {
            layout.push(name, &whole.layout().entry(name).unwrap().shape);
        }
        let mut part = Weights::zeros(std::sync::Arc::new(layout));
        for &name in names {
            part.tensor_mut(name).unwrap().copy_from_slice(whole.tensor(name).unwrap());
        }
        part.to_safetensors()
    }

    fn merge(index: &str, shards: &[(&str, &[&str])]) -> Result<Vec<u8>, String> {
        let index = Index::parse(index.as_bytes()).map_err(|error| error.to_string())?;
        let shards = shards.iter().map(|(file, names)| ((*file).to_owned(), shard(names))).collect();
        let mut merged = Vec::new();
        let write = |bytes: &[u8]| {
            merged.extend_from_slice(bytes);
            Ok::<(), Error>(())
        };
        index.merge(&shards, write).map_err(|error| error.to_string())?;
        Ok(merged)
    }

    const INDEX: &str = r#"{"metadata": {"total_size": 36}, "weight_map":
        {"body.weight": "a.safetensors", "body.bias": "b.safetensors"}}"#;

    #[test]
    fn shards_are_one_file_again() {
        let merged = merge(INDEX, &[("a.safetensors", &["body.weight"]), ("b.safetensors", &["body.bias"])]);
        assert_eq!(merged.unwrap(), weights(1).to_safetensors());
    }

    /// Versions of transformers disagree on which buffers are saved.
    #[test]
    fn an_index_that_disagrees_about_buffers_is_good_enough() {
        let whole = weights(1).to_safetensors();
        let all: (&str, &[&str]) = ("a.safetensors", &["body.weight", "body.bias"]);
        let more =
            INDEX.replace("{\"body.weight\"", "{\"h.0.attn.bias\": \"a.safetensors\", \"body.weight\"");
        let fewer = r#"{"weight_map": {"body.weight": "a.safetensors"}}"#;
        for index in [INDEX, &more, fewer] {
            assert_eq!(merge(index, &[all]).unwrap(), whole, "{index}");
        }
    }

    #[test]
    fn every_lie_is_named() {
        let a: (&str, &[&str]) = ("a.safetensors", &["body.weight"]);
        let b: (&str, &[&str]) = ("b.safetensors", &["body.bias"]);
        assert!(merge(INDEX, &[a]).unwrap_err().contains("`body.bias` is not in b.safetensors"));
        let both: (&str, &[&str]) = ("a.safetensors", &["body.weight", "body.bias"]);
        assert!(merge(INDEX, &[both, b]).unwrap_err().contains("`body.bias` lies in a.safetensors and in b"));
        let other = INDEX.replace("body.bias", "head.bias");
        assert!(merge(&other, &[a, b]).unwrap_err().contains("`head.bias` is not in b.safetensors"));
        for json in ["", "{}", r#"{"weight_map": {}}"#, r#"{"weight_map": {"a": 1}}"#] {
            assert!(merge(json, &[a]).unwrap_err().starts_with("the index of the shards"), "{json}");
        }
    }
}
