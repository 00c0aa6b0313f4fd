//! The runs of one checkpoint in one arm, out of distribution: what of them is pooled over pairs.

use std::collections::BTreeMap;

use measures::estimands::latent::Rates;
use measures::estimands::{Figure, logit_spread};

use super::design::{Observation, Of};
use super::measure::{MEASURES, Read};
use crate::observed::Observed;
use crate::rows::RunScore;
use crate::study::{LINEAR, primary_ood};

/// Arm, pretraining seed, step.
pub(super) type Place<'a> = (&'a str, u64, u64);

/// All groups of a study.
pub(super) type Groups<'a> = BTreeMap<Place<'a>, Group<'a>>;

/// A pair of runs with its accuracies; runs are numbered within their group.
pub(crate) struct Rated {
    pub(super) runs: (usize, usize),
    pub(super) accuracies: [f64; 2],
    /// Share of examples on which both are right or both are wrong.
    consistency: f64,
}

impl Rated {
    /// Path variance of the pair, over 1.
    pub(super) fn path_variance(&self) -> (f64, f64) {
        ((1.0 - self.consistency) / 2.0, 1.0)
    }

    /// Numerator and denominator of pooled error consistency.
    pub(super) fn shared(&self) -> (f64, f64) {
        let [p, q] = self.accuracies;
        let expected = p * q + (1.0 - p) * (1.0 - q);
        (self.consistency - expected, 1.0 - expected)
    }

    /// Share of examples on which both are right: `(c + p + q - 1) / 2`.
    fn both(&self) -> f64 {
        (self.consistency + self.accuracies[0] + self.accuracies[1] - 1.0) / 2.0
    }
}

/// The runs of one checkpoint in one arm.
#[derive(Default)]
pub(crate) struct Group<'a> {
    pub(super) pairs: Vec<Rated>,
    /// Keys of the runs, in order of their numbers.
    pub(super) runs: Vec<&'a str>,
    held_out_loss: Option<f64>,
    /// Right answers of each evaluated run, and examples.
    right: Vec<f64>,
    examples: f64,
}

impl<'a> Group<'a> {
    /// A ratio of sums over pairs with its jackknife over runs; `None` if the denominators sum to 0.
    pub(super) fn ratio(&self, term: fn(&Rated) -> (f64, f64)) -> Option<Figure> {
        Figure::jackknifed(self.runs.len(), |left_out| {
            let kept = |pair: &&Rated| left_out != Some(pair.runs.0) && left_out != Some(pair.runs.1);
            let add = |sum: (f64, f64), (above, below): (f64, f64)| (sum.0 + above, sum.1 + below);
            let (above, below) = self.pairs.iter().filter(kept).map(term).fold((0.0, 0.0), add);
            (below > 1e-12).then(|| above / below)
        })
    }

    /// Spread of the runs' accuracies on the logit scale.
    pub(super) fn logit_spread(&self) -> Option<Figure> {
        logit_spread::logit_spread(&self.right, self.examples)
    }

    /// Runs that were evaluated.
    pub(super) fn n_evaluated(&self) -> usize {
        self.right.len()
    }

    /// How often the runs of each pair are right.
    pub(super) fn rates(&self) -> impl Iterator<Item = Rates> + '_ {
        self.pairs.iter().map(|pair| Rates {
            accuracies: pair.accuracies,
            both: pair.both(),
            examples: self.examples.max(1.0),
        })
    }

    fn number(&mut self, run: &'a str) -> usize {
        self.runs.iter().position(|known| *known == run).unwrap_or_else(|| {
            self.runs.push(run);
            self.runs.len() - 1
        })
    }
}

/// The groups of a study on its out-of-distribution split.
pub(super) fn groups(observed: &Observed) -> Groups<'_> {
    let splits = observed.runs.iter().map(|run| run.split.as_str());
    let ood = primary_ood(splits.chain(observed.pairs.iter().map(|pair| pair.split.as_str())));
    let ood = ood.unwrap_or_default();
    let mut groups = Groups::new();
    for run in whole(observed, ood) {
        let group = groups.entry((&run.arm, run.pretraining_seed, run.step)).or_default();
        group.right.push(run.accuracy * run.n as f64);
        group.examples = run.n as f64;
        group.held_out_loss = run.held_out_loss;
    }
    for row in observed.pairs.iter().filter(|row| row.split == ood && row.path == LINEAR) {
        let (Some(a), Some(b), Some(consistency)) = (row.accuracy_a, row.accuracy_b, row.consistency) else {
            continue;
        };
        let group = groups.entry((&row.arm, row.pretraining_seed, row.step)).or_default();
        let runs = (group.number(&row.run_a), group.number(&row.run_b));
        group.pairs.push(Rated { runs, accuracies: [a, b], consistency });
    }
    groups
}

/// The rows of whole splits of this name.
pub(super) fn whole<'a>(observed: &'a Observed, split: &'a str) -> impl Iterator<Item = &'a RunScore> {
    observed.runs.iter().filter(move |run| run.case.is_empty() && run.split == split)
}

/// Observations of the measures that belong to a whole group of runs.
pub(crate) fn observations(observed: &Observed) -> Vec<Observation> {
    let mut found = Vec::new();
    for ((arm, pretraining_seed, step), group) in groups(observed) {
        for measure in MEASURES {
            let Read::Group(figure) = measure.read else { continue };
            let (figure, runs) = figure(&group);
            found.extend(figure.map(|figure| Observation {
                arm: arm.to_owned(),
                measure: measure.id.to_string(),
                step,
                pretraining_seed,
                held_out_loss: group.held_out_loss,
                of: Of::All(runs as u64),
                value: figure.value,
            }));
        }
    }
    found
}
