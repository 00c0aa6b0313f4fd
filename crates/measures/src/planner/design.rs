//! How many pretraining and fine-tuning seeds a contrast of late and early rungs needs.
//!
//! The change of pretraining seed `p`, from `K` fine-tuning seeds at each rung, has the variance
//!
//! ```text
//! sd^2(K) = between^2 + within^2 / K
//! ```
//!
//! `between` is of pretraining seeds whose fine-tuning seeds were without number; `within^2/K` is what `K` of them leave open, to
//! first order also for means over pairs. More fine-tuning seeds cannot go below `between / sqrt(P)`. The test of `P` seeds
//! is Student's t with `P - 1` degrees of freedom, its power by the noncentral t.

use super::{check, fewest, positive};
use crate::{Error, noncentral, quantiles};

/// Changes whenever a number of seeds or a power changes.
pub const VERSION: u32 = 1;

/// Standard deviations of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Components {
    /// Over pretraining seeds, with fine-tuning seeds without number.
    pub between: f64,
    /// Of one fine-tuning seed.
    pub within: f64,
}

impl Components {
    /// Given ones.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one is negative or not finite, or both are 0.
    pub fn new(between: f64, within: f64) -> Result<Self, Error> {
        for (name, value) in [("the sd between", between), ("the sd within", within)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::Parameter { name, expected: "at least 0", value });
            }
        }
        positive("the larger of both sds", between.max(within))?;
        Ok(Self { between, within })
    }

    /// From a pilot: the change of each pretraining seed, and the standard error that `finetuning` seeds leave of one such
    /// change (0 where nobody knows it: then all variance counts as between). Between is cut at 0.
    ///
    /// # Errors
    /// [`Error::TooFew`] below two pretraining seeds, [`Error::NoFigure`] for a change that is not finite,
    /// [`Error::Parameter`] if the changes do not vary.
    pub fn of_pilot(changes: &[f64], standard_error: f64, finetuning: f64) -> Result<Self, Error> {
        let too_few = Error::TooFew { what: "pretraining seeds", found: changes.len(), needed: 2 };
        let sd = crate::runs::spread::sd(changes).ok_or(too_few)?;
        if !sd.is_finite() {
            return Err(Error::NoFigure);
        }
        let between = (sd.powi(2) - standard_error.powi(2)).max(0.0).sqrt();
        Self::new(between, standard_error * finetuning.sqrt())
    }

    /// Standard deviation over pretraining seeds of a change from so many fine-tuning seeds each.
    #[must_use]
    pub fn sd(&self, finetuning: usize) -> f64 {
        (self.between.powi(2) + self.within.powi(2) / finetuning as f64).sqrt()
    }
}

/// Power of the two-sided t test at `alpha` to find `effect` with `seeds` changes of this `sd`.
///
/// # Errors
/// [`Error::TooFew`] below two seeds, [`Error::Level`], [`Error::Parameter`] unless sd and effect are positive.
pub fn power(seeds: usize, sd: f64, effect: f64, alpha: f64) -> Result<f64, Error> {
    check(seeds, 1.0 - alpha)?;
    positive("an sd", sd)?;
    positive("an effect", effect)?;
    let delta = effect / sd * (seeds as f64).sqrt();
    Ok(noncentral::power(delta, (seeds - 1) as f64, alpha))
}

/// Power of the two one-sided tests at `alpha` to show a change that is 0 to be within `margin`:
/// `1 - 2 P(T <= t_alpha)`, `T` noncentral by `margin / se`. A lower bound, and exact but where the power is small.
///
/// # Errors
/// As [`power`].
pub fn power_of_equivalence(seeds: usize, sd: f64, margin: f64, alpha: f64) -> Result<f64, Error> {
    check(seeds, 1.0 - alpha)?;
    positive("an sd", sd)?;
    positive("a margin", margin)?;
    let df = (seeds - 1) as f64;
    let delta = margin / sd * (seeds as f64).sqrt();
    Ok((1.0 - 2.0 * noncentral::cdf(quantiles::student(1.0 - alpha, df), df, delta)).max(0.0))
}

