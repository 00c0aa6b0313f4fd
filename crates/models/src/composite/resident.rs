//! A model that stays on a device from one pass to the next.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{Composite, values_of};
use crate::{Error, Model};

/// A model on a device: its values go there when they are others than before.
#[derive(Debug, Default)]
pub(crate) struct Resident {
    values: Vec<f32>,
    composite: Option<Composite>,
    out: Vec<f32>,
}

impl Resident {
    /// The model with these values.
    pub(crate) fn composite(
        &mut self,
        model: &Model,
        values: &[f32],
        device: &Device,
    ) -> Result<&Composite, Error> {
        let is_of =
            |here: &Composite| Arc::ptr_eq(&here.layout, model.layout()) && here.device.same_device(device);
        if self.values != values || !self.composite.as_ref().is_some_and(is_of) {
            // What was there makes room first.
            self.composite = None;
            self.values = values.to_vec();
            self.composite = Some(Composite::new(model, values, DType::F32, device)?);
        }
        Ok(self.composite.as_ref().expect("put there if it was not"))
    }

    /// Keeps the values of a tensor where they can be borrowed from.
    pub(crate) fn keep(&mut self, tensor: &Tensor) -> Result<&[f32], Error> {
        self.out = values_of(tensor)?;
        Ok(&self.out)
    }
}
