//! Text for pretraining, and the tokenizer that reads it.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use store::Media;
use tasks::corpus;
use tasks::table::Format;
use versions::Versions;

use super::parts::PartMaker;
use crate::data_files::Place;
use crate::running_text::Tables;
use crate::stage::{Failure, Inputs, Session, Work, ranges};

/// Text for pretraining.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Corpus")]
pub struct Corpus {
    /// File of text to train on, relative to --root; repeatable
    #[arg(long = "train", required = true, num_args = 1.., value_name = "FILE")]
    pub train: Vec<String>,
    /// File of text to measure the held-out loss on, relative to --root; repeatable
    #[arg(long = "held-out", required = true, num_args = 1.., value_name = "FILE")]
    pub held_out: Vec<String>,
    /// Size of the tokenizer's vocabulary
    #[arg(long, default_value_t = 8_000, value_name = "N", value_parser = ranges::count(8..=1_000_000))]
    pub vocabulary: usize,
    /// Sentinel tokens for `pretrain --family t5`: one for every 20 tokens of a segment
    // Omitted from the recipe when it has its default.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = ranges::count(0..=100_000))]
    #[serde(skip_serializing_if = "is_zero")]
    pub sentinels: usize,
    /// Tokens of held-out text to keep
    #[arg(long, default_value_t = 50_000, value_name = "N", value_parser = ranges::count(1..=1_000_000_000))]
    pub held_out_tokens: usize,
    /// Text in tables.
    #[command(flatten)]
    #[serde(flatten)]
    pub tables: Tables,
    /// Where the files are.
    #[command(flatten)]
    #[serde(skip)]
    pub place: Place,
    /// BLAKE3 of each file that is not in the store, by its name relative to the root.
    #[arg(skip)]
    pub files: BTreeMap<String, String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Corpus {
    pub(super) fn resolve(&mut self, inputs: &mut Inputs, session: &Session) -> Result<(), Failure> {
        self.tables.resolve(self.train.iter().chain(&self.held_out))?;
        let names = self.train.iter().chain(&self.held_out).map(String::as_str);
        self.files = self.place.resolve(inputs, session, names)?;
        inputs.rest_on(self.versions());
        Ok(())
    }

    /// Publishes the training text with its tokenizer, and the held-out text, as two results: neither depends on what
    /// the other is made from but for the tokenizer.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let texts = |work: &Work<'_>, names: &[String]| -> Result<Vec<String>, Failure> {
            self.tables.texts(work, &self.place, names)
        };
        let parts = PartMaker { work, files: &self.files, versions: self.versions() };
        let mut section = json!({ "corpus": "train", "files": self.train, "vocabulary": self.vocabulary });
        if self.sentinels > 0 {
            section["sentinels"] = self.sentinels.into();
        }
        self.add_tables(&mut section, &self.train)?;
        let train = parts.make(section.clone(), &self.train, |part| {
            let train = texts(work, &self.train)?;
            let tokenizer = corpus::train_tokenizer_with_sentinels(&train, self.vocabulary, self.sentinels)?;
            let train = corpus::tokenize(tokenizer.as_bytes(), &train)?;
            part.fact("tokens", train.tokens.len())?;
            part.publish("tokenizer", Media::Json, tokenizer.as_bytes())?;
            part.publish("train", Media::Parquet, &train.to_parquet()?)?;
            Ok(())
        })?;
        let files: Vec<String> = self.train.iter().chain(&self.held_out).cloned().collect();
        let mut section = json!({
            "corpus": "held-out", "files": self.held_out, "tokens": self.held_out_tokens, "tokenizer": section,
        });
        self.add_tables(&mut section, &self.held_out)?;
        let held_out = parts.make(section, &files, |part| {
            let tokenizer = part.session.bytes(&train.input_of("tokenizer")?)?;
            let mut held_out = corpus::tokenize(&tokenizer, &texts(work, &self.held_out)?)?;
            held_out.truncate(self.held_out_tokens);
            part.fact("tokens", held_out.tokens.len())?;
            part.publish("held-out", Media::Parquet, &held_out.to_parquet()?)?;
            Ok(())
        })?;
        for (fact, part) in [("train_tokens", &train), ("held_out_tokens", &held_out)] {
            work.fact(fact, part.facts.get("tokens"))?;
        }
        work.part("tokenizer", &train, "tokenizer")?;
        work.part("train", &train, "train")?;
        work.part("held-out", &held_out, "held-out")?;
        Ok(())
    }

    fn versions(&self) -> Versions {
        corpus::versions().and(self.tables.versions())
    }

    /// Adds to a part's section how its text is found in tables, where it has some.
    fn add_tables(&self, section: &mut Value, names: &[String]) -> Result<(), Failure> {
        if names.iter().any(|name| Format::of(name).is_some()) {
            section["tables"] = crate::stage::json(&self.tables)?;
        }
        Ok(())
    }
}
