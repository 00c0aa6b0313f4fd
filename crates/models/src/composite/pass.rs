//! One pass through a model, with gradient or without: candle-nn's layers with the model's parameters.

use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::{Embedding, Linear, ops};
use kernels::dropout::Mask;

use super::Composite;
use crate::{Config, Dropout, Error, Head, Inputs, Targets};

/// A pass through a model.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) model: &'a Composite,
    pub(super) dropout: Option<Dropout>,
    takes_gradient: bool,
}

/// An operation on each row, that is over the last dimension.
enum RowWise<'a> {
    Softmax,
    LayerNorm { scale: &'a Tensor, shift: &'a Tensor, epsilon: f64 },
    RmsNorm { scale: &'a Tensor, epsilon: f64 },
}

impl<'a> Pass<'a> {
    /// A pass that is recorded, so that gradients can be taken.
    pub(super) fn with_gradient(model: &'a Composite, dropout: Option<Dropout>) -> Self {
        Self { model, dropout, takes_gradient: true }
    }

    /// A pass that leaves nothing behind but its result.
    pub(super) fn without_gradient(model: &'a Composite) -> Self {
        Self { model, dropout: None, takes_gradient: false }
    }

    /// Logits `[labels, classes]`, a row for each label, and the labels.
    pub(super) fn scores<'t>(
        &self,
        inputs: &Inputs<'_>,
        targets: &Targets<'t>,
    ) -> Result<(Tensor, &'t [u32]), Error> {
        match (&self.model.config, inputs, targets) {
            // One row for each label, of one input's scores or of several inputs'.
            (_, _, Targets::Classes(labels)) => {
                let logits = self.logits(inputs)?;
                let width = logits.elem_count() / labels.len();
                Ok((logits.reshape((labels.len(), width))?, labels))
            }
            (Config::Bert(config), Inputs::Tokens(tokens), Targets::MaskedTokens { rows, labels }) => {
                Ok((self.masked_logits(config, tokens, rows)?, labels))
            }
            (Config::Decoder(config), Inputs::Tokens(tokens), Targets::MaskedTokens { rows, labels }) => {
                Ok((self.decoder_logits(config, tokens, rows)?, labels))
            }
            (Config::T5(config), Inputs::Tokens(tokens), Targets::Sequences { ids, .. }) => {
                Ok((self.t5_logits(config, tokens, Some(targets))?, ids))
            }
            _ => panic!("targets of another kind than the model's, which its check refuses"),
        }
    }

    /// Logits `[inputs, classes]`, or `[inputs, words]` of the token that follows each.
    pub(super) fn logits(&self, inputs: &Inputs<'_>) -> Result<Tensor, Error> {
        match (&self.model.config, inputs) {
            (Config::Bert(config), Inputs::Tokens(tokens)) => {
                let Head::Classification { .. } = self.model.head else {
                    panic!("this model has no classifier")
                };
                self.classified_by_bert(config, tokens)
            }
            (Config::Decoder(config), Inputs::Tokens(tokens)) => {
                let is_classifier = matches!(self.model.head, Head::Classification { .. });
                let mut ends = Vec::new();
                crate::decoder::ends(config, is_classifier, tokens, &mut ends);
                self.decoder_logits(config, tokens, &ends)
            }
            (Config::T5(config), Inputs::Tokens(tokens)) => self.t5_logits(config, tokens, None),
            (Config::Mlp(config), Inputs::Dense { values, width }) => {
                let rows = values.len() / width;
                let mut x = self.tensor(values.to_vec(), (rows, *width))?;
                for layer in 0..config.hidden_sizes.len() {
                    x = self.map(&x, &format!("layers.{layer}"))?.relu()?;
                }
                self.map(&x, "classifier")
            }
            _ => panic!("inputs of another kind than the model's"),
        }
    }

    /// Where the pass is computed.
    pub(super) fn device(&self) -> &'a Device {
        &self.model.device
    }

    /// Numbers of the host on the pass's device, in its type.
    pub(super) fn tensor<S: Into<candle_core::Shape>>(
        &self,
        values: Vec<f32>,
        shape: S,
    ) -> Result<Tensor, Error> {
        Ok(Tensor::from_vec(values, shape, self.device())?.to_dtype(self.model.dtype)?)
    }

    /// A parameter, if the model has it.
    fn find(&self, name: &str) -> Option<Tensor> {
        let parameter = self.model.parameters.get(name)?;
        Some(if self.takes_gradient { parameter.clone() } else { parameter.detach() })
    }

    /// A parameter that the model has.
    pub(super) fn parameter(&self, name: &str) -> Tensor {
        self.find(name).unwrap_or_else(|| panic!("the layout has no tensor `{name}`"))
    }

    /// Rows of a table, or of anything.
    pub(super) fn rows_of(&self, table: &Tensor, rows: &[u32]) -> Result<Tensor, Error> {
        let rows = Tensor::from_slice(rows, rows.len(), self.device())?;
        Ok(Embedding::new(table.clone(), table.dim(1)?).forward(&rows)?)
    }

    /// Rows of a table among the parameters.
    pub(super) fn look_up(&self, table: &str, ids: &[u32]) -> Result<Tensor, Error> {
        self.rows_of(&self.parameter(table), ids)
    }

    /// A linear or affine map, whose weight is `[out, in]`, or `[in, out]` in a GPT-2.
    pub(super) fn map(&self, x: &Tensor, name: &str) -> Result<Tensor, Error> {
        let weight = self.parameter(&format!("{name}.weight"));
        let bias = self.find(&format!("{name}.bias"));
        // The maps of its heads, which have no bias, lie as everywhere.
        let is_transposed = bias.is_some()
            && matches!(&self.model.config, Config::Decoder(config) if config.variant.is_transposed());
        let weight = if is_transposed { weight.t()? } else { weight };
        Ok(Linear::new(weight, bias).forward(x)?)
    }

    /// A LayerNorm, or an RMSNorm if it has no shift.
    pub(super) fn norm(&self, x: &Tensor, name: &str, epsilon: f64) -> Result<Tensor, Error> {
        let scale = &self.parameter(&format!("{name}.weight"));
        match &self.find(&format!("{name}.bias")) {
            Some(shift) => self.row_wise(x, &RowWise::LayerNorm { scale, shift, epsilon }),
            None => self.row_wise(x, &RowWise::RmsNorm { scale, epsilon }),
        }
    }

    /// The softmax of each row.
    pub(super) fn softmax(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.row_wise(x, &RowWise::Softmax)
    }

    /// The only place that decides between candle-nn's fused operations and compositions that have a gradient. The fused
    /// norms know no `f64`, or round it to `f32` within.
    #[expect(clippy::disallowed_methods, reason = "fused operations run only where no gradient is taken")]
    fn row_wise(&self, x: &Tensor, operation: &RowWise<'_>) -> Result<Tensor, Error> {
        if self.takes_gradient || x.dtype() != DType::F32 {
            return composed(x, operation);
        }
        assert!(!x.track_op(), "a pass without gradient must not read variables");
        let x = x.contiguous()?;
        Ok(match *operation {
            RowWise::Softmax => ops::softmax_last_dim(&x)?,
            RowWise::LayerNorm { scale, shift, epsilon } => {
                ops::layer_norm(&x, scale, shift, epsilon as f32)?
            }
            RowWise::RmsNorm { scale, epsilon } => ops::rms_norm(&x, scale, epsilon as f32)?,
        })
    }

    /// Dropout with the fused passes' masks. `rows` are rows of the mask's field; padding has none.
    pub(super) fn drop(
        &self,
        x: Tensor,
        mask: Option<Mask<'_>>,
        rows: &[Option<u64>],
    ) -> Result<Tensor, Error> {
        let Some(mask) = mask else { return Ok(x) };
        let width = x.dim(D::Minus1)?;
        let (mut kept, mut multipliers) = (vec![1_u8; rows.len() * width], vec![0.0_f32; width]);
        for (row, kept) in rows.iter().zip(kept.chunks_exact_mut(width)) {
            let Some(row) = row else { continue };
            multipliers.fill(1.0);
            mask.apply_to_row(*row, &mut multipliers);
            kept.iter_mut().zip(&multipliers).for_each(|(kept, &factor)| *kept = u8::from(factor > 0.0));
        }
        let kept = Tensor::from_vec(kept, (rows.len(), width), self.device())?.to_dtype(x.dtype())?;
        Ok((x * (kept * f64::from(mask.scale()))?)?)
    }
}

/// Row-wise operations made of candle's, each of which has a gradient.
fn composed(x: &Tensor, operation: &RowWise<'_>) -> Result<Tensor, Error> {
    let root = |x: &Tensor, epsilon: f64| (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt();
    Ok(match *operation {
        RowWise::Softmax => {
            // The shift changes nothing, so that no gradient has to go through it.
            let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
            e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?
        }
        RowWise::LayerNorm { scale, shift, epsilon } => {
            let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
            let scaled = centred.broadcast_div(&root(&centred, epsilon)?)?.broadcast_mul(scale)?;
            scaled.broadcast_add(shift)?
        }
        RowWise::RmsNorm { scale, epsilon } => x.broadcast_div(&root(x, epsilon)?)?.broadcast_mul(scale)?,
    })
}
