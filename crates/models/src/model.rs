//! The model: a shape, and its passes by family.

use std::sync::Arc;

use kernels::matmul::Precision;
use weights::{Layout, Weights};

use crate::blocks::Aim;
use crate::transformer::{self, Step, Transformer};
use crate::{
    Config, Device, Draw, Dropout, Error, Head, Inputs, Tally, Targets, bert, composite, decoder, inputs,
    mlp, start, t5,
};

/// A configuration with a head: the table of its parameters, and what they compute.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    head: Head,
    layout: Arc<Layout>,
    family: Family,
    precision: Precision,
    /// Where it computes without fused passes.
    device: Option<candle_core::Device>,
}

#[derive(Clone, Debug)]
enum Family {
    Transformer(Box<Transformer>),
    Mlp(mlp::Mlp),
}

/// Memory of the passes. Keep one per thread: it grows to what the largest batch needs and stays.
#[derive(Debug, Default)]
pub struct Workspace {
    transformer: transformer::Buffers,
    mlp: mlp::Buffers,
    resident: composite::Resident,
}

impl Model {
    /// The model of this configuration and head.
    ///
    /// # Errors
    /// [`Error::Range`] for an impossible shape, [`Error::Head`] if the family has no such head.
    pub fn new(config: Config, head: Head) -> Result<Self, Error> {
        config.check()?;
        if let Head::Classification { labels } = head {
            crate::fields::check_size("num_labels", labels)?;
        }
        let mut layout = Layout::default();
        let transformer = |made| Family::Transformer(Box::new(made));
        let family = match &config {
            Config::Bert(config) => transformer(bert::build(config, head, &mut layout)?),
            Config::Decoder(config) => transformer(decoder::build(config, head, &mut layout)?),
            Config::T5(config) => transformer(t5::build(config, head, &mut layout)?),
            Config::Mlp(config) => Family::Mlp(mlp::Mlp::new(config, head, &mut layout)?),
        };
        let layout = Arc::new(layout);
        Ok(Self { config, head, layout, family, precision: Precision::F32, device: None })
    }

