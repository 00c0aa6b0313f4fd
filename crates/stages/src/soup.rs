//! `samebasin soup`: one model out of several, averaged or merged in weight space.

mod merge;

use clap::{Args, ValueEnum};
use learn::Scorer;
use measures::scores;
use serde::Serialize;
use store::{Input, MappedObject, Media};
use weights::{Stored, Weights, merges, soups};

use crate::checkpoint;
use crate::compute::Compute;
use crate::group::{self, Group};
use crate::rows::MemberRow;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use crate::task_inputs::{self, TaskInputs};

/// How the members are chosen, or merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The mean of all
    Uniform,
    /// Best first, each kept if the soup's held-out accuracy allows it (Wortsman et al. 2022)
    Greedy,
    /// In random order, each kept if the soup's held-out accuracy allows it
    RandomOrder,
    /// The checkpoint plus the sum of all differences from it (Ilharco et al. 2023)
    TaskArithmetic,
    /// The same of what is largest and of one sign (Yadav et al. 2023)
    Ties,
    /// The same of a random part of each difference, rescaled (Yu et al. 2024)
    Dare,
    /// The mean, pulled back to the checkpoint as far as models disagree (Jang et al. 2024)
    ModelStock,
    /// Half-way on the great arc between two models
    Slerp,
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

/// Average or merge several fine-tuned models into one
///
/// Members are chosen on the task's held-out split `val` alone. Runs that failed (at or below always giving the
/// commonest answer) are left out unless --keep-failed is given, or all of them failed. Merges take all members, which
/// must have been fine-tuned from one checkpoint; what that does not have (the task's head) is averaged.
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
    /// How the members are chosen, or merged
    #[arg(long, value_enum, default_value_t = Method::Uniform)]
    pub method: Method,
    /// Factor of the merged difference from the checkpoint [default: 1 of ties, 0.4 of task-arithmetic and dare, as
    /// Yadav et al. take them where nothing may be tuned]
    #[arg(long, value_name = "LAMBDA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Share of each difference that ties and dare keep [default: 0.2]
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// When a selecting soup keeps a model
    #[arg(long, value_enum, default_value_t = Rule::NotWorse)]
    pub rule: Rule,
    /// Seed of the order, or of what dare drops
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Let failed runs into the soup
    #[arg(long)]
    pub keep_failed: bool,
    /// In what and where products of matrices are computed
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
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
            // A study must not end where one of its groups learned nothing: that is a result, too.
            members.clone_from(&self.models);
        }
        let mut inputs = Inputs::default();
        let (manifests, config) = group::add(&mut inputs, session, &members, 1)?;
        self.resolve_merge()?;
        if self.method.has_base() {
            merge::add_base(&mut inputs, &members, &manifests)?;
        }
        task_inputs::add(&mut inputs, &self.task.manifest(session)?, &["split.val"])?;
        match self.algorithm() {
            Algorithm::Soup(soups::Method::Uniform) => inputs.rest_on(soups::Method::Uniform.versions()),
            Algorithm::Soup(method) => {
                inputs.rest_on(method.versions().and(learn::scoring_versions(&config)));
                inputs.rest_on(scores::versions().and(self.compute.versions()));
            }
            Algorithm::Merge(method) => inputs.rest_on(method.versions()),
        }
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let rows = match self.algorithm() {
            Algorithm::Soup(soups::Method::Uniform) => average(work)?,
            Algorithm::Soup(method) => self.select(method, work)?,
            Algorithm::Merge(method) => {
                let (group, merged) = merge::merge(work, method)?;
                work.publish("model", Media::Safetensors, &merged.to_safetensors())?;
                group.inputs.iter().map(kept).collect()
            }
        };
        work.fact("members", rows.iter().filter(|row| row.kept).count())?;
        work.publish("members", Media::Parquet, &MemberRow::write(&rows)?)?;
        for role in ["config", "tokenizer"] {
            if let Some(input) = work.optional(role).copied() {
                work.adopt(role, Media::Json, input.object)?;
            }
        }
        Ok(())
    }
}

impl Method {
    /// Whether it merges differences from a checkpoint.
    fn has_base(self) -> bool {
        matches!(self, Self::TaskArithmetic | Self::Ties | Self::Dare | Self::ModelStock)
    }

