//! The heads, and whole passes.

use kernels::dropout::Mask;
use kernels::layer_norm::{self, Addends};
use kernels::matmul::{Into, Precision};
use kernels::{cross_entropy, gelu, linear, relu, tanh};

use super::buffers::{Buffers, HeadBuffers, mask, site};
use super::forward::Mode;
use super::layout::{Affine, Bert, HeadPlaces};
use crate::inputs::choices;
use crate::{Dropout, Tally, Targets, Tokens};

/// Logits over the vocabulary that are in memory at once, in values: 4 MiB.
const LOGITS: usize = 1 << 20;

impl Bert {
    pub(crate) fn loss_and_gradient(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        targets: &Targets<'_>,
        dropout: Option<Dropout>,
        scale: f32,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        let wanted = wanted(tokens, targets);
        if wanted.is_empty() {
            return Tally::default();
        }
        self.forward(values, tokens, wanted, dropout, Mode::Training, buffers);
        let tally = self.head_gradient(values, targets, wanted.len(), dropout, scale, gradient, buffers);
        self.backward(values, tokens, wanted, dropout, gradient, buffers);
        tally
    }

    pub(crate) fn losses(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        targets: &Targets<'_>,
        buffers: &mut Buffers,
    ) -> Tally {
        let wanted = wanted(tokens, targets);
        if wanted.is_empty() {
            return Tally::default();
        }
        match (&self.head, targets) {
            (HeadPlaces::Classifier { labels, .. }, Targets::Classes(classes)) => {
                let width = labels * choices(classes.len(), tokens.len(), *labels);
                cross_entropy::forward(self.logits(values, tokens, buffers), classes, width)
            }
            (HeadPlaces::Language { .. }, Targets::MaskedTokens { labels, .. }) => {
                self.forward(values, tokens, wanted, None, Mode::Evaluation, buffers);
                self.transform(values, wanted.len(), Mode::Evaluation, buffers);
                self.language_losses(values, labels, &mut buffers.head)
            }
            _ => refuse(),
        }
    }

