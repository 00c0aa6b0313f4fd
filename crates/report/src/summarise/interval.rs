//! Estimates with intervals at the level of seeds, as [`measures::estimate`] makes them.

use measures::estimate::{Estimate, Interval, Options, of_course};

use super::contrast::{Contrast, Subject};
use super::design::Design;
use super::measure::Measure;
use crate::rows::Summary;

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
    let Contrast { subject, weights } = contrast;
    let seeds = design.complete(&subject.rungs);
    let numbers: Vec<u64> = subject.rungs.iter().filter_map(|rung| design.number(rung)).collect();
    let ladder = design.ladder(&seeds, &numbers)?;
    let figure = |row: &[f64]| weights.iter().zip(row).map(|(weight, value)| weight * value).sum();
    let course = |_: &[u64], rows: &[&[f64]]| -> Vec<f64> { rows.iter().map(|row| figure(row)).collect() };
    let values = seeds.iter().map(|&seed| {
        let value = |&number: &u64| ladder.value(design.statistic, seed, number);
        figure(&numbers.iter().filter_map(value).collect::<Vec<f64>>())
    });
    let value = values.sum::<f64>() / seeds.len() as f64;
    if !value.is_finite() {
        return None;
    }
    let options = Options::default().with(interval);
    let found = of_course(&ladder, design.statistic, &numbers, &course, &options).ok().map(|found| {
        let (low, high) = measure.range;
        match subject.kind {
            "rung" | "early" | "late" => found.clamped(low, high),
            _ => found,
        }
    });
    Some(Summary { estimate: value, ..row(measure, design, subject, &seeds, found) })
}

/// A row of the summary: the estimate and its interval, where there is one, and all that says what they are of.
pub(super) fn row(
    measure: &Measure,
    design: &Design,
    subject: &Subject,
    seeds: &[u64],
    found: Option<Estimate>,
) -> Summary {
    let bounded = found.filter(|found| found.lower.is_finite() && found.upper.is_finite());
    let cells = seeds.iter().flat_map(|seed| subject.rungs.iter().map(move |rung| &design.seeds[seed][rung]));
    let losses: Vec<f64> = cells.clone().filter_map(|cell| cell.held_out_loss).collect();
    let n_finetuning: usize = cells.map(super::design::Observed::n_finetuning).sum();
    let is_rung = subject.kind == "rung" && !losses.is_empty();
    Summary {
        arm: subject.arm.clone(),
        kind: subject.kind.into(),
        step: subject.step,
        held_out_loss: is_rung.then(|| losses.iter().sum::<f64>() / losses.len() as f64),
        measure: measure.id.to_string(),
        estimate: found.map_or(f64::NAN, |found| found.value),
        lower: bounded.map(|found| found.lower),
        upper: bounded.map(|found| found.upper),
        method: bounded.map_or(String::new(), |found| found.method.to_string()),
        standard_error: None,
        df: None,
        p: None,
        p_adjusted: None,
        width_from: None,
        n_pairs: None,
        n_pretraining: seeds.len() as u64,
        n_finetuning: n_finetuning as u64,
    }
}
