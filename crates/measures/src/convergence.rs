//! How far pretraining has come: the power law `L(t) = L_inf + A t^-a` and the loss still to go.
//!
//! Held-out losses `L_i` at steps (or tokens) `t_i > 0`. For a given exponent the law is linear in `L_inf`
//! and `A`, both not negative, and solved in closed form; the exponent is found on a logarithmic grid and
//! refined by golden section (variable projection, Golub and Pereyra 1973). So there is no starting value and
//! no local minimum but the grid's.
//!
//! The interval of `L_inf` is the profile-likelihood one of nonlinear regression (Bates and Watts 1988, 6.1):
//! all `L_inf` whose best fit has a residual sum of squares of at most `S_min (1 + F(1, n-3)/(n-3))`. A
//! ladder that has not bent yet says so: the interval then reaches down to 0.

use crate::{Error, quantiles};

/// Changes whenever a fit changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("convergence", VERSION)
}

/// Exponents that are looked at.
const EXPONENTS: (f64, f64) = (1e-2, 8.0);
/// Points of the grid of exponents, and golden-section steps after it.
const GRID: usize = 120;
const REFINEMENTS: usize = 60;

/// A fitted power law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// `L_inf`: the loss that the law tends to (unit of the losses, at least 0).
    pub floor: f64,
    /// Lower end of the interval of `floor`.
    pub floor_lower: f64,
    /// Upper end of the interval of `floor`.
    pub floor_upper: f64,
    /// `A`: what is above the floor at `t = 1`.
    pub scale: f64,
    /// `a`.
    pub exponent: f64,
    /// Root mean square residual with divisor `n - 3` (unit of the losses).
    pub residual: f64,
    /// Points fitted.
    pub n: usize,
}

/// Loss still to go, with the interval that the floor's leaves it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToGo {
    /// Observed loss less the fitted floor, at least 0.
    pub value: f64,
    /// Lower end: above the highest plausible floor.
    pub lower: f64,
    /// Upper end: above the lowest plausible floor.
    pub upper: f64,
}

impl Fit {
    /// The law at `t > 0`.
    #[must_use]
    pub fn at(&self, t: f64) -> f64 {
        self.floor + self.scale * t.powf(-self.exponent)
    }

    /// How far an observed loss lies above the floor.
    #[must_use]
    pub fn to_go(&self, loss: f64) -> ToGo {
        let above = |floor: f64| (loss - floor).max(0.0);
        ToGo { value: above(self.floor), lower: above(self.floor_upper), upper: above(self.floor_lower) }
    }
}

/// Fits the law to `losses` at `steps` and gives the floor's interval at `level`.
///
/// The law describes a run at one learning-rate phase. Leave out step 0, and what lies before the loss has
/// begun to bend.
///
/// # Errors
/// [`Error::TooFew`] below four points, [`Error::Parameter`] for a step that is not positive or a loss that
/// is negative or not finite, [`Error::Level`].
///
/// # Panics
/// If the two lists differ in length.
pub fn fit(steps: &[f64], losses: &[f64], level: f64) -> Result<Fit, Error> {
    assert_eq!(steps.len(), losses.len(), "{} steps, {} losses", steps.len(), losses.len());
    let n = steps.len();
    if n < 4 {
        return Err(Error::TooFew { what: "points of a power law", found: n, needed: 4 });
    }
    if let Some(&value) = steps.iter().find(|step| !(**step > 0.0 && step.is_finite())) {
        return Err(Error::Parameter { name: "a step", expected: "a positive number", value });
    }
    if let Some(&value) = losses.iter().find(|loss| !(**loss >= 0.0 && loss.is_finite())) {
        return Err(Error::Parameter { name: "a loss", expected: "a number of at least 0", value });
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Level { level });
    }
    // Relative to the geometric mean step, no power over- or underflows and the two columns are least
    // collinear.
    let unit = (steps.iter().map(|step| step.ln()).sum::<f64>() / n as f64).exp();
    let data = Data { times: steps.iter().map(|step| step / unit).collect(), losses };
    let (exponent, squares) = minimise(|a| data.best(a).2);
    let (floor, scale, _) = data.best(exponent);
    let df = (n - 3) as f64;
    let allowed = squares * (1.0 + quantiles::fisher(level, 1.0, df) / df) + f64::EPSILON * data.size();
    let plausible = |floor: f64| minimise(|a| data.given(a, floor).1).1 <= allowed;
    // A floor above the lowest loss is worse the higher it is, and one below 0 is not a loss.
    let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let top = losses.iter().copied().fold(lowest, f64::max).max(floor);
    Ok(Fit {
        floor,
        floor_lower: boundary(floor, 0.0, &plausible),
        floor_upper: boundary(floor, top, &plausible),
        scale: scale * unit.powf(exponent),
        exponent,
        residual: (squares / df).sqrt(),
        n,
    })
}

struct Data<'a> {
    times: Vec<f64>,
    losses: &'a [f64],
}

