//! The hierarchical bootstrap.
//!
//! A resample draws `P` pretraining seeds with replacement and, for each of them anew, its fine-tuning seeds
//! with replacement: once for all rungs if these share their seeds. Pairs are never drawn; they follow their
//! seeds, and a seed makes no pair with its copy ([`super::Statistic`]). With one pretraining seed only its
//! fine-tuning seeds are drawn and the interval holds for that one alone.
//!
//! - percentile: the `alpha` and `1 - alpha` quantiles of the resampled figures;
//! - BCa (Efron 1987): the quantiles `Phi(z0 + (z0 + z)/(1 - a (z0 + z)))` with
//!   `z0 = Phi^-1(share of resampled figures below the observed one)` and the acceleration
//!   `a = sum d^3 / (6 (sum d^2)^1.5)`, `d = mean - D_(i)`, from the jackknife over pretraining seeds where
//!   there are three or more, else over fine-tuning seeds.

use random::Stream;

use super::ladder::{Row, Sample};
use super::{Estimate, Method, Options, mean, seed_t};
use crate::{Error, quantiles};

pub(super) fn percentile(sample: &Sample<'_>, options: &Options) -> Result<Estimate, Error> {
    let resampled = resample(sample, options)?;
    let tail = (1.0 - options.level) / 2.0;
    Ok(estimate(sample, options, &resampled, [tail, 1.0 - tail], Method::Percentile))
}

pub(super) fn bca(sample: &Sample<'_>, options: &Options) -> Result<Estimate, Error> {
    let resampled = resample(sample, options)?;
    let acceleration = acceleration(sample);
    let tail = (1.0 - options.level) / 2.0;
    let tails = [tail, 1.0 - tail].map(|tail| adjusted(&resampled, sample.value(), acceleration, tail));
    Ok(estimate(sample, options, &resampled, tails, Method::Bca))
}

fn estimate(
    sample: &Sample<'_>,
    options: &Options,
    resampled: &[f64],
    tails: [f64; 2],
    method: Method,
) -> Estimate {
    let centre = mean(resampled);
    let squares: f64 = resampled.iter().map(|figure| (figure - centre).powi(2)).sum();
    Estimate {
        value: sample.value(),
        lower: quantiles::of_sorted(resampled, tails[0]),
        upper: quantiles::of_sorted(resampled, tails[1]),
        level: options.level,
        standard_error: (squares / (resampled.len() - 1) as f64).sqrt(),
        t: None,
        n_pretraining: sample.n_pretraining(),
        n_finetuning: sample.n_finetuning(),
        method,
    }
}

/// Resampled figures, ascending.
fn resample(sample: &Sample<'_>, options: &Options) -> Result<Vec<f64>, Error> {
    let p = sample.n_pretraining();
    let k = sample.n_finetuning();
    if p == 1 && k < 2 {
        return Err(Error::TooFew { what: "fine-tuning seeds", found: k, needed: 2 });
    }
    let mut stream = Stream::new(options.seed, "hierarchical bootstrap");
    let mut figures = Vec::with_capacity(options.resamples);
    for _ in 0..options.resamples {
        let origins: Vec<usize> = (0..p).map(|_| stream.below(p)).collect();
        let rows: Vec<Row> =
            origins.iter().map(|&family| sample.resampled_row(family, &mut |n| stream.below(n))).collect();
        let figure = mean(&sample.figures(&origins, &rows));
        if !figure.is_finite() {
            return Err(Error::NoFigure);
        }
        figures.push(figure);
    }
    figures.sort_by(f64::total_cmp);
    Ok(figures)
}

/// The share of `resampled` that BCa cuts off where percentiles cut off `tail`.
pub(crate) fn adjusted(resampled: &[f64], value: f64, acceleration: f64, tail: f64) -> f64 {
    let n = resampled.len() as f64;
    let below = resampled.partition_point(|&figure| figure < value) as f64;
    let up_to = resampled.partition_point(|&figure| figure <= value) as f64;
    // Half of the ties; and never 0 or 1, whose quantiles are infinite.
    let share = (f64::midpoint(below, up_to) / n).clamp(1.0 / (n + 1.0), n / (n + 1.0));
    let z0 = quantiles::normal(share);
    let z = z0 + quantiles::normal(tail);
    quantiles::normal_cdf(z0 + z / (1.0 - acceleration * z))
}

fn acceleration(sample: &Sample<'_>) -> f64 {
    let p = sample.n_pretraining();
    let rows = sample.rows();
    let groups = if p >= 3 {
        let without = |left_out: usize| {
            let origins: Vec<usize> = (0..p).filter(|&family| family != left_out).collect();
            let rows: Vec<Row> = origins.iter().map(|&family| rows[family].clone()).collect();
            mean(&sample.figures(&origins, &rows))
        };
        vec![Some((0..p).map(without).collect())]
    } else {
        seed_t::left_out(sample, &rows)
    };
    acceleration_of(&groups.into_iter().flatten().collect::<Vec<_>>())
}

