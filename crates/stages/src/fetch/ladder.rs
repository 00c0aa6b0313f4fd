//! The checkpoints of one pretraining run, as one ladder.

use std::collections::VecDeque;

use clap::Args;
use hub::{Commit, Kind, Repository};
use serde::Serialize;
use serde_json::Value;
use store::{Manifest, Media, Recipe};
use weights::Stored;

use super::choice::Pickles;
use super::gate::{self, Distances, Finding};
use super::model::Model;
use super::origin::Origin;
use super::pattern::{self, Pattern, Place, Progress};
use super::{Fetch, Folder, Kind as Fetched, folders, import};
use crate::ladder::rung_role;
use crate::rows::RungRow;
use crate::sameness;
use crate::stage::{self, Failure, Inputs, Work};

/// The checkpoints of one pretraining run.
///
/// Give the name of a known ladder, or where the rungs are and a regular expression that says how far each is.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Ladder {
    /// A known ladder
    #[arg(long_help = format!("A known ladder: {}", pattern::PRESETS))]
    #[serde(skip)]
    pub name: Option<String>,
    /// Repository whose branches and tags are the rungs
    #[arg(long, conflicts_with_all = ["name", "owner"], requires = "matching")]
    #[serde(skip)]
    pub repository: Option<String>,
    /// Owner whose repositories are the rungs
    #[arg(long, conflicts_with = "name", requires = "matching")]
    #[serde(skip)]
    pub owner: Option<String>,
    /// Regular expression over branches or over `owner/name`, with a group `step` or `tokens`: `^step(?<step>\d+)$`
    #[arg(long, value_name = "PATTERN")]
    #[serde(skip)]
    pub matching: Option<String>,
    /// Folders that are the rungs: a path, parts of which are regular expressions, as in `run0/checkpoint-(?<step>\d+)`
    #[arg(
        long,
        value_name = "PATTERN",
        conflicts_with_all = ["name", "repository", "owner", "matching"],
        requires = "pretraining_seed"
    )]
    #[serde(skip)]
    pub folder: Option<String>,
    /// Seed of the pretraining run: runs of one name and seed are the same run
    #[arg(long, value_name = "SEED", requires = "folder")]
    #[serde(skip)]
    pub pretraining_seed: Option<u64>,
    /// Tokens of an optimiser step, where names do not count tokens
    #[arg(long, default_value_t = 0)]
    #[serde(skip)]
    pub tokens_per_step: u64,
    /// Steps to take of those that are listed [default: all]
    #[arg(long, value_delimiter = ',', value_name = "STEPS")]
    #[serde(skip)]
    pub rungs: Vec<u64>,
    /// Take a ladder in which one model has several names
    #[arg(long)]
    pub allow_duplicates: bool,
    /// Whether pickles are read.
    #[command(flatten)]
    #[serde(flatten)]
    pub pickles: Pickles,
    /// The rungs, pinned
    #[arg(skip)]
    pub pinned: Vec<Rung>,
}

/// A checkpoint at a commit.
#[derive(Clone, Debug, Serialize)]
pub struct Rung {
    /// What the hub calls it: a branch, a tag, or a repository.
    name: String,
    /// Repository.
    repository: String,
    /// Commit.
    commit: String,
    /// Optimiser steps.
    step: u64,
    /// Tokens seen; 0 where nothing tells.
    tokens: u64,
    /// What all rungs of the run are called.
    run: String,
    /// Seed of the run, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// The folder that it lies in, where it is not of the hub. The files in it are its recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<Folder>,
}

