//! Comparison at an equal value of something else: is the difference of two groups more than that of their
//! accuracies?
//!
//! Two good models agree because both are right. Where late runs are better, a rise of their agreement says
//! little by itself. Matching compares each late unit with the early ones that are as good (caliper matching
//! with replacement, Rosenbaum and Rubin 1985): nothing is assumed about how the figure depends on accuracy,
//! and where no early unit is as good the answer is that there is no answer.

/// Changes whenever a matched difference changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("matching", VERSION)
}

/// A run, or a pair of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// What is to be equal.
    pub covariate: f64,
    /// What is compared.
    pub value: f64,
}

/// What matching found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matched {
    /// Mean over the treated units that have a match of their value less the mean of their matches; `None` if
    /// none has.
    pub difference: Option<f64>,
    /// Share of the treated units that have a match, 0 to 1.
    pub share: f64,
}

/// Compares each unit of `treated` with those of `control` whose covariate is within `caliper` of its own.
///
/// # Panics
/// If there is no treated unit.
#[must_use]
pub fn matched(treated: &[Unit], control: &[Unit], caliper: f64) -> Matched {
    assert!(!treated.is_empty(), "matching without a unit");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let differences: Vec<f64> = treated
        .iter()
        .filter_map(|unit| {
            let near = |other: &&Unit| (other.covariate - unit.covariate).abs() <= caliper;
            let matches: Vec<f64> = control.iter().filter(near).map(|other| other.value).collect();
            (!matches.is_empty()).then(|| unit.value - mean(&matches))
        })
        .collect();
    Matched {
        difference: (!differences.is_empty()).then(|| mean(&differences)),
        share: differences.len() as f64 / treated.len() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(values: &[(f64, f64)]) -> Vec<Unit> {
        values.iter().map(|&(covariate, value)| Unit { covariate, value }).collect()
    }

    #[test]
    fn by_hand() {
        let late = units(&[(0.9, 10.0), (0.8, 7.0), (0.5, 100.0)]);
        let early = units(&[(0.89, 4.0), (0.91, 6.0), (0.79, 6.5), (0.1, 0.0)]);
        let found = matched(&late, &early, 0.02);
        assert_eq!(found.difference, Some((5.0 + 0.5) / 2.0));
        assert!((found.share - 2.0 / 3.0).abs() < 1e-15);
        assert_eq!(matched(&late, &early[3..], 0.02), Matched { difference: None, share: 0.0 });
        assert_eq!(matched(&late, &[], 0.02).share, 0.0);
    }

    /// A figure that is a function of accuracy alone differs between groups, and does not once they are matched.
    #[test]
    fn takes_out_what_accuracy_explains() {
        let along = |from: f64, to: f64, extra: f64| -> Vec<Unit> {
            let unit = |i: u32| {
                let covariate = from + (to - from) * f64::from(i) / 100.0;
                Unit { covariate, value: covariate * covariate + extra }
            };
            (0..=100).map(unit).collect()
        };
        let mean = |units: &[Unit]| units.iter().map(|unit| unit.value).sum::<f64>() / units.len() as f64;
        let (early, late) = (along(0.5, 0.9, 0.0), along(0.6, 1.0, 0.0));
        assert!(mean(&late) - mean(&early) > 0.1);
        let found = matched(&late, &early, 0.01);
        assert!(found.difference.unwrap().abs() < 0.005, "{found:?}");
        assert!((found.share - 0.77).abs() < 0.01, "{found:?}");
        let shifted = matched(&along(0.6, 1.0, 0.05), &early, 0.01).difference.unwrap();
        assert!((shifted - 0.05).abs() < 0.005, "{shifted}");
    }
}
