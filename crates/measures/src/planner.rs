//! How many seeds a claim needs. All for normal values.

pub mod design;
pub mod effect;

use crate::{Error, quantiles};

/// Changes whenever a number of seeds changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("planner", VERSION)
}

/// No plan is for more seeds than this.
const MOST: usize = 1_000_000;

/// The exact range of a standard deviation that is estimated from `n` seeds, as factors of the estimate: at
/// `level` the true sd lies between `sqrt((n-1)/chi2_hi)` and `sqrt((n-1)/chi2_lo)` times the observed one,
/// chi-square with `n - 1` degrees of freedom. From 10 seeds and at 95 % these are 0.69 and 1.83.
///
/// # Errors
/// [`Error::TooFew`] below two seeds, [`Error::Level`].
pub fn sd_range(n: usize, level: f64) -> Result<(f64, f64), Error> {
    check(n, level)?;
    let df = (n - 1) as f64;
    let factor = |p: f64| (df / quantiles::chi_squared(p, df)).sqrt();
    Ok((factor(f64::midpoint(1.0, level)), factor((1.0 - level) / 2.0)))
}

/// Power of the two-sided F test at `1 - level` to tell two groups of `n` seeds apart whose sds have this
/// `ratio`: `P(F < F_lo / r^2) + P(F > F_hi / r^2)` with `n - 1` and `n - 1` degrees of freedom.
///
/// # Errors
/// [`Error::TooFew`] below two seeds, [`Error::Level`], [`Error::Parameter`] if `ratio` is not positive.
pub fn sd_ratio_power(n: usize, ratio: f64, level: f64) -> Result<f64, Error> {
    check(n, level)?;
    positive("the ratio of two sds", ratio)?;
    let df = (n - 1) as f64;
    let tail = (1.0 - level) / 2.0;
    let cut = |p: f64| quantiles::fisher(p, df, df) / (ratio * ratio);
    Ok(quantiles::fisher_cdf(cut(tail), df, df) + 1.0 - quantiles::fisher_cdf(cut(1.0 - tail), df, df))
}

/// Fewest seeds in each of two groups for [`sd_ratio_power`] to reach `power`.
///
/// # Errors
/// [`Error::Level`], [`Error::Parameter`] if `ratio` is not positive or is 1, `power` is not between 0 and 1,
/// or a million seeds would not do.
pub fn seeds_for_sd_ratio(ratio: f64, power: f64, level: f64) -> Result<usize, Error> {
    positive("the ratio of two sds", ratio)?;
    fewest(power, |n| sd_ratio_power(n, ratio, level))
}

/// What a difference of means is compared between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// `n` differences, one for each pretraining seed (late - early): a one-sample t test, the sd that of the
    /// differences.
    Paired,
    /// Two groups of `n` seeds each: a two-sample t test, the sd that within a group.
    TwoGroups,
}

/// Fewest seeds (in each group) at which a two-sided t test at `1 - level` finds a difference of `difference`
/// sds with this `power`.
///
/// The noncentral t is approximated by a shifted central one,
/// `n >= c (t_{level} + t_{power})^2 / difference^2` with `c` 1 or 2, which is within one seed of the exact
/// number.
///
/// # Errors
/// [`Error::Level`], [`Error::Parameter`] if `difference` is not positive, `power` is not between 0 and 1, or
/// a million seeds would not do.
pub fn seeds_for_mean_difference(
    difference: f64,
    power: f64,
    level: f64,
    design: Design,
) -> Result<usize, Error> {
    positive("the difference in sds", difference)?;
    fewest(power, |n| {
        check(n, level)?;
        let (groups, df) = match design {
            Design::Paired => (1.0, n - 1),
            Design::TwoGroups => (2.0, 2 * (n - 1)),
        };
        let df = df as f64;
        let shift = difference * (n as f64 / groups).sqrt();
        Ok(quantiles::student_cdf(shift - quantiles::student(f64::midpoint(1.0, level), df), df))
    })
}

