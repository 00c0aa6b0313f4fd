//! The tables of a study before anything is estimated: what a report is made from.

use std::collections::BTreeMap;
use std::path::Path;

use tables::{Row, Schema};

use crate::Error;
use crate::rows::{Fact, InterventionEffect, ItemCount, PairSplit, PathPoint, RunScore, Rung, SoupScore};

/// What a study observed, a list of rows for each table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Checkpoints of the pretraining runs.
    pub ladder: Vec<Rung>,
    /// Scores of the fine-tuned models.
    pub runs: Vec<RunScore>,
    /// Points of the paths between them.
    pub paths: Vec<PathPoint>,
    /// Pairs of fine-tuned models.
    pub pairs: Vec<PairSplit>,
    /// Soups and ensembles.
    pub soups: Vec<SoupScore>,
    /// Effects of interventions.
    pub interventions: Vec<InterventionEffect>,
    /// Examples of which only the number of right runs is known.
    pub items: Vec<ItemCount>,
    /// How the study was made.
    pub facts: Vec<Fact>,
}

impl Observed {
    /// Reads `FOLDER/<table>.parquet` for each table of a study. Tables that are not there are empty.
    ///
    /// # Errors
    /// [`Error::NoTables`] if neither `runs` nor `pairs` is there; [`Error::Table`] names the table, the column and
    /// its expected type where a table is not what it should be.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let observed = Self {
            ladder: table(folder)?,
            runs: table(folder)?,
            paths: table(folder)?,
            pairs: table(folder)?,
            soups: table(folder)?,
            interventions: table(folder)?,
            items: table(folder)?,
            facts: table(folder)?,
        };
        match observed.runs.is_empty() && observed.pairs.is_empty() {
            true => Err(Error::NoTables { folder: folder.into() }),
            false => Ok(observed),
        }
    }

    /// Appends the rows of another part of the study.
    pub fn append(&mut self, other: Self) {
        self.ladder.extend(other.ladder);
        self.runs.extend(other.runs);
        self.paths.extend(other.paths);
        self.pairs.extend(other.pairs);
        self.soups.extend(other.soups);
        self.interventions.extend(other.interventions);
        self.items.extend(other.items);
        self.facts.extend(other.facts);
    }

    /// The Parquet bytes of the tables, by name.
    ///
    /// # Errors
    /// [`Error::Table`] if the writer refuses the rows.
    pub fn write(&self) -> Result<BTreeMap<&'static str, Vec<u8>>, Error> {
        Ok(BTreeMap::from([
            bytes(&self.ladder)?,
            bytes(&self.runs)?,
            bytes(&self.paths)?,
            bytes(&self.pairs)?,
            bytes(&self.soups)?,
            bytes(&self.interventions)?,
            bytes(&self.items)?,
            bytes(&self.facts)?,
        ]))
    }
}

/// A table's name and bytes.
pub(crate) fn bytes<R: Row>(rows: &[R]) -> Result<(&'static str, Vec<u8>), Error> {
    let Schema { name, .. } = R::TABLE;
    tables::write(rows).map(|bytes| (*name, bytes)).map_err(|source| Error::Table { table: name, source })
}

fn table<R: Row>(folder: &Path) -> Result<Vec<R>, Error> {
    let path = folder.join(format!("{}.parquet", R::TABLE.name));
    match std::fs::read(&path) {
        Ok(bytes) => tables::read(&bytes).map_err(|source| Error::Table { table: R::TABLE.name, source }),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Read { path, source }),
    }
}
