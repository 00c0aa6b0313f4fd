//! The model: a shape, and its passes by family.

use std::sync::Arc;

use weights::{Layout, Weights};

use crate::{Config, Dropout, Error, Head, Inputs, Tally, Targets, bert, inputs, mlp, start};

/// A configuration with a head: the table of its parameters, and what they compute.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    head: Head,
    layout: Arc<Layout>,
    family: Family,
}

#[derive(Clone, Debug)]
enum Family {
    Bert(bert::Bert),
    Mlp(mlp::Mlp),
}

/// Memory of the passes. Keep one per thread: after the first steps nothing is allocated.
#[derive(Debug, Default)]
pub struct Workspace {
    bert: bert::Buffers,
    mlp: mlp::Buffers,
}

impl Model {
    /// The model of this configuration and head.
    ///
    /// # Errors
    /// [`Error::Range`] for an impossible shape, [`Error::Head`] if the family has no such head.
    pub fn new(config: Config, head: Head) -> Result<Self, Error> {
        config.check()?;
        if let Head::Classification { labels } = head {
            crate::config::check_size("num_labels", labels)?;
        }
        let mut layout = Layout::default();
        let family = match &config {
            Config::Bert(config) => Family::Bert(bert::Bert::new(config, head, &mut layout)),
            Config::Mlp(config) => Family::Mlp(mlp::Mlp::new(config, head, &mut layout)?),
        };
        Ok(Self { config, head, layout: Arc::new(layout), family })
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

    /// Names, shapes and places of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Whether weight decay applies, for each entry of the layout: not to biases and LayerNorms.
    #[must_use]
    pub fn decays(&self) -> Vec<bool> {
        let is_exempt = |name: &str| name.ends_with(".bias") || name.contains("LayerNorm");
        self.layout.entries().iter().map(|entry| !is_exempt(&entry.name)).collect()
    }

    /// Fresh weights. Each tensor has a stream of its own, so that the body does not depend on the head.
    #[must_use]
    pub fn init(&self, seed: u64) -> Weights {
        start::init(self, seed)
    }

    /// The body of `pretrained` with a fresh head: weights of the classifier from `N(0, head_std^2)`, biases 0.
    ///
    /// Tensors are found by name, with the variants of published checkpoints (`gamma` and `beta`, no leading `bert.`).
    /// A pooler that is not there is drawn as in [`Model::init`] from `head_seed`.
    ///
    /// # Errors
    /// [`weights::Error`] for a tensor of the body that is missing or has another shape.
    pub fn transfer(&self, pretrained: &Weights, head_seed: u64, head_std: f32) -> Result<Weights, Error> {
        start::transfer(self, pretrained, head_seed, head_std)
    }

    /// All weights of this model from a checkpoint that may be named as published ones are.
    ///
    /// # Errors
    /// [`weights::Error`] for a tensor that is missing, has another shape, or belongs to no part of a BERT.
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
    ) -> Tally {
        self.assert_length(values);
        self.assert_length(gradient);
        match (&self.family, inputs) {
            (Family::Bert(bert), Inputs::Tokens(tokens)) => {
                bert.loss_and_gradient(values, tokens, targets, dropout, scale, gradient, &mut workspace.bert)
            }
            (Family::Mlp(mlp), Inputs::Dense { values: inputs, .. }) => {
                mlp.loss_and_gradient(values, inputs, targets, scale, gradient, &mut workspace.mlp)
            }
            _ => self.refuse(),
        }
    }

    /// Losses of a batch, without gradient or dropout.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradient`].
    pub fn losses(
        &self,
        values: &[f32],
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        workspace: &mut Workspace,
    ) -> Tally {
        self.assert_length(values);
        match (&self.family, inputs) {
            (Family::Bert(bert), Inputs::Tokens(tokens)) => {
                bert.losses(values, tokens, targets, &mut workspace.bert)
            }
            (Family::Mlp(mlp), Inputs::Dense { values: inputs, .. }) => {
                mlp.losses(values, inputs, targets, &mut workspace.mlp)
            }
            _ => self.refuse(),
        }
    }

    /// Losses at masked tokens, without gradient or dropout.
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
    ) -> Tally {
        self.losses(values, inputs, &Targets::MaskedTokens { rows, labels }, workspace)
    }

    /// Logits `[B, labels]` of a classifier.
    ///
    /// # Panics
    /// As [`Model::loss_and_gradient`], and if the head is no classifier.
    #[must_use]
    pub fn logits<'w>(&self, values: &[f32], inputs: &Inputs<'_>, workspace: &'w mut Workspace) -> &'w [f32] {
        self.assert_length(values);
        match (&self.family, inputs) {
            (Family::Bert(bert), Inputs::Tokens(tokens)) => bert.logits(values, tokens, &mut workspace.bert),
            (Family::Mlp(mlp), Inputs::Dense { values: inputs, .. }) => {
                mlp.logits(values, inputs, &mut workspace.mlp)
            }
            _ => self.refuse(),
        }
    }

    /// How a tensor begins.
    pub(crate) fn initial(&self, name: &str, shape: &[usize]) -> start::Initial {
        match &self.config {
            Config::Bert(config) => config.initial(name),
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
