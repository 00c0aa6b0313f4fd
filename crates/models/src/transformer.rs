//! Transformers: one stack and a head, or an encoder before them. Whole passes, the same for every family.

use kernels::matmul::Precision;

use crate::blocks::attention::Memory;
use crate::blocks::{
    Aim, Backward, Buffer, Classifier, Gradients, LanguageHead, Mode, Pass, Passing, classifier,
    language_head,
};
use crate::reading::{Chosen, Reading};
use crate::stack::{self, Stack, StackReads};
use crate::{Dropout, Tally, Targets, Tokens};

/// A model of packed tokens: where its parameters lie in the flat buffer, and what they compute.
#[derive(Clone, Debug)]
pub(crate) struct Transformer {
    /// Reads the batch, where the stack reads something else.
    pub(crate) encoder: Option<Stack>,
    pub(crate) stack: Stack,
    pub(crate) head: Predictor,
    pub(crate) reading: Reading,
}

/// What the last states are mapped to.
#[derive(Clone, Debug)]
pub(crate) enum Predictor {
    Words(LanguageHead),
    Classes(Classifier),
}

/// A batch, the probability and key of its dropout, and the factor of its losses in the gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) tokens: &'a Tokens<'a>,
    pub(crate) targets: &'a Targets<'a>,
    pub(crate) dropout: Option<Dropout>,
    pub(crate) scale: f32,
}

/// Everything that a step writes. Sizes follow the largest batch seen.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    encoder: stack::Kept,
    stack: stack::Kept,
    language: language_head::Kept,
    classifier: classifier::Kept,
    passing: Passing,
    flow: Gradients,
    chosen: Chosen,
}

impl Transformer {
    pub(crate) fn loss_and_gradient(
        &self,
        values: &[f32],
        step: Step<'_>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        let Step { tokens, targets, dropout, scale } = step;
        if targets.is_empty() {
            return Tally::default();
        }
        let pass = Pass { values, dropout, mode: Mode::Training };
        let chosen = self.choose(tokens, Some(targets), buffers);
        let reads = self.reads(tokens, Some(targets), &chosen);
        self.forward(pass, tokens, reads, buffers);
        let Buffers { stack, language, classifier, passing, flow, .. } = buffers;
        let (states, back) = (&mut stack.states, &mut Backward { passing, flow, gradient });
        let tally = match (&self.head, targets) {
            (Predictor::Classes(head), Targets::Classes(labels)) => {
                head.gradient(pass, states, Aim { labels, scale }, classifier, back)
            }
            (
                Predictor::Words(head),
                Targets::MaskedTokens { labels, .. } | Targets::Sequences { ids: labels, .. },
            ) => head.gradient(pass, states, Aim { labels, scale }, language, back),
            _ => refuse(),
        };
        self.backward(pass, tokens, reads, gradient, buffers);
        buffers.chosen = chosen;
        tally
    }

    pub(crate) fn losses(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        targets: &Targets<'_>,
        buffers: &mut Buffers,
    ) -> Tally {
        if targets.is_empty() {
            return Tally::default();
        }
        let pass = Pass { values, dropout: None, mode: Mode::Evaluation };
        self.evaluate(pass, tokens, Some(targets), buffers);
        let Buffers { stack: stack::Kept { states, .. }, language, classifier, .. } = buffers;
        match (&self.head, targets) {
            (Predictor::Classes(head), Targets::Classes(labels)) => {
                head.losses(pass, states, labels, classifier)
            }
            (
                Predictor::Words(head),
                Targets::MaskedTokens { labels, .. } | Targets::Sequences { ids: labels, .. },
            ) => head.losses(pass, states, labels, language),
            _ => refuse(),
        }
    }

