//! `samebasin soup`: one model out of several, averaged or merged in weight space.

mod base;
mod settings;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use learn::Scorer;
use measures::scores;
use models::Model;
use serde::Serialize;
use store::{Input, MappedObject, Media};
use weights::methods::{Base, METHODS, Method};
use weights::{Members, Plan, Stored, Weights};

use self::settings::Settings;
use crate::checkpoint;
use crate::compute::Compute;
use crate::group;
use crate::rows::MemberRow;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use crate::task_inputs::{self, TaskInputs};

/// Average or merge several fine-tuned models into one
///
/// Members are chosen on the task's held-out split `val` alone. Runs that failed (at or below always giving the
/// commonest answer) are left out unless --keep-failed is given, or all of them failed. Merges take all members, and
/// differences from the base: the checkpoint that all were fine-tuned from, or --base. What the base does not have, and
/// the task's head, is averaged.
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
    #[arg(long, value_name = "METHOD", default_value = METHODS[0].name, value_parser = method_names())]
    pub method: String,
    /// The base of a merge [default: what the members were fine-tuned from]
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub base: Option<Source>,
    /// Parameters of the method
    #[command(flatten)]
    #[serde(flatten)]
    pub settings: Settings,
    /// Seed of the order, or of what is dropped
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

/// The values of `--method`, with their help.
fn method_names() -> PossibleValuesParser {
    METHODS.map(|method| PossibleValue::new(method.name).help(method.about)).into()
}

impl Stage for Soup {
    const NAME: &'static str = "soup";
    const VERSION: u32 = 1;
    const OUTPUTS: &'static [&'static str] = &["model", "members", "config"];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let method = self.method()?;
        self.settings.resolve(method)?;
        let members = self.members(session)?;
        let mut inputs = Inputs::default();
        let (manifests, config) = group::add(&mut inputs, session, &members, 1)?;
        match (&self.base, method.base) {
            (Some(_), Base::Unused) => {
                return Err(Failure::Usage(format!("--base has no effect with --method {}", method.name)));
            }
            (Some(base), _) => base::add(&mut inputs, session, base)?,
            (None, Base::Required) => base::add_common(&mut inputs, &members, &manifests)?,
            (None, _) => {}
        }
        let has_base = !inputs.of("base").is_empty();
        method
            .check(members.len(), has_base, &self.plan())
            .map_err(|error| Failure::Usage(format!("--method {}: {error}", method.name)))?;
        task_inputs::add(&mut inputs, &self.task.manifest(session)?, &["split.val"])?;
        inputs.rest_on(method.versions());
        if method.selects() {
            inputs.rest_on(learn::scoring_versions(&config).and(scores::versions()));
            inputs.rest_on(self.compute.versions());
        }
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let method = self.method()?;
        let mut task = TaskInputs::load(work)?;
        let described = work.input("config")?;
        task.answered_by(checkpoint::classes(work.session, described)?.as_ref())?;
        let config = checkpoint::config(work.session, described)?;
        let model = checkpoint::classifier(config, task.outputs(), self.compute)?;
        let files = Files::open(work)?;
        let stored = files.parse()?;
        let base = base::load(work, &model)?;
        let mut members = Members::of_files(&stored, model.layout()).map_err(|error| files.blame(error))?;
        if let Some((base, shared)) = &base {
            members = members.with_base(base, shared)?;
        }
        let rows = if method.selects() {
            self.select(method, &members, &Selecting { task: &task, model: &model, files: &files }, work)?
        } else {
            self.merge(method, &members, &files, work)?;
            files.inputs.iter().map(kept).collect()
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

/// What a selecting soup needs beside its members.
struct Selecting<'a> {
    task: &'a TaskInputs,
    model: &'a Model,
    files: &'a Files,
}

