//! Where a repository's files come from: the hub, or the cache that its own tools left.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use hub::{Cache, Commit, GitRef, Hub, Listing, RemoteFile, Repository, Settings};

use crate::stage::{Failure, Meter, Work};

/// The hub with the cache before it, or the cache alone where the network is switched off.
pub(super) struct Origin {
    cache: Cache,
    hub: Option<Hub>,
    settings: Settings,
    /// Listings that were asked for: the gate looks at them before the files are fetched.
    listed: RefCell<BTreeMap<(String, Commit), Listing>>,
}

impl Origin {
    /// As the environment says. Nothing is sent yet.
    pub(super) fn open() -> Result<Self, Failure> {
        let settings = Settings::from_environment()?;
        let hub = if settings.offline { None } else { Some(Hub::connect(settings.clone())?) };
        let cache = Cache::new(settings.cache.clone());
        Ok(Self { cache, hub, settings, listed: RefCell::default() })
    }

    /// The hub itself.
    ///
    /// # Errors
    /// [`hub::Error::Offline`] where the network is switched off; `what` is what it was wanted for.
    pub(super) fn hub(&self, what: &str) -> Result<&Hub, hub::Error> {
        self.hub.as_ref().ok_or_else(|| self.offline(what))
    }

    /// The commit that a revision is now; offline, what it was when it was last downloaded.
    pub(super) fn commit(&self, repository: &Repository, revision: &str) -> Result<Commit, Failure> {
        if let Ok(commit) = Commit::new(revision) {
            return Ok(commit);
        }
        Ok(match &self.hub {
            Some(hub) => hub.commit(repository, revision)?,
            None => self
                .cache
                .commit(repository, revision)?
                .ok_or_else(|| self.offline(&format!("{repository} at revision `{revision}`")))?,
        })
    }

    /// Branches and tags; offline, those that were downloaded.
    pub(super) fn refs(&self, repository: &Repository) -> Result<Vec<GitRef>, Failure> {
        let refs = match &self.hub {
            Some(hub) => hub.refs(repository)?,
            None => self.cache.refs(repository)?,
        };
        match refs.is_empty() && self.hub.is_none() {
            true => Err(self.offline(&format!("any branch of {repository}")).into()),
            false => Ok(refs),
        }
    }

    /// An owner's model repositories whose names contain `search`; offline, those that were downloaded.
    pub(super) fn models_of(&self, owner: &str, search: &str) -> Result<Vec<String>, Failure> {
        let models = match &self.hub {
            Some(hub) => hub.models_of(owner, search)?,
            None => self.cache.models_of(owner, search)?,
        };
        match models.is_empty() && self.hub.is_none() {
            true => Err(self.offline(&format!("any model of {owner}")).into()),
            false => Ok(models),
        }
    }

    /// The files of a commit; offline, those that were downloaded.
    pub(super) fn files(&self, repository: &Repository, commit: &Commit) -> Result<Listing, Failure> {
        let name = (repository.to_string(), commit.clone());
        if let Some(listed) = self.listed.borrow().get(&name) {
            return Ok(listed.clone());
        }
        if let Some(hub) = &self.hub {
            let files = hub.files(repository, commit)?;
            self.listed.borrow_mut().insert(name, files.clone());
            return Ok(files);
        }
        let there = self.cache.commit(repository, commit.as_str())?;
        let commit = there.ok_or_else(|| self.offline(&format!("{repository} at {commit}")))?;
        Ok(self.cache.files(repository, &commit)?)
    }

    /// Brings a file into the work's scratch, verified, going on from what an interrupted run left.
    pub(super) fn bring(
        &self,
        work: &Work<'_>,
        repository: &Repository,
        commit: &Commit,
        file: &RemoteFile,
        meter: &Meter,
    ) -> Result<PathBuf, Failure> {
        let to = work.scratch.path(file.digest.as_str())?;
        if let Some(cached) = self.cache.blob(repository, file) {
            match (cached.copy(&to), &self.hub) {
                (Ok(()), _) => return Ok(to),
                (Err(error), None) => return Err(error.into()),
                // A cache that is damaged is none.
                (Err(_), Some(_)) => {}
            }
        }
        let hub = self.hub(&format!("{} of {repository}", file.path))?;
        let before = meter.position();
        hub.download(repository, commit, file, &to, &mut |have| {
            meter.at(before + have, || file.path.clone());
        })?;
        meter.at(before + file.size, || file.path.clone());
        Ok(to)
    }

    fn offline(&self, what: &str) -> hub::Error {
        hub::Error::Offline { what: what.into(), cache: self.settings.cache.clone() }
    }
}
