//! The heads, and whole passes.

use kernels::cross_entropy;

use super::Config;
use super::buffers::Buffers;
use super::forward::Mode;
use super::layout::Decoder;
use crate::inputs::choices;
use crate::{Dropout, Tally, Targets, Tokens};

/// Logits that are in memory at once, in values: 4 MiB.
const LOGITS: usize = 1 << 20;

impl Decoder {
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
        let labels = labels(targets);
        if labels.is_empty() {
            return Tally::default();
        }
        let ends = self.ends(tokens, buffers);
        let wanted = wanted(targets, &ends);
        self.forward(values, tokens, wanted, dropout, Mode::Training, buffers);
        let tally = self.head_gradient(values, labels, wanted.len(), scale, gradient, buffers);
        self.backward(values, tokens, wanted, dropout, gradient, buffers);
        buffers.ends = ends;
        tally
    }

    pub(crate) fn losses(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        targets: &Targets<'_>,
        buffers: &mut Buffers,
    ) -> Tally {
        let labels = labels(targets);
        if labels.is_empty() {
            return Tally::default();
        }
        let ends = self.ends(tokens, buffers);
        let n = wanted(targets, &ends).len();
        self.forward(values, tokens, wanted(targets, &ends), None, Mode::Evaluation, buffers);
        buffers.ends = ends;
        let (h, block) = (self.head.inputs, self.block());
        let choices = choices(labels.len(), n, self.head.outputs);
        let width = choices * self.head.outputs;
        let features = buffers.features.get(n * h);
        let mut tally = Tally::default();
        for (labels, features) in labels.chunks(block).zip(features.chunks(block * choices * h)) {
            let logits = buffers.logits.room(labels.len() * width);
            self.head.forward(values, features, logits);
            tally += cross_entropy::forward(logits, labels, width);
        }
        tally
    }

    /// Logits `[B, classes]`, or `[B, words]` of the token that follows each sequence.
    pub(crate) fn logits<'b>(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
        let ends = self.ends(tokens, buffers);
        self.forward(values, tokens, &ends, None, Mode::Evaluation, buffers);
        let n = ends.len();
        buffers.ends = ends;
        let logits = buffers.logits.room(n * self.head.outputs);
        self.head.forward(values, buffers.features.get(n * self.head.inputs), logits);
        logits
    }

    /// Losses of the head; leaves the gradient of the features.
    fn head_gradient(
        &self,
        values: &[f32],
        labels: &[u32],
        n: usize,
        scale: f32,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        let h = self.head.inputs;
        let choices = choices(labels.len(), n, self.head.outputs);
        let (width, block) = (choices * self.head.outputs, self.block());
        let rows = block * choices * h;
        let Buffers { features, logits, gradients, .. } = buffers;
        let (features, d) = (features.get(n * h), gradients.stream.room(n * h));
        let mut tally = Tally::default();
        let blocks = labels.chunks(block).zip(features.chunks(rows)).zip(d.chunks_mut(rows));
        for ((labels, features), d) in blocks {
            let logits = logits.room(labels.len() * width);
            self.head.forward(values, features, logits);
            tally += cross_entropy::forward_backward(logits, labels, width, scale);
            self.head.backward(values, features, logits, d, gradient);
        }
        tally
    }

    /// Rows whose logits are in memory at once.
    fn block(&self) -> usize {
        (LOGITS / self.head.outputs).max(32)
    }

    /// [`ends`] of these tokens. The vector is lent by `buffers`, where it should be put back.
    fn ends(&self, tokens: &Tokens<'_>, buffers: &mut Buffers) -> Vec<u32> {
        let mut found = std::mem::take(&mut buffers.ends);
        ends(&self.config, self.is_classifier, tokens, &mut found);
        found
    }
}

/// The row that stands for each sequence. As transformers has it, a classifier looks at the last token that is not
/// padding (at the first if all are), also where the padding is part of the sequence; a language model at the last.
pub(crate) fn ends(config: &Config, is_classifier: bool, tokens: &Tokens<'_>, ends: &mut Vec<u32>) {
    let padding = config.pad_token_id.filter(|_| is_classifier);
    ends.clear();
    ends.extend(tokens.starts.windows(2).map(|span| {
        let ids = &tokens.ids[span[0] as usize..span[1] as usize];
        let last = ids.iter().rposition(|&id| Some(id) != padding).unwrap_or(0);
        span[0] + last as u32
    }));
}

/// The rows that a head looks at.
fn wanted<'a>(targets: &Targets<'a>, ends: &'a [u32]) -> &'a [u32] {
    match targets {
        Targets::Classes(_) => ends,
        Targets::MaskedTokens { rows, .. } => rows,
        Targets::Sequences { .. } => refuse(),
    }
}

fn labels<'a>(targets: &Targets<'a>) -> &'a [u32] {
    match targets {
        Targets::Classes(labels) | Targets::MaskedTokens { labels, .. } => labels,
        Targets::Sequences { .. } => refuse(),
    }
}

fn refuse() -> ! {
    panic!("a decoder was given sequences to predict, which its check refuses")
}