/// `sum d^3 / (6 (sum d^2)^1.5)` over the deviations of leave-one-out figures from their group's mean; 0 if
/// there are none.
pub(crate) fn acceleration_of(groups: &[Vec<f64>]) -> f64 {
    let (mut squares, mut cubes) = (0.0, 0.0);
    for group in groups {
        let centre = mean(group);
        for figure in group {
            let deviation = centre - figure;
            squares += deviation.powi(2);
            cubes += deviation.powi(3);
        }
    }
    if squares > 0.0 && squares.is_finite() { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{Cell, Interval, Ladder, Statistic, at, contrast};

    fn ladder(p: u64, k: u64) -> Ladder {
        let mut stream = Stream::new(5, "bootstrap test");
        let mut cells = Vec::new();
        for pretraining in 0..p {
            for rung in [0, 9] {
                let runs: Vec<(u64, f64)> =
                    (0..k).map(|seed| (seed, stream.normal() + rung as f64)).collect();
                let pairs = runs
                    .iter()
                    .flat_map(|a| runs.iter().filter(|b| a.0 < b.0).map(|b| (a.0, b.0, (a.1 - b.1).abs())));
                cells.push(Cell { pretraining, rung, pairs: pairs.collect(), runs });
            }
        }
        Ladder::new(&cells).unwrap()
    }

    #[test]
    fn same_seed_same_interval() {
        let ladder = ladder(3, 6);
        for interval in [Interval::Percentile, Interval::Bca] {
            let options = Options::default().with(interval);
            let found = |seed| {
                contrast(&ladder, Statistic::PairMean, &[9], &[0], &Options { seed, ..options }).unwrap()
            };
            assert_eq!(found(1), found(1));
            assert_ne!(found(1).lower, found(2).lower);
            assert!(found(1).lower < found(1).value && found(1).value < found(1).upper);
        }
    }

    /// A change of these numbers changes reports: raise `estimate::VERSION` with it.
    #[test]
    fn golden() {
        let options = Options { resamples: 200, ..Options::default() };
        let found = [Interval::SeedT, Interval::Percentile, Interval::Bca].map(|interval| {
            let found =
                contrast(&ladder(3, 4), Statistic::PairMean, &[9], &[0], &options.with(interval)).unwrap();
            [found.lower, found.upper]
        });
        for (found, expected) in found.iter().flatten().zip(GOLDEN) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}: is `VERSION` raised?");
        }
    }

    const GOLDEN: [f64; 6] = [
        -1.6125341573924663,
        1.2260585096035355,
        -1.1799601202525185,
        0.7844023991443697,
        -1.2485919915274915,
        0.7114271882432481,
    ];

    /// For a mean of one cell the bootstrap's standard error is known: sqrt((K-1)/K) s/sqrt(K).
    #[test]
    fn standard_error_of_a_mean() {
        let ladder = ladder(1, 12);
        let options = Options { resamples: 20_000, ..Options::default().with(Interval::Percentile) };
        let found = at(&ladder, Statistic::Mean, 0, &options).unwrap();
        let s = ladder.value(Statistic::Sd, 0, 0).unwrap();
        assert!(
            (found.standard_error / (s * (11.0_f64 / 12.0 / 12.0).sqrt()) - 1.0).abs() < 0.02,
            "{found:?}"
        );
    }

    /// Without bias and acceleration BCa is the percentile interval; both move it the way they should.
    #[test]
    fn adjusted_tails() {
        let list: Vec<f64> = (0..1001).map(|i| f64::from(i) - 500.0).collect();
        assert!((adjusted(&list, 0.0, 0.0, 0.025) - 0.025).abs() < 1e-9);
        assert!(adjusted(&list, 100.0, 0.0, 0.025) > 0.025);
        assert!(adjusted(&list, 0.0, 0.1, 0.025) > 0.025);
        assert!(adjusted(&list, 1e9, 0.0, 0.025) < 1.0);
        // Efron and Tibshirani 1993, 14.3: a = cubes / (6 squares^1.5).
        let left_out = vec![1.0, 2.0, 6.0];
        assert!(
            (acceleration_of(&[left_out]) - (8.0 + 1.0 - 27.0) / (6.0 * 14.0_f64.powf(1.5))).abs() < 1e-12
        );
        assert_eq!(acceleration_of(&[vec![1.0, 1.0]]), 0.0);
    }

    #[test]
    fn bca_and_percentile_are_close_where_nothing_is_skewed() {
        let ladder = ladder(10, 10);
        let options = Options { resamples: 4_000, ..Options::default() };
        let [a, b] = [Interval::Percentile, Interval::Bca]
            .map(|interval| contrast(&ladder, Statistic::Mean, &[9], &[0], &options.with(interval)).unwrap());
        assert!((a.lower - b.lower).abs() < 0.3 * a.standard_error * 2.0, "{a:?} {b:?}");
        assert_eq!(a.value, b.value);
    }

    #[test]
    fn too_few() {
        let options = Options::default().with(Interval::Percentile);
        assert!(at(&ladder(1, 1), Statistic::Mean, 0, &options).is_err());
        let message =
            at(&ladder(2, 2), Statistic::Mean, 0, &Options { resamples: 10, ..options }).unwrap_err();
        assert_eq!(message.to_string(), "10 bootstrap resamples, at least 100 needed");
    }
}
