//! Standard deviation of a score over runs, with two intervals.
//!
//! Chi-square, `s sqrt((n-1)/chi2)`, is exact for normal scores and wrong for others; the bias-corrected and
//! accelerated bootstrap (Efron 1987) assumes no shape, and is too narrow for few runs. Where they differ
//! much, the scores are not normal.

use random::Stream;

use super::Interval;
use crate::estimate::bootstrap::{acceleration_of, adjusted};
use crate::{Error, planner, quantiles};

/// Changes whenever an interval changes.
pub const VERSION: u32 = 1;

/// Sample standard deviation, divisor `n - 1`; `None` with fewer than two values.
#[must_use]
pub fn sd(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (n > 1.0).then(|| (squares / (n - 1.0)).sqrt())
}

fn checked_sd(values: &[f64]) -> Result<f64, Error> {
    let too_few = Error::TooFew { what: "runs", found: values.len(), needed: 2 };
    let value = sd(values).ok_or(too_few)?;
    if value.is_finite() { Ok(value) } else { Err(Error::NoFigure) }
}

/// The sd with its chi-square interval at `level`.
///
/// # Errors
/// [`Error::TooFew`] below two values, [`Error::Level`], [`Error::NoFigure`] for a value that is not finite.
pub fn chi_square(values: &[f64], level: f64) -> Result<Interval, Error> {
    let value = checked_sd(values)?;
    let (low, high) = planner::sd_range(values.len(), level)?;
    Ok(Interval { value, low: low * value, high: high * value })
}

/// The sd with its BCa interval at `level`, from `resamples` draws of the stream `sd bootstrap` of `seed`.
///
/// # Errors
/// As [`chi_square`]; [`Error::TooFew`] below 100 resamples.
pub fn bca(values: &[f64], level: f64, resamples: usize, seed: u64) -> Result<Interval, Error> {
    let value = checked_sd(values)?;
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Level { level });
    }
    if resamples < 100 {
        return Err(Error::TooFew { what: "bootstrap resamples", found: resamples, needed: 100 });
    }
    let mut stream = Stream::new(seed, "sd bootstrap");
    let mut drawn = vec![0.0; values.len()];
    let mut figures: Vec<f64> = (0..resamples)
        .map(|_| {
            drawn.iter_mut().for_each(|place| *place = values[stream.below(values.len())]);
            sd(&drawn).expect("at least two values")
        })
        .collect();
    figures.sort_by(f64::total_cmp);
    let without = |out: usize| {
        let kept: Vec<f64> = (0..values.len()).filter(|&i| i != out).map(|i| values[i]).collect();
        sd(&kept).unwrap_or(0.0)
    };
    let acceleration = acceleration_of(&[(0..values.len()).map(without).collect()]);
    let tail = (1.0 - level) / 2.0;
    let end = |tail: f64| quantiles::of_sorted(&figures, adjusted(&figures, value, acceleration, tail));
    Ok(Interval { value, low: end(tail), high: end(1.0 - tail) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        assert!(chi_square(&[1.0], 0.95).is_err() && bca(&[1.0, 2.0], 0.95, 10, 0).is_err());
        assert_eq!(chi_square(&[1.0, f64::NAN], 0.95), Err(Error::NoFigure));
        assert_eq!(bca(&[2.0; 5], 0.95, 200, 0).unwrap(), Interval { value: 0.0, low: 0.0, high: 0.0 });
    }
}
