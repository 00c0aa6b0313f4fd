//! Special tokens by what they are for, as transformers' `tokenizer_config.json` names them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Error;
use crate::encode::parse;

/// How published tokenizers write the token for each purpose, the first that is known counts.
const PURPOSES: [(&str, &[&str]); 7] = [
    ("bos_token", &["<s>", "<|endoftext|>"]),
    ("cls_token", &["[CLS]", "<s>"]),
    ("eos_token", &["</s>", "<|endoftext|>"]),
    ("mask_token", &["[MASK]", "<mask>"]),
    ("pad_token", PADDING),
    ("sep_token", &["[SEP]", "</s>"]),
    ("unk_token", &["[UNK]", "<unk>", "<|endoftext|>"]),
];

/// How tokenizers write the token that fills up a batch.
pub const PADDING: &[&str] = &["[PAD]", "<pad>", "<|padding|>"];

/// The id of the first of these tokens that a `tokenizer.json` knows.
///
/// # Errors
/// [`Error::Tokenizer`] if the bytes are no tokenizer.
pub fn token_id(tokenizer_json: &[u8], names: &[&str]) -> Result<Option<u32>, Error> {
    let tokenizer = parse(tokenizer_json)?;
    Ok(names.iter().find_map(|name| tokenizer.token_to_id(name)))
}

/// A `tokenizer_config.json`, with which `AutoTokenizer.from_pretrained` opens the tokenizer's folder. It names those
/// special tokens that the tokenizer knows; `segments` says whether the model reads segments, `longest` how many tokens
/// it takes.
///
/// # Errors
/// [`Error::Tokenizer`] if the bytes are no tokenizer.
pub fn tokenizer_config(tokenizer_json: &[u8], segments: bool, longest: usize) -> Result<String, Error> {
    let tokenizer = parse(tokenizer_json)?;
    let known = |name: &&str| tokenizer.token_to_id(name).is_some();
    let mut inputs = vec!["input_ids", "attention_mask"];
    if segments {
        inputs.insert(1, "token_type_ids");
    }
    let mut fields: BTreeMap<&str, Value> = BTreeMap::from([
        ("model_input_names", json!(inputs)),
        ("model_max_length", json!(longest)),
        ("tokenizer_class", json!("PreTrainedTokenizerFast")),
    ]);
    for (purpose, names) in PURPOSES {
        if let Some(name) = names.iter().copied().find(|name| known(name)) {
            fields.insert(purpose, json!(name));
        }
    }
    // In the order of their names on every build; a map of JSON's need not keep it.
    let lines: Vec<String> =
        fields.iter().map(|(name, value)| format!("  {}: {value}", json!(name))).collect();
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles;

    #[test]
    fn only_known_tokens_are_named() {
        let tokenizer = roles::tokenizer_json();
        let config = tokenizer_config(tokenizer.as_bytes(), true, 16).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["pad_token"], "[PAD]");
        assert_eq!((&config["cls_token"], &config["sep_token"]), (&json!("[CLS]"), &json!("[SEP]")));
        assert_eq!(config["model_input_names"], json!(["input_ids", "token_type_ids", "attention_mask"]));
        assert_eq!(config["model_max_length"], 16);
        // The embedded language has no unknown words, and neither a beginning nor an end.
        assert!(config.get("unk_token").is_none() && config.get("bos_token").is_none());
        assert_eq!(token_id(tokenizer.as_bytes(), PADDING).unwrap(), Some(0));
        assert!(tokenizer_config(b"{}", true, 16).is_err());
    }
}