    pub(crate) fn logits<'b>(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
        let HeadPlaces::Classifier { labels, .. } = self.head else {
            panic!("a masked-language model was asked for the logits of classes");
        };
        self.forward(values, tokens, tokens.firsts(), None, Mode::Evaluation, buffers);
        self.classify(values, tokens.len(), None, Mode::Evaluation, buffers);
        buffers.head.logits.get(tokens.len() * labels)
    }

    /// Hidden states `[tokens, H]` of the last layer.
    pub(crate) fn hidden_states<'b>(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
        let all: Vec<u32> = (0..tokens.ids.len() as u32).collect();
        self.forward(values, tokens, &all, None, Mode::Evaluation, buffers);
        self.hidden(all.len(), Mode::Evaluation, &buffers.layers)
    }

    fn head_gradient(
        &self,
        values: &[f32],
        targets: &Targets<'_>,
        n: usize,
        dropout: Option<Dropout>,
        scale: f32,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        match (&self.head, targets) {
            (HeadPlaces::Classifier { pooler, classifier, labels }, Targets::Classes(classes)) => {
                self.classify(values, n, dropout, Mode::Training, buffers);
                let logits = buffers.head.logits.room(n * labels);
                let width = labels * choices(classes.len(), n, *labels);
                let tally = cross_entropy::forward_backward(logits, classes, width, scale);
                self.classify_backward(values, (pooler, classifier), n, dropout, gradient, buffers);
                tally
            }
            (HeadPlaces::Language { .. }, Targets::MaskedTokens { labels, .. }) => {
                self.transform(values, n, Mode::Training, buffers);
                self.language_gradient(values, labels, scale, gradient, buffers)
            }
            _ => refuse(),
        }
    }

    /// The mask of what the pooler sees, for variants that have one.
    fn features_mask(&self, dropout: Option<Dropout>) -> Option<Mask<'static>> {
        let dropout = dropout.filter(|_| self.config.variant.drops_features());
        mask(dropout, site::FEATURES, self.config.classifier_dropout())
    }

    /// Pooler and classifier: leaves the logits.
    fn classify(
        &self,
        values: &[f32],
        n: usize,
        dropout: Option<Dropout>,
        mode: Mode,
        buffers: &mut Buffers,
    ) {
        let HeadPlaces::Classifier { pooler, classifier, labels } = &self.head else { refuse() };
        let h = self.config.hidden_size;
        let Buffers { layers, head, .. } = buffers;
        let hidden = self.hidden(n, mode, layers);
        let HeadBuffers { features, first, second, logits, .. } = head;
        let input = match self.features_mask(dropout) {
            None => hidden,
            Some(mask) => {
                let dropped = features.room(n * h);
                dropped.copy_from_slice(hidden);
                mask.apply(dropped, h);
                dropped
            }
        };
        let pooled = first.room(n * h);
        linear::forward(pooled, input, &values[pooler.weight.clone()], h, Precision::F32);
        match self.config.variant.rectifies() {
            true => relu::forward(pooled, &values[pooler.bias.clone()]),
            false => tanh::forward(pooled, &values[pooler.bias.clone()]),
        }
        let features = match mask(dropout, site::CLASSIFIER, self.config.classifier_dropout()) {
            None => &*pooled,
            Some(mask) => {
                let dropped = second.room(n * h);
                dropped.copy_from_slice(pooled);
                mask.apply(dropped, h);
                dropped
            }
        };
        let (weight, bias) = (&values[classifier.weight.clone()], &values[classifier.bias.clone()]);
        linear::forward_with_bias(logits.room(n * labels), features, weight, bias, h, Precision::F32);
    }

    /// Given the gradient of the logits in their place, leaves that of the hidden states.
    fn classify_backward(
        &self,
        values: &[f32],
        (pooler, classifier): (&Affine, &Affine),
        n: usize,
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let h = self.config.hidden_size;
        let Buffers { layers, head, gradients, .. } = buffers;
        let features_mask = self.features_mask(dropout);
        let input = match features_mask {
            None => self.hidden(n, Mode::Training, layers),
            Some(_) => head.features.get(n * h),
        };
        let mask = mask(dropout, site::CLASSIFIER, self.config.classifier_dropout());
        let pooled = head.first.get(n * h);
        let features = if mask.is_some() { head.second.get(n * h) } else { pooled };
        let d_logits = head.logits.get(n * classifier.bias.len());
        linear::bias_gradient(&mut gradient[classifier.bias.clone()], d_logits);
        linear::weight_gradient(
            &mut gradient[classifier.weight.clone()],
            d_logits,
            features,
            h,
            Precision::F32,
        );
        let d_pooled = gradients.branch.room(n * h);
        linear::input_gradient(
            d_pooled,
            d_logits,
            &values[classifier.weight.clone()],
            h,
            Precision::F32,
            Into::Overwrite,
        );
        if let Some(mask) = mask {
            mask.apply(d_pooled, h);
        }
        if self.config.variant.rectifies() {
            relu::backward(d_pooled, pooled, &mut gradient[pooler.bias.clone()]);
        } else {
            tanh::backward(d_pooled, pooled);
            linear::bias_gradient(&mut gradient[pooler.bias.clone()], d_pooled);
        }
        linear::weight_gradient(&mut gradient[pooler.weight.clone()], d_pooled, input, h, Precision::F32);
        let d = gradients.stream.room(n * h);
        linear::input_gradient(
            d,
            d_pooled,
            &values[pooler.weight.clone()],
            h,
            Precision::F32,
            Into::Overwrite,
        );
        if let Some(mask) = features_mask {
            mask.apply(d, h);
        }
    }

    /// The language head up to its decoder: product, GELU, LayerNorm.
    fn transform(&self, values: &[f32], n: usize, mode: Mode, buffers: &mut Buffers) {
        let HeadPlaces::Language { transform, norm, .. } = &self.head else { refuse() };
        let h = self.config.hidden_size;
        let Buffers { layers, head, .. } = buffers;
        let hidden = self.hidden(n, mode, layers);
        let derivative = head.first.room(n * h);
        linear::forward(derivative, hidden, &values[transform.weight.clone()], h, self.precision);
        // GELU's output goes straight to where LayerNorm leaves its normalised values.
        let activated = head.norm.normalised.room(n * h);
        gelu::forward_and_derivative(derivative, &values[transform.bias.clone()], activated);
        let (out, reciprocals) = (head.norm.out.room(n * h), head.norm.reciprocals.room(n));
        layer_norm::forward(activated, Addends::default(), self.affine(norm, values), out, reciprocals);
    }

    /// Rows whose logits are in memory at once.
    fn block(&self) -> usize {
        (LOGITS / self.config.vocab_size).max(32)
    }

    fn language_losses(&self, values: &[f32], labels: &[u32], head: &mut HeadBuffers) -> Tally {
        let HeadPlaces::Language { bias, .. } = &self.head else { refuse() };
        let (h, v) = (self.config.hidden_size, self.config.vocab_size);
        let features = head.norm.out.get(labels.len() * h);
        let (words, bias) = (&values[self.embeddings.words.clone()], &values[bias.clone()]);
        let mut tally = Tally::default();
        for (labels, features) in labels.chunks(self.block()).zip(features.chunks(self.block() * h)) {
            let logits = head.logits.room(labels.len() * v);
            linear::forward_with_bias(logits, features, words, bias, h, self.precision);
            tally += cross_entropy::forward(logits, labels, v);
        }
        tally
    }

    /// Losses of the language head; leaves the gradient of the hidden states.
    fn language_gradient(
        &self,
        values: &[f32],
        labels: &[u32],
        scale: f32,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        let HeadPlaces::Language { bias, transform, norm } = &self.head else { refuse() };
        let (h, v, n) = (self.config.hidden_size, self.config.vocab_size, labels.len());
        let Buffers { layers, head, gradients, .. } = buffers;
        let (words, decoder_bias) = (&values[self.embeddings.words.clone()], &values[bias.clone()]);
        let features = head.norm.out.get(n * h);
        let d = gradients.branch.room(n * h);
        let mut tally = Tally::default();
        let blocks = labels.chunks(self.block()).zip(features.chunks(self.block() * h));
        for ((labels, features), d) in blocks.zip(d.chunks_mut(self.block() * h)) {
            let logits = head.logits.room(labels.len() * v);
            linear::forward_with_bias(logits, features, words, decoder_bias, h, self.precision);
            tally += cross_entropy::forward_backward(logits, labels, v, scale);
            linear::bias_gradient(&mut gradient[bias.clone()], logits);
            linear::weight_gradient(
                &mut gradient[self.embeddings.words.clone()],
                logits,
                features,
                h,
                self.precision,
            );
            linear::input_gradient(d, logits, words, h, self.precision, Into::Overwrite);
        }
        let (normalised, reciprocals) = (head.norm.normalised.get(n * h), head.norm.reciprocals.get(n));
        let (d_weight, d_bias) = norm.split_mut(gradient);
        layer_norm::backward(d, normalised, reciprocals, norm.split(values).0, d_weight, d_bias);
        gelu::backward(d, head.first.get(n * h), &mut gradient[transform.bias.clone()]);
        let hidden = self.hidden(n, Mode::Training, layers);
        linear::weight_gradient(&mut gradient[transform.weight.clone()], d, hidden, h, self.precision);
        let stream = gradients.stream.room(n * h);
        linear::input_gradient(
            stream,
            d,
            &values[transform.weight.clone()],
            h,
            self.precision,
            Into::Overwrite,
        );
        tally
    }
}

/// The rows that a head looks at.
fn wanted<'a>(tokens: &Tokens<'a>, targets: &Targets<'a>) -> &'a [u32] {
    match targets {
        Targets::Classes(_) => tokens.firsts(),
        Targets::MaskedTokens { rows, .. } => rows,
        Targets::Sequences { .. } => refuse(),
    }
}

fn refuse() -> ! {
    panic!("a BERT was given targets that its check refuses")
}
