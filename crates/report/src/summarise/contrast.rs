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
    all.extend(interactions(design));
    all
}

/// How far each further arm changes from its first to its last rung, and by how much more than the default arm does between
/// the same two.
fn interactions(design: &Design) -> Vec<Contrast> {
    let steps_of = |arm: &str| {
        let steps = design.rungs.iter().filter(|(of, _)| of == arm).map(|(_, step)| *step);
        steps.clone().min().zip(steps.max()).filter(|(first, last)| first < last)
    };
    let mut arms: Vec<&String> = design.rungs.iter().map(|(arm, _)| arm).collect();
    arms.dedup();
    let mut all = Vec::new();
    for arm in arms.into_iter().filter(|arm| *arm != DEFAULT_ARM) {
        let Some((first, last)) = steps_of(arm) else { continue };
        all.push(fixed(arm, "last - first", None, &[(last, 1.0), (first, -1.0)]));
        let ends = [(arm.as_str(), last), (arm, first), (DEFAULT_ARM, last), (DEFAULT_ARM, first)];
        let rungs: Vec<Rung> = ends.iter().map(|&(arm, step)| (arm.to_owned(), step)).collect();
        if rungs.iter().all(|rung| design.rungs.contains(rung)) {
            let subject = Subject { arm: arm.clone(), kind: "(last - first) - default", step: None, rungs };
            all.push(Contrast { subject, weights: vec![1.0, -1.0, -1.0, 1.0] });
        }
    }
    all
}

fn fixed(arm: &str, kind: &'static str, step: Option<u64>, weighted: &[(u64, f64)]) -> Contrast {
    let rungs = weighted.iter().map(|(step, _)| (arm.to_owned(), *step)).collect();
    let weights = weighted.iter().map(|(_, weight)| *weight).collect();
    Contrast { subject: Subject { arm: arm.to_owned(), kind, step, rungs }, weights }
}

#[cfg(test)]
mod tests {
    use super::super::design::{Observation, Of};
    use measures::estimate::Statistic;

    use super::*;

    #[test]
    fn an_interaction_is_a_change_less_the_change_of_the_default_arm() {
        let observation = |(arm, step, value): (&str, u64, f64)| Observation {
            arm: arm.into(),
            measure: "x".into(),
            step,
            pretraining_seed: 1,
            held_out_loss: None,
            of: Of::All(1),
            value,
        };
        let values = [
            (DEFAULT_ARM, 0, 1.0),
            (DEFAULT_ARM, 5, 7.0),
            (DEFAULT_ARM, 9, 4.0),
            ("rho = 1", 0, 8.0),
            ("rho = 1", 9, 2.0),
            ("no default at 3", 3, 1.0),
            ("no default at 3", 9, 5.0),
            ("one rung", 9, 5.0),
        ];
        let observations: Vec<Observation> = values.into_iter().map(observation).collect();
        let design = Design::new(Statistic::Mean, observations.iter());
        let value = |contrast: &Contrast| -> f64 {
            let cells = contrast.subject.rungs.iter().map(|rung| design.value(1, rung).unwrap());
            cells.zip(&contrast.weights).map(|(cell, weight)| cell * weight).sum()
        };
        let found: Vec<(String, &str, f64)> = interactions(&design)
            .iter()
            .map(|contrast| (contrast.subject.arm.clone(), contrast.subject.kind, value(contrast)))
            .collect();
        let expected = [
            ("no default at 3".to_owned(), "last - first", 4.0),
            ("rho = 1".to_owned(), "last - first", -6.0),
            ("rho = 1".to_owned(), "(last - first) - default", -9.0),
        ];
        assert_eq!(found, expected);
    }
}
