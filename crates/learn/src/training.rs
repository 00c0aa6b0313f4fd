//! The training loop.

use std::ops::Range;

use models::{Model, Tally};
use random::Stream;
use tasks::Batch;
use weights::Layout;

use crate::{AdamW, Adapter, Error, Schedule, State, Trainer, gradient};

/// The hyper-parameters of a run: with the starting weights and the batches, all that decides its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Optimiser steps in the whole run.
    pub steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Its shape over the run.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// The optimiser.
    pub optimiser: AdamW,
    /// Seed of the dropout masks; `None` trains without dropout.
    pub dropout_seed: Option<u64>,
}

/// Which parameters a run trains; the others stay as they are, to the bit.
#[derive(Debug)]
pub enum Scope<'a> {
    /// All of them.
    All,
    /// Biases and the task's head: BitFit (Ben Zaken, Ravfogel and Goldberg 2022).
    Biases,
    /// The factors of low-rank differences and the task's head: LoRA. The state is then that of what the adapter
    /// trains, in its layout.
    LowRank(&'a mut Adapter),
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps taken, this one included.
    pub step: u64,
    /// Sums over the batch, before the step.
    pub tally: Tally,
    /// Euclidean norm of the gradient of the mean loss, before clipping.
    pub gradient_norm: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
}

/// Trains `state` until step `until`, calling `observe` after every step. `trainer` is one of `model`.
///
/// `batches` gives the batch of a step (counted from 0). Calling this once for 100 steps or ten times for 10, with
/// the state saved and read in between, gives the same bytes.
///
/// # Errors
/// [`Error::Diverged`] as soon as a loss or a gradient is not a finite number; the state is then that before the
/// offending step. [`Error::Model`] for a batch that the model refuses; [`Error::Weights`] if the state is not of
/// what is trained; whatever `observe` returns.
pub fn train<E: From<Error>>(
    model: &Model,
    mut scope: Scope<'_>,
    state: &mut State,
    recipe: &Recipe,
    trainer: &mut Trainer<'_>,
    batches: &mut dyn FnMut(u64) -> Batch,
    until: u64,
    observe: &mut dyn FnMut(&Progress, &State) -> Result<(), E>,
) -> Result<(), E> {
    recipe.optimiser.check()?;
    let (layout, decays) = match &scope {
        Scope::All | Scope::Biases => (model.layout(), model.decays()),
        Scope::LowRank(adapter) => (adapter.layout(), adapter.decays()),
    };
    layout.same(state.weights.layout()).map_err(Error::from)?;
    let trained = match &scope {
        Scope::All | Scope::LowRank(_) => vec![true; decays.len()],
        Scope::Biases => model.biases_and_head(),
    };
    let frozen = ranges(layout, trained.iter().map(|trained| !trained));
    let decayed = ranges(layout, trained.iter().zip(decays).map(|(&trained, decays)| trained && decays));
    let mut slope = std::mem::take(&mut trainer.slope);
    slope.resize(state.weights.values.len(), 0.0);
    let _denormals = kernels::denormals::Guard::new();
    while state.step < until.min(recipe.steps) {
        let learning_rate =
            recipe.learning_rate * recipe.schedule.factor(state.step, recipe.warmup, recipe.steps);
        let dropout_key = recipe.dropout_seed.map(|seed| Stream::at(seed, "dropout", state.step).u64());
        let batch = batches(state.step);
        let values = &state.weights.values;
        let tally = match &mut scope {
            Scope::All | Scope::Biases => trainer.gradient(values, &batch, dropout_key, &mut slope),
            Scope::LowRank(adapter) => adapter.gradient(trainer, values, &batch, dropout_key, &mut slope),
        }?;
        // Without a gradient, moments stay zero and the optimiser moves nothing.
        for range in &frozen {
            slope[range.clone()].fill(0.0);
        }
        let gradient_norm = kernels::norm::norm(&slope);
        for (what, value) in [("loss", tally.loss_sum), ("gradient norm", gradient_norm)] {
            if !value.is_finite() {
                return Err(Error::Diverged { step: state.step, what, value, learning_rate }.into());
            }
        }
        let clip = recipe.optimiser.clip;
        let scale = if clip > 0.0 { kernels::norm::clip_scale(gradient_norm, clip) } else { 1.0 };
        state.step += 1;
        state.seen += gradient::size(&batch) as u64;
        recipe.optimiser.step(
            &mut state.weights.values,
            &slope,
            &mut state.first,
            &mut state.second,
            state.step,
            learning_rate,
            scale,
            &decayed,
        );
        observe(&Progress { step: state.step, tally, gradient_norm, learning_rate }, state)?;
    }
    trainer.slope = slope;
    Ok(())
}

/// The parameters that are chosen, neighbours joined. `chosen` has a word for each entry of the layout.
fn ranges(layout: &Layout, chosen: impl Iterator<Item = bool>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (entry, chosen) in layout.entries().iter().zip(chosen) {
        match ranges.last_mut() {
            _ if !chosen => {}
            Some(last) if last.end == entry.offset => last.end += entry.len,
            _ => ranges.push(entry.range()),
        }
    }
    ranges
}
