//! The noncentral t distribution.
//!
//! `T = (Z + delta)/sqrt(V/nu)` with `Z` normal and `V` chi-square with `nu` degrees of freedom, so
//!
//! ```text
//! P(T <= t) = int_0^inf Phi(t w - delta) f(w) dw,   f(w) = 2 (nu/2)^(nu/2)/Gamma(nu/2) w^(nu-1) exp(-nu w^2/2)
//! ```
//!
//! by Simpson's rule: `f` is smooth, and beyond `1 + 12/sqrt(nu)` it is below rounding. Absolute error below
//! 1e-9 for whole `nu`.

use statrs::function::gamma::ln_gamma;

use crate::quantiles;

/// Strips of Simpson's rule.
const STRIPS: usize = 2_000;

/// Distribution function of the noncentral t with `df >= 1` degrees of freedom and noncentrality `delta`.
pub(crate) fn cdf(t: f64, df: f64, delta: f64) -> f64 {
    let half = df / 2.0;
    let scale = std::f64::consts::LN_2 + half * half.ln() - ln_gamma(half);
    let integrand = |w: f64| {
        let density = if w > 0.0 {
            (scale + (df - 1.0) * w.ln() - half * w * w).exp()
        } else if df > 1.0 {
            0.0
        } else {
            scale.exp()
        };
        density * quantiles::normal_cdf(t * w - delta)
    };
    let end = 1.0 + 12.0 / df.sqrt();
    let step = end / STRIPS as f64;
    let inner: f64 =
        (1..STRIPS).map(|i| if i % 2 == 1 { 4.0 } else { 2.0 } * integrand(i as f64 * step)).sum();
    ((integrand(0.0) + inner + integrand(end)) * step / 3.0).clamp(0.0, 1.0)
}

/// Power of the two-sided t test at `alpha` for noncentrality `delta`.
pub(crate) fn power(delta: f64, df: f64, alpha: f64) -> f64 {
    let cut = quantiles::student(1.0 - alpha / 2.0, df);
    1.0 - cdf(cut, df, delta) + cdf(-cut, df, delta)
}

/// Noncentrality at which the two-sided t test at `alpha` has this `power`, by bisection.
pub(crate) fn delta_for(wanted: f64, df: f64, alpha: f64) -> f64 {
    let (mut low, mut high) = (0.0, 2.0);
    while power(high, df, alpha) < wanted && high < 1e6 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if power(middle, df, alpha) < wanted { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn central_where_delta_is_zero() {
        for df in [1.0, 2.0, 5.0, 40.0] {
            for t in [-3.0, -0.5, 0.0, 1.0, 4.0] {
                assert!((cdf(t, df, 0.0) - quantiles::student_cdf(t, df)).abs() < 1e-9, "{t} {df}");
            }
        }
        assert!((power(0.0, 5.0, 0.05) - 0.05).abs() < 1e-9);
    }
}
