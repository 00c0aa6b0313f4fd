//! The rungs of a pretraining run: each is trained once, whatever other rungs are kept.

use std::collections::BTreeMap;

use learn::{Schedule, Scope, State, Trainer, train};
use models::Model;
use rayon::ThreadPool;
use rayon::prelude::*;
use serde_json::Value;
use store::{Manifest, Media, Recipe};
use tasks::{Batch, Source as Text};

use super::Pretrain;
use super::world::Reads;
use crate::checkpoint;
use crate::ladder::{rung_role, tally};
use crate::rows::LadderRow;
use crate::stage::{Attention, Failure, Meter, Work};

/// Steps between two saves of the state that lets a killed run go on.
const SAVE_EVERY: u64 = 500;

/// Where the state is saved.
const STATE: &str = "state";

/// The stage of a rung's recipe.
const STAGE: &str = "pretrain-rung";

/// A rung and its manifest.
pub(super) type Rung = (u64, Manifest);

impl Pretrain {
    /// The rungs, found or trained in one run.
    pub(super) fn make(
        &self,
        work: &Work<'_>,
        model: &Model,
        text: &Text,
        reads: &Reads,
    ) -> Result<Vec<Rung>, Failure> {
        let pool = work.session.pool()?;
        let mut run: Option<Run<'_>> = None;
        let mut rungs = Vec::with_capacity(self.checkpoints.len());
        for &step in &self.checkpoints {
            let recipe = self.rung_recipe(work.recipe, model, step)?;
            if let Some(found) = work.session.find(&recipe)? {
                rungs.push((step, found));
                continue;
            }
            let run = match &mut run {
                Some(run) => run,
                empty => empty.insert(Run::resume(self, work, model, pool.as_ref(), step)?),
            };
            run.train_until(self, work, model, text, step)?;
            let manifest = work.session.keyed(recipe, |work| {
                checkpoint::publish_description(work, model, reads.names(), reads.tokenizer())?;
                work.publish("model", Media::Safetensors, &run.state.weights.to_safetensors())?;
                // What generated worlds are measured on is no input: the rung itself can say how far it is.
                if self.world.is_generated() {
                    let tally = tally(model, &run.state.weights.values, &text.held_out())?;
                    work.fact("held_out_loss", tally.mean_loss())?;
                    work.fact("held_out_accuracy", tally.accuracy())?;
                }
                work.fact("tokens", run.state.seen)
            })?;
            rungs.push((step, manifest));
        }
        Ok(rungs)
    }

    /// The recipe of the rung at `step`: all that decides its weights. Neither the other checkpoints nor the held-out text
    /// do, nor the length of the run where the learning rate does not depend on it.
    fn rung_recipe(&self, whole: &Recipe, model: &Model, step: u64) -> Result<Recipe, Failure> {
        let mut recipe = whole.clone();
        recipe.stage = STAGE.into();
        recipe.inputs.remove("held-out");
        let parameters = &mut recipe.parameters;
        parameters.remove("checkpoints");
        if matches!(self.optimiser.schedule, Schedule::Constant | Schedule::InverseSqrt) {
            parameters.remove("steps");
        }
        parameters.insert("step".into(), step.into());
        let mut versions = learn::training_versions(model.config()).and(self.compute.versions());
        versions.add(self.world.versions());
        parameters.insert("versions".into(), crate::stage::json(&versions)?);
        Ok(recipe)
    }

    /// Lists the rungs, and measures each on held-out text.
    pub(super) fn publish(
        &self,
        work: &mut Work<'_>,
        model: &Model,
        text: &Text,
        rungs: &[Rung],
    ) -> Result<(), Failure> {
        let session = work.session;
        let held_out = text.held_out();
        let row = |(step, rung): &Rung| -> Result<LadderRow, Failure> {
            let input = rung.input_of("model")?;
            let weights = checkpoint::weights(session, &input, model)?;
            let tally = tally(model, &weights.values, &held_out)?;
            let optimiser = &self.optimiser;
            let factor = |step| optimiser.schedule.factor(step, optimiser.warmup, self.steps);
            Ok(LadderRow {
                step: *step,
                tokens: rung.facts.get("tokens").and_then(Value::as_u64).unwrap_or(0),
                held_out_loss: tally.mean_loss(),
                held_out_accuracy: tally.accuracy(),
                learning_rate: step.checked_sub(1).map_or(0.0, |last| optimiser.learning_rate * factor(last)),
                checkpoint: input.object.to_string(),
            })
        };
        let rows: Vec<LadderRow> = session.with_threads(|| rungs.par_iter().map(row).collect())?;
        for (step, rung) in rungs {
            work.part(rung_role(*step), rung, "model")?;
        }
        if let Some((_, first)) = rungs.first() {
            for role in ["config", "tokenizer"].iter().filter(|role| first.outputs.contains_key(**role)) {
                work.part(*role, first, role)?;
            }
        }
        work.publish("ladder", Media::Parquet, &LadderRow::write(&rows)?)?;
        let losses: BTreeMap<String, f64> =
            rows.iter().map(|row| (rung_role(row.step), row.held_out_loss)).collect();
        work.fact("held_out_loss", losses)
    }
}

/// A run under way.
struct Run<'a> {
    trainer: Trainer<'a>,
    state: State,
    meter: Meter,
}

impl<'a> Run<'a> {
    /// Where an interrupted run of this key stands, unless that is beyond `step`; else the beginning.
    fn resume(
        pretrain: &Pretrain,
        work: &Work<'_>,
        model: &'a Model,
        pool: Option<&'a ThreadPool>,
        step: u64,
    ) -> Result<Self, Failure> {
        let saved = match work.scratch.read(STATE)? {
            Some(saved) => {
                Some(State::from_bytes(&saved, model.layout())?).filter(|state| state.step <= step)
            }
            None => None,
        };
        if let Some(state) = &saved {
            work.session.note(&format!("resumed at step {}", state.step));
        }
        let state = saved.unwrap_or_else(|| State::start(model.init(pretrain.seed)));
        let meter = work.session.meter_from("pretrain", state.step, pretrain.steps);
        Ok(Self { trainer: Trainer::new(model, pool), state, meter })
    }

    /// Trains up to `step`, and saves the state now and then.
    fn train_until(
        &mut self,
        pretrain: &Pretrain,
        work: &Work<'_>,
        model: &Model,
        text: &Text,
        step: u64,
    ) -> Result<(), Failure> {
        let recipe = pretrain.recipe();
        let mut batches = |step| -> Batch { text.batch(pretrain.seed, step, pretrain.optimiser.batch) };
        let attention = Attention::pay();
        while self.state.step < step {
            let until = step.min((self.state.step / SAVE_EVERY + 1) * SAVE_EVERY);
            let meter = &self.meter;
            let trained = train::<Failure>(
                model,
                Scope::All,
                &mut self.state,
                &recipe,
                &mut self.trainer,
                &mut batches,
                until,
                &mut |now| {
                    meter.at(now.step, || format!("loss {:.3}", now.tally.mean_loss()));
                    match now.step < step && attention.is_asked_to_end() {
                        true => Err(Failure::Interrupted { step: now.step }),
                        false => Ok(()),
                    }
                },
            );
            let is_interrupted = matches!(trained, Err(Failure::Interrupted { .. }));
            let is_time = self.state.step.is_multiple_of(SAVE_EVERY) && self.state.step < pretrain.steps;
            if is_interrupted || (trained.is_ok() && is_time) {
                work.scratch.write(STATE, &self.state.to_bytes())?;
            }
            trained?;
        }
        Ok(())
    }
}
