//! `samebasin report`: everything joined into tables, estimates and a page to read.
//!
//! [`collate`] joins what single stages wrote with where it came from; the crate `report` makes estimates and a page of
//! the joined tables.

mod collate;
mod from_tables;
mod schema;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use measures::{
    agreement, cluster, ensemble, estimate, matching, mechanism, planner, scores, selection, trend, verdict,
};
use report::{DEFAULT_ARM, Edition, Plan, Study};
use serde::Serialize;
use store::{Manifest, Media};

use crate::data_files;
use crate::delivery::Delivery;
use crate::stage::{Failure, Flags, Inputs, Session, Source, Stage, Work, say};
use collate::{Manifests, lineage};

/// The page.
const PAGE: &str = "report.html";
/// Prefix of the outputs that are tables.
const TABLE: &str = "table.";
/// Prefix of the outputs that are parts of the table of predictions.
const PREDICTIONS: &str = "predictions.";

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// Student's t over pretraining seeds, never narrower than the fine-tuning seeds leave open
    SeedT,
    /// Percentiles of the hierarchical bootstrap: too narrow with few pretraining seeds
    Percentile,
    /// Bias-corrected and accelerated percentiles of the same
    Bca,
}

impl From<Interval> for estimate::Interval {
    fn from(interval: Interval) -> Self {
        match interval {
            Interval::SeedT => Self::SeedT,
            Interval::Percentile => Self::Percentile,
            Interval::Bca => Self::Bca,
        }
    }
}

/// Join the results of a study into tables, estimates and a page
///
/// Name the results at the end of the study: evaluations of runs and of soups, and interpolations. What they were made
/// from is found through their manifests. Early and late rungs are compared; name them before you look.
///
/// With --tables the page is made from the tables of a study instead, and no store is opened: they may be a report's own,
/// or anyone's with the columns that --schema lists.
///
/// Example: samebasin report --input world/scores/0 --input world/lines/0 --out report --ref world/report
#[derive(Args, Clone, Debug, Serialize)]
#[command(group = ArgGroup::new("study").required(true).args(["results", "inputs", "tables", "schema"]))]
pub struct Report {
    /// A result to report on (ref or key): `evaluate`, `interpolate`, `soup`, `finetune` or `pretrain`; give several
    #[arg(long = "input", value_name = "REF", num_args = 1..)]
    #[serde(skip)]
    pub results: Vec<Source>,
    /// File that names such results, one on each line: a command line holds only so many
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub inputs: Option<PathBuf>,
    /// Folder with the tables of a study, `runs.parquet` or `pairs.parquet` among them
    #[arg(long, value_name = "FOLDER", requires = "out")]
    #[serde(skip)]
    pub tables: Option<PathBuf>,
    /// Print the columns of every table with their types and meanings, as Markdown or, with --json, as JSON
    #[arg(long)]
    #[serde(skip)]
    pub schema: bool,
    /// Folder for report.html and the tables
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip)]
    pub out: Option<PathBuf>,
    /// Last pretraining step that counts as early [default: the lower half of the ladder]
    #[arg(long, value_name = "STEP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_until: Option<u64>,
    /// First pretraining step that counts as late [default: the last two rungs]
    #[arg(long, value_name = "STEP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_from: Option<u64>,
    /// How intervals are made
    #[arg(long, value_enum, default_value_t = Interval::SeedT)]
    pub interval: Interval,
    /// Changes of path variance up to this count as no change: fix it before you see results
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub margin: f64,
    /// Title of the page
    #[arg(long, default_value = "Does it matter which path fine-tuning takes?")]
    pub title: String,
    /// The manifests of the study
    #[arg(skip)]
    #[serde(skip)]
    pub study: StudyManifests,
}

/// The manifests that the inputs lead to.
#[derive(Clone, Debug, Default)]
pub struct StudyManifests(Manifests);

