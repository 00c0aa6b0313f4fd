//! A model in a folder, as transformers saves it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::Map;
use store::{Input, Manifest, Recipe};
use weights::shards::Index;

use super::choice::{Choice, Pickles, Stored};
use super::import::{self, Files};
use super::ladder::Rung;
use super::{Fetch, Kind};
use crate::stage::{self, Failure, Inputs, Session, Source, Work};

/// The stage of a run that was fine-tuned elsewhere.
const RUN: &str = "fetch-run";

/// A model in a folder.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Folder {
    /// Folder with config.json, weights and tokenizer
    #[serde(skip)]
    pub folder: PathBuf,
    /// Whether pickles are read.
    #[command(flatten)]
    #[serde(flatten)]
    pub pickles: Pickles,
    /// Where there is no more than a folder: the pretraining step that it is of
    #[arg(long, value_name = "STEP", requires = "pretraining_seed", conflicts_with = "base")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Seed of the pretraining run that it is of: the same for all its checkpoints
    #[arg(long, value_name = "SEED", requires = "step")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretraining_seed: Option<u64>,
    /// The checkpoint that it was fine-tuned from, elsewhere: it is then a run like those that were fine-tuned here
    #[arg(long, value_name = "REF[:OUTPUT]", requires = "seed")]
    #[serde(skip)]
    pub base: Option<Source>,
    /// Seed that it was fine-tuned with
    #[arg(long, value_name = "SEED", requires = "base")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// BLAKE3 of each file, by name: where the folder lies is not part of the recipe
    #[arg(skip)]
    pub files: BTreeMap<String, String>,
}

impl Folder {
    /// Hashes the files that will be read.
    pub(super) fn pin(&mut self) -> Result<(), Failure> {
        self.files = digests(&self.choose()?.0)?;
        Ok(())
    }

    /// A folder of which no more is known.
    pub(super) fn at(folder: PathBuf, pickles: Pickles) -> Self {
        let (step, pretraining_seed, base, seed) = (None, None, None, None);
        Self { folder, pickles, step, pretraining_seed, base, seed, files: BTreeMap::new() }
    }

    /// Names the checkpoint that it was fine-tuned from, if there is one.
    pub(super) fn add_base(&self, inputs: &mut Inputs, session: &Session) -> Result<(), Failure> {
        let Some(base) = &self.base else { return Ok(()) };
        let (manifest, role) = base.part(session, "model")?;
        inputs.add("base", &manifest, &role)
    }

    /// Publishes the model; where it is known to be a rung, or a run, as one: with a recipe that says so.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let base = work.optional("base").copied();
        let known = match (self.step.zip(self.pretraining_seed), base.zip(self.seed)) {
            (Some((step, seed)), _) => {
                let model = Self::at(self.folder.clone(), self.pickles.clone()).pinned()?.fetch(work)?;
                Rung::alone(step, seed).of_run(work, &model)?
            }
            (None, Some((base, seed))) => {
                let model = Self::at(self.folder.clone(), self.pickles.clone()).pinned()?.fetch(work)?;
                of_base(work, &model, base, seed)?
            }
            (None, None) => return self.publish(work),
        };
        for role in known.outputs.keys() {
            work.part(role, &known, role)?;
        }
        known.facts.iter().try_for_each(|(name, value)| work.fact(name.as_str(), value))
    }

    fn pinned(mut self) -> Result<Self, Failure> {
        self.pin()?;
        Ok(self)
    }

    /// The model in the folder, under a key of its own.
    pub(super) fn fetch(&self, work: &Work<'_>) -> Result<Manifest, Failure> {
        let mut inputs = Inputs::default();
        inputs.rest_on(import::versions());
        let recipe = stage::recipe(&Fetch { kind: Kind::Folder(self.clone()) }, &inputs)?;
        work.session.keyed(recipe, |work| self.publish(work))
    }

    fn publish(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let (files, choice) = self.choose()?;
        import::publish(work, &files, &choice, self.pickles.entry.as_deref())?;
        // What was published is what the key says only if nobody wrote to the folder meanwhile.
        match digests(&files)? == self.files {
            true => Ok(()),
            false => Err(Failure::Input(format!("{} changed while it was read", self.folder.display()))),
        }
    }

    /// The files to read, in the folder.
    fn choose(&self) -> Result<(Files, Choice), Failure> {
        let what = self.folder.display().to_string();
        let cannot = |error: std::io::Error| Failure::Input(format!("cannot read {what}: {error}"));
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&self.folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            if let (true, Ok(name)) = (entry.path().is_file(), entry.file_name().into_string()) {
                names.insert(name);
            }
        }
        let choice =
            Choice::of(&what, &names.iter().map(String::as_str).collect(), self.pickles.allow_pickle)?;
        let mut files = Files::default();
        // A file of SentencePiece's is not read, but decides whether the model is refused: the key knows it.
        let further = [choice.weights.file()].into_iter().chain(choice.sentencepiece);
        for name in choice.description.iter().copied().chain(further) {
            files.add(name, self.folder.join(name));
        }
        if choice.weights == Stored::Sharded {
            let index = Index::parse(&files.read(choice.weights.file())?)?;
            for name in index.files() {
                if !names.contains(name) {
                    return Err(Failure::Input(format!("{what} has no {name}, though its index names it")));
                }
                files.add(name, self.folder.join(name));
            }
        }
        Ok((files, choice))
    }
}

/// A model that was fine-tuned elsewhere, as a run: what it was fine-tuned from is its input, as it is here.
fn of_base(work: &Work<'_>, model: &Manifest, base: Input, seed: u64) -> Result<Manifest, Failure> {
    let mut inputs = Inputs::default();
    inputs.push("model", base);
    for role in model.outputs.keys() {
        inputs.add(&format!("fetched.{role}"), model, role)?;
    }
    let parameters = Map::from_iter([("seed".to_owned(), seed.into())]);
    let recipe = Recipe { stage: RUN.into(), version: 1, parameters, inputs: inputs.of_recipe() };
    work.session.keyed(recipe, |work| {
        for (role, output) in &model.outputs {
            work.adopt(role, output.media, output.object)?;
        }
        model.facts.iter().try_for_each(|(name, value)| work.fact(name.as_str(), value))
    })
}

/// BLAKE3 of each file; of the configuration that of its meaning. They are read and not mapped: they are somebody else's, who may write to them.
fn digests(files: &Files) -> Result<BTreeMap<String, String>, Failure> {
    let digest = |(name, path): (&str, &Path)| {
        if name == "config.json" {
            let config = import::described(files.object(name)?.1);
            return Ok((name.to_owned(), blake3::hash(&config).to_string()));
        }
        let reading = |source| Failure::Io { what: format!("reading {}", path.display()), source };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path).map_err(reading)?).map_err(reading)?;
        Ok((name.to_owned(), hasher.finalize().to_string()))
    };
    files.iter().map(digest).collect()
}
