//! `samebasin prepare`: tasks and corpora as artifacts, so that every later stage reads the same rows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use store::Media;
use tasks::{Examples, Form, Metric, Task, corpus, glyphs, hans, roles, table};

use crate::data_files::{self, Place};
use crate::stage::{Failure, Inputs, Session, Stage, Work};
use crate::task_inputs;

/// Make a task or a corpus ready for the other stages
///
/// Example: samebasin prepare --ref world/task roles --ambiguity 0.05 --cue 0.9
#[derive(Args, Clone, Debug, Serialize)]
pub struct Prepare {
    /// What to make ready
    #[command(subcommand)]
    pub kind: Kind,
}

/// What can be made ready.
#[derive(Subcommand, Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The embedded language: who is the agent of this sentence?
    Roles(Roles),
    /// The embedded visual world: which digit is this?
    Glyphs(Glyphs),
    /// A task from your own files: JSONL, TSV, CSV or Parquet with named columns
    Table(Table),
    /// Text for pretraining, and a WordPiece tokenizer trained on it
    Corpus(Corpus),
}

/// The embedded language's task.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Roles {
    /// Probability that a training sentence tells the rule apart from "the first noun", 0 to 1
    #[arg(long, default_value_t = 0.05)]
    pub ambiguity: f64,
    /// Probability that the cue is right in training, 0 to 1
    #[arg(long, default_value_t = 0.9)]
    pub cue: f64,
    /// Training examples
    #[arg(long, default_value_t = 4_000)]
    pub train: usize,
    /// Seed of the examples
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// The visual world's task.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Glyphs {
    /// Probability that the cue is right in training, 0 to 1
    #[arg(long, default_value_t = 0.9)]
    pub cue: f64,
    /// Training images
    #[arg(long, default_value_t = 600)]
    pub train: usize,
    /// Seed of the images
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// A task from files.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Table {
    /// TOML file that names the files, their columns and the labels
    #[arg(value_name = "SPEC")]
    #[serde(skip)]
    pub spec: PathBuf,
    /// Where the files are
    #[command(flatten)]
    #[serde(skip)]
    pub place: Place,
    /// The specification and the digests of the files, as they stand in the recipe
    #[arg(skip)]
    pub content: Content,
}

/// Text for pretraining.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Corpus {
    /// Text file to train on, relative to --root; give several
    #[arg(long = "train", required = true, num_args = 1.., value_name = "FILE")]
    pub train: Vec<String>,
    /// Text file to measure the held-out loss on, relative to --root; give several
    #[arg(long = "held-out", required = true, num_args = 1.., value_name = "FILE")]
    pub held_out: Vec<String>,
    /// Entries of the tokenizer's vocabulary
    #[arg(long, default_value_t = 8_000)]
    pub vocabulary: usize,
    /// Sentinels beside them, which stand for the spans that `pretrain --family t5` drops: a segment needs one for each 20
    /// of its tokens
    // Left out of a recipe where there are none, whose key is then that of the time before there were any.
    #[arg(long, default_value_t = 0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub sentinels: usize,
    /// Tokens of held-out text to keep
    #[arg(long, default_value_t = 50_000)]
    pub held_out_tokens: usize,
    /// Where the files are
    #[command(flatten)]
    #[serde(skip)]
    pub place: Place,
    /// Digests of the files, as they stand in the recipe
    #[arg(skip)]
    pub content: Content,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What files hold, so that a key depends on their bytes and not on where they lie.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Content {
    /// Text of the specification, if there is one.
    pub specification: String,
    /// BLAKE3 of each file, by its name relative to the root.
    pub files: BTreeMap<String, String>,
}

