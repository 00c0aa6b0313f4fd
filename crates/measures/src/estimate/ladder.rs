//! The figures of a study, cell by cell, and the part of them that one estimate uses.

use std::collections::{BTreeMap, BTreeSet};

use super::{Course, Statistic, mean};
use crate::Error;

/// The runs that start from one checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Pretraining seed.
    pub pretraining: u64,
    /// Rung of the ladder: the pretraining step of the checkpoint.
    pub rung: u64,
    /// Fine-tuning seed and value of each run.
    pub runs: Vec<(u64, f64)>,
    /// Both fine-tuning seeds and value of each pair. Pairs may be missing, such as those whose measure is
    /// undefined.
    pub pairs: Vec<(u64, u64, f64)>,
}

/// The cells of a study, checked and in order.
#[derive(Clone, Debug)]
pub struct Ladder {
    cells: BTreeMap<(u64, u64), Indexed>,
    pretraining: Vec<u64>,
    rungs: Vec<u64>,
}

/// A cell with its fine-tuning seeds replaced by their indices in `seeds`.
#[derive(Clone, Debug)]
struct Indexed {
    seeds: Vec<u64>,
    runs: Vec<(usize, f64)>,
    pairs: Vec<(usize, usize, f64)>,
}

impl Ladder {
    /// Checks the cells. Their order, and that of their runs and pairs, does not matter.
    ///
    /// # Errors
    /// [`Error::TooFew`] without cells, [`Error::Twice`] for a cell, run or pair that comes twice or a pair
    /// of a seed with itself, [`Error::NotFinite`] for a value that is not a number.
    pub fn new(cells: &[Cell]) -> Result<Self, Error> {
        if cells.is_empty() {
            return Err(Error::TooFew { what: "cells", found: 0, needed: 1 });
        }
        let mut indexed = BTreeMap::new();
        for cell in cells {
            if indexed.insert((cell.pretraining, cell.rung), Indexed::new(cell)?).is_some() {
                return Err(twice(cell, "the cell".into()));
            }
        }
        let pretraining: BTreeSet<u64> = cells.iter().map(|cell| cell.pretraining).collect();
        let rungs: BTreeSet<u64> = cells.iter().map(|cell| cell.rung).collect();
        Ok(Self {
            cells: indexed,
            pretraining: pretraining.into_iter().collect(),
            rungs: rungs.into_iter().collect(),
        })
    }

    /// Pretraining seeds, ascending.
    #[must_use]
    pub fn pretraining(&self) -> &[u64] {
        &self.pretraining
    }

    /// Rungs that any pretraining seed has, ascending.
    #[must_use]
    pub fn rungs(&self) -> &[u64] {
        &self.rungs
    }

    /// The statistic of one cell; `None` if there is no such cell or it has too few runs or pairs.
    #[must_use]
    pub fn value(&self, statistic: Statistic, pretraining: u64, rung: u64) -> Option<f64> {
        let cell = self.cells.get(&(pretraining, rung))?;
        statistic.value(&cell.runs, &cell.pairs, &vec![1.0; cell.seeds.len()])
    }

    /// What an estimate at these rungs uses.
    pub(super) fn sample<'a>(
        &'a self,
        statistic: Statistic,
        rungs: &[u64],
        course: &'a Course<'a>,
    ) -> Result<Sample<'a>, Error> {
        let mut families = Vec::with_capacity(self.pretraining.len());
        for &pretraining in &self.pretraining {
            let find =
                |&rung: &u64| self.cells.get(&(pretraining, rung)).ok_or(Error::NoCell { pretraining, rung });
            let cells = rungs.iter().map(find).collect::<Result<Vec<&Indexed>, Error>>()?;
            let undefined = rungs.iter().find(|&&rung| self.value(statistic, pretraining, rung).is_none());
            if let Some(&rung) = undefined {
                return Err(Error::Undefined { pretraining, rung });
            }
            let shared = cells.windows(2).all(|pair| pair[0].seeds == pair[1].seeds);
            families.push(Family { pretraining, cells, shared });
        }
        let sample = Sample { statistic, families, course };
        if sample.value().is_finite() { Ok(sample) } else { Err(Error::NoFigure) }
    }
}

