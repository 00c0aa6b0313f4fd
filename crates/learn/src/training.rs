//! The training loop.

use std::sync::Arc;

use models::{Model, Tally};
use random::Stream;
use tasks::Batch;
use weights::Layout;

use crate::device::OnDevice;
use crate::host::OnHost;
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

impl Scope<'_> {
    /// The layout of what a run's state holds.
    pub(crate) fn layout<'s>(&'s self, model: &'s Model) -> &'s Arc<Layout> {
        match self {
            Self::All | Self::Biases => model.layout(),
            Self::LowRank(adapter) => adapter.layout(),
        }
    }

    /// Whether each entry of that layout is trained.
    pub(crate) fn trained(&self, model: &Model) -> Vec<bool> {
        match self {
            Self::All | Self::LowRank(_) => vec![true; self.layout(model).entries().len()],
            Self::Biases => model.biases_and_head(),
        }
    }

    /// Whether weight decay applies to each entry of that layout, if it is trained.
    pub(crate) fn decays(&self, model: &Model) -> Vec<bool> {
        match self {
            Self::All | Self::Biases => model.decays(),
            Self::LowRank(adapter) => adapter.decays(),
        }
    }
}

/// Where parameters and gradients are while a run trains them.
pub(crate) trait Place {
    /// Takes the gradient of the mean loss of a batch, keeps it, and returns the sums of the batch and the gradient's
    /// Euclidean norm.
    fn gradient(
        &mut self,
        state: &State,
        batch: &Batch,
        dropout_key: Option<u64>,
    ) -> Result<(Tally, f64), Error>;

    /// Takes step number `step`, from 1, with that gradient multiplied by `scale`.
    fn step(
        &mut self,
        state: &mut State,
        optimiser: &AdamW,
        step: u64,
        learning_rate: f64,
        scale: f32,
    ) -> Result<(), Error>;
}

/// Trains `state` until step `until`, calling `observe` after every step. `trainer` is one of `model`.
///
/// `batches` gives the batch of a step (counted from 0). Calling this once for 100 steps or ten times for 10, with
/// the state saved and read in between, gives the same bytes.
///
/// A model that computes on a device is trained there: parameters, gradients and moments stay on it until this returns.
///
/// # Errors
/// [`Error::Diverged`] as soon as a loss or a gradient is not a finite number; the state is then that before the
/// offending step. [`Error::Model`] for a batch that the model refuses; [`Error::Weights`] if the state is not of
/// what is trained; whatever `observe` returns.
pub fn train<E: From<Error>>(
    model: &Model,
    scope: Scope<'_>,
    state: &mut State,
    recipe: &Recipe,
    trainer: &mut Trainer<'_>,
    batches: &mut dyn FnMut(u64) -> Batch,
    until: u64,
    observe: &mut dyn FnMut(&Progress) -> Result<(), E>,
) -> Result<(), E> {
    recipe.optimiser.check()?;
    scope.layout(model).same(state.weights.layout()).map_err(Error::from)?;
    let _denormals = kernels::denormals::Guard::new();
    let until = until.min(recipe.steps);
    let Some(device) = model.device() else {
        return steps(&mut OnHost::new(model, scope, trainer), state, recipe, batches, until, observe);
    };
    let mut place = OnDevice::new(model, device, &scope, state)?;
    let run = steps(&mut place, state, recipe, batches, until, observe);
    // After an error as well: the state is that before the step that failed.
    let saved = place.save(state);
    run?;
    Ok(saved?)
}

/// Takes steps in one place until `until`.
fn steps<E: From<Error>>(
    place: &mut dyn Place,
    state: &mut State,
    recipe: &Recipe,
    batches: &mut dyn FnMut(u64) -> Batch,
    until: u64,
    observe: &mut dyn FnMut(&Progress) -> Result<(), E>,
) -> Result<(), E> {
    while state.step < until {
        let learning_rate =
            recipe.learning_rate * recipe.schedule.factor(state.step, recipe.warmup, recipe.steps);
        let dropout_key = recipe.dropout_seed.map(|seed| Stream::at(seed, "dropout", state.step).u64());
        let batch = batches(state.step);
        let (tally, gradient_norm) = place.gradient(state, &batch, dropout_key)?;
        for (what, value) in [("loss", tally.loss_sum), ("gradient norm", gradient_norm)] {
            if !value.is_finite() {
                return Err(Error::Diverged { step: state.step, what, value, learning_rate }.into());
            }
        }
        let clip = recipe.optimiser.clip;
        let scale = if clip > 0.0 { kernels::norm::clip_scale(gradient_norm, clip) } else { 1.0 };
        place.step(state, &recipe.optimiser, state.step + 1, learning_rate, scale)?;
        state.step += 1;
        state.seen += gradient::size(&batch) as u64;
        observe(&Progress { step: state.step, tally, gradient_norm, learning_rate })?;
    }
    Ok(())
}
