//! All that a run needs to go on: weights, moments, step.

use std::sync::Arc;

use weights::{Layout, Weights};

use crate::Error;

/// The state of a training run after a number of steps.
#[derive(Clone, Debug)]
pub struct State {
    /// The model's parameters.
    pub weights: Weights,
    /// AdamW's first moment.
    pub first: Vec<f32>,
    /// AdamW's second moment.
    pub second: Vec<f32>,
    /// Steps taken.
    pub step: u64,
    /// Tokens (or dense examples) seen.
    pub seen: u64,
}

impl State {
    /// The state before the first step.
    #[must_use]
    pub fn start(weights: Weights) -> Self {
        let len = weights.values.len();
        Self { weights, first: vec![0.0; len], second: vec![0.0; len], step: 0, seen: 0 }
    }

    /// The state as bytes: a safetensors file with one flat tensor for each part.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = self.weights.values.len();
        let mut layout = Layout::default();
        layout.push("weights", &[len]);
        layout.push("first", &[len]);
        layout.push("second", &[len]);
        layout.push("counts", &[6]);
        let mut file = Weights::zeros(Arc::new(layout));
        file.values.clear();
        file.values.extend_from_slice(&self.weights.values);
        file.values.extend_from_slice(&self.first);
        file.values.extend_from_slice(&self.second);
        file.values.extend([self.step, self.seen].into_iter().flat_map(to_digits));
        file.to_safetensors()
    }

    /// Reads what [`State::to_bytes`] wrote, for a model with this layout.
    ///
    /// # Errors
    /// [`Error::State`] if the bytes are of another model or are damaged.
    pub fn from_bytes(bytes: &[u8], layout: &Arc<Layout>) -> Result<Self, Error> {
        let file =
            Weights::from_safetensors(bytes).map_err(|error| Error::State { reason: error.to_string() })?;
        let part = |name: &str, len: usize| match file.tensor(name) {
            Some(values) if values.len() == len => Ok(values.to_vec()),
            found => Err(Error::State {
                reason: format!("`{name}` has {} values, expected {len}", found.map_or(0, <[f32]>::len)),
            }),
        };
        let mut weights = Weights::zeros(Arc::clone(layout));
        weights.values = part("weights", layout.len())?;
        let counts = part("counts", 6)?;
        Ok(Self {
            weights,
            first: part("first", layout.len())?,
            second: part("second", layout.len())?,
            step: from_digits(&counts[..3]),
            seen: from_digits(&counts[3..]),
        })
    }
}

/// A count as three digits of 22 bits: an `f32` holds integers exactly only up to 2^24.
fn to_digits(count: u64) -> [f32; 3] {
    [0, 22, 44].map(|shift| (count >> shift & 0x3f_ffff) as f32)
}

fn from_digits(digits: &[f32]) -> u64 {
    digits.iter().rev().fold(0, |count, &digit| count << 22 | digit as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut layout = Layout::default();
        layout.push("a", &[3]);
        let mut state = State::start(Weights::zeros(Arc::new(layout)));
        state.weights.values = vec![1.0, -2.5, 1e-30];
        state.first = vec![0.1, 0.2, 0.3];
        state.second = vec![4.0, 5.0, 6.0];
        state.step = 123_456_789_012;
        state.seen = (1 << 60) + 12_345;
        let back = State::from_bytes(&state.to_bytes(), state.weights.layout()).unwrap();
        assert_eq!((back.step, back.seen), (state.step, state.seen));
        assert_eq!(back.weights.values, state.weights.values);
        assert_eq!((back.first, back.second), (state.first, state.second));
    }

    #[test]
    fn the_state_of_another_model_is_refused() {
        let layout = |len: usize| {
            let mut layout = Layout::default();
            layout.push("a", &[len]);
            Arc::new(layout)
        };
        let state = State::start(Weights::zeros(layout(3)));
        let error = State::from_bytes(&state.to_bytes(), &layout(4)).unwrap_err().to_string();
        assert!(error.contains("`weights` has 3 values, expected 4"), "{error}");
    }
}