impl Ladder {
    /// Lists the rungs and pins each to a commit.
    pub(super) fn pin(&mut self) -> Result<(), Failure> {
        let pattern = self.pattern()?;
        let mut found = match &pattern.place {
            Place::Folders(folders) => self.folders(folders, &pattern)?,
            Place::Refs(repository) => {
                let repository = Repository::new(Kind::Model, repository)?;
                let refs = Origin::open()?.refs(&repository)?;
                let rung = |git_ref: hub::GitRef| {
                    let Progress { step, tokens } = pattern.progress(&git_ref.name)?;
                    let (repository, commit) = (repository.id().to_owned(), git_ref.commit.to_string());
                    let run = format!("{repository}@{}", pattern.run(&git_ref.name));
                    Some(Rung {
                        name: git_ref.name,
                        repository,
                        commit,
                        step,
                        tokens,
                        run,
                        seed: None,
                        folder: None,
                    })
                };
                refs.into_iter().filter_map(rung).collect::<Vec<Rung>>()
            }
            Place::Repositories { owner, search } => {
                let listed = Origin::open()?.models_of(owner, search)?;
                let rung = |name: String| {
                    let Progress { step, tokens } = pattern.progress(&name)?;
                    let (repository, commit) = (name.clone(), String::new());
                    let run = pattern.run(&name);
                    Some(Rung { repository, name, commit, step, tokens, run, seed: None, folder: None })
                };
                listed.into_iter().filter_map(rung).collect()
            }
        };
        found.sort_by(|a, b| (a.step, &a.name).cmp(&(b.step, &b.name)));
        self.pinned = self.chosen(found, &pattern)?;
        let mut origin = None;
        for rung in &mut self.pinned {
            if let Some(folder) = &mut rung.folder {
                folder.pin()?;
            } else if rung.commit.is_empty() {
                let repository = Repository::new(Kind::Model, &rung.repository)?;
                let origin = match &mut origin {
                    Some(origin) => origin,
                    none => none.insert(Origin::open()?),
                };
                rung.commit = origin.commit(&repository, "main")?.to_string();
            }
        }
        Ok(())
    }

    /// The folders of a run of one's own. Where they lie is not told: the name of a rung is that of its folder.
    fn folders(&self, folders: &str, pattern: &Pattern) -> Result<Vec<Rung>, Failure> {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut found = Vec::new();
        for path in folders::matching(folders)? {
            let shown = path.display().to_string();
            let Some(Progress { step, tokens }) = pattern.progress(&shown) else { continue };
            let seed = self.pretraining_seed;
            found.push(Rung {
                name: last(&shown),
                repository: String::new(),
                commit: String::new(),
                step,
                tokens,
                run: format!("{} of seed {}", last(&pattern.run(&shown)), seed.unwrap_or(0)),
                seed,
                folder: Some(Folder::at(path, self.pickles.clone())),
            });
        }
        Ok(found)
    }

    fn pattern(&self) -> Result<Pattern, Failure> {
        if let Some(folders) = &self.folder {
            return Pattern::folders(folders, self.tokens_per_step);
        }
        let place = match (&self.name, &self.repository, &self.owner) {
            (Some(name), ..) => return Pattern::preset(name),
            (None, Some(repository), _) => Place::Refs(repository.clone()),
            (None, None, Some(owner)) => Place::Repositories { owner: owner.clone(), search: String::new() },
            (None, None, None) => {
                return Err(Failure::Usage(format!(
                    "give the name of a ladder ({}), --repository or --owner with --matching, or --folder",
                    pattern::PRESETS
                )));
            }
        };
        Pattern::new(place, self.matching.as_deref().unwrap_or_default(), self.tokens_per_step)
    }

    /// Those of `--rungs`, or all.
    fn chosen(&self, mut found: Vec<Rung>, pattern: &Pattern) -> Result<Vec<Rung>, Failure> {
        if found.is_empty() {
            return Err(Failure::Input(format!(
                "nothing at {:?} is a rung: look at the pattern",
                pattern.place
            )));
        }
        if let Some(twice) = found.windows(2).find(|pair| pair[0].step == pair[1].step) {
            return Err(Failure::Input(format!(
                "`{}` and `{}` are both at step {}: a narrower pattern tells them apart",
                twice[0].name, twice[1].name, twice[0].step
            )));
        }
        if let Some(unknown) = self.rungs.iter().find(|&&step| !found.iter().any(|rung| rung.step == step)) {
            let steps: Vec<String> = found.iter().map(|rung| rung.step.to_string()).collect();
            return Err(Failure::Input(format!(
                "there is no rung at step {unknown}; there are {} rungs: {}",
                steps.len(),
                steps.join(", ")
            )));
        }
        if !self.rungs.is_empty() {
            found.retain(|rung| self.rungs.contains(&rung.step));
        }
        Ok(found)
    }

    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        // Folders need no network, nor what it is asked with.
        let of_hub = self.pinned.iter().any(|rung| rung.folder.is_none());
        let origin = if of_hub { Some(Origin::open()?) } else { None };
        // What the lists say of the files costs nothing: a ladder of copies is refused before a byte of it is fetched.
        if let Some(origin) = &origin {
            self.refuse(self.listed_duplicates(origin)?)?;
        }

