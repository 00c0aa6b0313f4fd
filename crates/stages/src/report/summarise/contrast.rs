//! The questions that are put to each measure. Each is a weighted sum of cells within a pretraining seed, so that
//! what one pretraining run does is compared with itself.

use super::design::{Design, Rung};
use super::measure::{Measure, Sign};
use crate::report::study::DEFAULT_ARM;

/// A weighted sum of the cells of one pretraining seed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contrast {
    pub(crate) arm: String,
    /// As in the column `kind` of the summary.
    pub(crate) kind: &'static str,
    pub(crate) step: Option<u64>,
    /// The rungs that it is about.
    pub(crate) rungs: Vec<Rung>,
    pub(crate) form: Form,
}

/// How the rungs are weighted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    /// The same weights for every pretraining seed.
    Fixed(Vec<f64>),
    /// Least-squares slope on the fall of each pretraining seed's own held-out loss.
    Slope,
}

impl Contrast {
    /// The weight of each rung for a pretraining seed, if it has all rungs and what their weights depend on.
    pub(crate) fn weights(&self, design: &Design, seed: u64) -> Option<Vec<f64>> {
        let cells = design.seeds.get(&seed)?;
        let here: Option<Vec<_>> = self.rungs.iter().map(|rung| cells.get(rung)).collect();
        let here = here?;
        match &self.form {
            Form::Fixed(weights) => Some(weights.clone()),
            Form::Slope => {
                let falls: Option<Vec<f64>> =
                    here.iter().map(|cell| cell.held_out_loss.map(|loss| -loss)).collect();
                let falls = falls?;
                let mean = falls.iter().sum::<f64>() / falls.len() as f64;
                let square: f64 = falls.iter().map(|x| (x - mean).powi(2)).sum();
                (square > 1e-12).then(|| falls.iter().map(|x| (x - mean) / square).collect())
            }
        }
    }
}

/// All contrasts that a measure's design allows, in the order of the summary.
pub(crate) fn contrasts(
    measure: &Measure,
    design: &Design,
    early_until: u64,
    late_from: u64,
) -> Vec<Contrast> {
    let mut all = Vec::new();
    for (arm, step) in &design.rungs {
        all.push(fixed(arm, "rung", Some(*step), &[(*step, 1.0)]));
    }
    let steps: Vec<u64> =
        design.rungs.iter().filter(|(arm, _)| arm == DEFAULT_ARM).map(|(_, step)| *step).collect();
    let mean = |wanted: &dyn Fn(u64) -> bool, sign: f64| -> Vec<(u64, f64)> {
        let chosen: Vec<u64> = steps.iter().copied().filter(|&step| wanted(step)).collect();
        let weight = sign / chosen.len() as f64;
        chosen.into_iter().map(|step| (step, weight)).collect()
    };
    let early = |sign| mean(&|step| step <= early_until, sign);
    let late = |sign| mean(&|step| step >= late_from, sign);
    if !early(1.0).is_empty() && !late(1.0).is_empty() {
        all.push(fixed(DEFAULT_ARM, "early", None, &early(1.0)));
        all.push(fixed(DEFAULT_ARM, "late", None, &late(1.0)));
        all.push(fixed(DEFAULT_ARM, "late - early", None, &[late(1.0), early(-1.0)].concat()));
    }
    all.extend(peak(measure, design, &steps));
    if steps.len() >= 3 {
        let rungs = steps.iter().map(|&step| (DEFAULT_ARM.to_owned(), step)).collect();
        all.push(Contrast { arm: DEFAULT_ARM.into(), kind: "trend", step: None, rungs, form: Form::Slope });
    }
    for (arm, step) in design.rungs.iter().filter(|(arm, step)| arm != DEFAULT_ARM && steps.contains(step)) {
        all.push(Contrast {
            arm: arm.clone(),
            kind: "arm - default",
            step: Some(*step),
            rungs: vec![(arm.clone(), *step), (DEFAULT_ARM.to_owned(), *step)],
            form: Form::Fixed(vec![1.0, -1.0]),
        });
    }
    all
}

fn fixed(arm: &str, kind: &'static str, step: Option<u64>, weighted: &[(u64, f64)]) -> Contrast {
    let rungs = weighted.iter().map(|(step, _)| (arm.to_owned(), *step)).collect();
    let weights = weighted.iter().map(|(_, weight)| *weight).collect();
    Contrast { arm: arm.to_owned(), kind, step, rungs, form: Form::Fixed(weights) }
}

/// The rung with the most path dependence against both ends, where it is neither. It is found in the data, so that
/// its intervals are descriptive.
fn peak(measure: &Measure, design: &Design, steps: &[u64]) -> Vec<Contrast> {
    let dependence = |step: u64| {
        let rung = (DEFAULT_ARM.to_owned(), step);
        let values: Vec<f64> = design.seeds.keys().filter_map(|&seed| design.value(seed, &rung)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        if values.is_empty() { f64::NEG_INFINITY } else { -measure.toward_one_basin() * mean }
    };
    let peak = steps.iter().copied().max_by(|&a, &b| dependence(a).total_cmp(&dependence(b)).then(b.cmp(&a)));
    match (peak, steps.first(), steps.last()) {
        (Some(peak), Some(&first), Some(&last))
            if measure.sign != Sign::Neither && peak != first && peak != last =>
        {
            vec![
                fixed(DEFAULT_ARM, "peak - first", Some(peak), &[(peak, 1.0), (first, -1.0)]),
                fixed(DEFAULT_ARM, "peak - last", Some(peak), &[(peak, 1.0), (last, -1.0)]),
            ]
        }
        _ => Vec::new(),
    }
}
