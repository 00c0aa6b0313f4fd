//! From files that transformers wrote to what stages read: `model`, `config` and `tokenizer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use models::{Config, Head, Model};
use serde_json::Value;
use store::{Media, ObjectId};
use versions::Versions;
use weights::pickle::Pickled;
use weights::shards::Index;

use super::choice::{Choice, Stored};
use crate::data_files;
use crate::stage::{Failure, Work};

/// Changes whenever the same files become other outputs.
const VERSION: u32 = 4;

/// Versions of this method and of those that it rests on.
pub(super) fn versions() -> Versions {
    Versions::of("import", VERSION).and(tasks::published_versions())
}

/// Bytes of a file that describes a model, at most: the largest vocabularies take a tenth of it.
pub(super) const LARGEST_DESCRIPTION: u64 = 256 << 20;

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

    /// Checks that none of the files is a pointer that Git LFS leaves where it was not installed.
    fn check_pointers(&self) -> Result<(), Failure> {
        self.iter().try_for_each(|(_, path)| data_files::check_pointer(path))
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
pub(super) fn publish(
    work: &mut Work<'_>,
    files: &Files,
    choice: &Choice,
    entry: Option<&str>,
) -> Result<(), Failure> {
    files.check_pointers()?;
    let (_, fields) = files.object("config.json")?;
    let config = described(fields.clone());
    work.publish("config", Media::Json, &config)?;
    work.fact("model_type", fields.get("model_type").unwrap_or(&Value::Null))?;
    let read = std::str::from_utf8(&config)
        .map_err(|error| error.to_string())
        .and_then(|text| Config::from_json(text).map_err(|error| error.to_string()));
    if let Err(reason) = &read {
        work.session.note(&format!("fetched, but no stage here can run it: {reason}"));
    }

    let reads_segments = read.as_ref().is_ok_and(|config| config.has_segments());
    match tokenizer(files, choice, &fields, reads_segments)? {
        Some(tokenizer) => {
            tasks::vocabulary_size(&tokenizer)?;
            work.publish("tokenizer", Media::Json, &tokenizer)?;
        }
        None => work.session.note(
            "it has no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt",
        ),
    }

    let object = publish_weights(work, files, choice, entry)?;
    let bytes = work.session.store.map(&object)?;
    let what = choice.weights.file();
    check_whole(what, &bytes, read.ok())?;
    let contents = Contents::of(&bytes).map_err(|error| Failure::Input(format!("{what}: {error}")))?;
    work.fact("parameters", contents.parameters)?;
    work.fact("contents", contents.digest.to_string())
}

/// Checks that the weights are those of a model: some, and of a family that is known its whole body.
fn check_whole(what: &str, file: &[u8], config: Option<Config>) -> Result<(), Failure> {
    /// Most tensors that a message names.
    const NAMED: usize = 5;
    let refused = |reason: String| Err(Failure::Input(format!("{what} {reason}")));
    let stored = weights::Stored::parse(file).map_err(|error| Failure::Input(format!("{what}: {error}")))?;
    if stored.layout().is_empty() {
        return refused("holds no weights".to_owned());
    }
    // A network of layers alone has its classifier in the row of its layers.
    let Some(config) = config.filter(|config| !matches!(config, Config::Mlp(_))) else { return Ok(()) };
    let model = Model::new(config, Head::Classification { labels: 2 })?;
    let Err(wrong) = model.check_body(stored.layout()) else { return Ok(()) };
    let named: Vec<String> = wrong.iter().take(NAMED).map(|error| format!("\n  {error}")).collect();
    let more = match wrong.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    refused(format!("does not hold the model that config.json describes:{}{more}", named.concat()))
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
fn publish_weights(
    work: &mut Work<'_>,
    files: &Files,
    choice: &Choice,
    entry: Option<&str>,
) -> Result<ObjectId, Failure> {
    let first = choice.weights.file();
    match choice.weights {
        Stored::Whole => work.publish_file("model", Media::Safetensors, files.path(first)?),
        Stored::Sharded => {
            let index = Index::parse(&files.read(first)?)?;
            let mut shards = BTreeMap::new();
            for name in index.files() {
                // As an object of the store a shard can be mapped; a later `gc` takes it away.
                let (object, _) = work.session.put_file(files.path(name)?)?;
                shards.insert(name.to_owned(), work.session.store.map(&object)?);
            }
            work.publish_stream("model", Media::Safetensors, |sink| {
                index.merge::<Failure>(&shards, |bytes| Ok(sink.write(bytes)?))
            })
        }
        Stored::Pickle => {
            let (object, _) = work.session.put_file(files.path(first)?)?;
            let file = work.session.store.map(&object)?;
            let pickled = Pickled::parse(&file, entry)
                .map_err(|error| Failure::Input(format!("{first} cannot be read: {error}")))?;
            work.publish_stream("model", Media::Safetensors, |sink| {
                pickled.to_safetensors::<Failure>(|bytes| Ok(sink.write(bytes)?))
            })
        }
    }
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