        let meter = work.session.meter("fetch ladder", self.pinned.len() as u64);
        let mut models = Vec::with_capacity(self.pinned.len());
        for rung in &self.pinned {
            models.push(self.fetch(work, origin.as_ref(), rung)?);
            meter.tick();
        }
        let contents: Vec<String> = models.iter().map(|model| fact(model, "contents")).collect();
        let names = self.pinned.iter().map(|rung| rung.name.as_str());
        let mut findings = gate::duplicates(names.clone().zip(contents.iter().map(String::as_str)));
        self.refuse(findings.clone())?;
        self.same_description(work, &models)?;

        let steps: Vec<u64> = self.pinned.iter().map(|rung| rung.step).collect();
        findings.extend(gate::holes(&steps));
        let distances = distances(work, &models)?;
        findings.extend(gate::strays(&names.collect::<Vec<_>>(), &distances));
        for finding in &findings {
            work.session.note(&finding.to_string());
        }
        work.fact("findings", &findings)?;
        self.publish(work, &models, &distances)
    }

    /// Rungs whose weights are listed with one digest.
    fn listed_duplicates(&self, origin: &Origin) -> Result<Vec<Finding>, Failure> {
        let mut digests = Vec::with_capacity(self.pinned.len());
        for rung in &self.pinned {
            let repository = Repository::new(Kind::Model, &rung.repository)?;
            let files = origin.files(&repository, &Commit::new(&rung.commit)?)?;
            let is_weights = |path: &str| path.ends_with(".safetensors") || path.ends_with(".bin");
            let of_weights = files.files.iter().filter(|file| is_weights(&file.path));
            digests.push(of_weights.map(|file| file.digest.as_str()).collect::<Vec<_>>().join(" "));
        }
        let names = self.pinned.iter().map(|rung| rung.name.as_str());
        // Without weights there is nothing to compare; `Model` says so.
        let listed = names.zip(digests.iter().map(String::as_str)).filter(|(_, digest)| !digest.is_empty());
        Ok(gate::duplicates(listed))
    }

    /// Refuses duplicates unless they are allowed.
    fn refuse(&self, duplicates: Vec<Finding>) -> Result<(), Failure> {
        if self.allow_duplicates || duplicates.is_empty() {
            return Ok(());
        }
        let copies: usize = duplicates
            .iter()
            .map(|finding| if let Finding::Duplicates { names } = finding { names.len() - 1 } else { 0 })
            .sum();
        let named: Vec<String> = duplicates.iter().map(|finding| format!("\n  {finding}")).collect();
        Err(Failure::Input(format!(
            "these {} rungs are {} different models: a ladder of copies looks flat whatever is true. Choose others with \
             --rungs, or take it as it is with --allow-duplicates.{}",
            self.pinned.len(),
            self.pinned.len() - copies,
            named.concat()
        )))
    }

    /// One rung, as `fetch model` or `fetch folder` fetches it: under a key of its own.
    fn fetch(&self, work: &Work<'_>, origin: Option<&Origin>, rung: &Rung) -> Result<Manifest, Failure> {
        let fetched = match (&rung.folder, origin) {
            (Some(folder), _) => folder.fetch(work),
            (None, Some(origin)) => {
                let model = Model {
                    repository: rung.repository.clone(),
                    revision: rung.commit.clone(),
                    commit: rung.commit.clone(),
                    pickles: self.pickles.clone(),
                };
                let mut inputs = Inputs::default();
                inputs.rest_on(import::versions());
                let recipe = stage::recipe(&Fetch { kind: Fetched::Model(model.clone()) }, &inputs)?;
                work.session.keyed(recipe, |work| model.run_from(work, origin))
            }
            (None, None) => return Err(Failure::Bug("a rung is nowhere".into())),
        };
        fetched.map_err(|failure| match failure {
            Failure::Input(reason) => Failure::Input(format!("rung {}: {reason}", rung.name)),
            other => other,
        })
    }

    /// Checks that all rungs have one architecture and one tokenizer.
    fn same_description(&self, work: &Work<'_>, models: &[Manifest]) -> Result<(), Failure> {
        let Some(first) = models.first() else { return Ok(()) };
        let read = |model: &Manifest, role: &str| -> Result<Vec<u8>, Failure> {
            match model.outputs.contains_key(role) {
                true => Ok(work.session.bytes(&model.input_of(role)?)?.to_vec()),
                false => Ok(Vec::new()),
            }
        };
        let (config, tokenizer) = (read(first, "config")?, read(first, "tokenizer")?);
        for (model, rung) in models.iter().zip(&self.pinned) {
            let of_config = sameness::configs(&read(model, "config")?, &config);
            let of_tokenizer =
                || -> Result<_, Failure> { Ok(sameness::tokenizers(&read(model, "tokenizer")?, &tokenizer)) };
            let found = match of_config {
                Some(difference) => Some(("architecture (config.json)", difference)),
                None => of_tokenizer()?.map(|difference| ("tokenizer", difference)),
            };
            if let Some((what, difference)) = found {
                return Err(Failure::Input(format!(
                    "rung {} has another {what} than rung {}, so they are not checkpoints of one run: {difference}",
                    rung.name, self.pinned[0].name
                )));
            }
        }
        Ok(())
    }

    fn publish(
        &self,
        work: &mut Work<'_>,
        models: &[Manifest],
        distances: &Distances,
    ) -> Result<(), Failure> {
        let mut rows = Vec::with_capacity(models.len());
        for (index, (rung, model)) in self.pinned.iter().zip(models).enumerate() {
            let step = rung.of_run(work, model)?;
            let weights = work.part(rung_role(rung.step), &step, "model")?;
            for role in
                ["config", "tokenizer"].iter().filter(|role| index == 0 && step.outputs.contains_key(**role))
            {
                work.part(*role, &step, role)?;
            }
            rows.push(RungRow {
                step: rung.step,
                tokens: rung.tokens,
                name: rung.name.clone(),
                repository: rung.repository.clone(),
                commit: rung.commit.clone(),
                contents: fact(model, "contents"),
                distance_from_last: index.checked_sub(1).map(|before| distances.next[before]),
                checkpoint: weights.to_string(),
            });
        }
        work.publish("rungs", Media::Parquet, &RungRow::write(&rows)?)?;
        Ok(())
    }
}

