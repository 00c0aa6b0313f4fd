//! The multi-bootstrap over three levels: pretraining seeds, runs within them, and examples.
//!
//! A resample draws the pretraining seeds with replacement; for each of them anew its runs; and the examples once,
//! for all seeds and runs share them (Sellam et al. 2022). Two standard errors: over seeds and runs with the examples held
//! as they are, for claims about other seeds on this test set, and over all levels, for claims about other examples too.

use random::Stream;

use crate::{Error, quantiles};

/// Changes whenever an interval changes.
pub const VERSION: u32 = 1;

/// The sizes of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Design {
    /// Pretraining seeds.
    pub seeds: usize,
    /// Runs of each pretraining seed.
    pub runs: usize,
    /// Examples.
    pub examples: usize,
}

/// What decides the draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draws {
    /// Confidence level.
    pub level: f64,
    /// Resamples, at least 100.
    pub resamples: usize,
    /// Seed of the stream `multi-bootstrap levels`.
    pub seed: u64,
}

/// Mean over pretraining seeds with both standard errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// The figure as observed.
    pub value: f64,
    /// Lower end of the percentile interval over all levels.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard error over pretraining seeds and runs.
    pub standard_error_seeds: f64,
    /// Standard error over all levels.
    pub standard_error_all: f64,
}

/// A figure of one pretraining seed: from its index, how often each run and each example counts. `None` where nothing is
/// left of it: the runs are then drawn again.
pub type Figure<'a> = dyn Fn(usize, &[f64], &[f64]) -> Option<f64> + 'a;

/// Resamples the mean of `figure` over pretraining seeds. Calls it `2 resamples * seeds` times.
///
/// # Errors
/// [`Error::TooFew`] below two of anything or 100 resamples, [`Error::Level`], [`Error::NoFigure`] if the
/// figure is undefined as observed, or for a hundred draws in a row.
pub fn levels(design: Design, draws: Draws, figure: &Figure<'_>) -> Result<Levels, Error> {
    let Design { seeds, runs, examples } = design;
    let least = [("pretraining seeds", seeds, 2), ("runs", runs, 2), ("examples", examples, 2)];
    let resamples = ("bootstrap resamples", draws.resamples, 100);
    for (what, found, needed) in least.into_iter().chain([resamples]) {
        if found < needed {
            return Err(Error::TooFew { what, found, needed });
        }
    }
    if !(draws.level > 0.0 && draws.level < 1.0) {
        return Err(Error::Level { level: draws.level });
    }
    let (all_runs, all_examples) = (vec![1.0; runs], vec![1.0; examples]);
    let observed: Option<f64> = (0..seeds).map(|seed| figure(seed, &all_runs, &all_examples)).sum();
    let value = observed.filter(|value| value.is_finite()).ok_or(Error::NoFigure)? / seeds as f64;
    let mut stream = Stream::new(draws.seed, "multi-bootstrap levels");
    let (mut of_seeds, mut of_all) = (Vec::new(), Vec::new());
    for _ in 0..draws.resamples {
        let drawn = counts(&mut stream, examples);
        let (mut fixed, mut free) = (0.0, 0.0);
        for _ in 0..seeds {
            let seed = stream.below(seeds);
            let both = (0..100).find_map(|_| {
                let runs = counts(&mut stream, runs);
                figure(seed, &runs, &all_examples).zip(figure(seed, &runs, &drawn))
            });
            let both = both.ok_or(Error::NoFigure)?;
            fixed += both.0 / seeds as f64;
            free += both.1 / seeds as f64;
        }
        of_seeds.push(fixed);
        of_all.push(free);
    }
    of_all.sort_by(f64::total_cmp);
    let tail = (1.0 - draws.level) / 2.0;
    let sd = |list: &[f64]| crate::runs::spread::sd(list).filter(|sd| sd.is_finite()).ok_or(Error::NoFigure);
    Ok(Levels {
        value,
        low: quantiles::of_sorted(&of_all, tail),
        high: quantiles::of_sorted(&of_all, 1.0 - tail),
        standard_error_seeds: sd(&of_seeds)?,
        standard_error_all: sd(&of_all)?,
    })
}

fn counts(stream: &mut Stream, n: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n];
    (0..n).for_each(|_| counts[stream.below(n)] += 1.0);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For `x = s_p + r_pk + e_i` the variances of the mean are known, with divisors n.
    #[test]
    fn every_level_counts() {
        let mut stream = Stream::new(6, "levels test");
        let mut list = |n: usize, sd: f64| -> Vec<f64> { (0..n).map(|_| sd * stream.normal()).collect() };
        let (seed, run, example) = (list(5, 1.0), list(20, 2.0), list(12, 3.0));
        let mean = |list: &[f64], counts: &[f64]| {
            list.iter().zip(counts).map(|(x, n)| x * n).sum::<f64>() / counts.iter().sum::<f64>()
        };
        let figure = |p: usize, runs: &[f64], examples: &[f64]| {
            Some(seed[p] + mean(&run[4 * p..][..4], runs) + mean(&example, examples))
        };
        let design = Design { seeds: 5, runs: 4, examples: 12 };
        let draws = Draws { level: 0.95, resamples: 20_000, seed: 0 };
        let found = levels(design, draws, &figure).unwrap();
        let variance = |list: &[f64]| {
            let mean = list.iter().sum::<f64>() / list.len() as f64;
            list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / list.len() as f64
        };
        let cell = |p: usize| seed[p] + run[4 * p..][..4].iter().sum::<f64>() / 4.0;
        let cells: Vec<f64> = (0..5).map(cell).collect();
        let within: f64 = (0..5).map(|p| variance(&run[4 * p..][..4]) / 4.0).sum::<f64>() / 5.0;
        let seeds = (variance(&cells) + within) / 5.0;
        let all = seeds + variance(&example) / 12.0;
        assert!((found.standard_error_seeds / seeds.sqrt() - 1.0).abs() < 0.02, "{found:?}");
        assert!((found.standard_error_all / all.sqrt() - 1.0).abs() < 0.02, "{found:?}");
        assert!(levels(Design { runs: 1, ..design }, draws, &figure).is_err());
        assert_eq!(levels(design, draws, &|_, _, _| None), Err(Error::NoFigure));
    }
}
