//! A manifest says what a recipe made. It is the last thing that a stage writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Input, ObjectId, Provenance, Recipe, StageKey, names};

/// Version of the manifest's form on disk.
///
/// - 1: the first.
/// - 2: an output may be a part, which names the recipe that made it.
/// - 3: the file begins with a digest of the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ManifestFormat(pub u32);

impl ManifestFormat {
    /// What this version writes, and the newest that it reads.
    pub const CURRENT: ManifestFormat = ManifestFormat(3);

    /// The first whose files are sealed.
    const SEALED: ManifestFormat = ManifestFormat(3);
}

/// What kind of file an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Named tensors.
    Safetensors,
    /// A table.
    Parquet,
    /// A JSON document.
    Json,
    /// Anything else, such as a page of a report.
    Other,
}

impl Media {
    /// The usual end of such a file's name, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Media::Safetensors => "safetensors",
            Media::Parquet => "parquet",
            Media::Json => "json",
            Media::Other => "bin",
        }
    }
}

/// One output: which bytes, how many, of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The bytes.
    pub object: ObjectId,
    /// How many bytes.
    pub bytes: u64,
    /// What kind of file they are.
    pub media: Media,
    /// Key of the recipe that made the bytes, if that is not the manifest's own. Such an output is a part: a result of
    /// its own that the manifest lists, such as a rung of a ladder. Who reads it depends on that recipe alone, and not on
    /// what else is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<StageKey>,
}

impl Output {
    /// The output that consists of these bytes; [`Store::put`](crate::Store::put) them as well.
    #[must_use]
    pub fn of(bytes: &[u8], media: Media) -> Output {
        Output { object: ObjectId::of(bytes), bytes: bytes.len() as u64, media, from: None }
    }
}

/// What a recipe made: the recipe, its outputs by role, facts for readers, and provenance.
///
/// On disk it is indented JSON with sorted keys and a newline at the end. Unknown fields are errors. The first field is a
/// digest of the file without its line, so that an edit by hand or by accident is found whenever the manifest is read: the
/// key covers the recipe alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form.
    pub format: ManifestFormat,
    /// Key of the recipe below.
    pub key: StageKey,
    /// Of the recipe: name of the stage.
    pub stage: String,
    /// Of the recipe: version of the stage's code.
    pub version: u32,
    /// Of the recipe: all parameters.
    pub parameters: Map<String, Value>,
    /// Of the recipe: what was read, by role.
    pub inputs: BTreeMap<String, Vec<Input>>,
    /// What was made, by role.
    pub outputs: BTreeMap<String, Output>,
    /// Deterministic facts about the outputs for people and programs that would rather not open them, such as the last
    /// loss. Not part of the key.
    pub facts: BTreeMap<String, Value>,
    /// Who made it, where and with what. Not part of the key.
    pub provenance: Provenance,
}

impl Manifest {
    /// A manifest of what `recipe` made.
    ///
    /// # Errors
    /// When the recipe has no key (see [`Recipe::key`]) or a role is not a name.
    pub fn new(
        recipe: Recipe,
        outputs: BTreeMap<String, Output>,
        facts: BTreeMap<String, Value>,
        provenance: Provenance,
    ) -> Result<Manifest, Error> {
        let key = recipe.key()?;
        let Recipe { stage, version, parameters, inputs } = recipe;
        let format = ManifestFormat::CURRENT;
        let manifest =
            Manifest { format, key, stage, version, parameters, inputs, outputs, facts, provenance };
        manifest.check(&PathBuf::from(format!("{}/{key}.json", manifest.stage)))?;
        Ok(manifest)
    }

