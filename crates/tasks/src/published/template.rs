//! What a tokenizer puts around texts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A token and its id.
type Token = (String, u32);

fn special(token: &Token, segment: u32) -> Value {
    json!({ "SpecialToken": { "id": token.0, "type_id": segment } })
}

fn text(name: &str, segment: u32) -> Value {
    json!({ "Sequence": { "id": name, "type_id": segment } })
}

fn template(single: &[Value], pair: &[Value], tokens: &[&Token]) -> Value {
    let tokens: BTreeMap<&str, Value> = tokens
        .iter()
        .map(|(token, id)| (token.as_str(), json!({ "id": token, "ids": [id], "tokens": [token] })))
        .collect();
    json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens })
}

/// `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`.
pub(super) fn bert(cls: &Token, sep: &Token) -> Value {
    let mut pair = vec![special(cls, 0), text("A", 0), special(sep, 0)];
    let single = pair.clone();
    pair.extend([text("B", 1), special(sep, 1)]);
    template(&single, &pair, &[cls, sep])
}

/// `bos a eos` and `bos a eos bos b eos`, of the tokens that are given.
pub(super) fn between(bos: Option<&Token>, eos: Option<&Token>) -> Value {
    let around = |name: &str, segment: u32| -> Vec<Value> {
        let (bos, eos) = (bos.map(|bos| special(bos, segment)), eos.map(|eos| special(eos, segment)));
        bos.into_iter().chain([text(name, segment)]).chain(eos).collect()
    };
    let single = around("A", 0);
    let pair = [single.clone(), around("B", 1)].concat();
    template(&single, &pair, &bos.into_iter().chain(eos).collect::<Vec<_>>())
}

/// Puts both texts of a pair into one segment.
pub(super) fn without_segments(tokenizer: &mut Value) {
    let processor = &mut tokenizer["post_processor"];
    if !put_into_one(processor) {
        let of = |name: &str| {
            let token = processor.get(name)?.as_array()?;
            Some((token.first()?.as_str()?.to_owned(), u32::try_from(token.get(1)?.as_u64()?).ok()?))
        };
        let mut one = match (of("cls"), of("sep")) {
            (Some(cls), Some(sep)) => bert(&cls, &sep),
            _ => between(None, None),
        };
        put_into_one(&mut one);
        *processor = one;
    }
}

/// Whether a processor says itself of which segment each token is; then all are of the first.
fn put_into_one(processor: &mut Value) -> bool {
    match processor["type"].as_str() {
        Some("TemplateProcessing") => {
            for form in ["single", "pair"] {
                for piece in processor[form].as_array_mut().into_iter().flatten() {
                    let kinds = piece.as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut());
                    for fields in kinds.filter_map(Value::as_object_mut) {
                        fields.insert("type_id".into(), 0.into());
                    }
                }
            }
            true
        }
        Some("RobertaProcessing") => true,
        Some("Sequence") => {
            let processors = processor["processors"].as_array_mut().into_iter().flatten();
            // All of them, not the first alone.
            processors.filter_map(|processor| put_into_one(processor).then_some(())).count() > 0
        }
        _ => false,
    }
}
