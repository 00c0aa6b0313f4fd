//! A model of the hub, at one commit.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use hub::{Commit, Kind, RemoteFile, Repository};
use serde::Serialize;
use weights::shards::Index;

use super::choice::{Choice, Stored};
use super::import::{self, Files};
use super::origin::Origin;
use crate::stage::{Failure, Work};

/// A model of the hub.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Model {
    /// Repository, as in `google-bert/bert-base-uncased`
    pub repository: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main")]
    #[serde(skip)]
    pub revision: String,
    /// The commit that the revision is
    #[arg(skip)]
    pub commit: String,
    /// Read weights from a pickle file where there is nothing else; nothing in it is executed
    #[arg(long)]
    pub allow_pickle: bool,
}

impl Model {
    /// Resolves the revision.
    pub(super) fn pin(&mut self) -> Result<(), Failure> {
        let repository = Repository::new(Kind::Model, &self.repository)?;
        self.commit = Origin::open()?.commit(&repository, &self.revision)?.to_string();
        Ok(())
    }

    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        self.run_from(work, &Origin::open()?)
    }

    /// Fetches the commit's files and publishes the model that they are.
    pub(super) fn run_from(&self, work: &mut Work<'_>, origin: &Origin) -> Result<(), Failure> {
        let repository = Repository::new(Kind::Model, &self.repository)?;
        let commit = Commit::new(&self.commit)?;
        let listed = origin.files(&repository, &commit)?;
        let listed: BTreeMap<&str, &RemoteFile> =
            listed.iter().map(|file| (file.path.as_str(), file)).collect();
        let names: BTreeSet<&str> = listed.keys().copied().collect();
        let choice = Choice::of(&format!("{repository} at {commit}"), &names, self.allow_pickle)?;

        let first = choice.weights.file();
        let chosen = choice.description.iter().copied().chain([first]);
        let mut files = bring(work, origin, &repository, &commit, &listed, chosen)?;
        if choice.weights == Stored::Sharded {
            let index = Index::parse(&files.read(first)?)?;
            files.extend(bring(work, origin, &repository, &commit, &listed, index.files().into_iter())?);
        }
        let digests: BTreeMap<&str, &str> =
            files.names().filter_map(|name| Some((name, listed.get(name)?.digest.as_str()))).collect();
        work.fact("files", digests)?;
        import::publish(work, &files, &choice)
    }
}

/// Brings files by name.
fn bring<'a>(
    work: &Work<'_>,
    origin: &Origin,
    repository: &Repository,
    commit: &Commit,
    listed: &BTreeMap<&str, &RemoteFile>,
    names: impl Iterator<Item = &'a str>,
) -> Result<Files, Failure> {
    let wanted: Result<Vec<&RemoteFile>, Failure> = names
        .map(|name| {
            listed.get(name).copied().ok_or_else(|| {
                Failure::Input(format!("{repository} at {commit} lists no {name}, though its index names it"))
            })
        })
        .collect();
    let wanted = wanted?;
    let meter = work.session.byte_meter("fetch", wanted.iter().map(|file| file.size).sum());
    let mut files = Files::default();
    for file in wanted {
        files.add(&file.path, origin.bring(work, repository, commit, file, &meter)?);
    }
    Ok(files)
}
