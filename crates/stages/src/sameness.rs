//! Models are the same by meaning: configurations as they are understood, tokenizers without their truncation and padding.
//! The bytes of a JSON file decide nothing.

use models::{Config, Head};
use serde_json::Value;

/// Fields of a `config.json` that do not bear on what is computed, for the families that are not understood here.
const IGNORED: [&str; 7] = [
    "_name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "use_cache",
    "architectures",
    "_attn_implementation_autoset",
];

/// Settings of a `tokenizer.json` that are not used here: the length of the model decides. Of `truncation` only the side
/// that is cut counts.
const SETTINGS: [&str; 2] = ["truncation", "padding"];

/// The first place in which two things differ, and both values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    field: String,
    values: [String; 2],
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { field, values: [a, b] } = self;
        write!(f, "`{field}` is {a} in one and {b} in the other")
    }
}

/// What differs between two `config.json` in what is computed: defaults may be written out or not, and fields have their
/// old or their new names.
pub(crate) fn configs(a: &[u8], b: &[u8]) -> Option<Difference> {
    let read = |bytes: &[u8]| Config::from_json(std::str::from_utf8(bytes).ok()?).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) if a == b => None,
        (Some(a), Some(b)) => {
            let written = |config: &Config| {
                let json = config.to_json(Head::Classification { labels: 2 }, &[]);
                serde_json::from_str(&json).unwrap_or(Value::Null)
            };
            let found = difference("", &written(&a), &written(&b));
            Some(found.unwrap_or_else(|| Difference::new("model_type", &format!("{a:?}"), &format!("{b:?}"))))
        }
        _ => without("config.json", a, b, &IGNORED),
    }
}

/// What differs between two `tokenizer.json`.
pub(crate) fn tokenizers(a: &[u8], b: &[u8]) -> Option<Difference> {
    let side = |bytes: &[u8]| {
        let tokenizer: Option<Value> = serde_json::from_slice(bytes).ok();
        let side =
            tokenizer.and_then(|tokenizer| Some(tokenizer.get("truncation")?.get("direction")?.to_string()));
        side.unwrap_or_else(|| "\"Right\"".into())
    };
    let (one, other) = (side(a), side(b));
    let difference = || (one != other).then(|| Difference::new("truncation.direction", &one, &other));
    without("tokenizer.json", a, b, &SETTINGS).or_else(difference)
}

/// What differs between two JSON objects but for some of their fields.
fn without(what: &str, a: &[u8], b: &[u8], ignored: &[&str]) -> Option<Difference> {
    if a == b {
        return None;
    }
    let read = |bytes: &[u8]| {
        let mut value: Value = serde_json::from_slice(bytes).ok()?;
        let fields = value.as_object_mut()?;
        ignored.iter().for_each(|field| drop(fields.remove(*field)));
        Some(value)
    };
    match (read(a), read(b)) {
        (Some(a), Some(b)) => difference("", &a, &b),
        _ => Some(Difference::new(what, "JSON that cannot be read", "other bytes")),
    }
}

/// The first difference of two values, in the order of their fields' names.
fn difference(path: &str, a: &Value, b: &Value) -> Option<Difference> {
    match (a, b) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            names.into_iter().find_map(|name| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let field = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or(Value::Null)
                };
                difference(&path, &field(one), &field(other))
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs.into_iter().find_map(|(index, (a, b))| difference(&format!("{path}[{index}]"), a, b))
        }
        _ if a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a)) => None,
        _ => Some(Difference::new(path, &a.to_string(), &b.to_string())),
    }
}

impl Difference {
    /// Values are shown by their beginnings.
    fn new(field: &str, a: &str, b: &str) -> Self {
        let short = |text: &str| match text.char_indices().nth(60) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None if text == "null" => "absent".to_owned(),
            None => text.to_owned(),
        };
        Self { field: field.to_owned(), values: [short(a), short(b)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERT: &str = r#"{"model_type": "bert", "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 8}"#;

    fn with(fields: &str) -> String {
        format!("{},{fields}}}", BERT.trim_end_matches('}'))
    }

    #[test]
    fn where_a_model_came_from_is_no_difference() {
        let other = with(
            r#""_name_or_path": "x", "transformers_version": "5.0.0", "torch_dtype": "float16", "hidden_act": "gelu",
               "layer_norm_eps": 1e-12"#,
        );
        assert_eq!(configs(BERT.as_bytes(), other.as_bytes()), None);
    }

    #[test]
    fn the_field_that_differs_is_named_with_both_values() {
        let other = BERT.replace("\"hidden_size\": 16", "\"hidden_size\": 32");
        let found = configs(BERT.as_bytes(), other.as_bytes()).unwrap().to_string();
        assert_eq!(found, "`hidden_size` is 16 in one and 32 in the other");
        let strange =
            |width: u32| format!(r#"{{"model_type": "strange", "width": {width}, "dtype": "x{width}"}}"#);
        assert_eq!(configs(strange(1).as_bytes(), strange(1).as_bytes()), None);
        let found = configs(strange(1).as_bytes(), strange(2).as_bytes()).unwrap().to_string();
        assert_eq!(found, "`width` is 1 in one and 2 in the other");
    }

    #[test]
    fn tokenizers_are_compared_without_their_settings() {
        let one = r#"{"truncation": null, "padding": null, "model": {"vocab": {"a": 0}}}"#;
        let cut = r#"{"truncation": {"max_length": 8}, "model": {"vocab": {"a": 0}}}"#;
        assert_eq!(tokenizers(one.as_bytes(), cut.as_bytes()), None);
        let left = r#"{"truncation": {"direction": "Left"}, "model": {"vocab": {"a": 0}}}"#;
        let found = tokenizers(one.as_bytes(), left.as_bytes()).unwrap().to_string();
        assert_eq!(found, "`truncation.direction` is \"Right\" in one and \"Left\" in the other");
        let other = r#"{"model": {"vocab": {"a": 1}}}"#;
        let found = tokenizers(one.as_bytes(), other.as_bytes()).unwrap().to_string();
        assert_eq!(found, "`model.vocab.a` is 0 in one and 1 in the other");
        assert!(tokenizers(b"{", b"{}").is_some());
    }
}
