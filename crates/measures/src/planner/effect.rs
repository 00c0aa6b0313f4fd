//! The smallest effect that a study can detect, from the sd of a pilot.
//!
//! ```text
//! effect = delta(power, df, alpha) sd / sqrt(P),   df = P - 1
//! ```
//!
//! `sd` is that of the figure over the pilot's pretraining seeds, `delta` the noncentrality at which a two-sided t test has the power.
//! A pilot's sd is known poorly: its chi-square interval is carried into one of the effect. The observed *effect* never enters:
//! power at the observed effect is a function of its p alone (Hoenig and Heisey 2001) and says nothing new.

use crate::{Error, noncentral, planner};

/// Changes whenever an effect changes.
pub const VERSION: u32 = 1;

/// A test that is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// Pretraining seeds of the study.
    pub seeds: usize,
    /// Level of the two-sided test, after division for multiplicity: with Holm the first of `m` primaries has
    /// `.05/m`.
    pub alpha: f64,
    /// Chance to find the effect.
    pub power: f64,
}

/// The smallest effect that can be detected, in the units of the sd.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smallest {
    /// With the pilot's sd taken at its value.
    pub effect: f64,
    /// At the lower end of the sd's 95 % interval.
    pub low: f64,
    /// At the upper end.
    pub high: f64,
}

/// Smallest effect of `test` from the sd of `pilot_seeds` pretraining seeds.
///
/// # Errors
/// [`Error::TooFew`] below two seeds on either side, [`Error::Parameter`] for a negative sd, an alpha or a power
/// outside 0 to 1.
pub fn smallest(test: Test, pilot_sd: f64, pilot_seeds: usize) -> Result<Smallest, Error> {
    if test.seeds < 2 {
        return Err(Error::TooFew { what: "seeds", found: test.seeds, needed: 2 });
    }
    if !(pilot_sd >= 0.0 && pilot_sd.is_finite()) {
        return Err(Error::Parameter { name: "a pilot's sd", expected: "at least 0", value: pilot_sd });
    }
    let standard_error = pilot_sd / (test.seeds as f64).sqrt();
    let effect = detectable(standard_error, (test.seeds - 1) as f64, test.alpha, test.power)?;
    let (low, high) = planner::sd_range(pilot_seeds, 0.95)?;
    Ok(Smallest { effect, low: low * effect, high: high * effect })
}

/// Effect that a two-sided t test with this standard error detects with `power`.
///
/// # Errors
/// [`Error::Parameter`] for an alpha or a power outside 0 to 1, or degrees of freedom below 1.
pub fn detectable(standard_error: f64, df: f64, alpha: f64, power: f64) -> Result<f64, Error> {
    for (name, value) in [("alpha", alpha), ("power", power)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(Error::Parameter { name, expected: "between 0 and 1", value });
        }
    }
    if df < 1.0 || df.is_nan() {
        return Err(Error::Parameter { name: "degrees of freedom", expected: "at least 1", value: df });
    }
    Ok(noncentral::delta_for(power, df, alpha) * standard_error)
}

/// Distribution function at `t` of the noncentral t with `df` (at least 1) degrees of freedom and noncentrality
/// `delta`.
#[must_use]
pub fn noncentral_t(t: f64, df: f64, delta: f64) -> f64 {
    noncentral::cdf(t, df, delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cohen 1988: a paired test of 34 detects half an sd with power .8.
    #[test]
    fn published() {
        let test = Test { seeds: 34, alpha: 0.05, power: 0.8 };
        let found = smallest(test, 1.0, 10).unwrap();
        assert!((found.effect - 0.495).abs() < 0.005, "{found:?}");
        assert!((found.high / found.effect - 1.8256).abs() < 1e-3);
        assert!(smallest(Test { power: 1.0, ..test }, 1.0, 10).is_err());
        assert!(smallest(Test { seeds: 1, ..test }, 1.0, 10).is_err());
        assert!(smallest(test, -1.0, 10).is_err());
    }
}
