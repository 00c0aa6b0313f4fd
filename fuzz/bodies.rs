//! What every fuzz target does with bytes that nobody vouches for: it reads them, and may refuse them, but neither panics
//! nor takes memory or time that its input does not explain.
//!
//! Shared by the targets in `fuzz_targets/` and by the test `mutations`.

use std::path::Path;

/// A safetensors file.
pub(crate) fn safetensors(bytes: &[u8]) {
    if let Ok(file) = weights::Stored::parse(bytes) {
        drop(file.weights());
    }
    drop(weights::Weights::from_safetensors(bytes));
}

/// An index of shards, as transformers writes it.
pub(crate) fn shards(bytes: &[u8]) {
    drop(weights::shards::Index::parse(bytes));
}

/// A `config.json`.
pub(crate) fn config(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(config) = models::Config::from_json(text)
    {
        drop(config.check());
    }
}

/// A manifest of the store.
pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = store::Manifest::from_json(bytes, Path::new("manifest.json")) {
        drop(manifest.recipe().key());
    }
}

/// A Parquet file, read as a table of ours and as somebody's columns.
pub(crate) fn parquet(bytes: &[u8]) {
    drop(report::rows::RunScore::read(bytes));
    if let Ok(names) = tables::column_names(bytes) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        drop(tables::read_text_columns(bytes, &names));
    }
}

/// A `tokenizer.json`, and a sentence for it.
pub(crate) fn tokenizer(bytes: &[u8]) {
    if let Ok(encoder) = tasks::Encoder::from_tokenizer_json(bytes) {
        let content = tasks::Content::Text { first: vec!["the boy sees a dog".into()], second: None };
        drop(encoder.encode(&content, 16));
    }
}

/// A task file.
pub(crate) fn task_file(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(spec) = tasks::table::Spec::parse(text)
    {
        drop((spec.canonical(), spec.part_recipes()));
    }
}

/// A file of examples, in each of the text formats.
pub(crate) fn examples(bytes: &[u8]) {
    for name in ["a.csv", "a.tsv", "a.jsonl"] {
        drop(tasks::table::survey(name, bytes, &["text"], "label"));
    }
}