    /// Logits `[B, classes]`, or `[B, words]` of the token that follows each sequence, or that a target begins with.
    pub(crate) fn logits<'b>(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
        let pass = Pass { values, dropout: None, mode: Mode::Evaluation };
        self.evaluate(pass, tokens, None, buffers);
        let Buffers { stack: stack::Kept { states, .. }, language, classifier, .. } = buffers;
        match &self.head {
            Predictor::Classes(head) => head.logits(pass, states, classifier),
            Predictor::Words(head) => head.logits(pass, states, language),
        }
    }

    /// States `[n, H]` of every token behind the last layer of a model of one stack.
    pub(crate) fn hidden_states<'b>(
        &self,
        values: &[f32],
        tokens: &Tokens<'_>,
        buffers: &'b mut Buffers,
    ) -> &'b [f32] {
        let pass = Pass { values, dropout: None, mode: Mode::Evaluation };
        let all: Vec<u32> = (0..tokens.ids.len() as u32).collect();
        let reads = StackReads { tokens: *tokens, wanted: Some(&all), memory: None };
        self.forward(pass, tokens, reads, buffers);
        buffers.stack.states.get()
    }

    /// Sets what the products of the blocks and of a language head are computed in.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        self.encoder.iter_mut().chain([&mut self.stack]).for_each(|stack| stack.set_precision(precision));
        if let Predictor::Words(LanguageHead { transform, decoder, .. }) = &mut self.head {
            decoder.precision = precision;
            if let Some((map, _)) = transform {
                map.precision = precision;
            }
        }
    }

    fn is_classifier(&self) -> bool {
        matches!(self.head, Predictor::Classes(_))
    }

    /// Chooses what is read. The memory is lent by `buffers`, where it should be put back.
    fn choose(&self, tokens: &Tokens<'_>, targets: Option<&Targets<'_>>, buffers: &mut Buffers) -> Chosen {
        let mut chosen = std::mem::take(&mut buffers.chosen);
        chosen.fill(self.reading, self.is_classifier(), tokens, targets);
        chosen
    }

    fn reads<'a>(
        &self,
        tokens: &Tokens<'a>,
        targets: Option<&Targets<'a>>,
        chosen: &'a Chosen,
    ) -> StackReads<'a> {
        let later = Tokens { ids: &chosen.ids, types: &[], starts: &chosen.starts };
        let (tokens, wanted) = match (self.reading, targets) {
            (Reading::Later { .. }, _) => (later, self.is_classifier().then_some(&*chosen.ends)),
            (_, Some(Targets::MaskedTokens { rows, .. })) => (*tokens, Some(*rows)),
            _ => (*tokens, Some(&*chosen.ends)),
        };
        StackReads { tokens, wanted, memory: None }
    }

    /// Leaves the states of a batch in evaluation.
    fn evaluate(
        &self,
        pass: Pass<'_>,
        tokens: &Tokens<'_>,
        targets: Option<&Targets<'_>>,
        buffers: &mut Buffers,
    ) {
        let chosen = self.choose(tokens, targets, buffers);
        self.forward(pass, tokens, self.reads(tokens, targets, &chosen), buffers);
        buffers.chosen = chosen;
    }

    fn forward(&self, pass: Pass<'_>, tokens: &Tokens<'_>, reads: StackReads<'_>, buffers: &mut Buffers) {
        let Buffers { encoder: made, stack, passing, .. } = buffers;
        let memory = self.encoder.as_ref().map(|encoder| {
            let reads = StackReads { tokens: *tokens, wanted: None, memory: None };
            encoder.forward(pass, reads, made, passing);
            Memory { states: made.states.get(), starts: tokens.starts }
        });
        self.stack.forward(pass, StackReads { memory, ..reads }, stack, passing);
    }

    /// Given the gradient of the states in `flow.stream`, adds those of the stacks' parameters.
    fn backward(
        &self,
        pass: Pass<'_>,
        tokens: &Tokens<'_>,
        reads: StackReads<'_>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let Buffers { encoder: made, stack, passing, flow, .. } = buffers;
        let Some(encoder) = &self.encoder else {
            return self.stack.backward(pass, reads, stack, &mut Backward { passing, flow, gradient });
        };
        let states: &Buffer = &made.states;
        flow.memory.room(states.rows(), states.width()).fill(0.0);
        let memory = Some(Memory { states: states.get(), starts: tokens.starts });
        let back = &mut Backward { passing, flow, gradient };
        self.stack.backward(pass, StackReads { memory, ..reads }, stack, back);
        let Gradients { stream, memory, .. } = &mut *back.flow;
        stream.swap(memory);
        encoder.backward(pass, StackReads { tokens: *tokens, wanted: None, memory: None }, made, back);
    }
}

fn refuse() -> ! {
    panic!("a model was given targets of another kind than its head's, which its check refuses")
}
