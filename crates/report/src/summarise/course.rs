//! The course of a measure over the default arm's ladder: its slope, and whether it turns.

use std::collections::BTreeMap;

use measures::estimate::{Estimate, Interval, Ladder, Options};
use measures::trend::{self, Positions, Turn};

use super::contrast::Subject;
use super::design::{Design, Rung};
use super::interval;
use super::measure::{Measure, Sign};
use crate::rows::Summary;
use crate::study::DEFAULT_ARM;

/// Rows `trend` and `hump` of the summary, where there are rungs and seeds enough for them.
pub(crate) fn rows(measure: &Measure, design: &Design, interval: Interval) -> Vec<Summary> {
    let rungs: Vec<Rung> = design.rungs.iter().filter(|(arm, _)| arm == DEFAULT_ARM).cloned().collect();
    let options = Options::default().with(interval);
    let row = |kind, step, seeds: &[u64], found: Estimate| {
        let subject = Subject { arm: DEFAULT_ARM.into(), kind, step, rungs: rungs.clone() };
        interval::row(measure, design, &subject, seeds, Some(found))
    };
    let falls = falls(design, &rungs);
    let seeds: Vec<u64> = falls.keys().copied().collect();
    let trend = ladder(design, &rungs, &seeds).and_then(|(ladder, numbers)| {
        let positions: Positions = falls
            .iter()
            .flat_map(|(&seed, falls)| numbers.iter().map(move |&number| (seed, number)).zip(falls.clone()))
            .collect();
        let found = trend::slope(&ladder, design.statistic, &numbers, &positions, &options).ok()?;
        Some(row("trend", None, &seeds, found))
    });
    let seeds = design.complete(&rungs);
    let hump = ladder(design, &rungs, &seeds).and_then(|(ladder, numbers)| {
        // Where the path matters most, whichever way the measure goes.
        let turn = match measure.sign {
            Sign::Higher => Turn::Dip,
            Sign::Lower => Turn::Peak,
            Sign::Neither => return None,
        };
        let found = trend::hump(&ladder, design.statistic, &numbers, turn, &options).ok()?;
        let (_, step) = design.rungs[found.rung as usize];
        Some(row("hump", Some(step), &seeds, found.height))
    });
    trend.into_iter().chain(hump).collect()
}

fn ladder(design: &Design, rungs: &[Rung], seeds: &[u64]) -> Option<(Ladder, Vec<u64>)> {
    let numbers: Vec<u64> = rungs.iter().filter_map(|rung| design.number(rung)).collect();
    Some((design.ladder(seeds, &numbers)?, numbers))
}

/// How far the held-out loss of each rung has fallen (less than nothing: its negative), for the pretraining seeds that
/// have a value and a loss at each rung, and not the same loss everywhere.
fn falls(design: &Design, rungs: &[Rung]) -> BTreeMap<u64, Vec<f64>> {
    let of_seed = |seed: u64| -> Option<(u64, Vec<f64>)> {
        let cells = &design.seeds[&seed];
        let falls: Option<Vec<f64>> =
            rungs.iter().map(|rung| cells[rung].held_out_loss.map(|loss| -loss)).collect();
        let falls = falls?;
        let flat = falls.iter().all(|fall| (fall - falls[0]).abs() < 1e-9);
        (!flat).then_some((seed, falls))
    };
    design.complete(rungs).into_iter().filter_map(of_seed).collect()
}

#[cfg(test)]
mod tests {
    use super::super::design::{Observation, Of};
    use measures::estimate::Statistic;

    use super::super::measure;
    use super::*;

    /// Pretraining seeds with losses 4, 3, 2 and these agreements, each a little better than the one before.
    fn design(agreements: [f64; 3], seeds: u64, loss_of_last: Option<f64>) -> Design {
        let mut observations = Vec::new();
        for seed in 0..seeds {
            for (place, value) in agreements.into_iter().enumerate() {
                for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                    observations.push(Observation {
                        arm: DEFAULT_ARM.into(),
                        measure: "ood_agreement".into(),
                        step: 100 * place as u64,
                        pretraining_seed: seed,
                        held_out_loss: if seed + 1 == seeds {
                            loss_of_last
                        } else {
                            Some(4.0 - place as f64)
                        },
                        of: Of::Pair(a, b),
                        value: value + 0.001 * (seed + a) as f64,
                    });
                }
            }
        }
        Design::new(Statistic::PairMean, observations.iter())
    }

    #[test]
    fn the_path_matters_most_where_agreement_dips() {
        let measure = measure::named("ood_agreement");
        let rows = rows(&measure, &design([0.8, 0.7, 0.9], 3, None), Interval::SeedT);
        let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
        assert_eq!(kinds, ["trend", "hump"]);
        // Of the two seeds whose losses are known: (0.9 - 0.8) over two nats.
        assert!((rows[0].estimate - 0.05).abs() < 1e-9 && rows[0].n_pretraining == 2, "{:?}", rows[0]);
        assert!((rows[1].estimate - 0.1).abs() < 1e-9 && rows[1].step == Some(100), "{:?}", rows[1]);
        assert!(rows[1].lower.unwrap() > 0.0 && rows[1].n_pretraining == 3);
    }

    #[test]
    fn one_pretraining_seed_has_no_hump_and_one_loss_no_trend() {
        let measure = measure::named("ood_agreement");
        assert!(rows(&measure, &design([0.8, 0.7, 0.9], 1, Some(2.0)), Interval::SeedT).is_empty());
    }
}
