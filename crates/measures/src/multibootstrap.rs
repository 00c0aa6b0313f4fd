//! The multi-bootstrap over seeds and examples (Sellam et al. 2022, "The MultiBERTs").
//!
//! A score is a mean over seeds *and* over examples, and a claim about other seeds and other examples must be
//! open to both. Each resample draws the seeds and, independently, the examples, and averages over the
//! product. For a difference of two conditions on the same seeds and examples (paired), pass the differences.

pub mod levels;

use random::Stream;

use crate::{Error, quantiles};

/// Changes whenever an interval changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("multibootstrap", VERSION).and(random::versions())
}

/// Mean over seeds and examples with the percentile interval of the multi-bootstrap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// Mean over all seeds and examples.
    pub value: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
    /// Sd of the resampled means.
    pub standard_error: f64,
    /// Seeds.
    pub n_seeds: usize,
    /// Examples.
    pub n_examples: usize,
}

/// Multi-bootstrap of `values` `[seeds, examples]`, row-major, at `level` from `resamples` draws of the
/// stream `multi-bootstrap` of `seed`. Costs `resamples * seeds * examples`.
///
/// # Errors
/// [`Error::TooFew`] with fewer than two seeds or examples or 100 resamples, [`Error::Level`],
/// [`Error::NoFigure`] if a value is not finite.
///
/// # Panics
/// If `examples` does not divide the number of values.
pub fn mean(values: &[f64], examples: usize, level: f64, resamples: usize, seed: u64) -> Result<Mean, Error> {
    let too_few = |what, found, needed| Err(Error::TooFew { what, found, needed });
    if examples < 2 {
        return too_few("examples", examples, 2);
    }
    assert!(values.len().is_multiple_of(examples), "{} values are not rows of {examples}", values.len());
    let seeds = values.len() / examples;
    if seeds < 2 {
        return too_few("seeds", seeds, 2);
    }
    if resamples < 100 {
        return too_few("bootstrap resamples", resamples, 100);
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Level { level });
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::NoFigure);
    }
    let mut stream = Stream::new(seed, "multi-bootstrap");
    let mut draw = |n: usize| {
        let mut counts = vec![0.0; n];
        (0..n).for_each(|_| counts[stream.below(n)] += 1.0);
        counts
    };
    let mut means = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        let (of_seeds, of_examples) = (draw(seeds), draw(examples));
        means.push(weighted(values, &of_seeds, &of_examples));
    }
    means.sort_by(f64::total_cmp);
    let centre = means.iter().sum::<f64>() / resamples as f64;
    let squares: f64 = means.iter().map(|mean| (mean - centre).powi(2)).sum();
    let tail = (1.0 - level) / 2.0;
    Ok(Mean {
        value: weighted(values, &vec![1.0; seeds], &vec![1.0; examples]),
        lower: quantiles::of_sorted(&means, tail),
        upper: quantiles::of_sorted(&means, 1.0 - tail),
        standard_error: (squares / (resamples - 1) as f64).sqrt(),
        n_seeds: seeds,
        n_examples: examples,
    })
}

/// Mean with seed `i` counted `of_seeds[i]` times and example `j` `of_examples[j]` times.
fn weighted(values: &[f64], of_seeds: &[f64], of_examples: &[f64]) -> f64 {
    let examples = of_examples.len();
    let row = |(seed, count): (usize, &f64)| {
        if *count == 0.0 {
            return 0.0;
        }
        let row = &values[seed * examples..][..examples];
        count * row.iter().zip(of_examples).map(|(value, count)| value * count).sum::<f64>()
    };
    of_seeds.iter().enumerate().map(row).sum::<f64>() / (of_seeds.len() * examples) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For `x_ij = s_i + e_j` the variance of the mean is known: var(s)/n + var(e)/m, with divisors n and m.
    #[test]
    fn both_sources_count() {
        let (seeds, examples) = ([0.0, 1.0, 4.0, 5.0, -2.0], [0.0, 3.0, 6.0, 9.0]);
        let values: Vec<f64> = seeds.iter().flat_map(|s| examples.iter().map(move |e| s + e)).collect();
        let variance = |list: &[f64]| {
            let mean = list.iter().sum::<f64>() / list.len() as f64;
            list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (list.len() * list.len()) as f64
        };
        let found = mean(&values, 4, 0.95, 20_000, 1).unwrap();
        let expected = (variance(&seeds) + variance(&examples)).sqrt();
        assert!((found.value - (1.6 + 4.5)).abs() < 1e-12);
        assert!((found.standard_error / expected - 1.0).abs() < 0.02, "{found:?}, {expected}");
        assert!(found.lower < found.value && found.value < found.upper);
        assert_eq!(found, mean(&values, 4, 0.95, 20_000, 1).unwrap());
    }

    #[test]
    fn refusals() {
        assert_eq!(mean(&[1.0, 2.0], 2, 0.95, 200, 0).unwrap_err().to_string(), "1 seeds, at least 2 needed");
        assert_eq!(mean(&[1.0; 4], 2, 1.0, 200, 0).unwrap_err(), Error::Level { level: 1.0 });
        assert_eq!(mean(&[f64::NAN; 4], 2, 0.9, 200, 0).unwrap_err(), Error::NoFigure);
    }
}
