//! Estimates with intervals at the level of seeds, as [`measures::estimate`] makes them.

use measures::contrasts::WidthFrom;
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

/// Kinds of rows whose estimate is a value of the measure, not a difference of values.
const LEVELS: [&str; 3] = ["rung", "early", "late"];

/// What a row of this kind can take.
pub(super) fn range(measure: &Measure, kind: &str) -> (f64, f64) {
    let (low, high) = measure.range;
    match kind {
        kind if LEVELS.contains(&kind) => (low, high),
        // A slope is per nat.
        "trend" => (f64::NEG_INFINITY, f64::INFINITY),
        _ => (low - high, high - low),
    }
}

/// The name of what sets an interval's width.
pub(super) fn width_from(from: WidthFrom) -> &'static str {
    match from {
        WidthFrom::Between => "between",
        WidthFrom::Within => "within",
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
    let found = of_course(&ladder, design.statistic, &numbers, &course, &options).ok();
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
    let is_level = LEVELS.contains(&subject.kind);
    let (low, high) = range(measure, subject.kind);
    let beyond_range = bounded.is_some_and(|found| found.lower < low || found.upper > high);
    let bounded = bounded.map(|found| if is_level { found.clamped(low, high) } else { found });
    let t = bounded.and_then(|found| found.t);
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
        beyond_range,
        method: bounded.map_or(String::new(), |found| found.method.to_string()),
        standard_error: bounded.map(|found| found.standard_error),
        df: t.map(|(df, _)| df),
        p: bounded.filter(|_| !is_level).and_then(|found| found.p()),
        p_adjusted: None,
        p_bh: None,
        width_from: t.map(|(_, from)| width_from(from).into()),
        n_pairs: None,
        n_pretraining: seeds.len() as u64,
        n_finetuning: n_finetuning as u64,
    }
}
