//! The same models on candle's own operations and variables.
//!
//! Slower than the fused passes and written for sight: sequences are padded and masked, every operation is candle's,
//! gradients come from its tape. It runs on any device and in `f64`: a model goes through it where there are no fused
//! passes ([`Model::on`]), and the tests hold the fused passes to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};
use kernels::dropout::Mask;
use weights::Layout;

use crate::bert::site;
use crate::{Config, Dropout, Error, Head, Inputs, Model, Tally, Targets, Tokens, bert};

/// Raised whenever the same inputs yield other numbers on the same device.
pub const VERSION: u32 = 1;

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
    /// [`Error::Candle`], and [`Error::Unsupported`] for a decoder or a T5, which have no such form.
    pub fn new(model: &Model, values: &[f32], dtype: DType, device: &Device) -> Result<Self, Error> {
        check(model.config())?;
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
        match targets {
            // One row for each label, of one input's scores or of several inputs'.
            Targets::Classes(labels) => {
                let logits = self.logits(inputs, dropout)?;
                let width = logits.elem_count() / labels.len();
                Ok((logits.reshape((labels.len(), width))?, labels))
            }
            Targets::MaskedTokens { rows, labels } => {
                Ok((self.masked_logits(inputs, rows, dropout)?, labels))
            }
            Targets::Sequences { .. } => panic!("no model here predicts sequences, which its check refuses"),
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

    /// Logits `[B, labels]` of a classifier.
    ///
    /// # Errors
    /// [`Error::Candle`].
    ///
    /// # Panics
    /// If the head is no classifier or the inputs are of another kind.
    pub fn logits(&self, inputs: &Inputs<'_>, dropout: Option<Dropout>) -> Result<Tensor, Error> {
        match (&self.config, inputs) {
            (Config::Bert(config), Inputs::Tokens(tokens)) => {
                let Head::Classification { .. } = self.head else { panic!("this model has no classifier") };
                let batch = Padded::new(tokens, config);
                let hidden = self.bert(config, &batch, dropout)?;
                let firsts: Vec<u32> = (0..batch.n_sequences).map(|i| (i * batch.longest) as u32).collect();
                let first =
                    hidden.index_select(&Tensor::from_vec(firsts, batch.n_sequences, &self.device)?, 0)?;
                let rows: Vec<Option<u64>> = (0..batch.n_sequences as u64).map(Some).collect();
                let names = config.variant.names();
                let early = dropout.filter(|_| config.variant.drops_features());
                let first = self.drop(first, early, site::FEATURES, config.classifier_dropout(), &rows)?;
                let pooled = self.affine(&first, names.pooler)?;
                let pooled = if config.variant.rectifies() { pooled.relu()? } else { pooled.tanh()? };
                let dropped =
                    self.drop(pooled, dropout, site::CLASSIFIER, config.classifier_dropout(), &rows)?;
                self.affine(&dropped, names.classifier)
            }
            (Config::Mlp(config), Inputs::Dense { values, width }) => {
                let rows = values.len() / width;
                let mut x = Tensor::from_slice(values, (rows, *width), &self.device)?.to_dtype(self.dtype)?;
                for layer in 0..config.hidden_sizes.len() {
                    x = self.affine(&x, &format!("layers.{layer}"))?.relu()?;
                }
                self.affine(&x, "classifier")
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
        let batch = Padded::new(tokens, config);
        let places = Tensor::from_slice(&batch.places, batch.places.len(), &self.device)?;
        Ok(self.bert(config, &batch, None)?.index_select(&places, 0)?)
    }

    /// Logits `[rows, vocabulary]` of masked tokens.
    fn masked_logits(
        &self,
        inputs: &Inputs<'_>,
        rows: &[u32],
        dropout: Option<Dropout>,
    ) -> Result<Tensor, Error> {
        let (Config::Bert(config), Inputs::Tokens(tokens)) = (&self.config, inputs) else {
            panic!("inputs of another kind than the model's")
        };
        let batch = Padded::new(tokens, config);
        let hidden = self.bert(config, &batch, dropout)?;
        let places: Vec<u32> = rows.iter().map(|&row| batch.places[row as usize]).collect();
        let hidden = hidden.index_select(&Tensor::from_vec(places, rows.len(), &self.device)?, 0)?;
        let names = config.variant.names();
        let activated = self.affine(&hidden, names.transform)?.gelu_erf()?;
        let features = self.norm(&activated, names.transform_norm, config.layer_norm_eps)?;
        let words = self.variable(&format!("{}.embeddings.word_embeddings.weight", names.body)).as_tensor();
        Ok(features.matmul(&words.t()?)?.broadcast_add(self.variable(names.decoder_bias).as_tensor())?)
    }

    /// Hidden states `[sequences * longest, H]`.
    fn bert(&self, config: &bert::Config, batch: &Padded, dropout: Option<Dropout>) -> Result<Tensor, Error> {
        let (b, n, h) = (batch.n_sequences, batch.longest, config.hidden_size);
        let (heads, size) = (config.num_attention_heads, h / config.num_attention_heads);
        let names = config.variant.names();
        let body = names.body;
        let look_up = |table: &str, ids: &[u32]| -> Result<Tensor, Error> {
            let ids = Tensor::from_slice(ids, b * n, &self.device)?;
            let table = self.variable(&format!("{body}.embeddings.{table}_embeddings.weight"));
            Ok(table.as_tensor().index_select(&ids, 0)?)
        };
        let mut sums = (look_up("word", &batch.words)? + look_up("position", &batch.positions)?)?;
        if config.type_vocab_size > 0 {
            sums = (sums + look_up("token_type", &batch.segments)?)?;
        }
        let mut x = self.norm(&sums, &format!("{body}.embeddings.LayerNorm"), config.layer_norm_eps)?;
        x = self.drop(x, dropout, site::EMBEDDINGS, config.hidden_dropout_prob, &batch.rows)?;
        let bias = Tensor::from_slice(&batch.bias, (b, 1, 1, n), &self.device)?.to_dtype(self.dtype)?;
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("{body}.{}.{layer}.{part}", names.layers);
            let part = |part: &str| -> Result<Tensor, Error> {
                let projected = self.affine(&x, &name(part))?;
                Ok(projected.reshape((b, n, heads, size))?.transpose(1, 2)?.contiguous()?)
            };
            let [q, k, v] = names.projections.map(part);
            let (q, k, v) = (q?, k?, v?);
            let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? / (size as f64).sqrt())?;
            let scores = scores.broadcast_add(&bias)?;
            let e = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
            let p = e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?;
            let p = self.drop(
                p.reshape((b * heads * n, n))?,
                dropout,
                site::probabilities(layer),
                config.attention_probs_dropout_prob,
                &batch.attention_rows(heads),
            )?;
            let context = p.reshape((b, heads, n, n))?.matmul(&v)?;
            let context = context.transpose(1, 2)?.contiguous()?.reshape((b * n, h))?;
            let end = |x: &Tensor, dense, norm, residual: &Tensor, site, dropped| -> Result<Tensor, Error> {
                let branch = self.affine(x, &name(dense))?;
                let branch = self.drop(branch, dropout, site, dropped, &batch.rows)?;
                self.norm(&(branch + residual)?, &name(norm), config.layer_norm_eps)
            };
            let (dense, norm) = (names.attention_output, names.attention_norm);
            let dropped = config.attention_output_dropout();
            let middle = end(&context, dense, norm, &x, site::attention_output(layer), dropped)?;
            let activated = self.affine(&middle, &name(names.intermediate))?.gelu_erf()?;
            let (dense, norm, dropped) = (names.output, names.output_norm, config.hidden_dropout_prob);
            x = end(&activated, dense, norm, &middle, site::output(layer), dropped)?;
        }
        Ok(x)
    }

    fn affine(&self, x: &Tensor, name: &str) -> Result<Tensor, Error> {
        let weight = self.variable(&format!("{name}.weight")).as_tensor();
        let bias = self.variable(&format!("{name}.bias")).as_tensor();
        Ok(x.matmul(&weight.t()?)?.broadcast_add(bias)?)
    }

    fn norm(&self, x: &Tensor, name: &str, epsilon: f64) -> Result<Tensor, Error> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
        let scaled = centred.broadcast_div(&deviation)?;
        let weight = self.variable(&format!("{name}.weight")).as_tensor();
        Ok(scaled.broadcast_mul(weight)?.broadcast_add(self.variable(&format!("{name}.bias")).as_tensor())?)
    }

    /// Dropout with the fused passes' masks. `rows` are rows of the mask's field; padding has none.
    fn drop(
        &self,
        x: Tensor,
        dropout: Option<Dropout>,
        site: usize,
        probability: f64,
        rows: &[Option<u64>],
    ) -> Result<Tensor, Error> {
        let Some(dropout) = dropout.filter(|_| probability > 0.0) else { return Ok(x) };
        let mask = Mask::new(dropout.site(site), probability as f32);
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

/// Whether there is such a form of a family.
///
/// # Errors
/// [`Error::Unsupported`] for a decoder or a T5.
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    match config {
        Config::Bert(_) | Config::Mlp(_) => Ok(()),
        Config::Decoder(_) | Config::T5(_) => Err(Error::Unsupported {
            field: "model_type",
            found: format!("`{}`", config.model_type()),
            supported: "encoders and perceptrons in candle's operations",
        }),
    }
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
        let is_here = self.values == values
            && self.composite.as_ref().is_some_and(|here| Arc::ptr_eq(&here.layout, model.layout()));
        if !is_here {
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

/// Sequences padded to the longest.
struct Padded {
    n_sequences: usize,
    longest: usize,
    words: Vec<u32>,
    positions: Vec<u32>,
    segments: Vec<u32>,
    /// 0 at tokens, hugely negative at padding: added to attention scores.
    bias: Vec<f32>,
    /// Packed row of each padded place.
    rows: Vec<Option<u64>>,
    /// Padded place of each packed row.
    places: Vec<u32>,
}

impl Padded {
    fn new(tokens: &Tokens<'_>, config: &bert::Config) -> Self {
        let lengths = tokens.starts.windows(2).map(|span| (span[1] - span[0]) as usize);
        let (n_sequences, longest) = (tokens.len(), lengths.max().unwrap_or(0));
        let n = n_sequences * longest;
        let mut padded = Self {
            n_sequences,
            longest,
            words: vec![config.pad_token_id.min(config.vocab_size as u32 - 1); n],
            positions: vec![0; n],
            segments: vec![0; n],
            bias: vec![-1e9; n],
            rows: vec![None; n],
            places: Vec::with_capacity(tokens.ids.len()),
        };
        for (sequence, span) in tokens.starts.windows(2).enumerate() {
            for (position, row) in (span[0]..span[1]).enumerate() {
                let place = sequence * longest + position;
                padded.words[place] = tokens.ids[row as usize];
                padded.segments[place] = tokens.types[row as usize];
                padded.positions[place] = (position + config.first_position()) as u32;
                padded.bias[place] = 0.0;
                padded.rows[place] = Some(u64::from(row));
                padded.places.push(place as u32);
            }
        }
        padded
    }

    /// Rows of the field of attention masks, for `[sequences, heads, longest]`.
    fn attention_rows(&self, heads: usize) -> Vec<Option<u64>> {
        let mut rows = Vec::with_capacity(self.rows.len() * heads);
        for sequence in self.rows.chunks_exact(self.longest.max(1)) {
            for head in 0..heads as u64 {
                rows.extend(sequence.iter().map(|row| row.map(|row| row * heads as u64 + head)));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests;
