//! From data to places on a page, and round numbers to label them with.

/// A continuous mapping from a domain to a range of coordinates; either may run backwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    form: Form,
    domain: (f64, f64),
    range: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Linear,
    Log,
    /// Logarithmic, with 0 at this stand-in a little before the first positive value.
    Steps {
        zero: f64,
    },
}

impl Scale {
    pub(crate) fn linear(domain: (f64, f64), range: (f64, f64)) -> Self {
        Self { form: Form::Linear, domain: widened(domain), range }
    }

    /// For a loss that falls as pretraining goes on: logarithmic, high to low, so that time runs to the right.
    pub(crate) fn falling(values: &[f64], range: (f64, f64)) -> Self {
        let (low, high) = extent(values);
        match low > 0.0 {
            true => Self { form: Form::Log, domain: widened((high, low)), range },
            false => Self { form: Form::Linear, domain: widened((high, low)), range },
        }
    }

    /// For steps of pretraining: logarithmic, with room for 0.
    pub(crate) fn steps(steps: &[f64], range: (f64, f64)) -> Self {
        let positive: Vec<f64> = steps.iter().copied().filter(|&step| step > 0.0).collect();
        let (low, high) = if positive.is_empty() { (1.0, 1.0) } else { extent(&positive) };
        let zero = low / 3.0;
        let start = if steps.contains(&0.0) { zero } else { low };
        Self { form: Form::Steps { zero }, domain: widened((start, high)), range }
    }

    /// The coordinate of a value.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let place = |value: f64| match self.form {
            Form::Linear => value,
            Form::Log => value.ln(),
            Form::Steps { zero } => value.max(zero).ln(),
        };
        let (from, to) = (place(self.domain.0), place(self.domain.1));
        self.range.0 + (place(value) - from) / (to - from) * (self.range.1 - self.range.0)
    }

    /// About `count` round values within the domain, in increasing order.
    pub(crate) fn ticks(&self, count: usize) -> Vec<f64> {
        let (low, high) = (self.domain.0.min(self.domain.1), self.domain.0.max(self.domain.1));
        let rough = (high - low) / count.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= rough * 0.999);
        let step = step.unwrap_or(rough);
        let first = (low / step - 1e-6).ceil() as i64;
        let last = (high / step + 1e-6).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// Smallest and largest finite value; (0, 1) if there is none.
pub(crate) fn extent(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// The extent with a little air, and 0 or 1 where it comes near them.
pub(crate) fn roomy(values: &[f64]) -> (f64, f64) {
    let (low, high) = extent(values);
    let span = if high > low { high - low } else { high.abs().max(0.01) };
    let near = |value: f64, bound: f64| (value - bound).abs() < span * 0.25;
    let low_end = if low >= 0.0 && near(low, 0.0) { 0.0 } else { low - span * 0.08 };
    let high_end = if high <= 1.0 && near(high, 1.0) { 1.0 } else { high + span * 0.08 };
    (low_end, high_end)
}

/// A domain of one point has no scale: give it a little width.
fn widened(domain: (f64, f64)) -> (f64, f64) {
    match (domain.1 - domain.0).abs() < 1e-12 {
        true => (domain.0, domain.0 + domain.0.abs().max(1e-6) * 0.1),
        false => domain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::linear((0.0, 1.0), (0.0, 1.0)).ticks(4), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(Scale::linear((0.03, 0.11), (0.0, 1.0)).ticks(4), [0.04, 0.06, 0.08, 0.1]);
        assert_eq!(Scale::falling(&[4.2, 1.6], (0.0, 1.0)).ticks(3), [2.0, 3.0, 4.0]);
    }

    #[test]
    fn places_are_finite_whatever_comes() {
        for values in [vec![], vec![2.0], vec![0.0], vec![0.0, 0.0], vec![-1.0, 3.0], vec![f64::NAN]] {
            for scale in [Scale::falling(&values, (0.0, 9.0)), Scale::steps(&values, (0.0, 9.0))] {
                assert!(
                    values.iter().filter(|v| v.is_finite()).all(|&v| scale.at(v).is_finite()),
                    "{values:?}"
                );
                assert!(scale.ticks(4).iter().all(|tick| tick.is_finite()));
            }
        }
    }

    #[test]
    fn zero_steps_stand_before_the_first() {
        let scale = Scale::steps(&[0.0, 100.0, 6000.0], (10.0, 90.0));
        assert!((scale.at(0.0) - 10.0).abs() < 1e-9 && (scale.at(6000.0) - 90.0).abs() < 1e-9);
        assert!(scale.at(100.0) > 20.0);
    }
}
