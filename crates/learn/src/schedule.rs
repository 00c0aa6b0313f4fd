//! How the learning rate moves over a run.

use serde::{Deserialize, Serialize};

/// The learning rate's shape: a factor of its peak for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Linear warm-up, then constant.
    Constant,
    /// Linear warm-up, then linear to 0 at the last step: the fine-tuning recipe of BERT (Devlin et al. 2019).
    Linear,
    /// Linear warm-up, then the inverse square root of the step (Vaswani et al. 2017, equation 3).
    InverseSqrt,
    /// Linear warm-up, then half a cosine to 0 at the last step (Loshchilov and Hutter 2017).
    Cosine,
}

impl Schedule {
    /// The factor for step `step` (counted from 0) of `steps`, with `warmup` steps of linear warm-up: in `[0, 1]`.
    ///
    /// Warm-up reaches 1 at step `warmup - 1`; the decaying shapes reach 0 only after the last step, so that no
    /// step is wasted.
    #[must_use]
    pub fn factor(self, step: u64, warmup: u64, steps: u64) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let remaining = || {
            let decay = steps.saturating_sub(warmup).max(1) as f64;
            (steps.saturating_sub(step) as f64 / decay).min(1.0)
        };
        match self {
            Self::Constant => 1.0,
            Self::Linear => remaining(),
            Self::InverseSqrt => (warmup.max(1) as f64 / (step + 1) as f64).sqrt(),
            Self::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * remaining()).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        close(Schedule::Linear.factor(0, 30, 300), 1.0 / 30.0);
        close(Schedule::Linear.factor(29, 30, 300), 1.0);
        close(Schedule::Linear.factor(165, 30, 300), 0.5);
        close(Schedule::Linear.factor(299, 30, 300), 1.0 / 270.0);
        // lr = peak * min((s + 1) / 100, sqrt(100 / (s + 1)))
        for step in [0_u64, 50, 99, 100, 399, 5_999] {
            let s = (step + 1) as f64;
            close(Schedule::InverseSqrt.factor(step, 100, 6_000), (s / 100.0).min((100.0 / s).sqrt()));
        }
        close(Schedule::Cosine.factor(50, 0, 100), 0.5);
        close(Schedule::Constant.factor(7, 0, 10), 1.0);
    }

    #[test]
    fn never_outside_the_unit_interval() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::InverseSqrt, Schedule::Cosine] {
            for warmup in [0, 1, 10, 40] {
                for step in 0..30 {
                    let factor = schedule.factor(step, warmup, 30);
                    assert!((0.0..=1.0).contains(&factor), "{schedule:?} {warmup} {step}: {factor}");
                }
            }
        }
    }
}