impl Rung {
    /// A rung that was trained elsewhere, of which no more is known than how far it is and by which seed.
    pub(super) fn alone(step: u64, seed: u64) -> Self {
        let run = format!("a run elsewhere of seed {seed}");
        let (name, repository, commit) = (String::new(), String::new(), String::new());
        Self { name, repository, commit, step, tokens: 0, run, seed: Some(seed), folder: None }
    }

    /// The model as a rung of its run: where it stands in training is part of its history, which others of the ladder are
    /// taken is not.
    pub(super) fn of_run(&self, work: &Work<'_>, model: &Manifest) -> Result<Manifest, Failure> {
        let parameters = serde_json::json!({ "run": self.run, "step": self.step, "tokens": self.tokens });
        let Value::Object(mut parameters) = parameters else {
            return Err(Failure::Bug("not an object".into()));
        };
        if let Some(seed) = self.seed {
            parameters.insert("seed".into(), seed.into());
        }
        let mut inputs = Inputs::default();
        for role in model.outputs.keys() {
            inputs.add(role, model, role)?;
        }
        let recipe =
            Recipe { stage: "fetch-rung".into(), version: 1, parameters, inputs: inputs.of_recipe() };
        work.session.keyed(recipe, |work| {
            for (role, output) in &model.outputs {
                work.adopt(role, output.media, output.object)?;
            }
            Ok(())
        })
    }
}

/// A fact of a manifest that is a text.
fn fact(manifest: &Manifest, name: &str) -> String {
    manifest.facts.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Distances between neighbours and between second neighbours.
fn distances(work: &Work<'_>, models: &[Manifest]) -> Result<Distances, Failure> {
    let load = |model: &Manifest| -> Result<weights::Weights, Failure> {
        let bytes = work.session.bytes(&model.input_of("model")?)?;
        Ok(Stored::parse(&bytes)?.weights()?)
    };
    let (mut next, mut skip) = (Vec::new(), Vec::new());
    // Three models at most are in memory.
    let mut behind: VecDeque<weights::Weights> = VecDeque::new();
    for model in models {
        let here = load(model)?;
        let distance = |other: &weights::Weights| weights::distance::l2(other, &here);
        next.extend(behind.back().map(distance).transpose()?);
        if behind.len() == 2 {
            skip.push(distance(&behind[0])?);
            behind.pop_front();
        }
        behind.push_back(here);
    }
    Ok(Distances { next, skip })
}
