//! What a verification found wrong is taken away, so that the stages that made it run again.

use std::fs;

use serde::Serialize;

use crate::files;
use crate::objects::remove_if_corrupt;
use crate::verify::first_difference;
use crate::{Damage, Error, Lookup, Manifest, ObjectId, Problem, Store, Verification};

/// What [`Store::repair`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Objects that were removed: their bytes were not theirs.
    pub objects: Vec<ObjectId>,
    /// Manifests that were removed, by their files: nobody can read them.
    pub manifests: Vec<String>,
    /// Manifests that were written anew from a ref that names them, as `<stage> <key>`.
    pub restored: Vec<String>,
    /// Refs that were removed: Make sees that what they named is to be made again.
    pub refs: Vec<String>,
}

impl Repair {
    /// Was there nothing to do?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Repair::default()
    }
}

impl Store {
    /// Takes away what a verification found wrong, after another look: corrupt objects, manifests that cannot be read, and
    /// refs to what is not whole now, so that the next run of their stages makes it again. A manifest that was lost is
    /// written anew from a ref, which is a copy of it, where its objects are there.
    ///
    /// # Errors
    /// When a file cannot be removed or written.
    pub fn repair(&self, verification: &Verification) -> Result<Repair, Error> {
        let mut repair = Repair::default();
        {
            let _alone = self.sweep_alone()?; // a put must not repair what is being removed
            for problem in &verification.problems {
                match problem {
                    Problem::Corrupt { object, .. } if remove_if_corrupt(self, object)? => {
                        repair.objects.push(*object);
                    }
                    Problem::Manifest { path, .. } => {
                        let json = files::read_if_exists(path)?;
                        let invalid = json.is_some_and(|json| self.is_invalid(&json, path));
                        if invalid {
                            files::remove(path)?;
                            repair.manifests.push(path.display().to_string());
                        }
                    }
                    _ => {}
                }
            }
        }
        for name in self.list_refs()? {
            self.repair_ref(name, &mut repair)?;
        }
        Ok(repair)
    }

    /// Is this no manifest of the key that the file is named by? What a newer version wrote is none of our business.
    fn is_invalid(&self, json: &[u8], path: &std::path::Path) -> bool {
        match Manifest::from_json(json, path) {
            Ok(manifest) => self.manifest_path(&manifest.stage, &manifest.key) != path,
            Err(error) => matches!(error, Error::InvalidManifest { .. }),
        }
    }

    fn repair_ref(&self, name: String, repair: &mut Repair) -> Result<(), Error> {
        let path = self.ref_path(&name)?;
        let is_good = match self.get_ref(&name) {
            Err(Error::InvalidManifest { .. }) => false,
            Err(error) => return Err(error),
            Ok(copy) => match self.look(&copy.stage, &copy.key)? {
                Lookup::Hit(manifest) => first_difference(&manifest, &copy).is_none(),
                Lookup::Broken(Damage::Missing { .. } | Damage::Length { .. }) => false,
                Lookup::Missing | Lookup::Broken(Damage::Manifest { .. }) => {
                    let is_whole = self.damage(&copy)?.is_none();
                    if is_whole {
                        self.commit(&copy)?;
                        repair.restored.push(format!("{} {}", copy.stage, copy.key));
                    }
                    is_whole
                }
            },
        };
        if !is_good {
            fs::remove_file(&path).map_err(Error::writing(&path))?;
            repair.refs.push(name);
        }
        Ok(())
    }
}
