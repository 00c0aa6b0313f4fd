//! Late less early among pairs of runs that are equally accurate out of distribution.

use std::collections::{BTreeMap, BTreeSet};

use measures::estimate::{Interval, Statistic};
use measures::matching::{Unit, matched};

use super::contrast::{Contrast, Subject};
use super::design::{Design, Observation, Of};
use super::interval;
use super::measure::{self, Measure, Read, Sign};
use crate::rows::Summary;
use crate::study::DEFAULT_ARM;

/// Pairs match if their mean accuracies differ by at most this.
pub(crate) const CALIPER: f64 = 0.02;
/// The measure whose value must be equal.
const COVARIATE: &str = "ood_accuracy";
/// The measure that tells how much could be matched.
pub(crate) const SHARE: &str = "ood_matched_share";
/// The kind of these rows of the summary.
pub(crate) const KIND: &str = "late - early, matched";

/// A pretraining seed, a step and a run.
type Place = (u64, u64, u64);

/// A matched contrast for each measure of pairs that takes sides, then the share of late pairs that have a match.
///
/// Pairs are compared within a pretraining seed; the estimates are means over the seeds that have matches, with
/// intervals over those.
pub(crate) fn contrasts(
    observations: &[Observation],
    early_until: u64,
    late_from: u64,
    interval: Interval,
) -> Vec<Summary> {
    let default: Vec<&Observation> =
        observations.iter().filter(|observation| observation.arm == DEFAULT_ARM).collect();
    let accuracy: BTreeMap<Place, f64> = default
        .iter()
        .filter(|observation| observation.measure == COVARIATE)
        .filter_map(|observation| match observation.of {
            Of::Run(run) => Some(((observation.pretraining_seed, observation.step, run), observation.value)),
            _ => None,
        })
        .collect();
    let mut summary = Vec::new();
    let mut shares = BTreeMap::new();
    for measure in measure::MEASURES {
        if !matches!(measure.read, Read::Pairs(..)) || measure.sign == Sign::Neither {
            continue;
        }
        let mut differences = Vec::new();
        for (seed, Sides { early, late, runs }) in sides(&default, measure, &accuracy, early_until, late_from)
        {
            if late.is_empty() {
                continue;
            }
            let found = matched(&late, &early, CALIPER);
            let runs = runs.len() as u64;
            shares.insert(seed, (found.share, runs));
            differences.extend(found.difference.map(|difference| (seed, (difference, runs))));
        }
        summary.extend(over_seeds(measure, KIND, &differences, interval));
    }
    let shares: Vec<Figure> = shares.into_iter().collect();
    summary.extend(over_seeds(&measure::named(SHARE), "late", &shares, interval));
    summary
}

/// A figure of a pretraining seed, and the fine-tuning runs behind it.
type Figure = (u64, (f64, u64));

/// Pairs of one pretraining seed.
#[derive(Default)]
struct Sides {
    early: Vec<Unit>,
    late: Vec<Unit>,
    /// The runs of both sides, by step and number.
    runs: BTreeSet<(u64, u64)>,
}

fn sides(
    observations: &[&Observation],
    measure: &Measure,
    accuracy: &BTreeMap<Place, f64>,
    early_until: u64,
    late_from: u64,
) -> BTreeMap<u64, Sides> {
    let mut sides: BTreeMap<u64, Sides> = BTreeMap::new();
    for observation in observations.iter().filter(|observation| observation.measure == measure.id) {
        let Of::Pair(a, b) = observation.of else { continue };
        let (seed, step) = (observation.pretraining_seed, observation.step);
        let runs = [(step, a), (step, b)];
        let (Some(a), Some(b)) = (accuracy.get(&(seed, step, a)), accuracy.get(&(seed, step, b))) else {
            continue;
        };
        let unit = Unit { covariate: (a + b) / 2.0, value: observation.value };
        let of_seed = sides.entry(seed).or_default();
        if step <= early_until {
            of_seed.early.push(unit);
        } else if step >= late_from {
            of_seed.late.push(unit);
        } else {
            continue;
        }
        of_seed.runs.extend(runs);
    }
    sides
}

/// The mean of one figure for each pretraining seed.
fn over_seeds(
    measure: &Measure,
    kind: &'static str,
    figures: &[Figure],
    interval: Interval,
) -> Option<Summary> {
    let observations: Vec<Observation> = figures
        .iter()
        .map(|&(pretraining_seed, (value, runs))| Observation {
            arm: DEFAULT_ARM.into(),
            measure: measure.id.to_string(),
            step: 0,
            pretraining_seed,
            held_out_loss: None,
            of: Of::All(runs),
            value,
        })
        .collect();
    let design = Design::new(Statistic::Mean, observations.iter());
    let subject = Subject { arm: DEFAULT_ARM.into(), kind, step: None, rungs: vec![(DEFAULT_ARM.into(), 0)] };
    let contrast = Contrast { subject, weights: vec![1.0] };
    interval::estimate(measure, &design, &contrast, interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(measure: &str, seed: u64, step: u64, of: Of, value: f64) -> Observation {
        Observation {
            arm: DEFAULT_ARM.into(),
            measure: measure.into(),
            step,
            pretraining_seed: seed,
            held_out_loss: None,
            of,
            value,
        }
    }

    /// Two runs a rung. Seeds 0 and 1 have an early rung as good as the late one, seed 2 has not.
    fn ladder(seed: u64, early: f64, late: f64, gain: f64) -> Vec<Observation> {
        let cell = |step, accuracy, agreement| {
            [
                observation("ood_accuracy", seed, step, Of::Run(0), accuracy - 0.1),
                observation("ood_accuracy", seed, step, Of::Run(1), accuracy + 0.1),
                observation("ood_agreement", seed, step, Of::Pair(0, 1), agreement),
            ]
        };
        [cell(10, early, 0.6), cell(100, 0.9, 0.0), cell(1_000, late, 0.6 + gain)].concat()
    }

    #[test]
    fn compares_equals_and_says_how_many_there_are() {
        let observations =
            [ladder(0, 0.7, 0.71, 0.1), ladder(1, 0.7, 0.69, 0.2), ladder(2, 0.5, 0.8, 0.3)].concat();
        let rows = contrasts(&observations, 10, 1_000, Interval::SeedT);
        let row = |measure: &str| rows.iter().find(|row| row.measure == measure).unwrap();
        let agreement = row("ood_agreement");
        assert_eq!((agreement.kind.as_str(), agreement.n_pretraining), (KIND, 2));
        // Two early and two late runs of each seed.
        assert_eq!((agreement.n_finetuning, row(SHARE).n_finetuning), (8, 12));
        assert!((agreement.estimate - 0.15).abs() < 1e-12, "{agreement:?}");
        assert!(agreement.lower.unwrap() < 0.0 && agreement.upper.unwrap() > 0.3, "{agreement:?}");
        let share = row(SHARE);
        assert_eq!((share.kind.as_str(), share.n_pretraining), ("late", 3));
        assert!((share.estimate - 2.0 / 3.0).abs() < 1e-12, "{share:?}");
    }

    #[test]
    fn says_nothing_where_nothing_matches() {
        let rows = contrasts(&ladder(0, 0.5, 0.8, 0.3), 10, 1_000, Interval::SeedT);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].measure.as_str(), rows[0].estimate), (SHARE, 0.0));
        assert_eq!(contrasts(&[], 10, 1_000, Interval::SeedT), []);
    }
}