impl Stage for Prepare {
    const NAME: &'static str = "prepare";
    const VERSION: u32 = 1;

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::default();
        match &mut self.kind {
            Kind::Roles(_) | Kind::Glyphs(_) => {}
            Kind::Table(table) => {
                let specification = data_files::read(&table.spec)?;
                table.content.specification =
                    data_files::utf8(&table.spec.display().to_string(), specification)?;
                let files = parse(table)?.files();
                let names = files.iter().map(String::as_str);
                table.content.files = table.place.resolve(&mut inputs, session, names)?;
            }
            Kind::Corpus(corpus) => {
                let names = corpus.train.iter().chain(&corpus.held_out).map(String::as_str);
                corpus.content.files = corpus.place.resolve(&mut inputs, session, names)?;
            }
        }
        Ok(inputs)
    }

    fn versions(&self) -> BTreeMap<&'static str, u32> {
        let kind = match &self.kind {
            Kind::Roles(_) => roles::VERSION,
            Kind::Glyphs(_) => glyphs::VERSION,
            Kind::Table(_) => table::VERSION,
            Kind::Corpus(_) => corpus::VERSION,
        };
        let mut versions = BTreeMap::from([("random", random::VERSION), ("kind", kind)]);
        if let Kind::Table(table) = &self.kind
            && parse(table).is_ok_and(|spec| !spec.generated.is_empty())
        {
            versions.insert("hans", hans::VERSION);
        }
        versions
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        match &self.kind {
            Kind::Roles(roles) => {
                let parameters = roles::Params {
                    ambiguity: roles.ambiguity,
                    cue: roles.cue,
                    train: roles.train,
                    seed: roles.seed,
                };
                publish_task(work, &roles::task(&parameters)?)
            }
            Kind::Glyphs(glyphs) => {
                let parameters = glyphs::Params { cue: glyphs.cue, train: glyphs.train, seed: glyphs.seed };
                publish_task(work, &glyphs::task(&parameters)?)
            }
            Kind::Table(table) => {
                let read = parse(table)?.read_with(|name| data_files::bytes(work, &table.place, name))?;
                work.fact("overlap_with_train", &read.overlap)?;
                publish_task(work, &read.task)
            }
            Kind::Corpus(corpus) => corpus.run(work),
        }
    }
}

/// The specification, with the file's name in what goes wrong.
fn parse(table: &Table) -> Result<table::Spec, Failure> {
    table::Spec::parse(&table.content.specification)
        .map_err(|error| Failure::Input(format!("{}: {error}", table.spec.display())))
}

impl Corpus {
    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let texts = |work: &Work<'_>, names: &[String]| -> Result<Vec<String>, Failure> {
            names.iter().map(|name| data_files::text(work, &self.place, name)).collect()
        };
        let train = texts(work, &self.train)?;
        let tokenizer = corpus::train_tokenizer_with_sentinels(&train, self.vocabulary, self.sentinels)?;
        let train = corpus::tokenize(tokenizer.as_bytes(), &train)?;
        let mut held_out = corpus::tokenize(tokenizer.as_bytes(), &texts(work, &self.held_out)?)?;
        held_out.truncate(self.held_out_tokens);
        work.fact("train_tokens", train.tokens.len())?;
        work.fact("held_out_tokens", held_out.tokens.len())?;
        work.publish("tokenizer", Media::Json, tokenizer.as_bytes())?;
        work.publish("train", Media::Parquet, &train.to_parquet()?)?;
        work.publish("held-out", Media::Parquet, &held_out.to_parquet()?)?;
        Ok(())
    }
}

/// Publishes each part of a task under its role.
fn publish_task(work: &mut Work<'_>, task: &Task) -> Result<(), Failure> {
    let mut sizes = BTreeMap::new();
    let mut publish = |role: String, examples: &Examples| -> Result<(), Failure> {
        sizes.insert(role.clone(), examples.len());
        work.publish(role, Media::Parquet, &examples.to_parquet()?)?;
        Ok(())
    };
    publish("train".into(), &task.train)?;
    for (name, split) in &task.splits {
        publish(format!("split.{name}"), split)?;
    }
    for (name, intervention) in &task.interventions {
        publish(format!("do.{name}.base"), &intervention.base)?;
        publish(format!("do.{name}.done"), &intervention.done)?;
    }
    for (name, pool) in &task.pools {
        work.publish(
            task_inputs::pool_of(&format!("split.{name}")),
            Media::Json,
            pool.to_json()?.as_bytes(),
        )?;
    }
    // What is not said has no output, so that the tasks that do not say it keep their manifests.
    if task.form != Form::default() {
        work.publish(task_inputs::FORM, Media::Json, serde_json::to_string(&task.form)?.as_bytes())?;
    }
    if task.metric != Metric::default() {
        work.publish(task_inputs::METRIC, Media::Json, serde_json::to_string(&task.metric)?.as_bytes())?;
    }
    work.publish("labels", Media::Json, serde_json::to_string(&task.labels)?.as_bytes())?;
    work.fact("task", &task.name)?;
    work.fact("examples", sizes)
}
