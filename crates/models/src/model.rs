//! The model: a shape, and its passes by family.

use std::sync::Arc;

use kernels::matmul::Precision;
use weights::{Layout, Weights};

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
    Bert(Box<bert::Bert>),
    Decoder(Box<decoder::Decoder>),
    T5(Box<t5::T5>),
    Mlp(mlp::Mlp),
}

/// Memory of the passes. Keep one per thread: it grows to what the largest batch needs and stays.
#[derive(Debug, Default)]
pub struct Workspace {
    bert: bert::Buffers,
    decoder: decoder::Buffers,
    t5: t5::Buffers,
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
        let family = match &config {
            Config::Bert(config) => Family::Bert(Box::new(bert::Bert::new(config, head, &mut layout)?)),
            Config::Decoder(config) => {
                Family::Decoder(Box::new(decoder::Decoder::new(config, head, &mut layout)?))
            }
            Config::T5(config) => Family::T5(Box::new(t5::T5::new(config, head, &mut layout)?)),
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
            Family::Bert(bert) => bert.set_precision(precision),
            Family::Decoder(decoder) => decoder.set_precision(precision),
            Family::T5(t5) => t5.set_precision(precision),
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
        let is_one = |name: &str| name.ends_with(".bias") || start::is_head(name);
        self.layout.entries().iter().map(|entry| is_one(&entry.name)).collect()
    }