    /// Reads a manifest and checks everything that can be checked without the store: the format, the fields, the names,
    /// that the key is the recipe's, and that nothing was changed since it was written. `path` is for errors.
    ///
    /// # Errors
    /// [`Error::TooNew`] for a later format, [`Error::InvalidManifest`] for anything else that is wrong.
    pub fn from_json(json: &[u8], path: &Path) -> Result<Manifest, Error> {
        /// The one field that every format has, read first: what a newer format adds must not hide that it is newer.
        #[derive(Deserialize)]
        struct Head {
            format: ManifestFormat,
        }
        let invalid = |error: serde_json::Error| Error::InvalidManifest {
            path: path.to_owned(),
            why: error.to_string(),
        };
        let head: Head = serde_json::from_slice(json).map_err(invalid)?;
        if head.format > ManifestFormat::CURRENT {
            let (found, newest) = (head.format.0, ManifestFormat::CURRENT.0);
            return Err(Error::TooNew { path: path.to_owned(), what: "manifest format", found, newest });
        }
        let (seal, body) = seal::open(json);
        let manifest: Manifest = serde_json::from_slice(&body).map_err(invalid)?;
        manifest.check(path)?;
        let is_sealed = manifest.format >= ManifestFormat::SEALED;
        if seal != is_sealed.then(|| seal::of(&body)) {
            let why = "it was changed after it was written".to_owned();
            return Err(Error::InvalidManifest { path: path.to_owned(), why });
        }
        Ok(manifest)
    }

    /// The bytes of the manifest's file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut sorted = self.clone();
        sorted.parameters = sort_map(&self.parameters);
        sorted.facts.values_mut().for_each(|value| *value = sort(value));
        let mut json =
            serde_json::to_vec_pretty(&sorted).expect("maps with string keys serialise into memory");
        json.push(b'\n');
        if self.format >= ManifestFormat::SEALED { seal::close(&json) } else { json }
    }

    /// The recipe that made it.
    #[must_use]
    pub fn recipe(&self) -> Recipe {
        Recipe {
            stage: self.stage.clone(),
            version: self.version,
            parameters: self.parameters.clone(),
            inputs: self.inputs.clone(),
        }
    }

    /// The output of a role.
    ///
    /// # Errors
    /// [`Error::NoOutput`], which lists the roles that exist.
    pub fn output(&self, role: &str) -> Result<&Output, Error> {
        self.outputs.get(role).ok_or_else(|| Error::NoOutput {
            stage: self.stage.clone(),
            key: self.key,
            role: role.to_owned(),
            roles: self.outputs.keys().cloned().collect(),
        })
    }

    /// The output of a role as the input of another stage: made by this recipe, or by that of the part that it is.
    ///
    /// # Errors
    /// [`Error::NoOutput`], which lists the roles that exist.
    pub fn input_of(&self, role: &str) -> Result<Input, Error> {
        let output = self.output(role)?;
        Ok(Input { from: output.from.unwrap_or(self.key), object: output.object })
    }

    /// The outputs that are results of their own, by role: they stay in a store as long as the manifest does.
    pub fn parts(&self) -> impl Iterator<Item = (&str, Input)> {
        self.outputs.iter().filter_map(|(role, output)| {
            Some((role.as_str(), Input { from: output.from?, object: output.object }))
        })
    }

    /// All that the manifest came from, with its role: inputs, with their place where a role has several, then parts.
    pub fn origins(&self) -> impl Iterator<Item = (&str, Option<usize>, Input)> {
        let inputs = self.inputs.iter().flat_map(|(role, inputs)| {
            let several = inputs.len() > 1;
            inputs
                .iter()
                .enumerate()
                .map(move |(index, &input)| (role.as_str(), several.then_some(index), input))
        });
        inputs.chain(self.parts().map(|(role, input)| (role, None, input)))
    }

    /// Everything that must hold of a manifest by itself.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Error> {
        let invalid = |why: String| Err(Error::InvalidManifest { path: path.to_owned(), why });
        if self.format.0 == 0 || self.format > ManifestFormat::CURRENT {
            return invalid(format!("format {} does not exist", self.format.0));
        }
        match self.recipe().key() {
            Ok(key) if key == self.key => {}
            Ok(key) => return invalid(format!("its key is {}, but its recipe's key is {key}", self.key)),
            Err(error) => return invalid(error.to_string()),
        }
        for role in self.outputs.keys() {
            names::role(role).or_else(|error| invalid(error.to_string()))?;
        }
        if !self.provenance.seconds.is_finite() {
            return invalid(format!("provenance.seconds is {}", self.provenance.seconds));
        }
        Ok(())
    }
}

/// The digest in front of a manifest's file.
mod seal {
    /// BLAKE3 derive-key context of the digest.
    const CONTEXT: &str = "samebasin 2026-11 manifest, form 1";

    /// What stands before and behind the digits.
    const FRAME: (&[u8], &[u8]) = (b"{\n  \"digest\": \"", b"\",\n");

