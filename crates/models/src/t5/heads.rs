//! The heads, and whole passes.

use kernels::{cross_entropy, tanh};

use super::Config;
use super::buffers::{Buffers, CLASSIFIER, Given, Packed};
use super::forward::{Extent, Mode};
use super::layout::{HeadPlaces, T5};
use crate::bert::mask;
use crate::decoder::parts::Map;
use crate::inputs::choices;
use crate::{Dropout, Tally, Targets, Tokens};

/// Logits over the vocabulary that are in memory at once, in values: 4 MiB.
const LOGITS: usize = 1 << 20;

impl T5 {
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
        let given = self.given(tokens, Some(targets), buffers);
        let extent = self.extent(tokens, &given);
        self.forward(values, extent, dropout, Mode::Training, buffers);
        let tally = match (&self.head, targets) {
            (HeadPlaces::Classifier { dense, output }, Targets::Classes(labels)) => {
                let (n, maps) = (extent.n_wanted(), (dense, output));
                self.classify(values, maps, n, dropout, buffers);
                let logits = buffers.head.logits.room(n * output.outputs);
                let width = output.outputs * choices(labels.len(), n, output.outputs);
                let tally = cross_entropy::forward_backward(logits, labels, width, scale);
                self.classify_backward(values, maps, n, dropout, gradient, buffers);
                tally
            }
            (HeadPlaces::Language(map), Targets::Sequences { ids, .. }) => {
                self.language_gradient(values, map, ids, scale, gradient, buffers)
            }
            _ => refuse(),
        };
        self.backward(values, extent, dropout, gradient, buffers);
        buffers.given = given;
        tally
    }

    pub(crate) fn losses(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        targets: &Targets<'_>,
        buffers: &mut Buffers,
    ) -> Tally {
        let given = self.given(tokens, Some(targets), buffers);
        let extent = self.extent(tokens, &given);
        self.forward(values, extent, None, Mode::Evaluation, buffers);
        let n = extent.n_wanted();
        buffers.given = given;
        match (&self.head, targets) {
            (HeadPlaces::Classifier { dense, output }, Targets::Classes(labels)) => {
                self.classify(values, (dense, output), n, None, buffers);
                let width = output.outputs * choices(labels.len(), n, output.outputs);
                cross_entropy::forward(buffers.head.logits.get(n * output.outputs), labels, width)
            }
            (HeadPlaces::Language(map), Targets::Sequences { ids, .. }) => {
                let (h, block) = (map.inputs, block(map));
                self.scale_states(n, buffers);
                let (states, mut tally) = (buffers.decoder.states.get(n * h), Tally::default());
                for (labels, states) in ids.chunks(block).zip(states.chunks(block * h)) {
                    let logits = buffers.head.logits.room(labels.len() * map.outputs);
                    map.forward(values, states, logits);
                    tally += cross_entropy::forward(logits, labels, map.outputs);
                }
                tally
            }
            _ => refuse(),
        }
    }

    /// Logits `[B, classes]`, or `[B, words]` of the token that a target begins with.
    pub(crate) fn logits<'b>(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
        let given = self.given(tokens, None, buffers);
        let extent = self.extent(tokens, &given);
        self.forward(values, extent, None, Mode::Evaluation, buffers);
        let n = extent.n_wanted();
        buffers.given = given;
        match &self.head {
            HeadPlaces::Classifier { dense, output } => {
                self.classify(values, (dense, output), n, None, buffers);
                buffers.head.logits.get(n * output.outputs)
            }
            HeadPlaces::Language(map) => {
                self.scale_states(n, buffers);
                let logits = buffers.head.logits.room(n * map.outputs);
                map.forward(values, buffers.decoder.states.get(n * map.inputs), logits);
                logits
            }
        }
    }

    /// Losses of the language head; leaves the gradient of the states.
    fn language_gradient(
        &self,
        values: &[f32],
        map: &Map,
        labels: &[u32],
        scale: f32,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        let (n, h, block) = (labels.len(), map.inputs, block(map));
        self.scale_states(n, buffers);
        let Buffers { decoder, head, gradients, .. } = buffers;
        let (states, d) = (decoder.states.get(n * h), gradients.stream.room(n * h));
        let mut tally = Tally::default();
        let blocks = labels.chunks(block).zip(states.chunks(block * h)).zip(d.chunks_mut(block * h));
        for ((labels, states), d) in blocks {
            let logits = head.logits.room(labels.len() * map.outputs);
            map.forward(values, states, logits);
            tally += cross_entropy::forward_backward(logits, labels, map.outputs, scale);
            map.backward(values, states, logits, d, gradient);
        }
        multiply(d, self.output_scale());
        tally
    }

    /// Multiplies the decoder's states by what the language head's input is multiplied by.
    fn scale_states(&self, n: usize, buffers: &mut Buffers) {
        multiply(buffers.decoder.states.room(n * self.config.d_model), self.output_scale());
    }

    /// Hidden layer and classifier: leaves the logits.
    fn classify(
        &self,
        values: &[f32],
        (dense, output): (&Map, &Map),
        n: usize,
        dropout: Option<Dropout>,
        buffers: &mut Buffers,
    ) {
        let (h, probability) = (dense.inputs, self.config.classifier_dropout);
        let Buffers { decoder, head, .. } = buffers;
        let (features, hidden, dropped) =
            (head.features.room(n * h), head.hidden.room(n * h), head.dropped.room(n * h));
        features.copy_from_slice(decoder.states.get(n * h));
        if let Some(mask) = mask(dropout, CLASSIFIER[0], probability) {
            mask.apply(features, h);
        }
        dense.product(values, features, hidden);
        tanh::forward(hidden, dense.bias(values));
        dropped.copy_from_slice(hidden);
        if let Some(mask) = mask(dropout, CLASSIFIER[1], probability) {
            mask.apply(dropped, h);
        }
        output.forward(values, dropped, head.logits.room(n * output.outputs));
    }

    /// Given the gradient of the logits in their place, leaves that of the states.
    fn classify_backward(
        &self,
        values: &[f32],
        (dense, output): (&Map, &Map),
        n: usize,
        dropout: Option<Dropout>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let (h, probability) = (dense.inputs, self.config.classifier_dropout);
        let Buffers { head, gradients, .. } = buffers;
        let (d_hidden, d) = (gradients.branch.room(n * h), gradients.stream.room(n * h));
        let d_logits = head.logits.get(n * output.outputs);
        output.backward(values, head.dropped.get(n * h), d_logits, d_hidden, gradient);
        if let Some(mask) = mask(dropout, CLASSIFIER[1], probability) {
            mask.apply(d_hidden, h);
        }
        tanh::backward(d_hidden, head.hidden.get(n * h));
        dense.backward(values, head.features.get(n * h), d_hidden, d, gradient);
        if let Some(mask) = mask(dropout, CLASSIFIER[0], probability) {
            mask.apply(d, h);
        }
    }

    /// What the decoder is given. The memory is lent by `buffers`, where it should be put back.
    fn given(&self, tokens: &Tokens<'_>, targets: Option<&Targets<'_>>, buffers: &mut Buffers) -> Given {
        let mut given = std::mem::take(&mut buffers.given);
        given.fill(&self.config, matches!(self.head, HeadPlaces::Classifier { .. }), tokens, targets);
        given
    }

    fn extent<'a>(&self, tokens: &Tokens<'a>, given: &'a Given) -> Extent<'a> {
        let is_classifier = matches!(self.head, HeadPlaces::Classifier { .. });
        Extent {
            source: Packed { ids: tokens.ids, starts: tokens.starts },
            given: Packed { ids: &given.ids, starts: &given.starts },
            wanted: is_classifier.then_some(&given.ends),
            query_starts: if is_classifier { &given.query_starts } else { &given.starts },
        }
    }
}

