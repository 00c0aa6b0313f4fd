//! A model of the hub, at one commit.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use hub::{Commit, Kind, Listing, RemoteFile, Repository};
use serde::Serialize;
use weights::shards::Index;

use super::choice::{Choice, Pickles, Stored};
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
    /// Whether pickles are read.
    #[command(flatten)]
    #[serde(flatten)]
    pub pickles: Pickles,
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
        let Listing { files: listed, refused } = origin.files(&repository, &commit)?;
        let listed: BTreeMap<&str, &RemoteFile> =
            listed.iter().map(|file| (file.path.as_str(), file)).collect();
        let names: BTreeSet<&str> = listed.keys().copied().collect();
        // What cannot be taken matters where it is needed: a tokenizer would be missed later, or never.
        if let Some((path, why)) = refused.iter().find(|(path, _)| Choice::describes(path)) {
            return Err(Failure::Input(format!("{repository} at {commit}: {path} is refused: {why}")));
        }
        let missed = |failure: Failure| match (failure, refused.as_slice()) {
            (Failure::Input(reason), [(path, why), ..]) => {
                Failure::Input(format!("{reason} ({} files are refused: {path}: {why})", refused.len()))
            }
            (failure, _) => failure,
        };
        let what = format!("{repository} at {commit}");
        let choice = Choice::of(&what, &names, self.pickles.allow_pickle).map_err(missed)?;

        let first = choice.weights.file();
        let described = choice.description.iter().copied();
        let mut files = bring(work, origin, &repository, &commit, &listed, described.chain(choice.index()))?;
        let weights = match choice.weights {
            Stored::Sharded => {
                Index::parse(&files.read(first)?)?.files().into_iter().map(str::to_owned).collect()
            }
            Stored::Whole | Stored::Pickle => vec![first.to_owned()],
        };
        let weights = weights.iter().map(String::as_str);
        files.extend(bring(work, origin, &repository, &commit, &listed, weights).map_err(missed)?);
        let digests: BTreeMap<&str, &str> =
            files.names().filter_map(|name| Some((name, listed.get(name)?.digest.as_str()))).collect();
        work.fact("files", digests)?;
        import::publish(work, &files, &choice, self.pickles.entry.as_deref())
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
    // Asked for before it fills the disk.
    if let Some(large) =
        wanted.iter().find(|file| is_description(&file.path) && file.size > import::LARGEST_DESCRIPTION)
    {
        return Err(Failure::Input(format!(
            "{repository} at {commit}: {} is listed with {} bytes: a description of a model has at most {}",
            large.path,
            large.size,
            import::LARGEST_DESCRIPTION
        )));
    }
    let meter = work.session.byte_meter("fetch", wanted.iter().map(|file| file.size).sum());
    let mut files = Files::default();
    for file in wanted {
        files.add(&file.path, origin.bring(work, repository, commit, file, &meter)?);
    }
    Ok(files)
}

fn is_description(path: &str) -> bool {
    Choice::describes(path) || path == super::choice::INDEX
}