impl Indexed {
    fn new(cell: &Cell) -> Result<Self, Error> {
        let from_pairs = cell.pairs.iter().flat_map(|&(a, b, _)| [a, b]);
        let seeds: BTreeSet<u64> = cell.runs.iter().map(|&(seed, _)| seed).chain(from_pairs).collect();
        let seeds: Vec<u64> = seeds.into_iter().collect();
        let index = |seed: u64| seeds.partition_point(|&other| other < seed);
        let mut runs: Vec<(usize, f64)> =
            cell.runs.iter().map(|&(seed, value)| (index(seed), value)).collect();
        runs.sort_by_key(|run| run.0);
        let pair = |&(a, b, value): &(u64, u64, f64)| (index(a.min(b)), index(a.max(b)), value);
        let mut pairs: Vec<(usize, usize, f64)> = cell.pairs.iter().map(pair).collect();
        pairs.sort_by_key(|pair| (pair.0, pair.1));

        if let Some(pair) = runs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(twice(cell, format!("fine-tuning seed {}", seeds[pair[0].0])));
        }
        let same =
            pairs.windows(2).find(|two| (two[0].0, two[0].1) == (two[1].0, two[1].1)).map(|two| two[0]);
        if let Some(pair) = same.or_else(|| pairs.iter().find(|pair| pair.0 == pair.1).copied()) {
            let name = format!(
                "one run of the pair of fine-tuning seeds {} and {}, or the pair,",
                seeds[pair.0], seeds[pair.1]
            );
            return Err(twice(cell, name));
        }
        let values = runs.iter().map(|run| run.1).chain(pairs.iter().map(|pair| pair.2));
        for value in values {
            if !value.is_finite() {
                return Err(Error::NotFinite { pretraining: cell.pretraining, rung: cell.rung, value });
            }
        }
        Ok(Self { seeds, runs, pairs })
    }
}

fn twice(cell: &Cell, name: String) -> Error {
    Error::Twice { pretraining: cell.pretraining, rung: cell.rung, name }
}

/// What one estimate uses: some rungs of every pretraining seed, and what to make of them.
pub(super) struct Sample<'a> {
    pub(super) statistic: Statistic,
    families: Vec<Family<'a>>,
    course: &'a Course<'a>,
}

/// The cells of one pretraining seed.
struct Family<'a> {
    pretraining: u64,
    cells: Vec<&'a Indexed>,
    /// All cells have the same fine-tuning seeds. These are then drawn once for all rungs: a seed brings the
    /// same data order and head to each, and what that does at one rung may correlate with what it does at
    /// another.
    shared: bool,
}

/// The statistic at each rung for one, perhaps resampled, pretraining seed.
pub(super) type Row = Vec<f64>;

