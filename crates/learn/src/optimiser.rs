//! AdamW with its moments in the open, so that a run can be saved and resumed exactly.

use std::ops::Range;

use crate::Error;

/// Decoupled weight decay Adam (Loshchilov and Hutter 2019), in place over one flat buffer.
///
/// With gradient g, decay λ, learning rate η and step t (from 1):
///
/// m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,
/// θ ← θ - η λ θ - η (m / c₁) / (√(v / c₂) + ε)
///
/// where c₁ = 1 - β₁ᵗ and c₂ = 1 - β₂ᵗ with bias correction, and both are 1 without it (as in the fine-tuning code
/// of the original BERT release).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// β₁ in `[0, 1)`.
    pub beta1: f64,
    /// β₂ in `[0, 1)`.
    pub beta2: f64,
    /// ε > 0.
    pub epsilon: f64,
    /// λ >= 0; biases and LayerNorm parameters are exempt.
    pub weight_decay: f64,
    /// Whether the moments are corrected for their start at zero.
    pub bias_correction: bool,
    /// Largest Euclidean norm of the whole gradient; longer ones are scaled down to it. 0 switches clipping off.
    pub clip: f64,
}

impl AdamW {
    /// Checks the ranges above.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the first that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let inside = |name, value: f64, good: bool, range| match good && value.is_finite() {
            true => Ok(()),
            false => Err(Error::Parameter { name, value, range }),
        };
        inside("beta1", self.beta1, (0.0..1.0).contains(&self.beta1), "must be in [0, 1)")?;
        inside("beta2", self.beta2, (0.0..1.0).contains(&self.beta2), "must be in [0, 1)")?;
        inside("epsilon", self.epsilon, self.epsilon > 0.0, "must be positive")?;
        inside("weight decay", self.weight_decay, self.weight_decay >= 0.0, "must not be negative")?;
        inside("clip", self.clip, self.clip >= 0.0, "must not be negative")
    }

    /// Step number `step`, from 1, of parameters with this weight decay, with the gradient multiplied by `scale`.
    pub(crate) fn rule(
        &self,
        step: u64,
        learning_rate: f64,
        scale: f32,
        weight_decay: f64,
    ) -> kernels::adamw::Step {
        kernels::adamw::Step {
            learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay,
            gradient_scale: scale,
            bias_correction: self.bias_correction.then_some(step),
        }
    }

    /// One step on `values`, with the gradient multiplied by `scale`. `step` counts from 1; `decayed` holds the
    /// ranges that weight decay applies to, in order and without overlap.
    pub fn step(
        &self,
        values: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        step: u64,
        learning_rate: f64,
        scale: f32,
        decayed: &[Range<usize>],
    ) {
        let mut apply = |range: Range<usize>, weight_decay: f64| {
            kernels::adamw::step(
                &mut values[range.clone()],
                &gradient[range.clone()],
                &mut first[range.clone()],
                &mut second[range],
                &self.rule(step, learning_rate, scale, weight_decay),
            );
        };
        // Without decay all parameters are one range, whatever they are called.
        let decayed = if self.weight_decay > 0.0 { decayed } else { &[] };
        let mut done = 0;
        for range in decayed {
            apply(done..range.start, 0.0);
            apply(range.clone(), self.weight_decay);
            done = range.end;
        }
        apply(done..gradient.len(), 0.0);
    }
}
