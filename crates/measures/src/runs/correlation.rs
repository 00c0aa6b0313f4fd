//! Pearson's and Spearman's correlation of two scores, with intervals.
//!
//! On Fisher's scale `atanh r`: standard error `1/sqrt(n-3)` for Pearson, `sqrt((1 + r^2/2)/(n-3))` for
//! Spearman (Bonett and Wright 2000). Ties have their mean rank.

use super::Interval;
use crate::{Error, quantiles};

/// Changes whenever a correlation or an interval changes.
pub const VERSION: u32 = 1;

/// Pearson's r; `None` if a list does not vary, is not finite, or has fewer than two values.
pub(crate) fn pearson_r(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        xx += (x - mean_x).powi(2);
        yy += (y - mean_y).powi(2);
        xy += (x - mean_x) * (y - mean_y);
    }
    let r = xy / (xx * yy).sqrt();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Ranks from 1, ties at their mean.
#[must_use]
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let tied = order[from..].iter().take_while(|&&i| values[i] == values[order[from]]).count().max(1);
        for &i in &order[from..from + tied] {
            ranks[i] = from as f64 + f64::midpoint(1.0, tied as f64);
        }
        from += tied;
    }
    ranks
}

/// Spearman's rho alone; `None` as for Pearson's.
///
/// # Panics
/// If the lists differ in length.
#[must_use]
pub fn rho(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "{} and {} scores of the same runs", x.len(), y.len());
    if x.iter().chain(y).any(|value| !value.is_finite()) {
        return None;
    }
    pearson_r(&ranks(x), &ranks(y))
}

/// Pearson's correlation with its interval at `level`.
///
/// # Errors
/// [`Error::TooFew`] below four runs, [`Error::Level`], [`Error::NoFigure`] if a score does not vary or is not
/// finite.
///
/// # Panics
/// If the lists differ in length.
pub fn pearson(x: &[f64], y: &[f64], level: f64) -> Result<Interval, Error> {
    assert_eq!(x.len(), y.len(), "{} and {} scores of the same runs", x.len(), y.len());
    interval(pearson_r(x, y), x.len(), level, |_| 1.0)
}

/// Spearman's correlation with its interval at `level`.
///
/// # Errors
/// As [`pearson`].
///
/// # Panics
/// If the lists differ in length.
pub fn spearman(x: &[f64], y: &[f64], level: f64) -> Result<Interval, Error> {
    interval(rho(x, y), x.len(), level, |r| 1.0 + r * r / 2.0)
}

fn interval(r: Option<f64>, n: usize, level: f64, inflation: fn(f64) -> f64) -> Result<Interval, Error> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Level { level });
    }
    if n < 4 {
        return Err(Error::TooFew { what: "runs", found: n, needed: 4 });
    }
    let value = r.ok_or(Error::NoFigure)?;
    let half = quantiles::normal(f64::midpoint(1.0, level)) * (inflation(value) / (n - 3) as f64).sqrt();
    let end = |sign: f64| (value.atanh() + sign * half).tanh();
    Ok(Interval { value, low: end(-1.0), high: end(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(rho(&[1.0, 2.0, 3.0], &[1.0, 8.0, 27.0]), Some(1.0));
        assert_eq!(rho(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        let perfect = spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 0.95).unwrap();
        assert_eq!((perfect.value, perfect.high), (1.0, 1.0));
        assert!(pearson(&[1.0; 5], &[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).is_err());
    }
}