    /// The digest of a file without its first field, in hexadecimal digits.
    pub(super) fn of(body: &[u8]) -> String {
        blake3::Hash::from_bytes(blake3::derive_key(CONTEXT, body)).to_hex().to_string()
    }

    /// The file with its digest as the first field.
    pub(super) fn close(body: &[u8]) -> Vec<u8> {
        let rest = body.strip_prefix(b"{\n").unwrap_or(body);
        [FRAME.0, of(body).as_bytes(), FRAME.1, rest].concat()
    }

    /// The digest of a file and the file without it; a file that does not begin with one as it is.
    pub(super) fn open(file: &[u8]) -> (Option<String>, std::borrow::Cow<'_, [u8]>) {
        let digits = file.strip_prefix(FRAME.0).and_then(|rest| rest.split_at_checked(crate::id::HEX_DIGITS));
        let opened = digits.and_then(|(digits, rest)| {
            Some((String::from_utf8(digits.to_vec()).ok()?, rest.strip_prefix(FRAME.1)?))
        });
        match opened {
            Some((digits, rest)) => (Some(digits), [b"{\n", rest].concat().into()),
            None => (None, file.into()),
        }
    }
}

/// Rebuilds a value with sorted keys, since the order of a `serde_json` map depends on the features of the build.
fn sort(value: &Value) -> Value {
    match value {
        Value::Array(values) => values.iter().map(sort).collect(),
        Value::Object(map) => Value::Object(sort_map(map)),
        other => other.clone(),
    }
}