impl Sample<'_> {
    pub(super) fn n_pretraining(&self) -> usize {
        self.families.len()
    }

    pub(super) fn n_rungs(&self) -> usize {
        self.families[0].cells.len()
    }

    /// Fine-tuning seeds of the smallest cell.
    pub(super) fn n_finetuning(&self) -> usize {
        let sizes = self.families.iter().flat_map(|family| &family.cells).map(|cell| cell.seeds.len());
        sizes.min().unwrap_or(0)
    }

    /// The rows as they were observed, in order of the pretraining seeds.
    pub(super) fn rows(&self) -> Vec<Row> {
        let observed = |family: &Family<'_>| {
            let all = |cell: &&Indexed| self.cell(cell, &vec![1.0; cell.seeds.len()]);
            family
                .cells
                .iter()
                .map(all)
                .map(|value| value.expect("checked when the sample was made"))
                .collect()
        };
        self.families.iter().map(observed).collect()
    }

    /// One figure for each pretraining seed: `rows[i]` belongs to pretraining seed `origins[i]`, by index.
    pub(super) fn figures(&self, origins: &[usize], rows: &[Row]) -> Vec<f64> {
        let pretraining: Vec<u64> = origins.iter().map(|&index| self.families[index].pretraining).collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        (self.course)(&pretraining, &rows)
    }

    /// The figure as observed.
    pub(super) fn value(&self) -> f64 {
        mean(&self.figures(&(0..self.families.len()).collect::<Vec<_>>(), &self.rows()))
    }

    /// The row of a pretraining seed with its fine-tuning seeds drawn anew, `draw(n)` from `0..n`.
    pub(super) fn resampled_row(&self, family: usize, draw: &mut impl FnMut(usize) -> usize) -> Row {
        let family = &self.families[family];
        let mut counts: Vec<f64> = Vec::new();
        loop {
            let mut row = Row::with_capacity(family.cells.len());
            for (rung, cell) in family.cells.iter().enumerate() {
                if rung == 0 || !family.shared {
                    counts.clear();
                    counts.resize(cell.seeds.len(), 0.0);
                    for _ in 0..cell.seeds.len() {
                        counts[draw(cell.seeds.len())] += 1.0;
                    }
                }
                match self.cell(cell, &counts) {
                    Some(value) => row.push(value),
                    None => break,
                }
            }
            // A draw without two different seeds has no pairs: draw again, as if it had not been.
            if row.len() == family.cells.len() {
                return row;
            }
        }
    }

    /// The rows of a pretraining seed with one fine-tuning seed left out, grouped by what they jackknife: one
    /// group if all rungs share their seeds, else one for each rung. `None` where a group has a row that is
    /// undefined.
    pub(super) fn left_out_rows(&self, family: usize) -> Vec<Option<Vec<Row>>> {
        let whole = self.rows().swap_remove(family);
        let family = &self.families[family];
        let without = |cell: &Indexed, seed: usize| {
            let mut counts = vec![1.0; cell.seeds.len()];
            counts[seed] = 0.0;
            self.cell(cell, &counts)
        };
        if family.shared {
            let n = family.cells[0].seeds.len();
            let row =
                |seed: usize| family.cells.iter().map(|cell| without(cell, seed)).collect::<Option<Row>>();
            return vec![(0..n).map(row).collect()];
        }
        let group = |(rung, cell): (usize, &&Indexed)| {
            let row = |seed: usize| {
                let mut row = whole.clone();
                row[rung] = without(cell, seed)?;
                Some(row)
            };
            (0..cell.seeds.len()).map(row).collect::<Option<Vec<Row>>>()
        };
        family.cells.iter().enumerate().map(group).collect()
    }

    fn cell(&self, cell: &Indexed, counts: &[f64]) -> Option<f64> {
        self.statistic.value(&cell.runs, &cell.pairs, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{Options, contrast};

    fn cell(pretraining: u64, rung: u64, values: &[f64]) -> Cell {
        let runs = values.iter().enumerate().map(|(seed, &value)| (seed as u64, value)).collect();
        Cell { pretraining, rung, runs, pairs: Vec::new() }
    }

    fn refusal(cells: &[Cell]) -> String {
        Ladder::new(cells).unwrap_err().to_string()
    }

    #[test]
    fn every_lie_is_named() {
        assert_eq!(refusal(&[]), "0 cells, at least 1 needed");
        let one = cell(3, 100, &[1.0, 2.0]);
        assert_eq!(
            refusal(&[one.clone(), one.clone()]),
            "pretraining seed 3, rung 100: the cell is there twice"
        );
        let mut doubled = one.clone();
        doubled.runs[1].0 = 0;
        assert_eq!(refusal(&[doubled]), "pretraining seed 3, rung 100: fine-tuning seed 0 is there twice");
        let mut itself = one.clone();
        itself.pairs = vec![(1, 1, 0.0)];
        assert!(refusal(&[itself]).contains("fine-tuning seeds 1 and 1"));
        let mut both_ways = one;
        both_ways.pairs = vec![(0, 1, 0.0), (1, 0, 0.0)];
        assert!(refusal(&[both_ways]).contains("fine-tuning seeds 0 and 1"));
        assert_eq!(
            refusal(&[cell(0, 5, &[f64::NAN])]),
            "pretraining seed 0, rung 5: value NaN is not finite"
        );
    }

    #[test]
    fn gaps_are_named() {
        let ladder =
            Ladder::new(&[cell(0, 0, &[1.0, 2.0]), cell(0, 9, &[1.0]), cell(1, 0, &[2.0, 3.0])]).unwrap();
        let message = |statistic| {
            contrast(&ladder, statistic, &[9], &[0], &Options::default()).unwrap_err().to_string()
        };
        assert_eq!(message(Statistic::Mean), "pretraining seed 1 has no rung 9");
        assert_eq!(
            message(Statistic::Sd),
            "pretraining seed 0, rung 9: too few runs or pairs for the statistic"
        );
    }

    #[test]
    fn order_does_not_matter() {
        let mut cells = vec![cell(0, 0, &[1.0, 2.0, 4.0]), cell(1, 0, &[0.0, 3.0, 3.5]), cell(1, 5, &[7.0])];
        cells[0].pairs = vec![(0, 1, 2.0), (2, 0, 5.0)];
        let forward = Ladder::new(&cells).unwrap();
        cells.reverse();
        for cell in &mut cells {
            cell.runs.reverse();
            cell.pairs.reverse();
        }
        let backward = Ladder::new(&cells).unwrap();
        assert_eq!(forward.pretraining(), [0, 1]);
        assert_eq!(forward.rungs(), [0, 5]);
        for statistic in [Statistic::Mean, Statistic::Sd, Statistic::PairMean] {
            assert_eq!(forward.value(statistic, 0, 0), backward.value(statistic, 0, 0));
        }
        assert_eq!(forward.value(Statistic::PairMean, 0, 0), Some(3.5));
    }
}
