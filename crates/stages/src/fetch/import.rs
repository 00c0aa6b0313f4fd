//! From files that transformers wrote to what stages read: `model`, `config` and `tokenizer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use store::{Media, ObjectId};
use versions::Versions;
use weights::Weights;
use weights::shards::Index;

use super::choice::{Choice, Stored};
use crate::stage::{Failure, Work};

/// Changes whenever the same files become other outputs.
const VERSION: u32 = 3;

/// Versions of this method and of those that it rests on.
pub(super) fn versions() -> Versions {
    Versions::of("import", VERSION).and(tasks::published_versions())
}

/// Bytes of a file that describes a model, at most: the largest vocabularies take a tenth of it.
const LARGEST_DESCRIPTION: u64 = 256 << 20;

/// Files on the disk, by their names in a repository.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, PathBuf>);

impl Files {
    pub(super) fn add(&mut self, name: &str, path: PathBuf) {
        self.0.insert(name.to_owned(), path);
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The path of a file that was chosen.
    fn path(&self, name: &str) -> Result<&Path, Failure> {
        let path = self.0.get(name).map(PathBuf::as_path);
        path.ok_or_else(|| Failure::Bug(format!("{name} was not brought")))
    }

    /// All of a small file.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.path(name)?;
        let cannot =
            |error: std::io::Error| Failure::Input(format!("cannot read {}: {error}", path.display()));
        let bytes = std::fs::metadata(path).map_err(cannot)?.len();
        if bytes > LARGEST_DESCRIPTION {
            return Err(Failure::Input(format!(
                "{name} has {bytes} bytes: a description of a model has at most {LARGEST_DESCRIPTION}"
            )));
        }
        std::fs::read(path).map_err(cannot)
    }

    /// A small file that is a JSON object.
    pub(super) fn object(&self, name: &str) -> Result<(Vec<u8>, serde_json::Map<String, Value>), Failure> {
        let bytes = self.read(name)?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Input(format!("{name} is not a JSON object: {error}")))?;
        Ok((bytes, value))
    }
}

/// Publishes the model that these files are.
pub(super) fn publish(work: &mut Work<'_>, files: &Files, choice: &Choice) -> Result<(), Failure> {
    let (_, fields) = files.object("config.json")?;
    let config = described(fields.clone());
    work.publish("config", Media::Json, &config)?;
    work.fact("model_type", fields.get("model_type").unwrap_or(&Value::Null))?;
    let read = std::str::from_utf8(&config)
        .map_err(|error| error.to_string())
        .and_then(|text| models::Config::from_json(text).map_err(|error| error.to_string()));
    if let Err(reason) = &read {
        work.session.note(&format!("fetched, but no stage here can run it: {reason}"));
    }

    let reads_segments = read.is_ok_and(|config| config.has_segments());
    match tokenizer(files, choice, &fields, reads_segments)? {
        Some(tokenizer) => {
            tasks::vocabulary_size(&tokenizer)?;
            work.publish("tokenizer", Media::Json, &tokenizer)?;
        }
        None => work.session.note(
            "it has no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt",
        ),
    }

    let object = publish_weights(work, files, choice)?;
    let bytes = work.session.store.map(&object)?;
    let contents = Contents::of(&bytes)
        .map_err(|error| Failure::Input(format!("{}: {error}", choice.weights.file())))?;
    work.fact("parameters", contents.parameters)?;
    work.fact("contents", contents.digest.to_string())
}

/// Fields of a `config.json` that say where it came from and which program wrote it.
const ORIGIN: [&str; 2] = ["_name_or_path", "transformers_version"];

/// A `config.json` by its meaning: without what names its origin, and with its fields in order.
pub(super) fn described(mut fields: serde_json::Map<String, Value>) -> Vec<u8> {
    ORIGIN.iter().for_each(|field| drop(fields.remove(*field)));
    format!("{:#}\n", in_order(Value::Object(fields))).into_bytes()
}

/// A value whose objects have their fields in the order of their names, whatever features this was built with.
fn in_order(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<String, Value> =
                fields.into_iter().map(|(name, value)| (name, in_order(value))).collect();
            sorted.into_iter().collect::<serde_json::Map<String, Value>>().into()
        }
        Value::Array(values) => values.into_iter().map(in_order).collect(),
        other => other,
    }
}