/// Smallest `n >= 2` whose power, which rises with `n`, reaches `power`: doubling, then bisection.
fn fewest(power: f64, of: impl Fn(usize) -> Result<f64, Error>) -> Result<usize, Error> {
    if !(power > 0.0 && power < 1.0) {
        return Err(Error::Parameter { name: "power", expected: "between 0 and 1", value: power });
    }
    let mut high = 2;
    while of(high)? < power {
        high *= 2;
        if high > MOST {
            return Err(Error::Parameter {
                name: "power",
                expected: "within reach of a million seeds",
                value: power,
            });
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if middle >= 2 && of(middle)? >= power { high = middle } else { low = middle }
    }
    Ok(high)
}

fn check(n: usize, level: f64) -> Result<(), Error> {
    if n < 2 {
        return Err(Error::TooFew { what: "seeds", found: n, needed: 2 });
    }
    if level > 0.0 && level < 1.0 { Ok(()) } else { Err(Error::Level { level }) }
}

fn positive(name: &'static str, value: f64) -> Result<(), Error> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(Error::Parameter { name, expected: "a positive number", value })
    }
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;

    #[test]
    fn ten_seeds_leave_an_sd_open() {
        let (low, high) = sd_range(10, 0.95).unwrap();
        assert!((low - 0.6878).abs() < 1e-4 && (high - 1.8256).abs() < 1e-4, "{low} {high}");
        assert_eq!(sd_range(1, 0.95).unwrap_err().to_string(), "1 seeds, at least 2 needed");
    }

    /// Cohen 1988, table 2.4.1: 17 / 64 / 394 in each group for d = 1 / .5 / .2 (26 for .8), power .8,
    /// two-sided 5 %. Paired: 34 for .5, 10 for 1.
    #[test]
    fn published_sample_sizes() {
        let seeds = |d: f64, design| seeds_for_mean_difference(d, 0.8, 0.95, design).unwrap();
        for (d, published) in [(1.0, 17), (0.8, 26), (0.5, 64), (0.2, 394)] {
            assert!(
                seeds(d, Design::TwoGroups).abs_diff(published) <= 1,
                "{d}: {}",
                seeds(d, Design::TwoGroups)
            );
        }
        assert!(seeds(0.5, Design::Paired).abs_diff(34) <= 1);
        assert!(seeds(1.0, Design::Paired).abs_diff(10) <= 1);
    }

    #[test]
    fn power_of_an_sd_ratio_by_simulation() {
        let n = 10;
        let mut stream = Stream::new(0, "planner test");
        let mut variance = |sd: f64| {
            let values: Vec<f64> = (0..n).map(|_| sd * stream.normal()).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
        };
        let cut = quantiles::fisher(0.975, 9.0, 9.0);
        let found = (0..20_000).filter(|_| {
            let f = variance(2.0) / variance(1.0);
            f > cut || f < 1.0 / cut
        });
        let simulated = found.count() as f64 / 20_000.0;
        let power = sd_ratio_power(n, 2.0, 0.95).unwrap();
        assert!((simulated - power).abs() < 0.012, "{simulated} {power}");
        assert!(
            (sd_ratio_power(n, 0.5, 0.95).unwrap() - power).abs() < 1e-9,
            "either group may be the wider one"
        );
    }

    #[test]
    fn fewest_is_fewest() {
        for ratio in [1.5, 2.0, 4.0, 0.5] {
            let n = seeds_for_sd_ratio(ratio, 0.8, 0.95).unwrap();
            assert!(sd_ratio_power(n, ratio, 0.95).unwrap() >= 0.8);
            assert!(n == 2 || sd_ratio_power(n - 1, ratio, 0.95).unwrap() < 0.8);
        }
        assert!(seeds_for_sd_ratio(1.0, 0.8, 0.95).is_err());
        assert!(seeds_for_sd_ratio(2.0, 1.0, 0.95).is_err());
        assert!(seeds_for_mean_difference(-1.0, 0.8, 0.95, Design::Paired).is_err());
    }
}
