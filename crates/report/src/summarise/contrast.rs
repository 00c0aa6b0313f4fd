//! The questions that are put to each measure. Each is a weighted sum of cells within a pretraining seed, so that
//! what one pretraining run does is compared with itself.

use super::design::{Design, Rung};
use crate::study::DEFAULT_ARM;

/// What a row of the summary is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    pub(crate) arm: String,
    /// As in the column `kind` of the summary.
    pub(crate) kind: &'static str,
    pub(crate) step: Option<u64>,
    /// The rungs that it looks at.
    pub(crate) rungs: Vec<Rung>,
}

/// A weighted sum of the cells of one pretraining seed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contrast {
    pub(crate) subject: Subject,
    /// The weight of each rung.
    pub(crate) weights: Vec<f64>,
}

/// All contrasts that a measure's design allows, in the order of the summary.
pub(crate) fn contrasts(design: &Design, early_until: u64, late_from: u64) -> Vec<Contrast> {
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
    for (arm, step) in design.rungs.iter().filter(|(arm, step)| arm != DEFAULT_ARM && steps.contains(step)) {
        let rungs = vec![(arm.clone(), *step), (DEFAULT_ARM.to_owned(), *step)];
        let subject = Subject { arm: arm.clone(), kind: "arm - default", step: Some(*step), rungs };
        all.push(Contrast { subject, weights: vec![1.0, -1.0] });
    }
    all
}

fn fixed(arm: &str, kind: &'static str, step: Option<u64>, weighted: &[(u64, f64)]) -> Contrast {
    let rungs = weighted.iter().map(|(step, _)| (arm.to_owned(), *step)).collect();
    let weights = weighted.iter().map(|(_, weight)| *weight).collect();
    Contrast { subject: Subject { arm: arm.to_owned(), kind, step, rungs }, weights }
}
