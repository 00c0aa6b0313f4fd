//! Estimates with intervals at the level of seeds, as [`measures::estimate`] makes them.

use std::collections::BTreeMap;

use measures::estimate::{Interval, Options, of_course};

use super::contrast::Contrast;
use super::design::Design;
use super::measure::Measure;
use crate::report::collate::rows::Summary;

/// How intervals are made, for the page.
pub(crate) fn described(interval: Interval) -> &'static str {
    match interval {
        Interval::SeedT => {
            "Intervals (95 %) are Student’s t over pretraining seeds, never narrower than the fine-tuning seeds within them \
             leave open; with one pretraining seed they cover its fine-tuning seeds alone. Pairs of runs are never counted as \
             independent."
        }
        Interval::Percentile | Interval::Bca => {
            "Intervals (95 %) are hierarchical bootstraps over pretraining seeds and the fine-tuning seeds within them; with \
             few pretraining seeds they are too narrow. Pairs of runs are never counted as independent."
        }
    }
}

/// Mean over pretraining seeds of a contrast within each, as a row of the summary. Pretraining seeds that lack what
/// the contrast needs are left out; there is no interval where there are too few seeds for one.
pub(crate) fn estimate(
    measure: &Measure,
    design: &Design,
    contrast: &Contrast,
    interval: Interval,
) -> Option<Summary> {
    let defined = |seed: u64| contrast.rungs.iter().all(|rung| design.value(seed, rung).is_some());
    let weights: BTreeMap<u64, Vec<f64>> = design
        .seeds
        .keys()
        .filter(|&&seed| defined(seed))
        .filter_map(|&seed| Some((seed, contrast.weights(design, seed)?)))
        .collect();
    let seeds: Vec<u64> = weights.keys().copied().collect();
    let numbers: Vec<u64> = contrast.rungs.iter().filter_map(|rung| design.number(rung)).collect();
    let ladder = design.ladder(&seeds, &numbers)?;
    let course = |origins: &[u64], rows: &[&[f64]]| -> Vec<f64> {
        let figure = |(seed, row): (&u64, &&[f64])| {
            weights[seed].iter().zip(*row).map(|(weight, value)| weight * value).sum()
        };
        origins.iter().zip(rows).map(figure).collect()
    };
    let rows: Vec<Vec<f64>> = seeds
        .iter()
        .map(|&seed| {
            numbers.iter().filter_map(|&number| ladder.value(design.statistic, seed, number)).collect()
        })
        .collect();
    let slices: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let figures = course(&seeds, &slices);
    let value = figures.iter().sum::<f64>() / figures.len() as f64;
    if !value.is_finite() {
        return None;
    }
    let options = Options::default().with(interval);
    let found = of_course(&ladder, design.statistic, &numbers, &course, &options)
        .ok()
        .filter(|found| found.lower.is_finite() && found.upper.is_finite())
        .map(|found| match (contrast.kind, measure.bounds()) {
            ("rung" | "early" | "late", Some((low, high))) => found.clamped(low, high),
            _ => found,
        });
    let cells =
        seeds.iter().flat_map(|seed| contrast.rungs.iter().map(move |rung| &design.seeds[seed][rung]));
    let losses: Vec<f64> = cells.clone().filter_map(|cell| cell.held_out_loss).collect();
    let n_finetuning: usize = cells.map(super::design::Observed::n_finetuning).sum();
    let is_rung = contrast.kind == "rung" && !losses.is_empty();
    Some(Summary {
        arm: contrast.arm.clone(),
        kind: contrast.kind.into(),
        step: contrast.step,
        held_out_loss: is_rung.then(|| losses.iter().sum::<f64>() / losses.len() as f64),
        measure: measure.id.to_string(),
        estimate: value,
        lower: found.map(|found| found.lower),
        upper: found.map(|found| found.upper),
        method: found.map_or(String::new(), |found| found.method.to_string()),
        n_pretraining: seeds.len() as u64,
        n_finetuning: n_finetuning as u64,
    })
}
