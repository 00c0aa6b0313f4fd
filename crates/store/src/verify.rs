//! Is the store what it says? Everything is read and compared with its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::catalog::{self, Found};
use crate::{Damage, Error, Input, Manifest, ObjectId, StageKey, Store};

/// What [`Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Objects that were hashed.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Manifests that were read.
    pub manifests: u64,
    /// Refs that were read.
    pub refs: u64,
    /// Objects that no manifest names: of runs that have not committed yet, or were killed. No problem; `gc` removes
    /// them.
    pub unnamed_objects: u64,
    /// Their bytes.
    pub unnamed_bytes: u64,
    /// Temporary files: of writes that go on, or were killed. No problem; `gc` removes them.
    pub temporaries: u64,
    /// Their bytes.
    pub temporary_bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Verification {
    /// Is there no problem?
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The bytes of an object are not what its name says. [`Store::repair`] removes it.
    Corrupt {
        /// The object.
        object: ObjectId,
        /// What its bytes hash to.
        found: ObjectId,
    },
    /// A file that does not belong there.
    Stray {
        /// The file.
        path: PathBuf,
    },
    /// A manifest that is not valid. Running the stage again replaces it.
    Manifest {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A manifest whose objects are not all there. Running the stage again makes them.
    Broken {
        /// Its stage.
        stage: String,
        /// Its key.
        key: StageKey,
        /// What is missing.
        damage: Damage,
    },
    /// The manifest that an input came from is not there, or names other bytes: it was replaced after a loss.
    Input {
        /// Stage of the manifest that has the input.
        stage: String,
        /// Its key.
        key: StageKey,
        /// Role of the input.
        role: String,
        /// The input.
        input: Input,
    },
    /// A ref that cannot be read.
    Ref {
        /// Its name.
        name: String,
        /// The reason.
        why: String,
    },
    /// A ref whose manifest is not in the store.
    Dangling {
        /// Its name.
        name: String,
        /// Stage of what it names.
        stage: String,
        /// Key of what it names.
        key: StageKey,
    },
    /// A ref that is not a copy of the manifest of its key: that was replaced after a loss, or one of them was changed.
    /// Running the stage again writes it anew.
    Stale {
        /// Its name.
        name: String,
        /// Key of what it names.
        key: StageKey,
        /// The first field in which they differ.
        field: String,
    },
}

impl Store {
    /// Reads everything: hashes every object, and checks that every manifest is valid, unchanged, under its recipe's key,
    /// and names objects that exist, and that every ref is a copy of a manifest. Takes about a second per gigabyte or two.
    /// Nothing is changed; what is wrong is in the report and no error.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn verify(&self) -> Result<Verification, Error> {
        let _no_sweep = self.hold_off_sweeps().ok(); // a store on a read-only disk may have no such lock
        let mut verification = Verification::default();
        let unnamed = self.verify_objects(&mut verification)?;
        self.verify_manifests(unnamed, &mut verification)?;
        self.verify_refs(&mut verification)?;
        let scratches = catalog::scratches(self)?;
        verification.count_temporaries(&scratches.temporaries);
        Ok(verification)
    }

    /// Returns the objects with their lengths: those that no manifest will turn out to name are leftovers.
    fn verify_objects(&self, verification: &mut Verification) -> Result<Vec<(ObjectId, u64)>, Error> {
        let objects = catalog::objects(self)?;
        verification.count_temporaries(&objects.temporaries);
        verification.strays(objects.strays);
        let mut unnamed = Vec::new();
        for (object, Found { path, bytes, .. }) in objects.found {
            let found = match ObjectId::of_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found.map_err(Error::reading(&path))?,
            };
            verification.objects += 1;
            verification.object_bytes += bytes;
            if found != object {
                verification.problems.push(Problem::Corrupt { object, found });
            }
            unnamed.push((object, bytes));
        }
        Ok(unnamed)
    }

    fn verify_manifests(
        &self,
        unnamed: Vec<(ObjectId, u64)>,
        verification: &mut Verification,
    ) -> Result<(), Error> {
        let catalog = catalog::manifests(self)?;
        verification.count_temporaries(&catalog.temporaries);
        verification.strays(catalog.strays);
        let mut manifests = BTreeMap::new();
        let mut unreadable = BTreeSet::new();
        for ((stage, key), Found { path, .. }) in catalog.found {
            verification.manifests += 1;
            let json = fs::read(&path).map_err(Error::reading(&path))?;
            let why = match Manifest::from_json(&json, &path) {
                Ok(manifest) if (&manifest.stage, manifest.key) == (&stage, key) => {
                    manifests.insert(key, manifest);
                    continue;
                }
                Ok(manifest) => format!("it is that of {} {}", manifest.stage, manifest.key),
                Err(error) => reason(error),
            };
            unreadable.insert(key);
            verification.problems.push(Problem::Manifest { path, why });
        }
        let mut named = BTreeSet::new();
        for (&key, manifest) in &manifests {
            let stage = &manifest.stage;
            named.extend(manifest.outputs.values().map(|output| output.object));
            if let Some(damage) = self.damage(manifest)? {
                verification.problems.push(Problem::Broken { stage: stage.clone(), key, damage });
            }
            for (role, _, input) in manifest.origins() {
                let made = |m: &Manifest| m.outputs.values().any(|output| output.object == input.object);
                let is_made = match manifests.get(&input.from) {
                    Some(manifest) => made(manifest),
                    None if unreadable.contains(&input.from) => true, // that is a problem already
                    // It may have been committed since the list was made.
                    None => self.manifest(&input.from)?.as_ref().is_some_and(made),
                };
                if !is_made {
                    let (stage, role) = (stage.clone(), role.to_owned());
                    verification.problems.push(Problem::Input { stage, key, role, input });
                }
            }
        }
        for (_, bytes) in unnamed.into_iter().filter(|(object, _)| !named.contains(object)) {
            verification.unnamed_objects += 1;
            verification.unnamed_bytes += bytes;
        }
        Ok(())
    }

    fn verify_refs(&self, verification: &mut Verification) -> Result<(), Error> {
        let refs = catalog::refs(self)?;
        verification.count_temporaries(&refs.temporaries);
        verification.strays(refs.strays);
        for name in refs.found.into_keys() {
            verification.refs += 1;
            let problem = match self.get_ref(&name) {
                Err(error) => Problem::Ref { name, why: reason(error) },
                Ok(copy) => match self.manifest(&copy.key) {
                    Ok(Some(manifest)) => match first_difference(&manifest, &copy) {
                        Some(field) => Problem::Stale { name, key: copy.key, field },
                        None => continue,
                    },
                    Ok(None) => Problem::Dangling { name, stage: copy.stage, key: copy.key },
                    Err(_) => continue, // a problem of the manifest's
                },
            };
            verification.problems.push(problem);
        }
        Ok(())
    }
}

