//! The same models on candle's own operations and variables.
//!
//! Slower than the fused passes and written for sight: sequences are padded and masked, every operation is candle's,
//! gradients come from its tape. It runs on any device and in `f64`: a model goes through it where there are no fused
//! passes ([`Model::on`]), and the tests hold the fused passes to it.

mod bert;
mod decoder;
mod padded;
mod t5;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};
use kernels::dropout::Mask;
use weights::Layout;

use self::padded::Padded;
use crate::{Config, Dropout, Error, Head, Inputs, Model, Tally, Targets};

/// Raised whenever the same inputs yield other numbers on the same device.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("composite", VERSION)
}

/// A model's parameters as candle variables.
#[derive(Debug)]
pub struct Composite {
    config: Config,
    head: Head,
    layout: Arc<Layout>,
    variables: BTreeMap<String, Var>,
    dtype: DType,
    device: Device,
}

impl Composite {
    /// The model with these values, which are in the order of its layout.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn new(model: &Model, values: &[f32], dtype: DType, device: &Device) -> Result<Self, Error> {
        let mut variables = BTreeMap::new();
        for entry in model.layout().entries() {
            let tensor = Tensor::from_slice(&values[entry.range()], entry.shape.as_slice(), device)?;
            variables.insert(entry.name.clone(), Var::from_tensor(&tensor.to_dtype(dtype)?)?);
        }
        Ok(Self {
            config: model.config().clone(),
            head: model.head(),
            layout: Arc::clone(model.layout()),
            variables,
            dtype,
            device: device.clone(),
        })
    }

    /// Parameters by name.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, Var> {
        &self.variables
    }

    /// Sum of cross-entropies of a batch that [`Model::check`] accepts.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn loss(
        &self,
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, Error> {
        let (logits, labels) = self.scores(inputs, targets, dropout)?;
        self.cross_entropy(&logits, labels)
    }

    /// [`Model::losses`] on this device.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn losses(&self, inputs: &Inputs<'_>, targets: &Targets<'_>) -> Result<Tally, Error> {
        if targets.is_empty() {
            return Ok(Tally::default());
        }
        let (logits, labels) = self.scores(inputs, targets, None)?;
        tally(&logits, labels)
    }

    /// [`Model::loss_and_gradient`] on this device.
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
        if targets.is_empty() {
            return Ok(Tally::default());
        }
        let (logits, labels) = self.scores(inputs, targets, dropout)?;
        let loss = (self.cross_entropy(&logits, labels)? * f64::from(scale))?;
        kernels::rows::add(gradient, &self.gradient(&loss)?);
        tally(&logits, labels)
    }

    /// Logits `[labels, classes]`, a row for each label, and the labels.
    fn scores<'t>(
        &self,
        inputs: &Inputs<'_>,
        targets: &Targets<'t>,
        dropout: Option<Dropout>,
    ) -> Result<(Tensor, &'t [u32]), Error> {
        match (&self.config, inputs, targets) {
            // One row for each label, of one input's scores or of several inputs'.
            (_, _, Targets::Classes(labels)) => {
                let logits = self.logits(inputs, dropout)?;
                let width = logits.elem_count() / labels.len();
                Ok((logits.reshape((labels.len(), width))?, labels))
            }
            (Config::Bert(config), Inputs::Tokens(tokens), Targets::MaskedTokens { rows, labels }) => {
                Ok((self.masked_logits(config, tokens, rows, dropout)?, labels))
            }
            (Config::Decoder(config), Inputs::Tokens(tokens), Targets::MaskedTokens { rows, labels }) => {
                Ok((self.decoder_logits(config, tokens, rows, dropout)?, labels))
            }
            (Config::T5(config), Inputs::Tokens(tokens), Targets::Sequences { ids, .. }) => {
                Ok((self.t5_logits(config, tokens, Some(targets), dropout)?, ids))
            }
            _ => panic!("targets of another kind than the model's, which its check refuses"),
        }
    }

    /// Sum of `-ln softmax(logits)[label]` over the rows.
    fn cross_entropy(&self, logits: &Tensor, labels: &[u32]) -> Result<Tensor, Error> {
        let labels = Tensor::from_slice(labels, labels.len(), &self.device)?.unsqueeze(1)?;
        let top = logits.max_keepdim(D::Minus1)?.detach();
        let shifted = logits.broadcast_sub(&top)?;
        let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let chosen = shifted.gather(&labels, 1)?;
        Ok((normaliser - chosen)?.sum_all()?)
    }

    /// Gradient of a loss in the order of the layout, zeros where it does not reach.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn gradient(&self, loss: &Tensor) -> Result<Vec<f32>, Error> {
        let store = loss.backward()?;
        let mut gradient = vec![0.0; self.layout.len()];
        for entry in self.layout.entries() {
            if let Some(found) = store.get(self.variable(&entry.name).as_tensor()) {
                gradient[entry.range()].copy_from_slice(&values_of(found)?);
            }
        }
        Ok(gradient)
    }

    /// [`Model::logits`] on this device.
    ///
    /// # Errors
    /// [`Error::Candle`].
    ///
    /// # Panics
    /// If the head is that of a masked language model or the inputs are of another kind.
    pub fn logits(&self, inputs: &Inputs<'_>, dropout: Option<Dropout>) -> Result<Tensor, Error> {
        match (&self.config, inputs) {
            (Config::Bert(config), Inputs::Tokens(tokens)) => {
                let Head::Classification { .. } = self.head else { panic!("this model has no classifier") };
                self.classified_by_bert(config, tokens, dropout)
            }
            (Config::Decoder(config), Inputs::Tokens(tokens)) => {
                let is_classifier = matches!(self.head, Head::Classification { .. });
                let mut ends = Vec::new();
                crate::decoder::ends(config, is_classifier, tokens, &mut ends);
                self.decoder_logits(config, tokens, &ends, dropout)
            }
            (Config::T5(config), Inputs::Tokens(tokens)) => self.t5_logits(config, tokens, None, dropout),
            (Config::Mlp(config), Inputs::Dense { values, width }) => {
                let rows = values.len() / width;
                let mut x = Tensor::from_slice(values, (rows, *width), &self.device)?.to_dtype(self.dtype)?;
                for layer in 0..config.hidden_sizes.len() {
                    x = self.map(&x, &format!("layers.{layer}"))?.relu()?;
                }
                self.map(&x, "classifier")
            }
            _ => panic!("inputs of another kind than the model's"),
        }
    }

    /// Hidden states `[tokens, H]` of an encoder's last layer.
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
        let (hidden, batch) = self.bert(config, tokens, None)?;
        self.rows_of(&hidden, &batch.places)
    }

    /// Rows of a table, or of anything.
    fn rows_of(&self, table: &Tensor, rows: &[u32]) -> Result<Tensor, Error> {
        Ok(table.index_select(&Tensor::from_slice(rows, rows.len(), &self.device)?, 0)?)
    }

    fn look_up(&self, table: &str, ids: &[u32]) -> Result<Tensor, Error> {
        self.rows_of(self.variable(table).as_tensor(), ids)
    }

    /// A linear or affine map, whose weight is `[out, in]`, or `[in, out]` in a GPT-2.
    fn map(&self, x: &Tensor, name: &str) -> Result<Tensor, Error> {
        let weight = self.variable(&format!("{name}.weight")).as_tensor();
        let bias = self.variables.get(&format!("{name}.bias"));
        // The maps of its heads, which have no bias, lie as everywhere.
        let is_transposed = bias.is_some()
            && matches!(&self.config, Config::Decoder(config) if config.variant.is_transposed());
        let y = if is_transposed { x.matmul(weight)? } else { x.matmul(&weight.t()?)? };
        match bias {
            Some(bias) => Ok(y.broadcast_add(bias.as_tensor())?),
            None => Ok(y),
        }
    }

    /// A LayerNorm, or an RMSNorm if it has no shift.
    fn norm(&self, x: &Tensor, name: &str, epsilon: f64) -> Result<Tensor, Error> {
        let shift = self.variables.get(&format!("{name}.bias"));
        let centred = if shift.is_some() { x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)? } else { x.clone() };
        let size = (centred.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
        let scale = self.variable(&format!("{name}.weight")).as_tensor();
        let scaled = centred.broadcast_div(&size)?.broadcast_mul(scale)?;
        match shift {
            Some(shift) => Ok(scaled.broadcast_add(shift.as_tensor())?),
            None => Ok(scaled),
        }
    }

    /// `[sequences * longest, heads * size]` as `[sequences, heads, longest, size]`.
    fn heads(&self, x: &Tensor, sequences: usize, heads: usize) -> Result<Tensor, Error> {
        let (rows, width) = x.dims2()?;
        let split = x.reshape((sequences, rows / sequences, heads, width / heads))?;
        Ok(split.transpose(1, 2)?.contiguous()?)
    }

    /// Attention of the batch's queries to keys and values `[sequences, heads, longest, size]`: contexts
    /// `[sequences * longest, heads * size]`.
    fn attend(
        &self,
        [queries, keys, values]: [Tensor; 3],
        scores: Scores<'_>,
        batch: &Padded,
    ) -> Result<Tensor, Error> {
        let (b, heads, n, size) = queries.dims4()?;
        let products = (queries.matmul(&keys.transpose(2, 3)?.contiguous()?)? * scores.scale)?;
        let products = products.broadcast_add(scores.bias)?;
        let e = products.broadcast_sub(&products.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let p = e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?;
        let seen = p.dim(D::Minus1)?;
        let p = p.reshape((b * heads * n, seen))?;
        let p = self.drop(p, scores.mask, &batch.attention_rows(heads))?.reshape((b, heads, n, seen))?;
        let context = p.matmul(&values)?;
        Ok(context.transpose(1, 2)?.contiguous()?.reshape((b * n, heads * size))?)
    }

    /// Dropout with the fused passes' masks. `rows` are rows of the mask's field; padding has none.
    fn drop(&self, x: Tensor, mask: Option<Mask<'_>>, rows: &[Option<u64>]) -> Result<Tensor, Error> {
        let Some(mask) = mask else { return Ok(x) };
        let width = x.dim(D::Minus1)?;
        let mut multipliers = vec![1.0_f32; rows.len() * width];
        for (row, values) in rows.iter().zip(multipliers.chunks_exact_mut(width)) {
            if let Some(row) = row {
                mask.apply_to_row(*row, values);
            }
        }
        let multipliers = Tensor::from_vec(multipliers, (rows.len(), width), &self.device)?;
        Ok((x * multipliers.to_dtype(self.dtype)?)?)
    }

    fn variable(&self, name: &str) -> &Var {
        self.variables.get(name).unwrap_or_else(|| panic!("the layout has no tensor `{name}`"))
    }
}

/// What becomes of the products of queries and keys.
struct Scores<'a> {
    scale: f64,
    /// Added to them.
    bias: &'a Tensor,
    /// Drops probabilities.
    mask: Option<Mask<'a>>,
}

/// Rows of a mask's field, one after the other.
fn each_row(n: usize) -> Vec<Option<u64>> {
    (0..n as u64).map(Some).collect()
}

/// All values of a tensor, in `f32`, row after row.
fn values_of(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// What these logits lose; ties and sums are those of the fused passes.
fn tally(logits: &Tensor, labels: &[u32]) -> Result<Tally, Error> {
    let classes = logits.dim(D::Minus1)?;
    Ok(kernels::cross_entropy::forward(&values_of(logits)?, labels, classes))
}

/// A model on a device, from one pass to the next: its values go there when they are others than before.
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

#[cfg(test)]
mod tests;
