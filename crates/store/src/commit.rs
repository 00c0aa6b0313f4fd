//! Finding and committing manifests: the first commit of a key wins.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::files::{self, Access, Created};
use crate::objects::freshen;
use crate::{Error, Manifest, ObjectId, StageKey, Store, catalog, names};

/// What the store knows of a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub enum Lookup {
    /// It is committed, and every object that it names is there with its length.
    Hit(Manifest),
    /// It is not committed.
    Missing,
    /// It was committed, but cannot be used: as good as missing, and the reason to say so.
    Broken(Damage),
}

/// Why a committed manifest cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// An object is not there.
    Missing {
        /// Role of the output.
        role: String,
        /// The object.
        object: ObjectId,
    },
    /// An object has another length than the manifest says.
    Length {
        /// Role of the output.
        role: String,
        /// The object.
        object: ObjectId,
        /// Bytes by the manifest.
        expected: u64,
        /// Bytes on the disk.
        found: u64,
    },
    /// The manifest itself cannot be read.
    Manifest {
        /// The reason.
        why: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Missing { role, object } => write!(f, "output {role:?}, object {object}, is missing"),
            Damage::Length { role, object, expected, found } => {
                write!(f, "output {role:?}, object {object}, has {found} bytes instead of {expected}")
            }
            Damage::Manifest { why } => write!(f, "its manifest is not valid: {why}"),
        }
    }
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub enum Committed {
    /// The manifest is now the key's.
    New,
    /// The key had one, which stays: use this one, for its bytes may be others.
    Already(Manifest),
    /// The key had one that could not be used, and the new one took its place.
    Replaced(Damage),
}

impl Store {
    /// Looks a key up. Objects are checked for existence and length, not hashed: that is done when they are read.
    ///
    /// A hit sets the manifest's modification time to now, so that a [`gc`](Store::gc) spares what is being used.
    ///
    /// # Errors
    /// When `stage` is not a stage's name, the manifest is of a newer format, or the disk fails.
    pub fn find(&self, stage: &str, key: &StageKey) -> Result<Lookup, Error> {
        let lookup = self.look(stage, key)?;
        if matches!(lookup, Lookup::Hit(_)) {
            freshen(&self.manifest_path(stage, key));
        }
        Ok(lookup)
    }

    /// [`find`](Store::find) without a trace.
    pub(crate) fn look(&self, stage: &str, key: &StageKey) -> Result<Lookup, Error> {
        names::stage(stage)?;
        let manifest = match self.read_manifest(stage, key) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(Lookup::Missing),
            Err(Error::InvalidManifest { why, .. }) => return Ok(Lookup::Broken(Damage::Manifest { why })),
            Err(error) => return Err(error),
        };
        Ok(match self.damage(&manifest)? {
            Some(damage) => Lookup::Broken(damage),
            None => Lookup::Hit(manifest),
        })
    }

    /// Publishes a manifest: the last thing that a stage does, after all objects are put.
    ///
    /// The first commit of a key wins; whoever comes later gets the winner's manifest and should go on with that. If
    /// the committed manifest is broken because an object was lost, there are two cases:
    ///
    /// - the run made the same bytes: to put them was the repair, the committed manifest is whole again and stays;
    /// - the run made other bytes (another instruction set): the new manifest takes the place of the broken one as a
    ///   whole, for the outputs of two runs must not be mixed. What was computed from the lost bytes keeps naming
    ///   them, is not affected, and is still found by its own recipe; new recipes name the new bytes, so that it is
    ///   computed again where it is wanted, and [`verify`](Store::verify) reports the inputs that were superseded.
    ///
    /// # Errors
    /// [`Error::Incomplete`] when an object that the manifest names is not there with its length;
    /// [`Error::InvalidManifest`] when the manifest's key is not its recipe's, or it could not be read back; otherwise a
    /// failure to write.
    pub fn commit(&self, manifest: &Manifest) -> Result<Committed, Error> {
        names::stage(&manifest.stage)?;
        let path = self.manifest_path(&manifest.stage, &manifest.key);
        let json = manifest.to_json();
        Manifest::from_json(&json, &path)?; // what could not be read back is not written
        let _no_sweep = self.hold_off_sweeps()?;
        self.require_complete(manifest)?;
        files::create_folder(&self.manifests().join(&manifest.stage))?;
        let created = files::create(&path, &json, Access::ReadOnly)?;
        if created == Created::New {
            return Ok(Committed::New);
        }
        if let Lookup::Hit(winner) = self.find(&manifest.stage, &manifest.key)? {
            return Ok(Committed::Already(winner));
        }
        let _alone = self.mend_alone()?; // of several that mend a manifest, too, the first wins
        match self.find(&manifest.stage, &manifest.key)? {
            Lookup::Hit(winner) => Ok(Committed::Already(winner)),
            Lookup::Missing => files::replace(&path, &[&json], Access::ReadOnly).map(|()| Committed::New),
            Lookup::Broken(damage) => {
                files::replace(&path, &[&json], Access::ReadOnly).map(|()| Committed::Replaced(damage))
            }
        }
    }

    /// The committed manifest of a key, whatever its stage and whether or not its objects are there.
    ///
    /// # Errors
    /// When it cannot be read as a manifest.
    pub fn manifest(&self, key: &StageKey) -> Result<Option<Manifest>, Error> {
        for stage in catalog::stages(self)? {
            if let Some(manifest) = self.read_manifest(&stage, key)? {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// The manifest in the file of a key, which must be that key's.
    pub(crate) fn read_manifest(&self, stage: &str, key: &StageKey) -> Result<Option<Manifest>, Error> {
        let path = self.manifest_path(stage, key);
        let Some(json) = files::read_if_exists(&path)? else { return Ok(None) };
        let manifest = Manifest::from_json(&json, &path)?;
        if (manifest.stage.as_str(), &manifest.key) != (stage, key) {
            let why = format!("it is that of {} {}", manifest.stage, manifest.key);
            return Err(Error::InvalidManifest { path, why });
        }
        Ok(Some(manifest))
    }

    /// The keys that are committed, by stage.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn list(&self) -> Result<BTreeMap<String, Vec<StageKey>>, Error> {
        let mut by_stage: BTreeMap<String, Vec<StageKey>> = BTreeMap::new();
        for (stage, key) in catalog::manifests(self)?.found.into_keys() {
            by_stage.entry(stage).or_default().push(key);
        }
        Ok(by_stage)
    }

    pub(crate) fn require_complete(&self, manifest: &Manifest) -> Result<(), Error> {
        match self.damage(manifest)? {
            None => Ok(()),
            Some(damage) => Err(Error::Incomplete {
                stage: manifest.stage.clone(),
                key: manifest.key,
                damage: Box::new(damage),
            }),
        }
    }

    /// The first output whose object is not there with its length.
    pub(crate) fn damage(&self, manifest: &Manifest) -> Result<Option<Damage>, Error> {
        for (role, output) in &manifest.outputs {
            let (role, object) = (role.clone(), output.object);
            match files::length(&self.object_path(&object))? {
                None => return Ok(Some(Damage::Missing { role, object })),
                Some(found) if found != output.bytes => {
                    return Ok(Some(Damage::Length { role, object, expected: output.bytes, found }));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