impl Given {
    /// For each sequence the token that begins one, and then what is to be predicted or, of a classifier, what the encoder
    /// reads, all but the last token; without targets the first token alone.
    pub(crate) fn fill(
        &mut self,
        config: &Config,
        is_classifier: bool,
        tokens: &Tokens<'_>,
        targets: Option<&Targets<'_>>,
    ) {
        let Self { ids, starts, ends, query_starts } = self;
        for list in [&mut *ids, &mut *starts, &mut *ends, &mut *query_starts] {
            list.clear();
        }
        let Packed { ids: told, starts: told_starts } = match targets {
            _ if is_classifier => Packed { ids: tokens.ids, starts: tokens.starts },
            Some(Targets::Sequences { ids, starts }) => Packed { ids, starts },
            _ => {
                starts.extend(0..=tokens.len() as u32);
                ids.resize(tokens.len(), config.decoder_start_token_id);
                return;
            }
        };
        starts.extend_from_slice(told_starts);
        for span in told_starts.windows(2) {
            let told = &told[span[0] as usize..span[1] as usize];
            ids.push(config.decoder_start_token_id);
            ids.extend_from_slice(&told[..told.len() - 1]);
        }
        if is_classifier {
            query_starts.extend(0..=tokens.len() as u32);
            ends.extend(tokens.starts.windows(2).map(|span| {
                let told = &told[span[0] as usize..span[1] as usize];
                let end = told.iter().rposition(|&id| id == config.eos_token_id);
                span[0] + end.expect("the model's check refuses sequences without an end") as u32
            }));
        }
    }
}

/// Rows whose logits are in memory at once.
fn block(map: &Map) -> usize {
    (LOGITS / map.outputs).max(32)
}

fn multiply(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

fn refuse() -> ! {
    panic!("a T5 was given targets of another kind than its head's, which its check refuses")
}