fn sort_map(map: &Map<String, Value>) -> Map<String, Value> {
    let sorted: BTreeMap<&String, &Value> = map.iter().collect();
    sorted.into_iter().map(|(key, value)| (key.clone(), sort(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample;

    fn edited(edit: impl FnOnce(&mut Value)) -> Result<Manifest, Error> {
        let sealed = sample::manifest("soup", 1, &[]).to_json();
        let mut json: Value = serde_json::from_slice(&seal::open(&sealed).1).unwrap();
        edit(&mut json);
        let mut body = serde_json::to_vec_pretty(&json).unwrap();
        body.push(b'\n');
        Manifest::from_json(&seal::close(&body), Path::new("manifests/x.json"))
    }

    /// One byte of a number, of a name, of white space: whatever the key does not cover.
    #[test]
    fn a_change_by_hand_is_found() {
        let text = String::from_utf8(sample::manifest("soup", 1, &[]).to_json()).unwrap();
        let read =
            |text: &str| Manifest::from_json(text.as_bytes(), Path::new("x")).map_err(|e| e.to_string());
        read(&text).unwrap();
        let object = ObjectId::of(&sample::bytes("soup", 1, "model")).to_string();
        for (old, new) in [
            ("\"loss\": 0.25", "\"loss\": 0.75"),
            ("\"seconds\": 1.5", "\"seconds\": 2.5"),
            (object.as_str(), ObjectId::of(b"other").to_string().as_str()),
            ("\"media\": \"parquet\"", "\"media\": \"json\""),
            ("  \"facts\"", "   \"facts\""),
            ("\"format\": 3", "\"format\": 2"),
        ] {
            let changed = text.replacen(old, new, 1);
            assert_ne!(changed, text, "{old}");
            assert!(read(&changed).unwrap_err().contains("changed after it was written"), "{old}");
        }
        let (_, unsealed) = text.split_once("\",\n").unwrap();
        let unsealed = format!("{{\n{unsealed}");
        assert!(read(&unsealed).unwrap_err().contains("changed after it was written"), "{unsealed}");
        // Files from before there was a digest are read as they are.
        read(&unsealed.replacen("\"format\": 3", "\"format\": 2", 1)).unwrap();
    }

    #[test]
    fn it_reads_what_it_writes() {
        let manifest =
            sample::manifest("soup", 1, &[("model", sample::input(1)), ("model", sample::input(2))]);
        let json = manifest.to_json();
        assert!(json.ends_with(b"}\n") && json.starts_with(b"{\n  \"digest\": \""));
        let read = Manifest::from_json(&json, Path::new("x")).unwrap();
        assert_eq!(read, manifest);
        assert_eq!(read.to_json(), json);
        assert_eq!(read.recipe().key().unwrap(), manifest.key);
    }

    #[test]
    fn keys_are_sorted_on_disk() {
        let mut manifest = sample::manifest("soup", 1, &[]);
        manifest.facts.insert("x".to_owned(), json!({"b": 1, "a": {"d": 1, "c": 2}}));
        let text = String::from_utf8(manifest.to_json()).unwrap();
        let order: Vec<usize> =
            ["\"a\"", "\"c\"", "\"d\"", "\"b\""].iter().map(|k| text.find(k).unwrap()).collect();
        assert!(order.is_sorted(), "{text}");
    }

    #[test]
    fn a_newer_format_says_so_whatever_else_it_holds() {
        let error = edited(|json| *json = json!({"format": 4, "entirely": "new"})).unwrap_err();
        assert!(matches!(error, Error::TooNew { found: 4, newest: 3, .. }), "{error}");
        assert!(matches!(edited(|json| json["format"] = json!(0)), Err(Error::InvalidManifest { .. })));
    }

    /// One row per way in which a manifest can lie.
    #[test]
    fn lies_are_found() {
        let why = |edit: fn(&mut Value)| match edited(edit) {
            Err(Error::InvalidManifest { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(|json| json["colour"] = json!("red")).contains("unknown field `colour`"));
        assert!(why(|json| json["provenance"]["colour"] = json!(1)).contains("unknown field"));
        assert!(why(|json| json["outputs"]["model"]["colour"] = json!(1)).contains("unknown field"));
        assert!(why(|json| json["parameters"]["seed"] = json!(9)).contains("its recipe's key is"));
        assert!(why(|json| json["parameters"]["seed"] = json!(null)).contains("parameters.seed is null"));
        assert!(why(|json| json["stage"] = json!("../soup")).contains("cannot be a stage"));
        assert!(why(|json| json["key"] = json!("00")).contains("not a stage key"));
        assert!(why(|json| json["outputs"]["model"]["bytes"] = json!(-1)).contains("invalid value"));
        assert!(why(|json| json["outputs"]["model"]["media"] = json!("exe")).contains("unknown variant"));
        assert!(why(|json| drop(json.as_object_mut().unwrap().remove("facts"))).contains("missing field"));
        assert!(why(|json| json["outputs"]["a b"] = json["outputs"]["model"].clone()).contains("a role"));
        let error = Manifest::from_json(b"[]", Path::new("x")).unwrap_err().to_string();
        assert!(error.contains("expected struct"), "{error}");
        let whole = sample::manifest("soup", 1, &[]).to_json();
        for length in 0..whole.len() - 2 {
            let error = Manifest::from_json(&whole[..length], Path::new("x")).unwrap_err();
            assert!(matches!(error, Error::InvalidManifest { .. }));
        }
    }

    #[test]
    fn a_missing_role_lists_those_that_exist() {
        let manifest = sample::manifest("soup", 1, &[]);
        let input = manifest.input_of("model").unwrap();
        assert_eq!(input, Input { from: manifest.key, object: manifest.outputs["model"].object });
        let message = manifest.input_of("modle").unwrap_err().to_string();
        assert!(message.contains("no output \"modle\"; it has members, model"), "{message}");
    }

    #[test]
    fn a_part_is_an_input_with_its_own_history() {
        let rung = sample::manifest("rung", 1, &[]);
        let mut ladder = sample::manifest("ladder", 2, &[("train", sample::input(1))]);
        ladder.outputs.insert("step-1".to_owned(), Output { from: Some(rung.key), ..rung.outputs["model"] });
        assert_eq!(ladder.input_of("step-1").unwrap(), rung.input_of("model").unwrap());
        assert_eq!(ladder.input_of("model").unwrap().from, ladder.key);
        let origins: Vec<(&str, Input)> = ladder.origins().map(|(role, _, input)| (role, input)).collect();
        assert_eq!(origins, [("train", sample::input(1)), ("step-1", rung.input_of("model").unwrap())]);
        assert_eq!(Manifest::from_json(&ladder.to_json(), Path::new("x")).unwrap(), ladder);
    }

    #[test]
    fn time_that_is_not_a_number_is_refused_before_it_is_written() {
        let manifest = sample::manifest("soup", 1, &[]);
        let provenance = Provenance { seconds: f64::NAN, ..Provenance::default() };
        assert!(Manifest::new(manifest.recipe(), manifest.outputs, manifest.facts, provenance).is_err());
    }
}
