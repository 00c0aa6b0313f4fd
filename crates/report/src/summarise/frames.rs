//! The tables of a study as polars reads them, and the observations that are in them.
//!
//! The summary is made from the tables that the report publishes, not from what was in memory when they were written:
//! whoever opens them sees what the numbers rest on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use polars::prelude::{BooleanChunked, ChunkCompareEq, DataFrame, ParquetReader, PolarsResult, SerReader};
use tables::Schema;

use super::design::{Observation, Of};
use super::measure::{EFFECT, MEASURES, Measure, Read, Split};
use crate::rows::{InterventionEffect, PairSplit, RunScore, SoupScore};
use crate::study::{LINEAR, primary_ood};

/// All observations of all measures.
///
/// # Errors
/// If a table is not what the report wrote.
pub(crate) fn observations(tables: &BTreeMap<&'static str, Vec<u8>>) -> PolarsResult<Vec<Observation>> {
    let frame = |schema: &Schema| Frame::read(&tables[schema.name]);
    let runs = frame(RunScore::TABLE)?;
    let pairs = frame(PairSplit::TABLE)?.only("path", LINEAR)?;
    let units = units(&runs, &pairs)?;
    let splits: BTreeSet<String> = runs.texts("split")?.into_iter().chain(pairs.texts("split")?).collect();
    let ood = primary_ood(splits.iter().map(String::as_str)).unwrap_or_default().to_owned();
    let tables = Frames {
        soups: frame(SoupScore::TABLE)?.only("split", &ood)?,
        effects: frame(InterventionEffect::TABLE)?,
        runs: runs.only("case", "")?,
        pairs,
        units,
        ood,
    };
    let mut found = Vec::new();
    for measure in MEASURES {
        found.extend(tables.observed(measure)?);
    }
    for name in tables.effects.texts("intervention")?.into_iter().collect::<BTreeSet<String>>() {
        found.extend(tables.effect(&name)?);
    }
    Ok(found)
}

/// The tables that measures are read from.
struct Frames {
    /// Scores of whole splits.
    runs: Frame,
    /// Pairs on straight lines.
    pairs: Frame,
    /// Scores of soups on the out-of-distribution split.
    soups: Frame,
    effects: Frame,
    /// Numbers of the runs, by key.
    units: BTreeMap<String, u64>,
    /// The out-of-distribution split; empty if there is none.
    ood: String,
}

impl Frames {
    /// The observations of a measure that stands in a column.
    fn observed(&self, measure: &Measure) -> PolarsResult<Vec<Observation>> {
        match measure.read {
            Read::Runs(split, column) | Read::Spread(split, column) => {
                let frame = self.runs.only("split", &self.split(split)?)?;
                let of = self.of_runs(&frame)?;
                frame.observe(&measure.id, column, &of)
            }
            Read::Pairs(split, column) => {
                let frame = self.pairs.only("split", &self.split(split)?)?;
                let ends = frame.texts("run_a")?.into_iter().zip(frame.texts("run_b")?);
                let of: Vec<Of> = ends.map(|(a, b)| Of::Pair(self.units[&a], self.units[&b])).collect();
                frame.observe(&measure.id, column, &of)
            }
            Read::Soups(method, column) => {
                let frame = self.soups.only("method", method)?;
                let of: Vec<Of> = frame.integers("offered")?.into_iter().map(Of::All).collect();
                Ok(averaged(frame.observe(&measure.id, column, &of)?))
            }
            // These stand in no column, or have names of their own.
            Read::Group(_) | Read::Matched | Read::Effects => Ok(Vec::new()),
        }
    }

    fn effect(&self, intervention: &str) -> PolarsResult<Vec<Observation>> {
        let frame = self.effects.only("intervention", intervention)?;
        let of = self.of_runs(&frame)?;
        frame.observe(&format!("{EFFECT}{intervention}"), "effect", &of)
    }

    fn of_runs(&self, frame: &Frame) -> PolarsResult<Vec<Of>> {
        Ok(frame.texts("run")?.iter().map(|run| Of::Run(self.units[run])).collect())
    }

    /// The name of a split; for what is the same on all of them, one that stands for all.
    fn split(&self, split: Split) -> PolarsResult<String> {
        Ok(match split {
            Split::Id => "id".to_owned(),
            Split::Ood => self.ood.clone(),
            Split::Any => {
                let splits: BTreeSet<String> = self.pairs.texts("split")?.into_iter().collect();
                let first = || splits.first().cloned().unwrap_or_default();
                splits.get(&self.ood).cloned().unwrap_or_else(first)
            }
        })
    }
}