impl Soup {
    fn method(&self) -> Result<&'static Method, Failure> {
        Method::named(&self.method).ok_or_else(|| Failure::Usage(format!("no method `{}`", self.method)))
    }

    fn plan(&self) -> Plan {
        Plan { values: self.settings.values(), seed: self.seed }
    }

    /// The models that go in: all that did not fail, or all.
    fn members(&self, session: &Session) -> Result<Vec<Source>, Failure> {
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
        // A study must not end where one of its groups learned nothing: that is a result, too.
        Ok(if members.is_empty() { self.models.clone() } else { members })
    }

    /// Publishes the merge of all models as their files are read. Memory is that of the largest file, which is mapped
    /// whole while its digest is checked, or of what the method needs for one tensor, however many models there are.
    fn merge(
        &self,
        method: &'static Method,
        members: &Members<'_>,
        files: &Files,
        work: &mut Work<'_>,
    ) -> Result<(), Failure> {
        let session = work.session;
        work.publish_stream("model", Media::Safetensors, |sink| {
            let mut take = |piece: &[u8]| -> Result<(), Failure> {
                files.release();
                Ok(sink.write(piece)?)
            };
            session
                .with_threads(|| method.stream(members, &self.plan(), &mut take))
                .map_err(|failure| files.blamed(failure))
        })?;
        Ok(())
    }

    /// Publishes the mean of the models that held-out accuracy keeps.
    fn select(
        &self,
        method: &'static Method,
        members: &Members<'_>,
        with: &Selecting<'_>,
        work: &mut Work<'_>,
    ) -> Result<Vec<MemberRow>, Failure> {
        let encoder = checkpoint::encoder(work.session, work.optional("tokenizer"), with.model.config())?;
        let max_length = with.model.config().max_length(None);
        let held_out = with.task.encoded(&encoder, "split.val", max_length)?;
        let mut scorer = Scorer::default();
        let mut accuracy = |weights: &Weights| {
            with.files.release();
            let logits = scorer.logits(with.model, &weights.values, &held_out.inputs)?;
            Ok(scores::scores(&held_out.answers(logits), &held_out.labels).accuracy)
        };
        let soup =
            method.select(members, &self.plan(), &mut accuracy).map_err(|error| with.files.blame(error))?;
        work.publish("model", Media::Safetensors, &soup.soup.to_safetensors())?;
        let row = |considered: &weights::soups::Considered| MemberRow {
            run: with.files.inputs[considered.member].from.to_string(),
            score: Some(considered.score),
            soup_score: Some(considered.soup_score),
            kept: considered.kept,
        };
        Ok(soup.trace.iter().map(row).collect())
    }
}

/// The row of a member that nothing was measured of.
fn kept(member: &Input) -> MemberRow {
    MemberRow { run: member.from.to_string(), score: None, soup_score: None, kept: true }
}

/// The memory-mapped files of the members.
struct Files {
    inputs: Vec<Input>,
    mapped: Vec<MappedObject>,
}

impl Files {
    fn open(work: &Work<'_>) -> Result<Self, Failure> {
        let inputs = work.recipe.inputs.get("model").cloned().unwrap_or_default();
        let mut mapped = Vec::with_capacity(inputs.len());
        for input in &inputs {
            let file = work.session.bytes(input)?;
            file.release();
            mapped.push(file);
        }
        Ok(Self { inputs, mapped })
    }

    fn parse(&self) -> Result<Vec<Stored<'_>>, Failure> {
        let mut stored = Vec::with_capacity(self.mapped.len());
        for (member, file) in self.mapped.iter().enumerate() {
            let tensors = Stored::parse(file);
            let of_member = |error| weights::Error::Member { member, source: Box::new(error) };
            stored.push(tensors.map_err(|error| self.blame(of_member(error)))?);
        }
        Ok(stored)
    }

    /// Lets go of the memory that has been read.
    fn release(&self) {
        self.mapped.iter().for_each(MappedObject::release);
    }

    /// The failure that an error is, with the object of the member that it is about.
    fn blame(&self, error: weights::Error) -> Failure {
        match error {
            weights::Error::Member { member, source } => {
                Failure::Input(format!("object {}: {source}", self.inputs[member].object))
            }
            error @ (weights::Error::Base { .. } | weights::Error::Degenerate { .. }) => {
                Failure::Input(error.to_string())
            }
            weights::Error::Score(error) => match error.downcast::<learn::Error>() {
                Ok(error) => Failure::Learn(*error),
                Err(error) => Failure::Bug(error.to_string()),
            },
            other => Failure::Weights(other),
        }
    }

    fn blamed(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Weights(error) => self.blame(error),
            other => other,
        }
    }
}
