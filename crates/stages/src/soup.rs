//! `samebasin soup`: one model out of several, averaged in weight space.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use learn::Scorer;
use measures::scores;
use serde::Serialize;
use store::{Input, MappedObject, Media};
use weights::{Stored, Weights, soups};

use crate::checkpoint;
use crate::group::{self, Group};
use crate::precision::Precision;
use crate::rows::MemberRow;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use crate::task_inputs::{self, TaskInputs};

/// How the members are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The mean of all
    Uniform,
    /// Best first, each kept if the soup's held-out accuracy allows it (Wortsman et al. 2022)
    Greedy,
    /// In random order, each kept if the soup's held-out accuracy allows it
    RandomOrder,
}

/// When a selecting soup keeps a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// If the soup does not get worse: the paper
    NotWorse,
    /// Only if it gets better: the released code
    Better,
}

/// Average several fine-tuned models into one
///
/// Members are chosen on the task's held-out split `val` alone. Runs that failed (at or below always giving the
/// commonest answer) are left out unless --keep-failed is given.
///
/// Example: samebasin soup --model world/run/0 --model world/run/1 --task world/task --method greedy --ref world/soup
#[derive(Args, Clone, Debug, Serialize)]
pub struct Soup {
    /// A model to average: a `finetune` result (ref or key); give several
    #[arg(long = "model", value_name = "REF", required = true, num_args = 1..)]
    #[serde(skip)]
    pub models: Vec<Source>,
    /// Task (ref or key of a `prepare` result)
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub task: Source,
    /// How the members are chosen
    #[arg(long, value_enum, default_value_t = Method::Uniform)]
    pub method: Method,
    /// When a selecting soup keeps a model
    #[arg(long, value_enum, default_value_t = Rule::NotWorse)]
    pub rule: Rule,
    /// Seed of the order, where it is random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Let failed runs into the soup
    #[arg(long)]
    pub keep_failed: bool,
    /// What products of matrices are computed in where models are scored
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    #[serde(skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
}

impl Stage for Soup {
    const NAME: &'static str = "soup";
    const VERSION: u32 = 1;

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let failed = |source: &Source| -> Result<bool, Failure> {
            let manifest = source.manifest(session)?;
            Ok(manifest.facts.get("failed").and_then(serde_json::Value::as_bool).unwrap_or(false))
        };
        let mut members = Vec::with_capacity(self.models.len());
        for source in &self.models {
            if self.keep_failed || !failed(source)? {
                members.push(source.clone());
            }
        }
        if members.is_empty() {
            return Err(Failure::Input(
                "all of these runs failed, there is nothing to average; --keep-failed averages them all the same".into(),
            ));
        }
        let mut inputs = Inputs::default();
        group::add(&mut inputs, session, &members, 1)?;
        task_inputs::add(&mut inputs, &self.task.manifest(session)?, &["split.val"])?;
        Ok(inputs)
    }

    fn versions(&self) -> BTreeMap<&'static str, u32> {
        let mut versions = BTreeMap::from([("method", self.algorithm().version())]);
        if self.method != Method::Uniform {
            versions.extend([
                ("scoring", learn::SCORING_VERSION),
                ("kernels", kernels::VERSION),
                ("encoding", tasks::ENCODING_VERSION),
                ("scores", scores::VERSION),
            ]);
        }
        versions
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let rows = match self.method {
            Method::Uniform => average(work)?,
            Method::Greedy | Method::RandomOrder => self.select(work)?,
        };
        work.fact("members", rows.iter().filter(|row| row.kept).count())?;
        work.publish("members", Media::Parquet, &MemberRow::write(&rows)?)?;
        for role in ["config", "tokenizer"] {
            if let Ok(input) = work.input(role) {
                let object = input.object;
                work.adopt(role, Media::Json, object)?;
            }
        }
        Ok(())
    }
}

/// Publishes the mean of all models as their files are read, a few megabytes of each at a time. Memory is that of the
/// largest file, which is mapped whole while its digest is checked, however many there are.
fn average(work: &mut Work<'_>) -> Result<Vec<MemberRow>, Failure> {
    let session = work.session;
    let members = work.recipe.inputs.get("model").cloned().unwrap_or_default();
    let task = TaskInputs::load(work)?;
    let config = checkpoint::config(session, work.input("config")?)?;
    let model = checkpoint::classifier(config, task.outputs(), Precision::F32)?;
    let mut files = Vec::with_capacity(members.len());
    for member in &members {
        let file = session.bytes(member)?;
        file.release();
        files.push(file);
    }
    let of_member = |member: usize, error: weights::Error| {
        Failure::Input(format!("object {}: {error}", members[member].object))
    };
    let mut stored = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let tensors = Stored::parse(file).map_err(|error| of_member(index, error))?;
        tensors.is_of(model.layout()).map_err(|error| of_member(index, error))?;
        stored.push(tensors);
    }
    work.publish_stream("model", Media::Safetensors, |sink| {
        session
            .with_threads(|| {
                soups::uniform::stream(&stored, &mut |piece: &[u8]| -> Result<(), Failure> {
                    files.iter().for_each(MappedObject::release);
                    Ok(sink.write(piece)?)
                })
            })
            .map_err(|failure| match failure {
                Failure::Weights(weights::Error::Member { member, source }) => of_member(member, *source),
                other => other,
            })
    })?;
    let row = |member: &Input| MemberRow {
        run: member.from.to_string(),
        score: None,
        soup_score: None,
        kept: true,
    };
    Ok(members.iter().map(row).collect())
}

impl Soup {
    /// Publishes the mean of the models that held-out accuracy keeps.
    fn select(&self, work: &mut Work<'_>) -> Result<Vec<MemberRow>, Failure> {
        let task = TaskInputs::load(work)?;
        let group = Group::load(work, task.outputs(), self.precision)?;
        let encoder = checkpoint::encoder(work.session, work.input("tokenizer").ok())?;
        let held_out = task.encoded(&encoder, "split.val", checkpoint::max_length(&group.config, None))?;
        let mut scorer = Scorer::default();
        let mut accuracy = |weights: &Weights| -> Result<f64, Failure> {
            let logits = scorer.logits(&group.model, &weights.values, &held_out.inputs)?;
            Ok(scores::scores(&logits, &held_out.labels).accuracy)
        };
        let members: Vec<&Weights> = group.weights.iter().collect();
        let soup = self.algorithm().soup(&members, &mut accuracy)?;
        work.publish("model", Media::Safetensors, &soup.soup.to_safetensors())?;
        let row = |considered: &soups::Considered| MemberRow {
            run: group.inputs[considered.member].from.to_string(),
            score: Some(considered.score),
            soup_score: Some(considered.soup_score),
            kept: considered.kept,
        };
        Ok(soup.trace.iter().map(row).collect())
    }

    fn algorithm(&self) -> soups::Method {
        let rule = match self.rule {
            Rule::NotWorse => soups::Rule::NotWorse,
            Rule::Better => soups::Rule::Better,
        };
        match self.method {
            Method::Uniform => soups::Method::Uniform,
            Method::Greedy => soups::Method::Greedy { rule },
            Method::RandomOrder => soups::Method::RandomOrder { rule, seed: self.seed },
        }
    }
}