/// The tokenizer as one file that does what transformers makes of all of them.
fn tokenizer(
    files: &Files,
    choice: &Choice,
    config: &serde_json::Map<String, Value>,
    reads_segments: bool,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut of_tokenizer = BTreeMap::new();
    for name in choice.description.iter().filter(|name| tasks::TOKENIZER_FILES.contains(name)) {
        of_tokenizer.insert((*name).to_owned(), files.read(name)?);
    }
    // To be refused by its name: nothing reads it.
    of_tokenizer.extend(choice.sentencepiece.map(|name| (name.to_owned(), Vec::new())));
    let model = tasks::PublishedModel { config, reads_segments };
    Ok(tasks::published_tokenizer(&of_tokenizer, model)?)
}

/// Publishes the weights as one safetensors file: as it is where there is one.
fn publish_weights(work: &mut Work<'_>, files: &Files, choice: &Choice) -> Result<ObjectId, Failure> {
    let first = choice.weights.file();
    match choice.weights {
        Stored::Whole => work.publish_file("model", Media::Safetensors, files.path(first)?),
        Stored::Sharded => {
            let index = Index::parse(&files.read(first)?)?;
            let mut shards = BTreeMap::new();
            for name in index.files() {
                // As an object of the store a shard can be mapped; a later `gc` takes it away.
                let (object, _) = work.session.store.put_file(files.path(name)?)?;
                shards.insert(name.to_owned(), work.session.store.map(&object)?);
            }
            work.publish_stream("model", Media::Safetensors, |sink| {
                index.merge::<Failure>(&shards, |bytes| Ok(sink.write(bytes)?))
            })
        }
        Stored::Pickle => {
            let weights = unpickled(files.path(first)?)?;
            work.publish("model", Media::Safetensors, &weights.to_safetensors())
        }
    }
}

/// The floating-point tensors of a `pytorch_model.bin`. candle's reader builds tensors and executes nothing.
fn unpickled(path: &Path) -> Result<Weights, Failure> {
    let refused = |reason: String| Failure::Input(format!("{} cannot be read: {reason}", path.display()));
    let read = tables::guarded(|| candle_core::pickle::read_all(path)).map_err(refused)?;
    let mut tensors = read.map_err(|error| refused(error.to_string()))?;
    tensors.retain(|(_, tensor)| tensor.dtype().is_float());
    // They come in the order of a hash map.
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut layout = weights::Layout::default();
    for (name, tensor) in &tensors {
        layout.push(name, tensor.dims());
    }
    let mut weights = Weights::zeros(std::sync::Arc::new(layout));
    for (name, tensor) in &tensors {
        let values =
            tensor.to_dtype(candle_core::DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        let values: Vec<f32> = values.map_err(|error| refused(format!("tensor `{name}`: {error}")))?;
        let to =
            weights.tensor_mut(name).ok_or_else(|| refused(format!("tensor `{name}` is there twice")))?;
        to.copy_from_slice(&values);
    }
    Ok(weights)
}

/// What a weights file holds, whatever its header says besides.
struct Contents {
    /// Number of values.
    parameters: usize,
    /// BLAKE3 over the names, shapes and f32 values of all tensors, sorted by name: equal weights have equal digests even
    /// where their files differ.
    digest: blake3::Hash,
}

impl Contents {
    /// Looks at every value: all must be finite.
    fn of(file: &[u8]) -> Result<Self, weights::Error> {
        const STRETCH: usize = 1 << 16;
        let stored = weights::Stored::parse(file)?;
        let mut hasher = blake3::Hasher::new();
        let (mut values, mut bytes) = (vec![0.0; STRETCH], vec![0; 4 * STRETCH]);
        for (index, entry) in stored.layout().entries().iter().enumerate() {
            hasher.update(format!("{}\0{:?}\0", entry.name, entry.shape).as_bytes());
            for start in (0..entry.len).step_by(STRETCH) {
                let range = start..(start + STRETCH).min(entry.len);
                let values = &mut values[..range.len()];
                stored.decode(index, range, values)?;
                for (bytes, value) in bytes.chunks_exact_mut(4).zip(values.iter()) {
                    // Zeros of either sign are one number: adding zero takes the sign away.
                    bytes.copy_from_slice(&(value + 0.0).to_le_bytes());
                }
                hasher.update(&bytes[..4 * values.len()]);
            }
        }
        Ok(Self { parameters: stored.layout().len(), digest: hasher.finalize() })
    }
}