    /// Whether an entry of the layout is part of the task's head, or is not in `checkpoint` (a pooler, which is then drawn),
    /// for each: what low-rank adaptation trains as it is, beside its factors.
    #[must_use]
    pub fn head_and_missing(&self, checkpoint: &Weights) -> Vec<bool> {
        start::head_and_missing(self, checkpoint)
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
            (Family::Bert(bert), Inputs::Tokens(tokens)) => {
                bert.loss_and_gradient(values, tokens, targets, dropout, scale, gradient, &mut workspace.bert)
            }
            (Family::Decoder(decoder), Inputs::Tokens(tokens)) => {
                let buffers = &mut workspace.decoder;
                decoder.loss_and_gradient(values, tokens, targets, dropout, scale, gradient, buffers)
            }
            (Family::T5(t5), Inputs::Tokens(tokens)) => {
                t5.loss_and_gradient(values, tokens, targets, dropout, scale, gradient, &mut workspace.t5)
            }
            (Family::Mlp(mlp), Inputs::Dense { values: inputs, .. }) => {
                mlp.loss_and_gradient(values, inputs, targets, scale, gradient, &mut workspace.mlp)
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
            (Family::Bert(bert), Inputs::Tokens(tokens)) => {
                bert.losses(values, tokens, targets, &mut workspace.bert)
            }
            (Family::Decoder(decoder), Inputs::Tokens(tokens)) => {
                decoder.losses(values, tokens, targets, &mut workspace.decoder)
            }
            (Family::T5(t5), Inputs::Tokens(tokens)) => t5.losses(values, tokens, targets, &mut workspace.t5),
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
            let logits = workspace.resident.composite(self, values, device)?.logits(inputs, None)?;
            return workspace.resident.keep(&logits);
        }
        Ok(match (&self.family, inputs) {
            (Family::Bert(bert), Inputs::Tokens(tokens)) => bert.logits(values, tokens, &mut workspace.bert),
            (Family::Decoder(decoder), Inputs::Tokens(tokens)) => {
                decoder.logits(values, tokens, &mut workspace.decoder)
            }
            (Family::T5(t5), Inputs::Tokens(tokens)) => t5.logits(values, tokens, &mut workspace.t5),
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
        match (&self.family, inputs) {
            (Family::Bert(bert), Inputs::Tokens(tokens)) => {
                Ok(bert.hidden_states(values, tokens, &mut workspace.bert))
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
mod tests {
    use super::*;
    use crate::Tokens;

    fn tiny() -> Config {
        Config::Bert(bert::Config {
            vocab_size: 11,
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 32,
            max_position_embeddings: 6,
            initializer_range: 0.1,
            ..bert::Config::default()
        })
    }

    fn language() -> Model {
        Model::new(tiny(), Head::MaskedLanguage).unwrap()
    }

    fn classifier() -> Model {
        Model::new(tiny(), Head::Classification { labels: 2 }).unwrap()
    }

    const TOKENS: Tokens<'static> =
        Tokens { ids: &[1, 5, 6, 1, 7, 8, 9], types: &[0, 0, 0, 0, 0, 1, 1], starts: &[0, 3, 7] };

    #[test]
    fn the_body_does_not_depend_on_the_head() {
        let (language, classifier) = (language().init(3), classifier().init(3));
        let shared = language.layout().entries().iter().filter(|entry| entry.name.starts_with("bert."));
        assert!(shared.clone().count() > 30);
        for entry in shared {
            assert_eq!(language.tensor(&entry.name), classifier.tensor(&entry.name), "{}", entry.name);
        }
        let words = language.tensor("bert.embeddings.word_embeddings.weight").unwrap();
        let variance = words.iter().map(|x| x * x).sum::<f32>() / words.len() as f32;
        assert!((variance.sqrt() - 0.1).abs() < 0.02, "{variance}");
        assert!(words != language.tensor("bert.encoder.layer.0.attention.self.query.weight").unwrap());
    }

    #[test]
    fn transfer_copies_the_body_and_draws_the_head() {
        let (pretrained, model) = (language().init(3), classifier());
        let weights = model.transfer(&pretrained, 5, 7, Draw::Normal(0.02)).unwrap();
        for entry in model.layout().entries() {
            let found = weights.tensor(&entry.name).unwrap();
            match pretrained.tensor(&entry.name) {
                Some(expected) => assert_eq!(found, expected, "{}", entry.name),
                None => assert_eq!(
                    found.iter().all(|&x| x == 0.0),
                    entry.name.ends_with(".bias"),
                    "{}",
                    entry.name
                ),
            }
        }
        assert!(weights.tensor("classifier.weight").unwrap().iter().all(|x| x.abs() < 0.1));
        let cut = model.transfer(&pretrained, 5, 7, Draw::TruncatedNormal(0.02)).unwrap();
        let classifier = cut.tensor("classifier.weight").unwrap();
        assert!(
            classifier.iter().all(|weight| weight.abs() <= 0.04)
                && classifier.iter().any(|&weight| weight != 0.0)
        );
        let other = model.transfer(&pretrained, 5, 8, Draw::Normal(0.02)).unwrap();
        assert_ne!(weights.tensor("classifier.weight"), other.tensor("classifier.weight"));

        // A pooler that is there is copied.
        let tuned = model.init(9);
        let again = model.transfer(&tuned, 5, 7, Draw::Normal(0.02)).unwrap();
        assert_eq!(again.tensor("bert.pooler.dense.weight"), tuned.tensor("bert.pooler.dense.weight"));
        assert_eq!(again.tensor("classifier.weight"), weights.tensor("classifier.weight"));

        let mlp = Config::Mlp(mlp::Config { input_size: 3, hidden_sizes: vec![4] });
        let mlp = Model::new(mlp, Head::Classification { labels: 2 }).unwrap();
        let error = mlp.transfer(&pretrained, 0, 0, Draw::Normal(0.02)).unwrap_err().to_string();
        assert_eq!(error, "tensor `layers.0.weight` is missing");
    }

    #[test]
    fn published_names_are_understood() {
        let (model, weights) = (language(), language().init(3));
        let mut layout = Layout::default();
        let mut values = Vec::new();
        // In another order, as a bare body of 2018 with heads of the same time.
        for entry in weights.layout().entries().iter().rev() {
            let name = entry.name.replace("LayerNorm.weight", "LayerNorm.gamma");
            let name = name.replace("LayerNorm.bias", "LayerNorm.beta");
            layout.push(name.strip_prefix("bert.").unwrap_or(&name), &entry.shape);
            values.extend_from_slice(&weights.values[entry.range()]);
        }
        layout.push("cls.seq_relationship.weight", &[1]);
        layout.push("pooler.dense.weight", &[1]);
        values.extend([0.0; 2]);
        let mut published = Weights::zeros(Arc::new(layout));
        published.values = values;
        assert_eq!(model.adopt(&published).unwrap().values, weights.values);

        let mut stranger = Layout::default();
        for entry in weights.layout().entries() {
            stranger.push(&entry.name, &entry.shape);
        }
        stranger.push("bert.encoder.layer.2.output.dense.bias", &[1]);
        let error = model.adopt(&Weights::zeros(Arc::new(stranger))).unwrap_err().to_string();
        assert_eq!(error, "tensor `bert.encoder.layer.2.output.dense.bias` is not part of this model");
    }

    #[test]
    fn biases_and_norms_do_not_decay() {
        let model = classifier();
        for (entry, decays) in model.layout().entries().iter().zip(model.decays()) {
            assert_eq!(decays, entry.shape.len() == 2, "{}", entry.name);
        }
    }

    #[test]
    fn what_a_batch_can_get_wrong_is_named() {
        let message = |model: &Model, tokens: Tokens<'_>, targets: Targets<'_>| {
            model.check(&Inputs::Tokens(tokens), Some(&targets)).map_err(|error| error.to_string())
        };
        let classes = |tokens| message(&classifier(), tokens, Targets::Classes(&[0, 1]));
        let masked = |rows, labels| message(&language(), TOKENS, Targets::MaskedTokens { rows, labels });
        assert_eq!(classes(TOKENS), Ok(()));
        assert_eq!(masked(&[1, 6], &[0, 10]), Ok(()));
        for (found, expected) in [
            (
                classes(Tokens { ids: &[1, 5, 6, 1, 11, 8, 9], ..TOKENS }),
                "token 11 at index 4 is not below 11",
            ),
            (
                classes(Tokens { types: &[0, 0, 0, 0, 0, 1, 2], ..TOKENS }),
                "segment 2 at index 6 is not below 2",
            ),
            (classes(Tokens { types: &[0], ..TOKENS }), "number of segments: 1, expected 7"),
            (
                classes(Tokens { starts: &[0, 7], ..TOKENS }),
                "sequence 0 has 7 tokens, the model has 6 positions",
            ),
            (classes(Tokens { starts: &[0, 3, 3, 7], ..TOKENS }), "starts do not increase at index 2"),
            (classes(Tokens { starts: &[0, 3, 6], ..TOKENS }), "last start: 6, expected 7"),
            (classes(Tokens { starts: &[1, 3, 7], ..TOKENS }), "first start: 1, expected 0"),
            (classes(Tokens { starts: &[], ..TOKENS }), "the batch is empty"),
            (classes(Tokens { ids: &[], types: &[], starts: &[0] }), "the batch is empty"),
            (masked(&[1, 7], &[0, 0]), "masked row 7 at index 1 is not below 7"),
            (masked(&[2, 2], &[0, 0]), "masked rows do not increase at index 1"),
            (masked(&[2], &[0, 0]), "number of masked labels: 2, expected 1"),
            (masked(&[2], &[11]), "masked label 11 at index 0 is not below 11"),
            (message(&classifier(), TOKENS, Targets::Classes(&[0, 2])), "label 2 at index 1 is not below 2"),
            (
                message(&language(), TOKENS, Targets::Classes(&[0, 1])),
                "a model of type `bert` with a masked-language head does not take classes",
            ),
        ] {
            assert_eq!(found, Err(expected.to_owned()));
        }
        let dense = classifier().check(&Inputs::Dense { values: &[0.0], width: 1 }, None).unwrap_err();
        assert!(dense.to_string().ends_with("does not take vectors"), "{dense}");
        let mlp = Config::Mlp(mlp::Config { input_size: 2, hidden_sizes: vec![4] });
        assert!(Model::new(mlp.clone(), Head::MaskedLanguage).is_err());
        let mlp = Model::new(mlp, Head::Classification { labels: 2 }).unwrap();
        let check = |values: &[f32], width| mlp.check(&Inputs::Dense { values, width }, None).is_ok();
        assert!(check(&[1.0, 2.0], 2));
        assert!(
            !check(&[1.0, 2.0, 3.0], 2) && !check(&[], 2) && !check(&[1.0], 1) && !check(&[1.0, f32::NAN], 2)
        );
    }

    #[test]
    fn nothing_masked_loses_nothing() {
        let model = language();
        let (values, inputs) = (model.init(0).values, Inputs::Tokens(TOKENS));
        let targets = Targets::MaskedTokens { rows: &[], labels: &[] };
        model.check(&inputs, Some(&targets)).unwrap();
        let mut gradient = vec![0.0; values.len()];
        let workspace = &mut Workspace::default();
        let tally =
            model.loss_and_gradient(&values, &inputs, &targets, None, 1.0, &mut gradient, workspace).unwrap();
        assert_eq!(tally, Tally::default());
        assert!(gradient.iter().all(|&g| g == 0.0));
    }

    /// A change of these numbers changes artifacts: raise the family's `VERSION` with it. Instruction sets round
    /// differently, hence the tolerance.
    #[test]
    fn golden() {
        let workspace = &mut Workspace::default();
        let inputs = Inputs::Tokens(TOKENS);
        let model = language();
        let weights = model.init(42);
        let first = weights.tensor("bert.embeddings.word_embeddings.weight").unwrap()[0];
        let masked =
            model.masked_losses(&weights.values, &inputs, &[1, 5], &[5, 8], workspace).unwrap().loss_sum;
        let mut gradient = vec![0.0; weights.values.len()];
        let targets = Targets::MaskedTokens { rows: &[1, 5], labels: &[5, 8] };
        let dropout = Some(Dropout { key: 9 });
        let dropped = model
            .loss_and_gradient(&weights.values, &inputs, &targets, dropout, 1.0, &mut gradient, workspace)
            .unwrap()
            .loss_sum;
        let norm = kernels::norm::norm(&gradient);
        let mlp = Config::Mlp(mlp::Config { input_size: 2, hidden_sizes: vec![4] });
        let mlp = Model::new(mlp, Head::Classification { labels: 2 }).unwrap();
        let vectors = Inputs::Dense { values: &[1.0, -0.5], width: 2 };
        let logit = f64::from(mlp.logits(&mlp.init(42).values, &vectors, workspace).unwrap()[0]);
        for (found, expected) in [f64::from(first), masked, dropped, norm, logit].into_iter().zip(GOLDEN) {
            assert!(
                (found - expected).abs() < 1e-5 * expected.abs(),
                "{:?}",
                [f64::from(first), masked, dropped, norm, logit]
            );
        }
    }

    const GOLDEN: [f64; 5] = [-0.064_095_817, 5.373_318_51, 5.387_514_27, 9.152_638_25, -0.308_774_799];

    /// Forty steps on one batch: the loss of both heads falls to a tenth.
    #[test]
    fn it_learns() {
        let inputs = Inputs::Tokens(TOKENS);
        for (model, targets) in [
            (language(), Targets::MaskedTokens { rows: &[1, 2, 5], labels: &[5, 6, 8] }),
            (classifier(), Targets::Classes(&[1, 0])),
        ] {
            let mut values = model.init(1).values;
            let [mut means, mut squares] = [(); 2].map(|()| vec![0.0; values.len()]);
            let workspace = &mut Workspace::default();
            let before = model.losses(&values, &inputs, &targets, workspace).unwrap().loss_sum;
            for number in 1..=40 {
                let mut gradient = vec![0.0; values.len()];
                let dropout = Some(Dropout { key: number });
                model
                    .loss_and_gradient(&values, &inputs, &targets, dropout, 0.5, &mut gradient, workspace)
                    .unwrap();
                let rule = kernels::adamw::Step {
                    learning_rate: 5e-3,
                    beta1: 0.9,
                    beta2: 0.98,
                    epsilon: 1e-8,
                    weight_decay: 0.0,
                    gradient_scale: 1.0,
                    bias_correction: Some(number),
                };
                kernels::adamw::step(&mut values, &gradient, &mut means, &mut squares, &rule);
            }
            let after = model.losses(&values, &inputs, &targets, workspace).unwrap();
            assert!(after.loss_sum < 0.1 * before, "{before} -> {after:?}");
            assert_eq!(after.correct, after.n);
        }
    }
}