/// Fewest pretraining seeds at which [`power`] reaches `wanted`.
///
/// # Errors
/// As [`power`]; [`Error::Parameter`] if `wanted` is not between 0 and 1, or out of reach.
pub fn seeds_for_effect(sd: f64, effect: f64, alpha: f64, wanted: f64) -> Result<usize, Error> {
    fewest(wanted, |seeds| power(seeds, sd, effect, alpha))
}

/// Fewest pretraining seeds at which [`power_of_equivalence`] reaches `wanted`.
///
/// # Errors
/// As [`seeds_for_effect`].
pub fn seeds_for_margin(sd: f64, margin: f64, alpha: f64, wanted: f64) -> Result<usize, Error> {
    fewest(wanted, |seeds| power_of_equivalence(seeds, sd, margin, alpha))
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;

    #[test]
    fn a_pilot_is_taken_apart() {
        // Sample variance 4, of which 1 is of four fine-tuning seeds.
        let found = Components::of_pilot(&[0.0, 2.0, 4.0], 1.0, 4.0).unwrap();
        assert!((found.between - 3.0_f64.sqrt()).abs() < 1e-12 && (found.within - 2.0).abs() < 1e-12);
        assert!((found.sd(4) - 2.0).abs() < 1e-12);
        assert!((found.sd(1) - 7.0_f64.sqrt()).abs() < 1e-12);
        // What is left below 0 is nothing.
        assert_eq!(Components::of_pilot(&[0.0, 1.0], 9.0, 1.0).unwrap().between, 0.0);
        assert!(Components::of_pilot(&[1.0], 0.0, 3.0).is_err());
        assert!(Components::of_pilot(&[1.0, 1.0], 0.0, 3.0).is_err());
        assert!(Components::new(-1.0, 1.0).is_err() && Components::new(f64::NAN, 1.0).is_err());
    }

    /// Cohen 1988: a paired test of half an sd needs 34 for power .8.
    #[test]
    fn published() {
        assert_eq!(seeds_for_effect(1.0, 0.5, 0.05, 0.8).unwrap(), 34);
        assert_eq!(seeds_for_effect(1.0, 1.0, 0.05, 0.8).unwrap(), 10);
    }

    #[test]
    fn both_powers_by_simulation() {
        let (seeds, margin, effect) = (8, 1.2, 1.0);
        let mut stream = Stream::new(0, "planner design test");
        let (mut detected, mut equivalent) = (0.0, 0.0);
        let draws = 20_000;
        let two_sided = quantiles::student(0.975, 7.0);
        let one_sided = quantiles::student(0.95, 7.0);
        for _ in 0..draws {
            let values: Vec<f64> = (0..seeds).map(|_| stream.normal()).collect();
            let mean = values.iter().sum::<f64>() / seeds as f64;
            let se = crate::runs::spread::sd(&values).unwrap() / (seeds as f64).sqrt();
            detected += f64::from(u8::from(((mean + effect) / se).abs() > two_sided));
            equivalent += f64::from(u8::from((margin - mean.abs()) / se > one_sided));
        }
        let found = power(seeds, 1.0, effect, 0.05).unwrap();
        assert!((detected / draws as f64 - found).abs() < 0.012, "{detected} {found}");
        let found = power_of_equivalence(seeds, 1.0, margin, 0.05).unwrap();
        assert!((equivalent / draws as f64 - found).abs() < 0.012, "{equivalent} {found}");
    }

    #[test]
    fn fewest_is_fewest() {
        for ratio in [0.4, 0.8, 2.0] {
            let n = seeds_for_margin(1.0, ratio, 0.05, 0.8).unwrap();
            assert!(power_of_equivalence(n, 1.0, ratio, 0.05).unwrap() >= 0.8);
            assert!(n == 2 || power_of_equivalence(n - 1, 1.0, ratio, 0.05).unwrap() < 0.8);
        }
        assert!(seeds_for_margin(1.0, 0.0, 0.05, 0.8).is_err());
    }
}
