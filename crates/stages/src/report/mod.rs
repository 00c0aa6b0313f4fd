//! `samebasin report`: everything joined into tables, estimates and a page to read.
//!
//! Three steps, each a module: [`collate`] joins what single stages wrote with where it came from, [`summarise`]
//! turns the joined tables into estimates with intervals, [`html`] and [`terminal`] say what they mean in the words
//! of [`words`].

mod collate;
mod html;
mod study;
mod summarise;
mod terminal;
mod words;

#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use measures::{agreement, ensemble, estimate, matching, mechanism, planner, scores, selection};
use serde::Serialize;
use store::{Manifest, Media};
use tables::Schema;

use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use collate::rows::{
    InterventionEffect, MeasureCell, PairSplit, PathPoint, Prediction, Rung, SelectionGain, SoupScore,
};
pub use collate::rows::{RunScore, Summary};
use collate::{Collated, Manifests, lineage};
use study::{DEFAULT_ARM, Study};
use summarise::frames::{self, Tables};

/// Prefix of the outputs that are tables.
const TABLE: &str = "table.";
/// Prefix of the outputs that are parts of the table of predictions.
const PREDICTIONS: &str = "predictions.";

/// All tables of a study, in the order of the page.
const TABLES: [&Schema; 10] = [
    Summary::TABLE,
    MeasureCell::TABLE,
    RunScore::TABLE,
    PairSplit::TABLE,
    PathPoint::TABLE,
    SoupScore::TABLE,
    SelectionGain::TABLE,
    InterventionEffect::TABLE,
    Rung::TABLE,
    Prediction::TABLE,
];

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
/// Example: samebasin report --input world/scores/0 --input world/lines/0 --out report --ref world/report
#[derive(Args, Clone, Debug, Serialize)]
pub struct Report {
    /// A result to report on (ref or key): `evaluate`, `interpolate`, `soup`, `finetune` or `pretrain`; give several
    #[arg(long = "input", value_name = "REF", required = true, num_args = 1..)]
    #[serde(skip)]
    pub results: Vec<Source>,
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
    const VERSION: u32 = 5;

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let named: Result<Vec<Manifest>, Failure> =
            self.results.iter().map(|source| source.manifest(session)).collect();
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
        let mut steps: Vec<u64> =
            runs.iter().filter(|run| run.arm == DEFAULT_ARM).map(|run| run.step).collect();
        steps.sort_unstable();
        steps.dedup();
        if let Some((early, late)) = summarise::default_split(&steps) {
            self.early_until.get_or_insert(early);
            self.late_from.get_or_insert(late);
        }
        if let (Some(early), Some(late)) = (self.early_until, self.late_from)
            && early >= late
        {
            return Err(Failure::Usage(format!("--early-until {early} must be below --late-from {late}")));
        }
        self.study = StudyManifests(manifests);
        Ok(inputs)
    }

    fn versions(&self) -> BTreeMap<&'static str, u32> {
        BTreeMap::from([
            ("agreement", agreement::VERSION),
            ("ensemble", ensemble::VERSION),
            ("estimate", estimate::VERSION),
            ("matching", matching::VERSION),
            ("mechanism", mechanism::VERSION),
            ("planner", planner::VERSION),
            ("random", random::VERSION),
            ("scores", scores::VERSION),
            ("selection", selection::VERSION),
            ("tables", tables::VERSION),
        ])
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let manifests = &self.study.0;
        let runs = lineage::runs(manifests);
        let pool = work.session.pool()?;
        let collated = collate::collate(&work.session.store, pool.as_ref(), manifests, &runs)?;
        let (study, tables) = self.study(manifests, lineage::arms(&runs), &collated)?;
        for (name, bytes) in &tables {
            work.publish(format!("{TABLE}{name}"), Media::Parquet, bytes)?;
        }
        for (name, bytes) in &collated.predictions {
            work.publish(format!("{PREDICTIONS}{name}"), Media::Parquet, bytes)?;
        }
        let answer = words::answer::answer(&study);
        work.fact("answer", &answer.headline)?;
        work.fact("sentences", &answer.sentences)?;
        let key = work.recipe.key()?.to_string();
        let edition = html::Edition {
            key: &key,
            tables: &TABLES,
            method: summarise::interval::described(self.interval.into()),
        };
        let page = html::page(&study, &edition)
            .map_err(|error| Failure::Bug(format!("the page's template: {error:#}")))?;
        work.publish("report", Media::Other, page.as_bytes())?;
        work.publish("terminal", Media::Other, terminal::text(&study).as_bytes())?;
        Ok(())
    }

    fn deliver(&self, session: &Session, manifest: &Manifest) -> Result<(), Failure> {
        let text = session.bytes(&manifest.input_of("terminal")?)?;
        eprintln!("{}", String::from_utf8_lossy(&text).trim_end());
        let Some(out) = &self.out else { return Ok(()) };
        let folder = out.join("tables");
        let parts = folder.join("predictions");
        std::fs::create_dir_all(&parts).map_err(|source| at(&parts, source))?;
        let mut written = Vec::new();
        for (role, output) in &manifest.outputs {
            let path = match (role.as_str(), role.strip_prefix(TABLE), role.strip_prefix(PREDICTIONS)) {
                ("report", ..) => out.join("report.html"),
                (_, Some(table), _) => folder.join(format!("{table}.parquet")),
                (_, _, Some(part)) => parts.join(format!("{part}.parquet")),
                _ => continue,
            };
            place(&path, &session.store.map(&output.object)?)?;
            written.push(path);
        }
        // People read all parts at once: parts of an earlier report must not be among them.
        for entry in std::fs::read_dir(&parts).map_err(|source| at(&parts, source))? {
            let path = entry.map_err(|source| at(&parts, source))?.path();
            if path.extension().is_some_and(|extension| extension == "parquet") && !written.contains(&path) {
                std::fs::remove_file(&path).map_err(|source| at(&path, source))?;
            }
        }
        eprintln!("\n{}", out.join("report.html").display());
        Ok(())
    }
}

