//! From the tables of a study to estimates with intervals.

pub(crate) mod contrast;
pub(crate) mod course;
pub(crate) mod design;
pub(crate) mod evidence;
pub(crate) mod frames;
pub(crate) mod group;
pub(crate) mod interval;
pub(crate) mod matched;
pub(crate) mod measure;
pub(crate) mod multiplicity;
pub(crate) mod selection;
pub(crate) mod spread;

use std::collections::BTreeMap;

use measures::estimate::Interval;

use crate::rows::{MeasureCell, Summary};
use design::{Design, Observation};
use measure::Measure;

/// Early and late rungs of the default arm, where they are not given: the lower half of the ladder, and its last two.
pub(crate) fn default_split(steps: &[u64]) -> Option<(u64, u64)> {
    let early = steps.get((steps.len() / 2).checked_sub(1)?)?;
    let late = steps.get(steps.len().saturating_sub(2).max(steps.len() / 2))?;
    Some((*early, *late))
}

/// The cells and the summary of a study.
pub(crate) fn summarise(
    observations: &[Observation],
    early_until: u64,
    late_from: u64,
    interval: Interval,
) -> (Vec<MeasureCell>, Vec<Summary>) {
    let mut by_measure: BTreeMap<(usize, &str), Vec<&Observation>> = BTreeMap::new();
    for observation in observations {
        by_measure.entry(measure::rank(&observation.measure)).or_default().push(observation);
    }
    let (mut cells, mut summary) = (Vec::new(), Vec::new());
    for ((_, id), observations) in by_measure {
        let measure = measure::named(id);
        let design = Design::new(measure.read.statistic(), observations.into_iter());
        cells.extend(cells_of(&measure, &design));
        for contrast in contrast::contrasts(&design, early_until, late_from) {
            summary.extend(interval::estimate(&measure, &design, &contrast, interval));
        }
        summary.extend(course::rows(&measure, &design, interval));
    }
    summary.extend(matched::contrasts(observations, early_until, late_from, interval));
    (cells, summary)
}

/// Puts rows in the place of those of the same arm, kind and measure, or at the end.
pub(crate) fn replace(summary: &mut Vec<Summary>, rows: Vec<Summary>) {
    for mut row in rows {
        let known = summary
            .iter_mut()
            .find(|known| (&known.arm, &known.kind, &known.measure) == (&row.arm, &row.kind, &row.measure));
        match known {
            Some(known) => {
                row.n_finetuning = known.n_finetuning;
                *known = row;
            }
            None => summary.push(row),
        }
    }
}

/// The value of each cell of a measure, by arm, step and pretraining seed.
fn cells_of(measure: &Measure, design: &Design) -> Vec<MeasureCell> {
    let mut cells = Vec::new();
    for (&seed, rungs) in &design.seeds {
        for (rung, cell) in rungs {
            if let Some(value) = design.value(seed, rung) {
                let (arm, step) = rung;
                cells.push(MeasureCell {
                    arm: arm.clone(),
                    step: *step,
                    pretraining_seed: seed,
                    held_out_loss: cell.held_out_loss,
                    measure: measure.id.to_string(),
                    value,
                    n_finetuning: cell.n_finetuning() as u64,
                });
            }
        }
    }
    cells.sort_by(|a, b| (&a.arm, a.step, a.pretraining_seed).cmp(&(&b.arm, b.step, b.pretraining_seed)));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_a_ladder() {
        assert_eq!(default_split(&[0, 100, 300, 600, 1000, 2000, 6000]), Some((300, 2000)));
        assert_eq!(default_split(&[0, 30, 300, 3000]), Some((30, 300)));
        assert_eq!(default_split(&[0, 200, 600]), Some((0, 200)));
        assert_eq!(default_split(&[0, 600]), Some((0, 600)));
        assert_eq!(default_split(&[600]), None);
        assert_eq!(default_split(&[]), None);
    }
}
