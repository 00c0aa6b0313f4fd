//! Quantiles of the distributions that intervals are made of, and of lists.

use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor, Normal, StudentsT};

/// `p`-quantile of the standard normal.
pub(crate) fn normal(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// Distribution function of the standard normal.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    Normal::standard().cdf(x)
}

/// `p`-quantile of Student's t with `df` degrees of freedom.
pub(crate) fn student(p: f64, df: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, df).expect("degrees of freedom are positive");
    invert(|x| t.cdf(x), p)
}

/// Distribution function of Student's t with `df` degrees of freedom.
pub(crate) fn student_cdf(x: f64, df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).expect("degrees of freedom are positive").cdf(x)
}

/// `p`-quantile of chi-square with `df` degrees of freedom.
pub(crate) fn chi_squared(p: f64, df: f64) -> f64 {
    let chi_squared = ChiSquared::new(df).expect("degrees of freedom are positive");
    invert(|x| if x <= 0.0 { 0.0 } else { chi_squared.cdf(x) }, p)
}

/// Distribution function of Fisher's F.
pub(crate) fn fisher_cdf(x: f64, df1: f64, df2: f64) -> f64 {
    FisherSnedecor::new(df1, df2).expect("degrees of freedom are positive").cdf(x)
}

/// `p`-quantile of Fisher's F.
pub(crate) fn fisher(p: f64, df1: f64, df2: f64) -> f64 {
    let f = FisherSnedecor::new(df1, df2).expect("degrees of freedom are positive");
    invert(|x| if x <= 0.0 { 0.0 } else { f.cdf(x) }, p)
}

/// Bisection of a distribution function to the last bit but a few: slower than a closed form and right in
/// every tail.
fn invert(cdf: impl Fn(f64) -> f64, p: f64) -> f64 {
    let (mut low, mut high) = (-1.0, 1.0);
    while cdf(low) > p && low > -1e12 {
        low *= 2.0;
    }
    while cdf(high) < p && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if cdf(middle) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// `p`-quantile of an ascending list, interpolated between order statistics `1 + p (n-1)` (Hyndman and Fan
/// 1996, type 7).
pub(crate) fn of_sorted(sorted: &[f64], p: f64) -> f64 {
    let at = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = sorted[at.floor() as usize];
    let above = sorted[at.ceil() as usize];
    below + (at - at.floor()) * (above - below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST/SEMATECH e-Handbook, tables 1.3.6.7.
    #[test]
    fn published_tables() {
        let near =
            |found: f64, expected: f64| assert!((found - expected).abs() < 6e-4, "{found}: {expected}");
        near(normal(0.975), 1.959_964);
        near(student(0.975, 1.0), 12.706_2);
        near(student(0.975, 2.0), 4.302_65);
        near(student(0.975, 9.0), 2.262_16);
        near(student(0.025, 5.0), -2.570_58);
        near(student(0.975, 1e6), 1.959_966);
        near(chi_squared(0.975, 9.0), 19.022_8);
        near(chi_squared(0.025, 9.0), 2.700_39);
        near(chi_squared(0.025, 1.0), 0.000_982);
        near(chi_squared(0.95, 99.0), 123.225);
        near(fisher(0.95, 5.0, 5.0), 5.050_3);
        near(fisher(0.975, 9.0, 9.0), 4.025_99);
    }

    #[test]
    fn lists() {
        let list = [0.0, 1.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|p| of_sorted(&list, p)), [0.0, 0.5, 1.0, 2.5, 4.0]);
    }
}
