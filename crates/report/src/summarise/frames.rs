//! The tables of a study as polars reads them, and the observations that are in them.
//!
//! The summary is made from the tables that the report publishes, not from what was in memory when they were written:
//! whoever opens them sees what the numbers rest on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use polars::prelude::{BooleanChunked, ChunkCompareEq, DataFrame, ParquetReader, PolarsResult, SerReader};
use tables::Schema;

use super::design::{Observation, Of};
use super::measure::EFFECT;
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
    let mut found = Vec::new();
    of_runs(&runs, &units, &ood, &mut found)?;
    of_pairs(&pairs, &units, &ood, &mut found)?;
    of_soups(&frame(SoupScore::TABLE)?, &ood, &mut found)?;
    of_interventions(&frame(InterventionEffect::TABLE)?, &units, &mut found)?;
    Ok(found)
}

fn of_runs(
    runs: &Frame,
    units: &BTreeMap<String, u64>,
    ood: &str,
    found: &mut Vec<Observation>,
) -> PolarsResult<()> {
    let whole = runs.only("case", "")?;
    for (split, measures) in [("id", &["id_accuracy"][..]), (ood, &["ood_accuracy", "ood_accuracy_sd"])] {
        let frame = whole.only("split", split)?;
        let of: Vec<Of> = frame.texts("run")?.iter().map(|run| Of::Run(units[run])).collect();
        for measure in measures {
            frame.observe(measure, "accuracy", &of, found)?;
        }
    }
    Ok(())
}

fn of_pairs(
    pairs: &Frame,
    units: &BTreeMap<String, u64>,
    ood: &str,
    found: &mut Vec<Observation>,
) -> PolarsResult<()> {
    const OOD: [(&str, &str); 6] = [
        ("ood_path_variance", "path_variance"),
        ("ood_agreement", "agreement"),
        ("ood_chance_corrected", "chance_corrected_agreement"),
        ("ood_jensen_shannon", "jensen_shannon"),
        ("ood_error_barrier", "error_barrier"),
        ("ood_expected_error_barrier", "expected_error_barrier"),
    ];
    const ID: [(&str, &str); 2] = [("id_barrier", "barrier"), ("id_convexity_gap", "convexity_gap")];
    // The same on every row of a pair: one split stands for all.
    const ONCE: [(&str, &str); 3] = [
        ("weight_distance", "weight_distance"),
        ("profile_distance", "profile_distance"),
        ("counterfactual_agreement", "counterfactual_agreement"),
    ];
    let splits: BTreeSet<String> = pairs.texts("split")?.into_iter().collect();
    let once = if splits.contains(ood) { ood } else { splits.first().map_or("", String::as_str) };
    for (split, measures) in [(ood, &OOD[..]), ("id", &ID), (once, &ONCE)] {
        let frame = pairs.only("split", split)?;
        let ends = frame.texts("run_a")?.into_iter().zip(frame.texts("run_b")?);
        let of: Vec<Of> = ends.map(|(a, b)| Of::Pair(units[&a], units[&b])).collect();
        for (measure, column) in measures {
            frame.observe(measure, column, &of, found)?;
        }
    }
    Ok(())
}

fn of_soups(soups: &Frame, ood: &str, found: &mut Vec<Observation>) -> PolarsResult<()> {
    let soups = soups.only("split", ood)?;
    for (method, measure, column) in [
        ("uniform", "uniform_gain_mean", "gain_over_mean"),
        ("uniform", "uniform_gain_best", "gain_over_best"),
        ("greedy", "greedy_gain_mean", "gain_over_mean"),
        ("probability ensemble", "ensemble_gain_mean", "gain_over_mean"),
    ] {
        let frame = soups.only("method", method)?;
        let mut observed = Vec::new();
        let of: Vec<Of> = frame.integers("offered")?.into_iter().map(Of::All).collect();
        frame.observe(measure, column, &of, &mut observed)?;
        // Several soups of one method in one cell, of other members or rules, are averaged.
        observed.sort_by(|a, b| cell(a).cmp(&cell(b)));
        for alike in observed.chunk_by(|a, b| cell(a) == cell(b)) {
            let mean = alike.iter().map(|observation| observation.value).sum::<f64>() / alike.len() as f64;
            found.push(Observation { value: mean, ..alike[0].clone() });
        }
    }
    Ok(())
}

fn cell(observation: &Observation) -> (&str, u64, u64) {
    (&observation.arm, observation.step, observation.pretraining_seed)
}

fn of_interventions(
    effects: &Frame,
    units: &BTreeMap<String, u64>,
    found: &mut Vec<Observation>,
) -> PolarsResult<()> {
    let names: BTreeSet<String> = effects.texts("intervention")?.into_iter().collect();
    for name in names {
        let frame = effects.only("intervention", &name)?;
        let of: Vec<Of> = frame.texts("run")?.iter().map(|run| Of::Run(units[run])).collect();
        frame.observe(&format!("{EFFECT}{name}"), "effect", &of, found)?;
    }
    Ok(())
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
    fn observe(
        &self,
        measure: &str,
        column: &str,
        of: &[Of],
        found: &mut Vec<Observation>,
    ) -> PolarsResult<()> {
        let (arms, steps, seeds) =
            (self.texts("arm")?, self.integers("step")?, self.integers("pretraining_seed")?);
        let losses = self.floats("held_out_loss")?;
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
        Ok(())
    }
}
