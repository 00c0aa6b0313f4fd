//! The observations of one measure, arranged by what is random: pretraining seeds, and fine-tuning seeds within them.

use std::collections::{BTreeMap, BTreeSet};

use measures::estimate::{Cell, Ladder, Statistic};

/// One value of one measure: of a run, of a pair of runs, or of all runs of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observation {
    pub(crate) arm: String,
    pub(crate) measure: String,
    pub(crate) step: u64,
    pub(crate) pretraining_seed: u64,
    pub(crate) held_out_loss: Option<f64>,
    /// What it is a value of.
    pub(crate) of: Of,
    pub(crate) value: f64,
}

/// The fine-tuning runs that a value depends on, by numbers that are the same at every rung for the same seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Run(u64),
    Pair(u64, u64),
    /// All runs of a cell: so many.
    All(u64),
}

/// An arm and a step: a rung of the study.
pub(crate) type Rung = (String, u64);

/// All observations of a measure from one pretraining seed at one rung of one arm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) held_out_loss: Option<f64>,
    runs: Vec<(u64, f64)>,
    pairs: Vec<(u64, u64, f64)>,
    /// Runs behind a value that is of all of them.
    behind: u64,
}

impl Observed {
    /// Fine-tuning runs that the values are of.
    pub(crate) fn n_finetuning(&self) -> usize {
        if self.behind > 0 {
            return self.behind as usize;
        }
        let from_pairs = self.pairs.iter().flat_map(|&(a, b, _)| [a, b]);
        self.runs.iter().map(|&(run, _)| run).chain(from_pairs).collect::<BTreeSet<u64>>().len()
    }
}

/// A measure's cells by rung, for each pretraining seed.
#[derive(Clone, Debug)]
pub(crate) struct Design {
    pub(crate) statistic: Statistic,
    pub(crate) seeds: BTreeMap<u64, BTreeMap<Rung, Observed>>,
    /// All rungs, in order: their places here are their numbers in a [`Ladder`].
    pub(crate) rungs: Vec<Rung>,
}

impl Design {
    /// The observations of one measure; those that are not finite are left out.
    pub(crate) fn new<'a>(statistic: Statistic, observations: impl Iterator<Item = &'a Observation>) -> Self {
        let mut seeds: BTreeMap<u64, BTreeMap<Rung, Observed>> = BTreeMap::new();
        for observation in observations.filter(|observation| observation.value.is_finite()) {
            let rungs = seeds.entry(observation.pretraining_seed).or_default();
            let cell = rungs.entry((observation.arm.clone(), observation.step)).or_default();
            cell.held_out_loss = cell.held_out_loss.or(observation.held_out_loss);
            match observation.of {
                Of::Run(run) => cell.runs.push((run, observation.value)),
                Of::Pair(a, b) => cell.pairs.push((a, b, observation.value)),
                Of::All(runs) => {
                    cell.runs.push((0, observation.value));
                    cell.behind = cell.behind.max(runs);
                }
            }
        }
        let rungs: BTreeSet<Rung> = seeds.values().flat_map(|rungs| rungs.keys().cloned()).collect();
        Self { statistic, seeds, rungs: rungs.into_iter().collect() }
    }

    /// The number of a rung.
    pub(crate) fn number(&self, rung: &Rung) -> Option<u64> {
        self.rungs.iter().position(|known| known == rung).map(|place| place as u64)
    }

    /// The pretraining seeds that have a value at each of these rungs.
    pub(crate) fn complete(&self, rungs: &[Rung]) -> Vec<u64> {
        let has_all = |seed: &u64| rungs.iter().all(|rung| self.value(*seed, rung).is_some());
        self.seeds.keys().copied().filter(has_all).collect()
    }

    /// The cells of these pretraining seeds at these rungs, if there are any and none is contradictory.
    pub(crate) fn ladder(&self, seeds: &[u64], rungs: &[u64]) -> Option<Ladder> {
        let cell = |seed: u64, number: u64| {
            let observed = self.seeds.get(&seed)?.get(self.rungs.get(number as usize)?)?;
            Some(Cell {
                pretraining: seed,
                rung: number,
                runs: observed.runs.clone(),
                pairs: observed.pairs.clone(),
            })
        };
        let cells: Vec<Cell> = seeds
            .iter()
            .flat_map(|&seed| rungs.iter().filter_map(move |&number| cell(seed, number)))
            .collect();
        Ladder::new(&cells).ok()
    }

    /// The value of one cell.
    pub(crate) fn value(&self, seed: u64, rung: &Rung) -> Option<f64> {
        let number = self.number(rung)?;
        self.ladder(&[seed], &[number])?.value(self.statistic, seed, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_by_hand() {
        let observation = |of, value| Observation {
            arm: "default".into(),
            measure: "x".into(),
            step: 10,
            pretraining_seed: 7,
            held_out_loss: Some(2.0),
            of,
            value,
        };
        let rung = ("default".to_owned(), 10);
        let runs =
            [observation(Of::Run(0), 1.0), observation(Of::Run(1), 3.0), observation(Of::Run(2), f64::NAN)];
        let mean = Design::new(Statistic::Mean, runs.iter());
        assert_eq!(mean.value(7, &rung), Some(2.0));
        assert_eq!(mean.seeds[&7][&rung].n_finetuning(), 2);
        assert_eq!(Design::new(Statistic::Sd, runs.iter()).value(7, &rung), Some(2.0_f64.sqrt()));
        assert_eq!(Design::new(Statistic::Sd, runs[..1].iter()).value(7, &rung), None);
        let pairs = [observation(Of::Pair(0, 1), 0.5), observation(Of::Pair(2, 1), 1.0)];
        assert_eq!(Design::new(Statistic::PairMean, pairs.iter()).value(7, &rung), Some(0.75));
        assert_eq!(mean.value(8, &rung), None);
        let soup = Design::new(Statistic::Mean, [observation(Of::All(6), 0.1)].iter());
        assert_eq!((soup.value(7, &rung), soup.seeds[&7][&rung].n_finetuning()), (Some(0.1), 6));
    }
}