impl Stage for Report {
    const NAME: &'static str = "report";
    const VERSION: u32 = 8;
    const OUTPUTS: &'static [&'static str] = &["report", "terminal"];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        if !(self.margin > 0.0 && self.margin < 0.5) {
            return Err(Failure::Usage(format!(
                "--margin is {}, but must be above 0 and below 0.5",
                self.margin
            )));
        }
        let listed = self.inputs.as_deref().map(sources_in).transpose()?.unwrap_or_default();
        let named: Result<Vec<Manifest>, Failure> =
            self.results.iter().chain(&listed).map(|source| source.manifest(session)).collect();
        let manifests = collate::upstream(&session.store, named?)?;
        let mut inputs = Inputs::default();
        // By stage and key, so that the order of the flags makes no other report.
        for manifest in manifests.values() {
            for output in outputs_read(manifest)? {
                inputs.add(&format!("{}.{output}", manifest.stage), manifest, output)?;
            }
        }
        let runs = lineage::runs(&manifests);
        if runs.is_empty() {
            return Err(Failure::Input(
                "none of the inputs leads to a fine-tuning run: there is nothing to report".into(),
            ));
        }
        let default = runs.iter().filter(|run| run.arm == DEFAULT_ARM);
        let plan = self.plan().resolved(default.map(|run| run.step))?;
        (self.early_until, self.late_from) = (plan.early_until, plan.late_from);
        self.study = StudyManifests(manifests);
        inputs.rest_on(
            [
                agreement::versions(),
                cluster::versions(),
                ensemble::versions(),
                estimate::versions(),
                matching::versions(),
                mechanism::versions(),
                planner::versions(),
                scores::versions(),
                selection::versions(),
                trend::versions(),
                verdict::versions(),
                tables::versions(),
            ]
            .into_iter()
            .collect(),
        );
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let manifests = &self.study.0;
        let runs = lineage::runs(manifests);
        let pool = work.session.pool()?;
        let collated = collate::collate(&work.session.store, pool.as_ref(), manifests, &runs)?;
        for warning in &collated.warnings {
            work.session.note(warning);
        }
        let mut sources: BTreeMap<String, usize> = BTreeMap::new();
        for manifest in manifests.values() {
            *sources.entry(manifest.stage.clone()).or_default() += 1;
        }
        let (study, tables) = Study::new(collated.observed, self.plan(), sources)?;
        for (name, bytes) in &tables {
            work.publish(format!("{TABLE}{name}"), Media::Parquet, bytes)?;
        }
        for (name, bytes) in &collated.predictions {
            work.publish(format!("{PREDICTIONS}{name}"), Media::Parquet, bytes)?;
        }
        let answer = study.answer();
        work.fact("answer", &answer.headline)?;
        work.fact("sentences", &answer.sentences)?;
        if !collated.warnings.is_empty() {
            work.fact("warnings", &collated.warnings)?;
        }
        let key = work.recipe.key()?.to_string();
        let page = study.page(&Edition { key: Some(&key), tables: &report::TABLES })?;
        work.publish("report", Media::Other, page.as_bytes())?;
        work.publish("terminal", Media::Other, study.terminal().as_bytes())?;
        Ok(())
    }

    fn without_store(&self, flags: &Flags) -> Option<Result<(), Failure>> {
        if self.schema {
            return Some(schema::print(flags.json));
        }
        let (tables, out) = self.tables.as_ref().zip(self.out.as_ref())?;
        Some(from_tables::report(tables, out, self.plan(), flags))
    }

    fn deliver(&self, session: &Session, manifest: &Manifest) -> Result<(), Failure> {
        let text = session.bytes(&manifest.input_of("terminal")?)?;
        say(String::from_utf8_lossy(&text).trim_end());
        let Some(out) = &self.out else { return Ok(()) };
        let mut delivery = Delivery::begin(out)?;
        for (role, output) in &manifest.outputs {
            let name = match (role.as_str(), role.strip_prefix(TABLE), role.strip_prefix(PREDICTIONS)) {
                ("report", ..) => PAGE.to_owned(),
                (_, Some(table), _) => format!("tables/{table}.parquet"),
                (_, _, Some(part)) => format!("tables/predictions/{part}.parquet"),
                _ => continue,
            };
            delivery.write(&name, &session.store.map(&output.object)?)?;
        }
        delivery.end()?;
        say(&format!("\n{}", out.join(PAGE).display()));
        Ok(())
    }
}

impl Report {
    fn plan(&self) -> Plan {
        Plan {
            title: self.title.clone(),
            early_until: self.early_until,
            late_from: self.late_from,
            interval: self.interval.into(),
            margin: self.margin,
        }
    }
}

/// The results that a file names, one on each line.
fn sources_in(path: &Path) -> Result<Vec<Source>, Failure> {
    let name = path.display().to_string();
    let text = data_files::utf8(&name, data_files::read(path)?)?;
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| {
            line.parse().map_err(|error| Failure::Input(format!("{name}, line {number}: {error}")))
        })
        .collect()
}

/// The outputs of a stage that a report reads, or that stand for what it reads in the manifest alone.
fn outputs_read(manifest: &Manifest) -> Result<&'static [&'static str], Failure> {
    match manifest.stage.as_str() {
        "evaluate" => Ok(&["scores", "predictions", "effects"]),
        "interpolate" => Ok(&["paths", "pairs"]),
        "soup" => Ok(&["members"]),
        "finetune" => Ok(&["curve"]),
        "prepare" => Ok(&["labels"]),
        "prepare-part" => Ok(&["examples"]),
        "pretrain-rung" | "fetch-rung" | "fetch-run" => Ok(&["config"]),
        _ if manifest.outputs.contains_key("ladder") => Ok(&["ladder"]),
        _ if manifest.outputs.contains_key("rungs") => Ok(&["rungs"]),
        // Checkpoints from elsewhere have no ladder; that they were the start of runs is in the runs' own keys.
        _ if manifest.outputs.contains_key("config") => Ok(&["config"]),
        stage => Err(Failure::Input(format!("{stage} {} is nothing to report on", manifest.key.short()))),
    }
}

/// Writes a file whole or not at all.
pub(crate) fn place(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // A name of this process's own: two reports may be delivered to one folder at once.
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|source| at(path, source))
}

pub(crate) fn at(path: &Path, source: std::io::Error) -> Failure {
    Failure::Io { what: format!("cannot write {}", path.display()), source }
}
