//! The same models in candle-nn's layers, on candle's tape.
//!
//! The composite form is written for clarity and for other devices: sequences are padded and masked, linear maps,
//! embeddings, activations and losses are candle-nn's, gradients come from candle's tape. It runs in `f32` and `f64`. A model
//! goes through it where there are no fused passes ([`Model::on`]), and the tests hold the fused passes to it in `f64`.
//!
//! Two kinds of pass share one description of each family:
//!
//! - A pass **with gradient** records every operation. Its softmax and norms are compositions of candle's operations, since
//!   candle-nn's fused ones have no backward pass and cut gradients without a word.
//! - A pass **without gradient** reads detached parameters, so that nothing is recorded and each activation is freed when the
//!   next one exists. In `f32` it takes candle-nn's fused softmax and norms.
//!
//! Dropout masks are the fused passes', bit for bit. Their generator works on bits (exclusive or, shifts), for which candle
//! has no operations: masks are drawn on the host and go to the device as one byte for each value.
//!
//! **This form has run on the processor only.** No CUDA or Metal device was available to its authors: there it compiles
//! from candle's own kernels, but neither its results nor its speed have been measured.

mod attention;
mod bert;
mod decoder;
mod padded;
mod pass;
mod resident;
mod t5;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use weights::Layout;

use self::pass::Pass;
pub(crate) use self::resident::Resident;
use crate::{Config, Dropout, Error, Head, Inputs, Model, Tally, Targets};

/// Raised whenever the same inputs yield other numbers on the same device.
pub const VERSION: u32 = 2;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("composite", VERSION)
}

/// A model's parameters as tensors of a device.
#[derive(Debug)]
pub struct Composite {
    config: Config,
    head: Head,
    layout: Arc<Layout>,
    parameters: BTreeMap<String, Tensor>,
    dtype: DType,
    device: Device,
}

impl Composite {
    /// The model with these values, in the order of its layout. Every parameter is a variable, which gradients reach.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn new(model: &Model, values: &[f32], dtype: DType, device: &Device) -> Result<Self, Error> {
        let mut parameters = BTreeMap::new();
        for entry in model.layout().entries() {
            let tensor = Tensor::from_slice(&values[entry.range()], entry.shape.as_slice(), device)?;
            let variable = Var::from_tensor(&tensor.to_dtype(dtype)?)?;
            parameters.insert(entry.name.clone(), variable.into_inner());
        }
        Ok(Self::of(model, parameters, dtype, device))
    }

    /// The model with these parameters, by name, all of `dtype` and on `device`. Gradients reach those that are variables or
    /// are computed from some; the others are constants.
    #[must_use]
    pub fn of(model: &Model, parameters: BTreeMap<String, Tensor>, dtype: DType, device: &Device) -> Self {
        let layout = Arc::clone(model.layout());
        Self {
            config: model.config().clone(),
            head: model.head(),
            layout,
            parameters,
            dtype,
            device: device.clone(),
        }
    }

    /// Parameters by name.
    #[must_use]
    pub fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.parameters
    }

    /// Puts another tensor in the place of a parameter.
    pub fn set(&mut self, name: &str, parameter: Tensor) {
        self.parameters.insert(name.to_owned(), parameter);
    }

    /// Sum of cross-entropies of a batch that [`Model::check`] accepts: a scalar that remembers how it was computed.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn loss(
        &self,
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, Error> {
        let (logits, labels) = Pass::with_gradient(self, dropout).scores(inputs, targets)?;
        tally::sum(&tally::log_probabilities(&logits)?, labels)
    }

    /// [`Model::losses`] on this device, without a tape.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn losses(&self, inputs: &Inputs<'_>, targets: &Targets<'_>) -> Result<Tally, Error> {
        if targets.is_empty() {
            return Ok(Tally::default());
        }
        let (logits, labels) = Pass::without_gradient(self).scores(inputs, targets)?;
        tally::of(&tally::log_probabilities(&logits)?, labels)
    }

    /// Losses of a batch, and the gradient of `scale` times their sum, which stays on the device: none of a batch without
    /// targets.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn backward(
        &self,
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        dropout: Option<Dropout>,
        scale: f32,
    ) -> Result<(Tally, Option<GradStore>), Error> {
        if targets.is_empty() {
            return Ok((Tally::default(), None));
        }
        let (logits, labels) = Pass::with_gradient(self, dropout).scores(inputs, targets)?;
        let log_probabilities = tally::log_probabilities(&logits)?;
        let loss = (tally::sum(&log_probabilities, labels)? * f64::from(scale))?;
        let gradients = loss.backward()?;
        Ok((tally::of(&log_probabilities.detach(), labels)?, Some(gradients)))
    }

    /// [`Model::loss_and_gradient`] on this device: the gradient is added to `gradient`, on the host.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn loss_and_gradient(
        &self,
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        dropout: Option<Dropout>,
        scale: f32,
        gradient: &mut [f32],
    ) -> Result<Tally, Error> {
        let (tally, gradients) = self.backward(inputs, targets, dropout, scale)?;
        if let Some(gradients) = gradients {
            kernels::rows::add(gradient, &self.flat(&gradients)?);
        }
        Ok(tally)
    }

    /// The gradient of a loss in the order of the layout, zeros where it does not reach.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn gradient(&self, loss: &Tensor) -> Result<Vec<f32>, Error> {
        self.flat(&loss.backward()?)
    }

    /// These gradients in the order of the layout, zeros where there is none.
    fn flat(&self, gradients: &GradStore) -> Result<Vec<f32>, Error> {
        let mut gradient = vec![0.0; self.layout.len()];
        for entry in self.layout.entries() {
            if let Some(found) = gradients.get(&self.parameters[&entry.name]) {
                gradient[entry.range()].copy_from_slice(&values_of(found)?);
            }
        }
        Ok(gradient)
    }

    /// [`Model::logits`] on this device, without a tape.
    ///
    /// # Errors
    /// [`Error::Candle`].
    ///
    /// # Panics
    /// If the head is that of a masked language model or the inputs are of another kind.
    pub fn logits(&self, inputs: &Inputs<'_>) -> Result<Tensor, Error> {
        Pass::without_gradient(self).logits(inputs)
    }

    /// Hidden states `[tokens, H]` of an encoder's last layer, without a tape.
    ///
    /// # Errors
    /// [`Error::Candle`].
    ///
    /// # Panics
    /// If the model is no encoder or the inputs are of another kind.
    pub fn hidden_states(&self, inputs: &Inputs<'_>) -> Result<Tensor, Error> {
        let (Config::Bert(config), Inputs::Tokens(tokens)) = (&self.config, inputs) else {
            panic!("inputs of another kind than the model's")
        };
        let pass = Pass::without_gradient(self);
        let (hidden, batch) = pass.bert(config, tokens)?;
        pass.rows_of(&hidden, &batch.places)
    }
}

/// All values of a tensor, in `f32`, row after row.
fn values_of(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests;
