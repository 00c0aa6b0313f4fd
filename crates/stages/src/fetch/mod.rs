//! `samebasin fetch`: models, ladders and data sets from elsewhere, verified and pinned.
//!
//! The only stage that uses the network. A revision becomes a commit before the key is computed, so that the same name
//! fetched later is another result where the repository has moved on, and the same commit is found again without asking
//! anybody for its bytes.

mod choice;
mod dataset;
mod folder;
mod folders;
mod gate;
mod import;
mod ladder;
mod model;
mod origin;
mod pattern;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::stage::{Failure, Inputs, Session, Stage, Work};

pub use choice::Pickles;
pub use dataset::Dataset;
pub use folder::Folder;
pub use ladder::Ladder;
pub use model::Model;

/// Fetch a model, a ladder of checkpoints or a data set
///
/// HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and HF_HUB_DOWNLOAD_TIMEOUT are honoured.
///
/// Example: samebasin fetch --ref bert/0 ladder pythia-70m --rungs 0,512,1000,143000
#[derive(Args, Clone, Debug, Serialize)]
pub struct Fetch {
    /// What to fetch
    #[command(subcommand)]
    pub kind: Kind,
}

/// What can be fetched.
#[derive(Subcommand, Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A model of the hub, at one revision
    Model(Model),
    /// A model in a folder of yours, as transformers saves it
    Folder(Folder),
    /// Files of a data set of the hub, for `prepare --data`
    Dataset(Dataset),
    /// The checkpoints of one pretraining run, as one ladder
    Ladder(Ladder),
}

impl Stage for Fetch {
    const NAME: &'static str = "fetch";
    const VERSION: u32 = 1;
    const OUTPUTS: &'static [&'static str] = &[];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::default();
        match &mut self.kind {
            Kind::Model(model) => model.pin()?,
            Kind::Folder(folder) => folder.pin()?,
            Kind::Dataset(dataset) => dataset.pin()?,
            Kind::Ladder(ladder) => ladder.pin()?,
        }
        match &self.kind {
            Kind::Dataset(_) => {}
            Kind::Model(_) => inputs.rest_on(import::versions()),
            Kind::Folder(folder) => {
                folder.add_base(&mut inputs, session)?;
                inputs.rest_on(import::versions());
            }
            Kind::Ladder(_) => {
                inputs.rest_on(import::versions().and(gate::versions()));
                inputs.rest_on(weights::distance::versions().and(tables::versions()));
            }
        }
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        match &self.kind {
            Kind::Model(model) => model.run(work),
            Kind::Folder(folder) => folder.run(work),
            Kind::Dataset(dataset) => dataset.run(work),
            Kind::Ladder(ladder) => ladder.run(work),
        }
    }
}

/// Findings of the gate as they stand in manifests, with the gate's words for them.
#[cfg(test)]
pub(crate) fn findings_of_every_kind() -> Vec<(serde_json::Value, String)> {
    let names = vec!["step-1".to_owned(), "step-2".into()];
    let found = [
        gate::Finding::Duplicates { names },
        gate::Finding::Hole { after: 1, before: 4, missing: 2 },
        gate::Finding::Stray { name: "step-9".into(), because: "it is far away".into() },
    ];
    found
        .iter()
        .map(|found| (serde_json::to_value(found).expect("it has a JSON form"), found.to_string()))
        .collect()
}
