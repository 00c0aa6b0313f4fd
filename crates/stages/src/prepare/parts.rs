//! Parts of a task or a corpus as results of their own: the recipe of each holds what it is made from and nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use store::{Manifest, Recipe};
use versions::Versions;

use crate::data_files;
use crate::stage::{Failure, Work, json};

/// The stage of a part's recipe.
const STAGE: &str = "prepare-part";

/// Version of the recipe's form.
const VERSION: u32 = 1;

/// Makes parts within the work on a whole.
pub(super) struct PartMaker<'a> {
    /// The work on the whole.
    pub(super) work: &'a Work<'a>,
    /// BLAKE3 of the files that are not in the store, by name.
    pub(super) files: &'a BTreeMap<String, String>,
    /// Versions of what makes the parts.
    pub(super) versions: Versions,
}

impl PartMaker<'_> {
    /// The part that is decided by `section` and by these files: found, or made by `make`.
    ///
    /// # Errors
    /// Whatever `make` fails with.
    pub(super) fn make<'n>(
        &self,
        section: Value,
        files: impl IntoIterator<Item = &'n String>,
        make: impl FnOnce(&mut Work<'_>) -> Result<(), Failure>,
    ) -> Result<Manifest, Failure> {
        let mut parameters =
            Map::from_iter([("part".to_owned(), section), ("versions".to_owned(), json(&self.versions)?)]);
        let mut inputs = BTreeMap::new();
        let mut digests = Map::new();
        for file in files {
            let role = data_files::role(file);
            if let Some(input) = self.work.recipe.inputs.get(&role) {
                inputs.insert(role, input.clone());
            } else if let Some(digest) = self.files.get(file) {
                digests.insert(file.clone(), digest.clone().into());
            }
        }
        if !digests.is_empty() {
            parameters.insert("files".into(), digests.into());
        }
        let recipe = Recipe { stage: STAGE.into(), version: VERSION, parameters, inputs };
        self.work.session.keyed(recipe, make)
    }
}