impl Report {
    /// The study in memory, and the Parquet bytes of its tables by name.
    fn study(
        &self,
        manifests: &Manifests,
        arms: Vec<String>,
        collated: &Collated,
    ) -> Result<(Study, BTreeMap<&'static str, Vec<u8>>), Failure> {
        let mut tables = BTreeMap::from([
            (Rung::TABLE.name, Rung::write(&collated.ladder)?),
            (RunScore::TABLE.name, RunScore::write(&collated.runs)?),
            (PathPoint::TABLE.name, PathPoint::write(&collated.paths)?),
            (PairSplit::TABLE.name, PairSplit::write(&collated.pairs)?),
            (SoupScore::TABLE.name, SoupScore::write(&collated.soups)?),
            (SelectionGain::TABLE.name, SelectionGain::write(&collated.selections)?),
            (InterventionEffect::TABLE.name, InterventionEffect::write(&collated.interventions)?),
        ]);
        let observed = frames::observations(Tables {
            runs: &tables[RunScore::TABLE.name],
            pairs: &tables[PairSplit::TABLE.name],
            soups: &tables[SoupScore::TABLE.name],
            interventions: &tables[InterventionEffect::TABLE.name],
        })
        .map_err(|error| {
            Failure::Bug(format!("polars cannot read a table that was just written: {error}"))
        })?;
        // Without a split there is one rung: nothing is early and nothing late.
        let (early_until, late_from) = (self.early_until.unwrap_or(0), self.late_from.unwrap_or(u64::MAX));
        let (cells, summary) = summarise::summarise(&observed, early_until, late_from, self.interval.into());
        tables.insert(MeasureCell::TABLE.name, MeasureCell::write(&cells)?);
        tables.insert(Summary::TABLE.name, Summary::write(&summary)?);
        let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
        for manifest in manifests.values() {
            *sources.entry(&manifest.stage).or_default() += 1;
        }
        let study = Study {
            title: self.title.clone(),
            early_until,
            late_from,
            arms,
            sources: sources.into_iter().map(|(stage, count)| (stage.to_owned(), count)).collect(),
            ladder: collated.ladder.clone(),
            runs: collated.runs.clone(),
            paths: collated.paths.clone(),
            pairs: collated.pairs.clone(),
            soups: collated.soups.clone(),
            interventions: collated.interventions.clone(),
            selections: collated.selections.clone(),
            cells,
            summary,
        };
        Ok((study, tables))
    }
}

/// The outputs of a stage that a report reads, or that stand for what it reads in the manifest alone.
fn outputs_read(manifest: &Manifest) -> Result<&'static [&'static str], Failure> {
    match manifest.stage.as_str() {
        "evaluate" => Ok(&["scores", "predictions", "effects"]),
        "interpolate" => Ok(&["paths", "pairs"]),
        "soup" => Ok(&["members"]),
        "finetune" => Ok(&["curve"]),
        "prepare" => Ok(&["labels"]),
        _ if manifest.outputs.contains_key("ladder") => Ok(&["ladder"]),
        // Checkpoints from elsewhere have no ladder; that they were the start of runs is in the runs' own keys.
        _ if manifest.outputs.contains_key("config") => Ok(&["config"]),
        stage => Err(Failure::Input(format!("{stage} {} is nothing to report on", manifest.key.short()))),
    }
}

/// Writes a file whole or not at all.
fn place(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // A name of this process's own: two reports may be delivered to one folder at once.
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|source| at(path, source))
}

fn at(path: &Path, source: std::io::Error) -> Failure {
    Failure::Io { what: format!("cannot write {}", path.display()), source }
}