impl Verification {
    fn count_temporaries(&mut self, temporaries: &[Found]) {
        self.temporaries += temporaries.len() as u64;
        self.temporary_bytes += temporaries.iter().map(|found| found.bytes).sum::<u64>();
    }

    fn strays(&mut self, strays: Vec<PathBuf>) {
        self.problems.extend(strays.into_iter().map(|path| Problem::Stray { path }));
    }
}

/// The first field in which two manifests of one key differ, with the role or the name of the fact.
pub(crate) fn first_difference(a: &Manifest, b: &Manifest) -> Option<String> {
    fn of<V: PartialEq>(what: &str, a: &BTreeMap<String, V>, b: &BTreeMap<String, V>) -> Option<String> {
        let name = a.keys().chain(b.keys()).find(|name| a.get(*name) != b.get(*name))?;
        Some(format!("{what}.{name}"))
    }
    let of_maps = of("outputs", &a.outputs, &b.outputs).or_else(|| of("facts", &a.facts, &b.facts));
    of_maps.or_else(|| (a != b).then(|| "provenance".to_owned()))
}

/// An error without the path that the problem names itself.
fn reason(error: Error) -> String {
    match error {
        Error::InvalidManifest { why, .. } => why,
        other => other.to_string(),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Corrupt { object, found } => {
                write!(f, "object {object} is corrupt: it hashes to {found}")
            }
            Problem::Stray { path } => write!(f, "{} does not belong there", path.display()),
            Problem::Manifest { path, why } => write!(f, "{} is not a valid manifest: {why}", path.display()),
            Problem::Broken { stage, key, damage } => {
                write!(f, "{stage} {} is broken: {damage}", key.short())
            }
            Problem::Input { stage, key, role, input } => write!(
                f,
                "{stage} {} read object {} as {role}, which {} does not name now",
                key.short(),
                input.object.short(),
                input.from.short()
            ),
            Problem::Ref { name, why } => write!(f, "ref {name} is not valid: {why}"),
            Problem::Dangling { name, stage, key } => {
                write!(f, "ref {name} names {stage} {}, which is not in the store", key.short())
            }
            Problem::Stale { name, key, field } => {
                write!(f, "ref {name} is not what {} is now, in {field}: run its stage again", key.short())
            }
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