    /// The same model whose products are computed in another precision: those of the blocks and of a language head.
    /// Parameters, everything else and the sums of the products stay `f32`.
    ///
    /// # Errors
    /// [`Error::Precision`] if the family, or the model's device, computes in `f32` alone.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, Error> {
        match &mut self.family {
            Family::Transformer(transformer) => transformer.set_precision(precision),
            Family::Mlp(_) if precision == Precision::F32 => {}
            Family::Mlp(_) => {
                let what = format!("a model of type `{}`", self.config.model_type());
                return Err(Error::Precision { what });
            }
        }
        self.precision = precision;
        self.agreeing()
    }

    /// The same model on another device than the processor, or in other operations: the same numbers up to rounding. What
    /// a GPU sums it sums in no fixed order.
    ///
    /// # Errors
    /// [`Error::Device`] if the device is not here, [`Error::Precision`] if the model's precision is not `f32`.
    pub fn on(mut self, device: Device) -> Result<Self, Error> {
        self.device = device.open()?;
        self.agreeing()
    }

    /// This model, if its precision is one that its device computes in.
    fn agreeing(self) -> Result<Self, Error> {
        match self.is_fused() || self.precision == Precision::F32 {
            true => Ok(self),
            false => Err(Error::Precision { what: "a model in candle's operations".to_owned() }),
        }
    }

    /// Whether the model computes in fused passes on the processor, where several threads may work side by side.
    #[must_use]
    pub fn is_fused(&self) -> bool {
        self.device.is_none()
    }

    /// The shape of the body.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Candle's device that the model computes on, or none where it computes in fused passes.
    #[must_use]
    pub fn device(&self) -> Option<&candle_core::Device> {
        self.device.as_ref()
    }

    /// Names, shapes and places of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Whether weight decay applies, for each entry of the layout: not to biases and norms, which are
    /// those of one dimension.
    #[must_use]
    pub fn decays(&self) -> Vec<bool> {
        self.layout.entries().iter().map(|entry| entry.shape.len() > 1).collect()
    }

    /// Whether an entry of the layout is a bias or part of the task's head, for each: what BitFit trains.
    #[must_use]
    pub fn biases_and_head(&self) -> Vec<bool> {
        let is_one = |name: &str| name.ends_with(".bias") || start::is_head(self, name);
        self.layout.entries().iter().map(|entry| is_one(&entry.name)).collect()
    }

    /// Whether an entry of the layout is part of the task's head, or is not in `checkpoint` (a pooler, which is then drawn),
    /// for each: what low-rank adaptation trains as it is, beside its factors.
    #[must_use]
    pub fn head_and_missing(&self, checkpoint: &Weights) -> Vec<bool> {
        start::head_and_missing(self, checkpoint)
    }

    /// Checks that a checkpoint with these tensors holds the whole body, whatever heads it has.
    ///
    /// # Errors
    /// [`weights::Error`] for each tensor that is missing or has another shape.
    pub fn check_body(&self, published: &Layout) -> Result<(), Vec<weights::Error>> {
        start::check_body(self, published)
    }

    /// Fresh weights. Each tensor has a stream of its own, so that the body does not depend on the head.
    #[must_use]
    pub fn init(&self, seed: u64) -> Weights {
        start::init(self, seed)
    }

    /// The body of `pretrained` with a fresh head: weights of the classifier as `head` says, biases 0.
    ///
    /// Tensors are found by name, with the variants of published checkpoints (`gamma` and `beta`, no leading `bert.`).
    /// A pooler that is not there is drawn as in [`Model::init`] from `pooler_seed`: a seed of its own, since a pooler
    /// is much larger than a head, and one that differs between runs takes them far apart before they learn anything.
    ///
    /// # Errors
    /// [`weights::Error`] for a tensor of the body that is missing or has another shape.
    pub fn transfer(
        &self,
        pretrained: &Weights,
        pooler_seed: u64,
        head_seed: u64,
        head: Draw,
    ) -> Result<Weights, Error> {
        start::transfer(self, pretrained, pooler_seed, head_seed, head)
    }

    /// All weights of this model from a checkpoint that may be named as published ones are.
    ///
    /// # Errors
    /// [`weights::Error`] for a tensor that is missing, has another shape, or belongs to no part of its family.
    pub fn adopt(&self, published: &Weights) -> Result<Weights, Error> {
        start::adopt(self, published)
    }

    /// Checks a batch at the door. The passes panic on what this refuses.
    ///
    /// # Errors
    /// An [`Error`] that names the part of the batch and the place.
    pub fn check(&self, inputs: &Inputs<'_>, targets: Option<&Targets<'_>>) -> Result<(), Error> {
        inputs::check(&self.config, self.head, inputs, targets)
    }

    /// Losses of a batch; the gradient of `scale` times their sum is added to `gradient`.
    ///
    /// `values` and `gradient` are flat buffers in the order of [`Model::layout`].
    ///
    /// # Errors
    /// [`Error::Candle`], of a model that is not fused: its device may have no memory left.
    ///
    /// # Panics
    /// If a buffer is not as long as the layout, or for a batch that [`Model::check`] refuses.
    pub fn loss_and_gradient(
        &self,
        values: &[f32],
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        dropout: Option<Dropout>,
        scale: f32,
        gradient: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<Tally, Error> {
        self.assert_length(values);
        self.assert_length(gradient);
        if let Some(device) = &self.device {
            let composite = workspace.resident.composite(self, values, device)?;
            return composite.loss_and_gradient(inputs, targets, dropout, scale, gradient);
        }
        Ok(match (&self.family, inputs) {
            (Family::Transformer(transformer), Inputs::Tokens(tokens)) => {
                let step = Step { tokens, targets, dropout, scale };
                transformer.loss_and_gradient(values, step, gradient, &mut workspace.transformer)
            }
            (Family::Mlp(mlp), Inputs::Dense { values: inputs, .. }) => {
                let aim = Aim { labels: mlp::classes(targets), scale };
                mlp.loss_and_gradient(values, inputs, aim, gradient, &mut workspace.mlp)
            }
            _ => self.refuse(),
        })
    }

    /// Losses of a batch, without gradient or dropout.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`].
    ///
    /// # Panics
    /// As [`Model::loss_and_gradient`].
    pub fn losses(
        &self,
        values: &[f32],
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        workspace: &mut Workspace,
    ) -> Result<Tally, Error> {
        self.assert_length(values);
        if let Some(device) = &self.device {
            return workspace.resident.composite(self, values, device)?.losses(inputs, targets);
        }
        Ok(match (&self.family, inputs) {
            (Family::Transformer(transformer), Inputs::Tokens(tokens)) => {
                transformer.losses(values, tokens, targets, &mut workspace.transformer)
            }
            (Family::Mlp(mlp), Inputs::Dense { values: inputs, .. }) => {
                mlp.losses(values, inputs, targets, &mut workspace.mlp)
            }
            _ => self.refuse(),
        })
    }

    /// Losses at masked tokens, or of the tokens after others, without gradient or dropout.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`].
    ///
    /// # Panics
    /// As [`Model::loss_and_gradient`].
    pub fn masked_losses(
        &self,
        values: &[f32],
        inputs: &Inputs<'_>,
        rows: &[u32],
        labels: &[u32],
        workspace: &mut Workspace,
    ) -> Result<Tally, Error> {
        self.losses(values, inputs, &Targets::MaskedTokens { rows, labels }, workspace)
    }

    /// Logits `[B, labels]` of a classifier, or `[B, words]` of a causal language model for what follows each sequence and
    /// of a model from sequence to sequence for what the other one begins with.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`].
    ///
    /// # Panics
    /// As [`Model::loss_and_gradient`], and if the head is that of a masked language model.
    pub fn logits<'w>(
        &self,
        values: &[f32],
        inputs: &Inputs<'_>,
        workspace: &'w mut Workspace,
    ) -> Result<&'w [f32], Error> {
        self.assert_length(values);
        if let Some(device) = &self.device {
            let logits = workspace.resident.composite(self, values, device)?.logits(inputs)?;
            return workspace.resident.keep(&logits);
        }
        Ok(match (&self.family, inputs) {
            (Family::Transformer(transformer), Inputs::Tokens(tokens)) => {
                transformer.logits(values, tokens, &mut workspace.transformer)
            }
            (Family::Mlp(mlp), Inputs::Dense { values: inputs, .. }) => {
                mlp.logits(values, inputs, &mut workspace.mlp)
            }
            _ => self.refuse(),
        })
    }

    /// Hidden states `[tokens, H]` of an encoder's last layer, before any head: what embeddings of texts are made of.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`].
    ///
    /// # Panics
    /// As [`Model::loss_and_gradient`], and if the family is not that of encoders.
    pub fn hidden_states<'w>(
        &self,
        values: &[f32],
        inputs: &Inputs<'_>,
        workspace: &'w mut Workspace,
    ) -> Result<&'w [f32], Error> {
        self.assert_length(values);
        if let Some(device) = &self.device {
            let hidden = workspace.resident.composite(self, values, device)?.hidden_states(inputs)?;
            return workspace.resident.keep(&hidden);
        }
        match (&self.config, &self.family, inputs) {
            (Config::Bert(_), Family::Transformer(transformer), Inputs::Tokens(tokens)) => {
                Ok(transformer.hidden_states(values, tokens, &mut workspace.transformer))
            }
            _ => self.refuse(),
        }
    }

    /// How a tensor begins.
    pub(crate) fn initial(&self, name: &str, shape: &[usize]) -> start::Initial {
        match &self.config {
            Config::Bert(config) => config.initial(name),
            Config::Decoder(config) => config.initial(name, shape),
            Config::T5(config) => config.initial(name, shape),
            Config::Mlp(_) => mlp::initial(shape),
        }
    }

    fn assert_length(&self, buffer: &[f32]) {
        assert_eq!(buffer.len(), self.layout.len(), "length of a flat buffer of this model");
    }

    fn refuse(&self) -> ! {
        panic!("a model of type `{}` was given inputs that its check refuses", self.config.model_type())
    }
}

#[cfg(test)]
mod tests;
