//! Tokens that are found in a text before it is split: special ones, and those that were added to a vocabulary.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::class::Class;
use super::{Settings, refused};
use crate::Error;

/// An added token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl Token {
    fn special(content: &str) -> Self {
        let content = content.to_owned();
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    }

    /// A token as files write it: an object, or a text where a special token is meant.
    fn read(value: &Value, is_special: bool) -> Result<Self, Error> {
        if let Value::String(content) = value {
            return Ok(Self::special(content));
        }
        let Some(content) = value.get("content").and_then(Value::as_str) else {
            return Err(refused(format!("{value} is no token")));
        };
        let flag = |name: &str, default: bool| value.get(name).and_then(Value::as_bool).unwrap_or(default);
        let special = is_special || flag("special", false);
        Ok(Self {
            content: content.to_owned(),
            single_word: flag("single_word", false),
            lstrip: flag("lstrip", false),
            rstrip: flag("rstrip", false),
            normalized: flag("normalized", !special),
            special,
        })
    }
}

/// The added tokens of a tokenizer, with the vocabulary that gives them their ids.
pub(super) struct AddedTokens {
    by_id: BTreeMap<u32, Token>,
    ids: HashMap<String, u32>,
    vocabulary: HashMap<String, u32>,
}

impl AddedTokens {
    /// Those that a tokenizer has.
    pub(super) fn of(tokenizer: &Value) -> Result<Self, Error> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let vocabulary = match &tokenizer["model"]["vocab"] {
            Value::Object(ids) => {
                ids.iter().filter_map(|(token, value)| Some((token.clone(), id(value)?))).collect()
            }
            // Unigram: tokens with their scores, in order of their ids.
            Value::Array(tokens) => {
                let numbered = (0..).zip(tokens);
                numbered.filter_map(|(id, token)| Some((token.get(0)?.as_str()?.to_owned(), id))).collect()
            }
            _ => HashMap::new(),
        };
        let mut added = Self { by_id: BTreeMap::new(), ids: HashMap::new(), vocabulary };
        for value in tokenizer["added_tokens"].as_array().into_iter().flatten() {
            let token = Token::read(value, false)?;
            let id = value.get("id").and_then(id).ok_or_else(|| refused(format!("{value} has no id")))?;
            added.ids.insert(token.content.clone(), id);
            added.by_id.insert(id, token);
        }
        Ok(added)
    }

    /// The id of a token.
    pub(super) fn id(&self, content: &str) -> Option<u32> {
        self.ids.get(content).or_else(|| self.vocabulary.get(content)).copied()
    }

    /// Adds what the files beside the tokenizer name, as transformers does: known tokens keep their ids, and others come
    /// behind the vocabulary.
    pub(super) fn extend(&mut self, settings: &Settings, class: Class<'_>) -> Result<(), Error> {
        let fields = &settings.fields;
        let named = named(fields, class);
        let others = others(fields);
        for token in decoder(fields)? {
            self.add(token);
        }
        for (content, _) in &settings.added {
            let is_named = named.iter().chain(&others).any(|value| text(value) == Some(content));
            let special = Token::special(content);
            self.add(Token { special: is_named, normalized: !is_named, ..special });
        }
        for value in named.iter().chain(&others) {
            let known = text(value).and_then(|content| self.ids.get(content));
            // A text stands for the token that is known by it.
            let is_text_of_known = value.is_string() && known.is_some();
            if !is_text_of_known {
                self.add(Token::read(value, true)?);
            }
        }
        Ok(())
    }

    fn add(&mut self, token: Token) {
        if token.content.is_empty() {
            return;
        }
        let size = self.vocabulary.len() as u32;
        let next =
            || self.by_id.keys().max().map_or(size, |&last| if last >= size { last + 1 } else { size });
        let id = self.id(&token.content).unwrap_or_else(next);
        self.ids.insert(token.content.clone(), id);
        self.by_id.insert(id, token);
    }

    /// Writes them into a tokenizer.
    pub(super) fn write(&self, tokenizer: &mut Value) {
        let tokens = self.by_id.iter().map(|(id, token)| {
            let Token { content, single_word, lstrip, rstrip, normalized, special } = token;
            json!({
                "id": id, "content": content, "single_word": single_word, "lstrip": lstrip, "rstrip": rstrip,
                "normalized": normalized, "special": special,
            })
        });
        tokenizer["added_tokens"] = tokens.collect();
    }
}

/// The text of a token, however it is written.
fn text(value: &Value) -> Option<&String> {
    match value.get("content").unwrap_or(value) {
        Value::String(content) => Some(content),
        _ => None,
    }
}

/// Tokens of `added_tokens_decoder`, in order of their ids there.
fn decoder(fields: &Map<String, Value>) -> Result<Vec<Token>, Error> {
    let tokens = fields.get("added_tokens_decoder").and_then(Value::as_object);
    let mut numbered = Vec::new();
    for (id, value) in tokens.into_iter().flatten() {
        let number: u32 =
            id.parse().map_err(|_| refused(format!("`added_tokens_decoder` has the id `{id}`")))?;
        numbered.push((number, Token::read(value, false)?));
    }
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered.into_iter().map(|(_, token)| token).collect())
}

/// Special tokens with a purpose: those of the files, and those that the class has.
fn named(fields: &Map<String, Value>, class: Class<'_>) -> Vec<Value> {
    let defaults = class.special_tokens();
    let of_class = defaults.iter().map(|&(purpose, token)| match fields.get(purpose) {
        Some(given) => given.clone(),
        None => token.into(),
    });
    let is_token = |value: &&Value| text(value).is_some();
    let is_known = |purpose: &str| defaults.iter().any(|(known, _)| *known == purpose);
    let more: BTreeMap<&String, &Value> =
        fields.iter().filter(|(purpose, _)| purpose.ends_with("_token") && !is_known(purpose)).collect();
    let more = more.into_values().cloned();
    of_class.chain(more).filter(|value| is_token(&value)).collect()
}

/// Special tokens without a purpose.
fn others(fields: &Map<String, Value>) -> Vec<Value> {
    let list = |name: &str| fields.get(name).and_then(Value::as_array).filter(|tokens| !tokens.is_empty());
    let tokens = list("extra_special_tokens").or_else(|| list("additional_special_tokens"));
    tokens.into_iter().flatten().cloned().collect()
}
