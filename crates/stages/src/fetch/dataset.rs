//! Files of a data set of the hub.

use std::collections::BTreeMap;

use clap::Args;
use hub::{Commit, Kind, Listing, Repository};
use serde::Serialize;
use store::Media;

use super::origin::Origin;
use crate::data_files::{matches, role};
use crate::stage::{Failure, Work};

/// Files of a data set of the hub.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Dataset {
    /// Repository, as in `nyu-mll/glue`
    pub repository: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main")]
    #[serde(skip)]
    pub revision: String,
    /// The commit that the revision is
    #[arg(skip)]
    pub commit: String,
    /// Files to fetch, as in `mnli/train-00000-of-00001.parquet`; a `*` stands for anything but a slash; give several
    #[arg(long = "file", required = true, num_args = 1.., value_name = "PATTERN")]
    pub files: Vec<String>,
}

impl Dataset {
    /// Resolves the revision.
    pub(super) fn pin(&mut self) -> Result<(), Failure> {
        let repository = Repository::new(Kind::Dataset, &self.repository)?;
        self.commit = Origin::open()?.commit(&repository, &self.revision)?.to_string();
        self.files.sort();
        self.files.dedup();
        Ok(())
    }

    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let origin = Origin::open()?;
        let repository = Repository::new(Kind::Dataset, &self.repository)?;
        let commit = Commit::new(&self.commit)?;
        let Listing { files: mut listed, refused } = origin.files(&repository, &commit)?;
        let is_wanted = |path: &str| self.files.iter().any(|pattern| matches(pattern, path));
        if let Some((path, why)) = refused.iter().find(|(path, _)| is_wanted(path)) {
            return Err(Failure::Input(format!("{repository} at {commit}: {path} is refused: {why}")));
        }
        for pattern in &self.files {
            if !listed.iter().any(|file| matches(pattern, &file.path)) {
                let some: Vec<&str> = listed.iter().take(20).map(|file| file.path.as_str()).collect();
                return Err(Failure::Input(format!(
                    "{repository} at {commit} has no file `{pattern}`; it has {} files: {}",
                    listed.len(),
                    some.join(", ")
                )));
            }
        }
        listed.retain(|file| is_wanted(&file.path));
        let meter = work.session.byte_meter("fetch", listed.iter().map(|file| file.size).sum());
        let mut digests = BTreeMap::new();
        for file in &listed {
            let path = origin.bring(work, &repository, &commit, file, &meter)?;
            let media = if file.path.ends_with(".parquet") { Media::Parquet } else { Media::Other };
            work.publish_file(role(&file.path), media, &path)?;
            digests.insert(&file.path, file.digest.as_str());
        }
        work.fact("files", digests)
    }
}
