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
}

impl State {
    /// The state before the first step.
    #[must_use]
    pub fn start(weights: Weights) -> Self {
        let len = weights.values.len();
        Self { weights, first: vec![0.0; len], second: vec![0.0; len], step: 0 }
    }

    /// The state as bytes: a safetensors file with one flat tensor for each part.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = self.weights.values.len();
        let mut layout = Layout::default();
        layout.push("weights", &[len]);
        layout.push("first", &[len]);
        layout.push("second", &[len]);
        // Two exact halves: an f32 counts steps exactly only up to 2^24.
        layout.push("step", &[2]);
        let mut file = Weights::zeros(Arc::new(layout));
        file.values.clear();
        file.values.extend_from_slice(&self.weights.values);
        file.values.extend_from_slice(&self.first);
        file.values.extend_from_slice(&self.second);
        file.values.push((self.step >> 20) as f32);
        file.values.push((self.step & 0xf_ffff) as f32);
        file.to_safetensors()
    }

    /// Reads what [`State::to_bytes`] wrote, for a model with this layout.
    ///
    /// # Errors
    /// [`Error::State`] if the bytes are of another model or are damaged.
    pub fn from_bytes(bytes: &[u8], layout: &Arc<Layout>) -> Result<Self, Error> {
        let file = Weights::from_safetensors(bytes).map_err(|error| Error::State { reason: error.to_string() })?;
        let part = |name: &str, len: usize| match file.tensor(name) {
            Some(values) if values.len() == len => Ok(values.to_vec()),
            found => Err(Error::State {
                reason: format!("`{name}` has {} values, expected {len}", found.map_or(0, <[f32]>::len)),
            }),
        };
        let mut weights = Weights::zeros(Arc::clone(layout));
        weights.values = part("weights", layout.len())?;
        let step = part("step", 2)?;
        Ok(Self {
            weights,
            first: part("first", layout.len())?,
            second: part("second", layout.len())?,
            step: ((step[0] as u64) << 20) | step[1] as u64,
        })
    }
}
