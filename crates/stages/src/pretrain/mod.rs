//! `samebasin pretrain`: a ladder of checkpoints from one pretraining run.
//!
//! Each rung is a result of its own: its recipe is the run up to its step, and does not know which other steps are kept.

mod rungs;
mod shape;
mod world;

use clap::Args;
use learn::{AdamW, Recipe, Schedule};
use models::Model;
use serde::Serialize;

use crate::compute::Compute;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work, ranges};

pub use shape::{Family, Shape};
pub use world::World;

/// Most parameters of a model: with gradient and moments a hundred gigabytes.
const MOST_PARAMETERS: usize = 1 << 33;

/// Pretrain a model and keep a ladder of its checkpoints
///
/// Each checkpoint is an output `step-<N>` of the result: pass `<REF>:step-1000` to other stages.
///
/// Example: samebasin pretrain --world roles --steps 6000 --checkpoints 0,100,1000,6000 --seed 0 --ref world/ladder/0
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Pretraining")]
pub struct Pretrain {
    /// What to learn from
    #[arg(long, value_enum)]
    pub world: World,
    /// Corpus for --world corpus: ref or key of a `prepare corpus` result
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub corpus: Option<Source>,
    /// Images for --world images: ref or key of a `prepare images` result
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub images: Option<Source>,
    /// Seed of the initial weights and of the data order
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Optimiser steps
    #[arg(long, default_value_t = 6_000, value_name = "N", value_parser = ranges::steps(0..=1_000_000_000))]
    pub steps: u64,
    /// Steps to keep a checkpoint at [default: 0 and log-spaced]
    #[arg(long, value_delimiter = ',', value_name = "STEPS")]
    pub checkpoints: Vec<u64>,
    /// Sizes of the model.
    #[command(flatten)]
    #[serde(flatten)]
    pub shape: Shape,
    /// The optimiser.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimiser: Optimiser,
    /// Precision and device.
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
}

/// The optimiser of pretraining.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Optimiser")]
pub struct Optimiser {
    /// Examples per batch
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = ranges::count(1..=65_536))]
    pub batch: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 3e-3, value_name = "RATE", value_parser = ranges::number(0.0..=100.0))]
    pub learning_rate: f64,
    /// Learning-rate schedule: constant, linear, inverse-sqrt or cosine
    #[arg(long, default_value = "inverse-sqrt", value_parser = ranges::schedule)]
    pub schedule: Schedule,
    /// Steps of linear warm-up
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub warmup: u64,
    /// AdamW: decay rate of the first moment
    #[arg(long, default_value_t = 0.9, value_parser = ranges::number(0.0..=1.0))]
    pub beta1: f64,
    /// AdamW: decay rate of the second moment
    #[arg(long, default_value_t = 0.98, value_parser = ranges::number(0.0..=1.0))]
    pub beta2: f64,
    /// AdamW: added to the denominator
    #[arg(long, default_value_t = 1e-8, value_parser = ranges::number(0.0..=1.0))]
    pub epsilon: f64,
    /// AdamW: decoupled weight decay, not applied to biases and LayerNorm
    #[arg(long, default_value_t = 0.0, value_parser = ranges::number(0.0..=100.0))]
    pub weight_decay: f64,
    /// Clip gradients to this norm; 0 disables clipping
    #[arg(long, default_value_t = 1.0, value_name = "NORM", value_parser = ranges::number(0.0..=1e9))]
    pub clip: f64,
}

impl Stage for Pretrain {
    const NAME: &'static str = "pretrain";
    const VERSION: u32 = 2;
    const OUTPUTS: &'static [&'static str] = &["ladder", "config"];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        self.resolve_checkpoints()?;
        if !self.shape.family.is_bert() && self.world != World::Corpus {
            return Err(Failure::Usage("--family needs --world corpus".into()));
        }
        if self.shape.family == Family::T5 && self.shape.initializer_range != shape::INITIALIZER_RANGE {
            return Err(Failure::Usage(
                "--initializer-range has no effect with --family t5, whose initial weights follow from its shape"
                    .into(),
            ));
        }
        self.shape.intermediate.get_or_insert(4 * self.shape.hidden);
        let mut inputs = Inputs::default();
        let reads = self.resolve_world(&mut inputs, session)?;
        let (config, head) = self.shape.config(&reads)?;
        let model = Model::new(config, head).map_err(|error| Failure::Usage(error.to_string()))?;
        let parameters = model.layout().len();
        if parameters > MOST_PARAMETERS {
            return Err(Failure::Usage(format!(
                "a model of this shape has {parameters} parameters: give one with at most {MOST_PARAMETERS}"
            )));
        }
        inputs.rest_on(learn::training_versions(model.config()));
        inputs.rest_on(learn::scoring_versions(model.config()).and(measures::scores::versions()));
        inputs.rest_on(tables::versions().and(self.compute.versions()));
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let (text, reads) = self.text(work)?;
        let (config, head) = self.shape.config(&reads)?;
        let model = self.compute.apply(Model::new(config, head)?)?;
        let rungs = self.make(work, &model, &text, &reads)?;
        self.publish(work, &model, &text, &rungs)
    }
}

impl Pretrain {
    /// Writes out the default checkpoints and checks those that are given.
    fn resolve_checkpoints(&mut self) -> Result<(), Failure> {
        if self.checkpoints.is_empty() {
            self.checkpoints = log_spaced(self.steps);
        }
        self.checkpoints.sort_unstable();
        if let Some(twice) = self.checkpoints.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::Usage(format!("--checkpoints names step {} twice", twice[0])));
        }
        match self.checkpoints.iter().find(|&&step| step > self.steps) {
            Some(beyond) => Err(Failure::Usage(format!(
                "--checkpoints names step {beyond}, but the run has {} steps",
                self.steps
            ))),
            None => Ok(()),
        }
    }

    /// The hyper-parameters as the training loop takes them.
    fn recipe(&self) -> Recipe {
        let optimiser = &self.optimiser;
        Recipe {
            steps: self.steps,
            learning_rate: optimiser.learning_rate,
            schedule: optimiser.schedule,
            warmup: optimiser.warmup,
            optimiser: AdamW {
                beta1: optimiser.beta1,
                beta2: optimiser.beta2,
                epsilon: optimiser.epsilon,
                weight_decay: optimiser.weight_decay,
                bias_correction: true,
                clip: optimiser.clip,
            },
            dropout_seed: (self.shape.dropout > 0.0).then_some(self.seed),
        }
    }
}

/// 0, then four steps to a decade, then the last step.
fn log_spaced(steps: u64) -> Vec<u64> {
    let quarters = (0..=80).map(|quarter| 10_f64.powf(f64::from(quarter) / 4.0).round() as u64);
    let mut checkpoints: Vec<u64> =
        std::iter::once(0).chain(quarters.skip(4).take_while(|&step| step < steps)).collect();
    checkpoints.push(steps);
    checkpoints.dedup();
    checkpoints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_checkpoints_are_log_spaced() {
        assert_eq!(log_spaced(0), [0]);
        assert_eq!(log_spaced(5), [0, 5]);
        assert_eq!(log_spaced(100), [0, 10, 18, 32, 56, 100]);
    }
}