    fn has_scale(self) -> bool {
        matches!(self, Self::TaskArithmetic | Self::Ties | Self::Dare)
    }

    fn has_density(self) -> bool {
        matches!(self, Self::Ties | Self::Dare)
    }
}

/// What a recipe asks the crate `weights` for.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Soup(soups::Method),
    Merge(merges::Method),
}

/// The row of a member that nothing was measured of.
fn kept(member: &Input) -> MemberRow {
    MemberRow { run: member.from.to_string(), score: None, soup_score: None, kept: true }
}

/// Publishes the mean of all models as their files are read, a few megabytes of each at a time. Memory is that of the
/// largest file, which is mapped whole while its digest is checked, however many there are.
fn average(work: &mut Work<'_>) -> Result<Vec<MemberRow>, Failure> {
    let session = work.session;
    let members = work.recipe.inputs.get("model").cloned().unwrap_or_default();
    let mut task = TaskInputs::load(work)?;
    task.answered_by(checkpoint::class_names(session, work.input("config")?)?.as_deref())?;
    let config = checkpoint::config(session, work.input("config")?)?;
    let model = checkpoint::classifier(config, task.outputs(), Compute::default())?;
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
    Ok(members.iter().map(kept).collect())
}

impl Soup {
    /// Publishes the mean of the models that held-out accuracy keeps.
    fn select(&self, method: soups::Method, work: &mut Work<'_>) -> Result<Vec<MemberRow>, Failure> {
        let mut task = TaskInputs::load(work)?;
        let group = Group::load(work, &mut task, self.compute)?;
        let encoder = checkpoint::encoder(work.session, work.optional("tokenizer"))?;
        let held_out = task.encoded(&encoder, "split.val", group.config.max_length(None))?;
        let mut scorer = Scorer::default();
        let mut accuracy = |weights: &Weights| -> Result<f64, Failure> {
            let logits = scorer.logits(&group.model, &weights.values, &held_out.inputs)?;
            Ok(scores::scores(&held_out.answers(logits), &held_out.labels).accuracy)
        };
        let members: Vec<&Weights> = group.weights.iter().collect();
        let soup = method.soup(&members, &mut accuracy)?;
        work.publish("model", Media::Safetensors, &soup.soup.to_safetensors())?;
        let row = |considered: &soups::Considered| MemberRow {
            run: group.inputs[considered.member].from.to_string(),
            score: Some(considered.score),
            soup_score: Some(considered.soup_score),
            kept: considered.kept,
        };
        Ok(soup.trace.iter().map(row).collect())
    }

    /// Writes out the defaults of a merge, or refuses its flags where they mean nothing.
    fn resolve_merge(&mut self) -> Result<(), Failure> {
        let default = if self.method == Method::Ties { 1.0 } else { 0.4 };
        for (flag, value, default, is_known) in [
            ("--scale", &mut self.scale, default, self.method.has_scale()),
            ("--density", &mut self.density, 0.2, self.method.has_density()),
        ] {
            if is_known {
                value.get_or_insert(default);
            } else if value.is_some() {
                let method =
                    self.method.to_possible_value().map_or(String::new(), |name| name.get_name().into());
                return Err(Failure::Usage(format!("{flag} means nothing to --method {method}")));
            }
        }
        Ok(())
    }

    fn algorithm(&self) -> Algorithm {
        let rule = match self.rule {
            Rule::NotWorse => soups::Rule::NotWorse,
            Rule::Better => soups::Rule::Better,
        };
        let (seed, scale, density) = (self.seed, self.scale.unwrap_or(1.0), self.density.unwrap_or(1.0));
        match self.method {
            Method::Uniform => Algorithm::Soup(soups::Method::Uniform),
            Method::Greedy => Algorithm::Soup(soups::Method::Greedy { rule }),
            Method::RandomOrder => Algorithm::Soup(soups::Method::RandomOrder { rule, seed }),
            Method::TaskArithmetic => Algorithm::Merge(merges::Method::TaskArithmetic { scale }),
            Method::Ties => Algorithm::Merge(merges::Method::Ties { density, scale }),
            Method::Dare => Algorithm::Merge(merges::Method::Dare { density, scale, seed }),
            Method::ModelStock => Algorithm::Merge(merges::Method::ModelStock),
            Method::Slerp => Algorithm::Merge(merges::Method::Slerp { alpha: 0.5 }),
        }
    }
}
