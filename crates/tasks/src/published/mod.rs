//! Tokenizers as transformers saves them: one `tokenizer.json` that does what `AutoTokenizer` makes of a model's files.
//!
//! `tokenizer_config.json` has a say over `tokenizer.json`: whether letters become small, what stands before the first word,
//! which side is cut, whether segments are told apart, which tokens there are besides. Older models have a `vocab.txt`, or a
//! `vocab.json` with `merges.txt`, in its place. The rules are those of transformers 5.

mod added;
mod class;
mod template;
mod vocabulary;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use self::added::AddedTokens;
use self::class::Class;
use crate::Error;

/// Changes whenever the same files become another tokenizer.
const PUBLISHED_VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn published_versions() -> versions::Versions {
    versions::Versions::of("published-tokenizer", PUBLISHED_VERSION)
}

/// Files of which a tokenizer is made, by their names.
pub const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
];

/// Files that hold a tokenizer of SentencePiece, which is not read.
pub const SENTENCEPIECE_FILES: [&str; 4] =
    ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model"];

/// What is known of a model whose tokenizer is read.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// Its `config.json`.
    pub config: &'a Map<String, Value>,
    /// Whether it tells segments apart.
    pub reads_segments: bool,
}

/// The `tokenizer.json` of a model whose files these are, by name; `None` if none of them is of a tokenizer. A published
/// `tokenizer.json` that needs no change is the same bytes.
///
/// # Errors
/// [`Error::Tokenizer`] if a file cannot be read, or is of a kind that is not read here; the message says how to convert it.
pub fn published_tokenizer(
    files: &BTreeMap<String, Vec<u8>>,
    model: Model<'_>,
) -> Result<Option<Vec<u8>>, Error> {
    let whole = files.get("tokenizer.json").map(|bytes| parse("tokenizer.json", bytes)).transpose()?;
    let settings = Settings::read(files)?;
    let class = Class::of(&settings, model.config, whole.as_ref());
    let (mut tokenizer, is_whole) = match (&whole, vocabulary::read(files, class)?) {
        (Some(whole), _) => (whole.clone(), true),
        (None, Some(made)) => (made, false),
        (None, None) => return Ok(None),
    };
    class.shape(&mut tokenizer, &settings)?;
    let mut added = AddedTokens::of(&tokenizer)?;
    added.extend(&settings, class)?;
    added.write(&mut tokenizer);
    class.process(&mut tokenizer, &settings, &added, is_whole)?;
    if model.reads_segments && !class.has_segments(&settings) {
        template::without_segments(&mut tokenizer);
    }
    settings.cut(&mut tokenizer)?;
    if tokenizer["model"].get("dropout").is_some_and(|dropout| !dropout.is_null()) {
        tokenizer["model"]["dropout"] = Value::Null;
    }
    if let (Some(whole), Some(bytes)) = (&whole, files.get("tokenizer.json"))
        && *whole == tokenizer
    {
        return Ok(Some(bytes.clone()));
    }
    Ok(Some(written(&tokenizer).into_bytes()))
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Tokenizer { reason: reason.into() }
}

/// A file that is a JSON object.
fn parse(name: &str, bytes: &[u8]) -> Result<Value, Error> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| refused(format!("{name} is no JSON: {error}")))?;
    match value {
        Value::Object(_) if name != "tokenizer.json" || value.get("model").is_some_and(Value::is_object) => {
            Ok(value)
        }
        Value::Object(_) => Err(refused("it has no `model`")),
        _ => Err(refused(format!("{name} is no JSON object"))),
    }
}

/// A tokenizer as text, its fields in the order of their names on every build.
fn written(tokenizer: &Value) -> String {
    fn in_order(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let sorted: BTreeMap<String, Value> =
                    fields.iter().map(|(name, value)| (name.clone(), in_order(value))).collect();
                sorted.into_iter().collect::<Map<String, Value>>().into()
            }
            Value::Array(values) => values.iter().map(in_order).collect(),
            other => other.clone(),
        }
    }
    format!("{:#}\n", in_order(tokenizer))
}

/// What the files beside a vocabulary say.
struct Settings {
    /// `tokenizer_config.json`, with what `special_tokens_map.json` says where that counts.
    fields: Map<String, Value>,
    /// `added_tokens.json`: ids by token.
    added: Map<String, Value>,
}

impl Settings {
    fn read(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let object = |name: &str| -> Result<Map<String, Value>, Error> {
            match files.get(name).map(|bytes| parse(name, bytes)).transpose()? {
                Some(Value::Object(fields)) => Ok(fields),
                _ => Ok(Map::new()),
            }
        };
        let mut fields = object("tokenizer_config.json")?;
        let mut added = Map::new();
        // Newer files have all of it in one place.
        if !fields.contains_key("added_tokens_decoder") {
            fields.extend(object("special_tokens_map.json")?);
            added = object("added_tokens.json")?;
        }
        Ok(Self { fields, added })
    }

    /// A setting that is true or false.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it is something else.
    fn truth(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(other) => {
                Err(refused(format!("tokenizer_config.json: `{name}` is {other}, neither true nor false")))
            }
        }
    }

    /// The text of a special token, or the one that its class has.
    fn token(&self, purpose: &str, default: &str) -> String {
        let token = self.fields.get(purpose);
        let content = token.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        content.unwrap_or(default).to_owned()
    }

    /// Notes in the tokenizer which side of a text is cut where it is too long.
    fn cut(&self, tokenizer: &mut Value) -> Result<(), Error> {
        let side = match self.fields.get("truncation_side").map(Value::as_str) {
            None => return Ok(()),
            Some(Some("left")) => "Left",
            Some(Some("right")) => "Right",
            Some(other) => {
                let found = other.unwrap_or("no text");
                return Err(refused(format!(
                    "tokenizer_config.json: `truncation_side` is {found}, not left or right"
                )));
            }
        };
        let own = tokenizer["truncation"].get("direction").and_then(Value::as_str).unwrap_or("Right");
        if own != side {
            if !tokenizer["truncation"].is_object() {
                tokenizer["truncation"] =
                    json!({ "max_length": 512, "strategy": "LongestFirst", "stride": 0 });
            }
            tokenizer["truncation"]["direction"] = side.into();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
