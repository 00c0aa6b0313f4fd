//! An interval for skewed figures: Student's t after Hall's transformation (Hall 1992, "On the removal of
//! skewness by transformation").
//!
//! With `T = sqrt(n) (mean - mu)/s`, sample skewness `g` and `a = g/sqrt(n)`,
//! `h(T) = T + a (T^2/3 + 1/6) + a^2 T^3/27` has no skewness to first order and is monotone, with inverse
//! `3/a [(1 + a (x - a/6))^(1/3) - 1]`. The interval is `mean - s/sqrt(n) h^-1(+-t(n-1))`. Its longer arm lies on
//! the side of the tail. With few seeds the skewness itself is poorly known: `docs/verdict.md` has the coverage.

use crate::{Error, quantiles};

/// Changes whenever an interval changes.
pub const VERSION: u32 = 1;

/// Interval of the mean of `values` at `level`.
///
/// # Errors
/// [`Error::TooFew`] below three values, [`Error::Level`], [`Error::NoFigure`] for a value that is not finite.
pub fn interval(values: &[f64], level: f64) -> Result<(f64, f64), Error> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Level { level });
    }
    if values.len() < 3 {
        return Err(Error::TooFew { what: "pretraining seeds", found: values.len(), needed: 3 });
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let moment = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    let (second, third) = (moment(2), moment(3));
    if !third.is_finite() {
        return Err(Error::NoFigure);
    }
    let se = (second / (n - 1.0)).sqrt();
    if second <= 0.0 {
        return Ok((mean, mean));
    }
    let a = third / second.powf(1.5) / n.sqrt();
    let inverse =
        |x: f64| if a.abs() < 1e-9 { x } else { 3.0 / a * ((1.0 + a * (x - a / 6.0)).cbrt() - 1.0) };
    let t = quantiles::student(f64::midpoint(1.0, level), n - 1.0);
    Ok((mean - se * inverse(t), mean - se * inverse(-t)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_on_the_side_of_the_tail() {
        let values = [0.0, 0.1, 0.2, 0.1, 3.0];
        let mean = values.iter().sum::<f64>() / 5.0;
        let (low, high) = interval(&values, 0.95).unwrap();
        assert!(high - mean > mean - low, "{low} {mean} {high}");
        let mirrored = interval(&values.map(|value| -value), 0.95).unwrap();
        assert!((mirrored.0 + high).abs() < 1e-9 && (mirrored.1 + low).abs() < 1e-9);
        // Symmetric figures keep Student's interval.
        let (low, high) = interval(&[-1.0, 0.0, 1.0], 0.95).unwrap();
        assert!((high - 4.302_652_7 / 3.0_f64.sqrt()).abs() < 1e-6 && (low + high).abs() < 1e-9);
    }
}
