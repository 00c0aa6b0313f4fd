//! Tokenizers of which a vocabulary alone was published.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::class::{Class, Kind};
use super::{SENTENCEPIECE_FILES, parse, refused};
use crate::Error;

/// How to make a `tokenizer.json`.
const CONVERT: &str =
    "transformers writes a tokenizer.json: `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`";

/// The tokenizer that these files are beside a `tokenizer.json`, before its class shapes it.
pub(super) fn read(files: &BTreeMap<String, Vec<u8>>, class: Class<'_>) -> Result<Option<Value>, Error> {
    if files.contains_key("tokenizer.json") {
        return Ok(None);
    }
    let of_kind = |name: &str| {
        refused(format!("{name} is the vocabulary of {}, which is not read here; {CONVERT}", class.shown()))
    };
    let text = |name: &str| match files.get(name) {
        None => Ok(None),
        Some(bytes) => {
            std::str::from_utf8(bytes).map(Some).map_err(|_| refused(format!("{name} is not UTF-8")))
        }
    };
    if let Some(vocabulary) = text("vocab.txt")?
        && !matches!(class.kind, Kind::Gpt2 | Kind::Roberta | Kind::GptNeoX)
    {
        return match class.kind {
            Kind::WordPiece { .. } => Ok(Some(word_pieces(vocabulary)?)),
            _ => Err(of_kind("vocab.txt")),
        };
    }
    match (files.get("vocab.json"), text("merges.txt")?) {
        (Some(vocabulary), Some(merges)) => match class.kind {
            Kind::Gpt2 | Kind::Roberta | Kind::GptNeoX => Ok(Some(pairs(vocabulary, merges)?)),
            _ => Err(of_kind("vocab.json")),
        },
        (Some(_), None) => Err(refused(format!("vocab.json needs a merges.txt beside it; {CONVERT}"))),
        (None, _) => match SENTENCEPIECE_FILES.into_iter().find(|name| files.contains_key(*name)) {
            Some(name) => {
                Err(refused(format!("{name} is of SentencePiece, which is not read here; {CONVERT}")))
            }
            None => Ok(None),
        },
    }
}

fn bare(model: Value) -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": model,
    })
}

/// An entry on each line, whose number from 0 is its id: of an entry that is there twice, that of the last.
fn word_pieces(text: &str) -> Result<Value, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut vocabulary = Map::new();
    for (id, line) in (0_u32..).zip(text.lines()) {
        vocabulary.insert(line.trim_end().to_owned(), id.into());
    }
    match vocabulary.is_empty() {
        true => Err(refused("vocab.txt is empty")),
        false => Ok(bare(json!({ "type": "WordPiece", "vocab": vocabulary }))),
    }
}

fn pairs(vocabulary: &[u8], merges: &str) -> Result<Value, Error> {
    let vocabulary = parse("vocab.json", vocabulary)?;
    let mut pairs = Vec::new();
    for (number, line) in (1..).zip(merges.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with("#version") {
            continue;
        }
        match line.split(' ').collect::<Vec<_>>()[..] {
            [left, right] => pairs.push(json!([left, right])),
            _ => {
                return Err(refused(format!(
                    "merges.txt, line {number}: `{}` is no pair",
                    line.escape_debug()
                )));
            }
        }
    }
    Ok(bare(json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": vocabulary, "merges": pairs,
    })))
}
