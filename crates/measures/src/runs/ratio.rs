//! Ratio of the sds of two scores of the same runs, such as out-of-distribution over in-distribution.
//!
//! The runs are the same, so the two sds are not independent. The interval inverts the test of Pitman (1939) and Morgan
//! (1939), `corr(x + w y, x - w y) = 0`, exact for bivariate normal scores. With `r = corr(x, y)` and
//! `K = 1 + 2 (1 - r^2) t^2/(n-2)`, `t` with `n - 2` degrees of freedom:
//!
//! ```text
//! (s_x/s_y) sqrt(K -+ sqrt(K^2 - 1))
//! ```

use super::correlation::pearson_r;
use super::{Interval, spread};
use crate::{Error, quantiles};

/// Changes whenever an interval changes.
pub const VERSION: u32 = 1;

/// `sd(x)/sd(y)` of paired scores with its interval at `level`.
///
/// # Errors
/// [`Error::TooFew`] below three runs, [`Error::Level`], [`Error::NoFigure`] if a score does not vary or is not
/// finite.
///
/// # Panics
/// If the lists differ in length.
pub fn of_sds(x: &[f64], y: &[f64], level: f64) -> Result<Interval, Error> {
    assert_eq!(x.len(), y.len(), "{} and {} scores of the same runs", x.len(), y.len());
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Level { level });
    }
    if x.len() < 3 {
        return Err(Error::TooFew { what: "runs", found: x.len(), needed: 3 });
    }
    let sds = spread::sd(x).zip(spread::sd(y)).filter(|(a, b)| *a > 0.0 && *b > 0.0 && (a / b).is_finite());
    let (a, b) = sds.ok_or(Error::NoFigure)?;
    let r = pearson_r(x, y).ok_or(Error::NoFigure)?;
    let df = (x.len() - 2) as f64;
    let t = quantiles::student(f64::midpoint(1.0, level), df);
    let k = 1.0 + 2.0 * (1.0 - r * r) * t * t / df;
    let root = (k * k - 1.0).max(0.0).sqrt();
    Ok(Interval { value: a / b, low: a / b / (k + root).sqrt(), high: a / b * (k + root).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At both ends the sum and the difference of the scaled scores are just significantly correlated.
    #[test]
    fn inverts_its_test() {
        let (x, y) = ([1.0, 4.0, 2.5, 7.0, 3.0, 5.5], [0.4, 1.1, 1.3, 1.9, 0.2, 1.4]);
        let found = of_sds(&x, &y, 0.95).unwrap();
        for w in [found.low, found.high] {
            let sum: Vec<f64> = x.iter().zip(y).map(|(x, y)| x + w * y).collect();
            let difference: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - w * y).collect();
            let r = pearson_r(&sum, &difference).unwrap();
            let t = r * (4.0 / (1.0 - r * r)).sqrt();
            assert!((t.abs() - quantiles::student(0.975, 4.0)).abs() < 1e-9, "{w}: {t}");
        }
        assert_eq!(of_sds(&[1.0; 3], &[1.0, 2.0, 3.0], 0.95), Err(Error::NoFigure));
    }
}