/// Several soups of one method in one cell, of other members or rules, are averaged.
fn averaged(mut observed: Vec<Observation>) -> Vec<Observation> {
    observed.sort_by(|a, b| cell(a).cmp(&cell(b)));
    let mean = |alike: &[Observation]| {
        let sum: f64 = alike.iter().map(|observation| observation.value).sum();
        Observation { value: sum / alike.len() as f64, ..alike[0].clone() }
    };
    observed.chunk_by(|a, b| cell(a) == cell(b)).map(mean).collect()
}

fn cell(observation: &Observation) -> (&str, u64, u64) {
    (&observation.arm, observation.step, observation.pretraining_seed)
}

/// A number for each fine-tuning run, by its key: the same for runs of the same seeds at other rungs and arms, and
/// different for all runs of one rung. Runs that were walked between but not evaluated are in `pairs` alone.
fn units(runs: &Frame, pairs: &Frame) -> PolarsResult<BTreeMap<String, u64>> {
    type Seeds = (u64, u64, u64);
    let mut by_rung: BTreeMap<(String, u64, u64, Seeds), BTreeSet<String>> = BTreeMap::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (frame, key, seeds) in [
        (runs, "run", ["finetuning_seed", "head_seed", "order_seed"]),
        (pairs, "run_a", ["seed_a"; 3]),
        (pairs, "run_b", ["seed_b"; 3]),
    ] {
        let (keys, arms) = (frame.texts(key)?, frame.texts("arm")?);
        let (origins, steps) = (frame.integers("pretraining_seed")?, frame.integers("step")?);
        let [seed, head, order] = seeds.map(|name| frame.integers(name));
        let (seed, head, order) = (seed?, head?, order?);
        let new: Vec<usize> = (0..keys.len()).filter(|&i| !known.contains(&keys[i])).collect();
        for i in new {
            let rung = (arms[i].clone(), origins[i], steps[i], (seed[i], head[i], order[i]));
            by_rung.entry(rung).or_default().insert(keys[i].clone());
            known.insert(keys[i].clone());
        }
    }
    // Runs that differ in no seed differ in something that is no seed: they are told apart by the order of their keys.
    let named: Vec<((Seeds, usize), &String)> = by_rung
        .iter()
        .flat_map(|((_, _, _, seeds), keys)| {
            keys.iter().enumerate().map(move |(place, key)| ((*seeds, place), key))
        })
        .collect();
    let distinct: BTreeSet<(Seeds, usize)> = named.iter().map(|(name, _)| *name).collect();
    let numbers: BTreeMap<(Seeds, usize), u64> = distinct.into_iter().zip(0..).collect();
    Ok(named.into_iter().map(|(name, key)| (key.clone(), numbers[&name])).collect())
}

/// A table in memory.
struct Frame(DataFrame);

impl Frame {
    fn read(parquet: &[u8]) -> PolarsResult<Self> {
        ParquetReader::new(Cursor::new(parquet)).finish().map(Self)
    }

    /// The rows that have this text in a column.
    fn only(&self, column: &str, text: &str) -> PolarsResult<Self> {
        let mask: BooleanChunked = self.0.column(column)?.str()?.equal(text);
        self.0.filter(&mask).map(Self)
    }

    fn texts(&self, column: &str) -> PolarsResult<Vec<String>> {
        let values = self.0.column(column)?.str()?;
        Ok(values.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    }

    fn integers(&self, column: &str) -> PolarsResult<Vec<u64>> {
        Ok(self.0.column(column)?.u64()?.iter().map(Option::unwrap_or_default).collect())
    }

    fn floats(&self, column: &str) -> PolarsResult<Vec<Option<f64>>> {
        Ok(self.0.column(column)?.f64()?.iter().collect())
    }

    /// An observation of `measure` for each row that has a value.
    fn observe(&self, measure: &str, column: &str, of: &[Of]) -> PolarsResult<Vec<Observation>> {
        let (arms, steps, seeds) =
            (self.texts("arm")?, self.integers("step")?, self.integers("pretraining_seed")?);
        let losses = self.floats("held_out_loss")?;
        let mut found = Vec::new();
        for (i, value) in self.floats(column)?.into_iter().enumerate() {
            let Some(value) = value else { continue };
            found.push(Observation {
                arm: arms[i].clone(),
                measure: measure.to_owned(),
                step: steps[i],
                pretraining_seed: seeds[i],
                held_out_loss: losses[i],
                of: of[i],
                value,
            });
        }
        Ok(found)
    }
}