impl Data<'_> {
    /// Sum of squares of the losses: what rounding is measured by.
    fn size(&self) -> f64 {
        self.losses.iter().map(|loss| loss * loss).sum()
    }

    fn squares(&self, exponent: f64, floor: f64, scale: f64) -> f64 {
        let residual = |(t, loss): (&f64, &f64)| loss - floor - scale * t.powf(-exponent);
        self.times.iter().zip(self.losses).map(|point| residual(point).powi(2)).sum()
    }

    /// Best scale, at least 0, for this exponent and floor, and its sum of squares.
    fn given(&self, exponent: f64, floor: f64) -> (f64, f64) {
        let (mut power_squares, mut product) = (0.0, 0.0);
        for (t, loss) in self.times.iter().zip(self.losses) {
            let power = t.powf(-exponent);
            power_squares += power * power;
            product += power * (loss - floor);
        }
        let scale = (product / power_squares).max(0.0);
        (scale, self.squares(exponent, floor, scale))
    }

    /// Best floor and scale, neither negative, for this exponent, and their sum of squares.
    fn best(&self, exponent: f64) -> (f64, f64, f64) {
        let powers: Vec<f64> = self.times.iter().map(|t| t.powf(-exponent)).collect();
        let n = powers.len() as f64;
        let (mean_power, mean_loss) = (powers.iter().sum::<f64>() / n, self.losses.iter().sum::<f64>() / n);
        let (mut xx, mut xy) = (0.0, 0.0);
        for (power, loss) in powers.iter().zip(self.losses) {
            xx += (power - mean_power).powi(2);
            xy += (power - mean_power) * (loss - mean_loss);
        }
        let scale = if xx > 0.0 { (xy / xx).max(0.0) } else { 0.0 };
        let floor = mean_loss - scale * mean_power;
        if floor >= 0.0 {
            return (floor, scale, self.squares(exponent, floor, scale));
        }
        let (scale, squares) = self.given(exponent, 0.0);
        (0.0, scale, squares)
    }
}

/// Exponent with the smallest sum of squares, and that sum.
fn minimise(squares: impl Fn(f64) -> f64) -> (f64, f64) {
    let (low, high) = (EXPONENTS.0.ln(), EXPONENTS.1.ln());
    let step = (high - low) / (GRID - 1) as f64;
    let of = |log: f64| squares(log.exp());
    let mut best = (low, of(low));
    for i in 1..GRID {
        let log = low + step * i as f64;
        let value = of(log);
        if value < best.1 {
            best = (log, value);
        }
    }
    let (mut left, mut right) = ((best.0 - step).max(low), (best.0 + step).min(high));
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..REFINEMENTS {
        let (a, b) = (right - golden * (right - left), left + golden * (right - left));
        if of(a) <= of(b) { right = b } else { left = a }
    }
    let log = f64::midpoint(left, right);
    let value = of(log);
    if value < best.1 { (log.exp(), value) } else { (best.0.exp(), best.1) }
}

/// Farthest plausible floor between `inside`, which is plausible, and `limit`.
fn boundary(inside: f64, limit: f64, plausible: &dyn Fn(f64) -> bool) -> f64 {
    if plausible(limit) {
        return limit;
    }
    let (mut yes, mut no) = (inside, limit);
    for _ in 0..40 {
        let middle = f64::midpoint(yes, no);
        if plausible(middle) { yes = middle } else { no = middle }
    }
    yes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use random::Stream;

    use super::*;

    fn steps() -> Vec<f64> {
        vec![100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn exact_laws_come_back(floor in 0.2..3.0_f64, above in 0.5..5.0_f64, exponent in 0.15..1.5_f64) {
            let scale = above * 100_f64.powf(exponent);
            let losses: Vec<f64> = steps().iter().map(|t| floor + scale * t.powf(-exponent)).collect();
            let found = fit(&steps(), &losses, 0.95).unwrap();
            prop_assert!((found.floor - floor).abs() < 1e-4, "{found:?}");
            prop_assert!((found.exponent - exponent).abs() < 1e-4);
            prop_assert!((found.scale / scale - 1.0).abs() < 1e-3);
            prop_assert!((found.at(50_000.0) - (floor + scale * 50_000_f64.powf(-exponent))).abs() < 1e-4);
            prop_assert!(found.floor_lower <= found.floor && found.floor <= found.floor_upper);
            let to_go = found.to_go(losses[7]);
            prop_assert!((to_go.value - (losses[7] - floor)).abs() < 1e-4);
        }
    }

    /// The interval of the floor holds the truth about as often as it says. It rests on a linear
    /// approximation.
    #[test]
    fn interval_covers() {
        let (floor, scale, exponent) = (1.6, 20.0, 0.6);
        let mut held = 0;
        for draw in 0..150 {
            let mut stream = Stream::at(1, "convergence test", draw);
            let losses: Vec<f64> =
                steps().iter().map(|t| floor + scale * t.powf(-exponent) + 0.01 * stream.normal()).collect();
            let found = fit(&steps(), &losses, 0.95).unwrap();
            held += u32::from(found.floor_lower <= floor && floor <= found.floor_upper);
        }
        assert!((134..=149).contains(&held), "{held} of 150");
    }

    /// A law without a floor in sight must not claim one.
    #[test]
    fn an_unbent_ladder_says_so() {
        let mut stream = Stream::new(2, "convergence test");
        let losses: Vec<f64> = steps().iter().map(|t| 6.0 * t.powf(-0.1) + 0.02 * stream.normal()).collect();
        let found = fit(&steps(), &losses, 0.95).unwrap();
        assert_eq!(found.floor_lower, 0.0, "{found:?}");
        assert!(found.to_go(losses[7]).upper > 2.0);
    }

    #[test]
    fn a_flat_ladder_has_nothing_to_go() {
        let found = fit(&steps(), &[2.0; 8], 0.95).unwrap();
        assert!((found.floor - 2.0).abs() < 1e-9 && found.to_go(2.0).value < 1e-9, "{found:?}");
    }

    #[test]
    fn refusals() {
        assert_eq!(
            fit(&[1.0; 3], &[1.0; 3], 0.95).unwrap_err().to_string(),
            "3 points of a power law, at least 4 needed"
        );
        let message = fit(&[0.0, 1.0, 2.0, 3.0], &[1.0; 4], 0.95).unwrap_err().to_string();
        assert_eq!(message, "a step must be a positive number, not 0");
        assert!(fit(&[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, f64::NAN, 1.0], 0.95).is_err());
    }
}
