//! `samebasin finetune`: one fine-tuned model from one checkpoint, one task and one set of seeds.

mod training;

use clap::{Args, ValueEnum};
use learn::Schedule;
use serde::Serialize;

use crate::checkpoint;
use crate::compute::Compute;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work, ranges};
use crate::task_inputs;

/// Default number of examples per batch, where the training set is not smaller.
const BATCH: u64 = 32;

/// Where a classifier's head comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadPolicy {
    /// Initialised at random, by --head-seed
    Fresh,
    /// The checkpoint's own; its labels must be the task's, in any order
    Keep,
}

/// Which parameters are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// All parameters
    All,
    /// Biases and the head (BitFit)
    Biases,
    /// Low-rank updates and the head (LoRA); the result is the merged model, with the adapter beside it
    Lora,
}

impl Trained {
    /// Omitted from the recipe when it is the default.
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// Recipes with a name. They stand for their values, which the recipe holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// "BERTs of a feather do not generalize together" (McCoy, Min and Linzen 2020): AdamW without bias correction,
    /// and examples shuffled in a buffer of 100
    Feather,
}

/// Fine-tune a checkpoint on a task with one seed
///
/// Example: samebasin finetune --checkpoint world/ladder/0:step-1000 --task world/task --seed 3 --ref world/run/3
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Fine-tuning")]
pub struct Finetune {
    /// Checkpoint to start from: a ref or key, and which of its outputs
    #[arg(long, value_name = "REF[:OUTPUT]")]
    #[serde(skip)]
    pub checkpoint: Source,
    /// Task to learn: ref or key of a `prepare` result
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub task: Source,
    /// Use the defaults of a published recipe
    #[arg(long, value_enum)]
    #[serde(skip)]
    pub preset: Option<Preset>,
    /// Seed of the run: of the head, the data order and dropout, unless they are given separately
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Optimiser steps [default: three epochs]
    #[arg(long, value_name = "N", value_parser = ranges::steps(0..=1_000_000_000))]
    pub steps: Option<u64>,
    /// Examples per batch [default: 32, or the training set where it is smaller]
    #[arg(long, value_name = "N", value_parser = ranges::count(1..=65_536))]
    pub batch: Option<usize>,
    /// Longest input in tokens; longer ones are truncated [default: the model's limit]
    #[arg(long, default_value_if("preset", "feather", "128"), value_name = "N", value_parser = ranges::count(1..=1_048_576))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Which parameters are trained
    #[arg(long, value_enum, default_value_t = Trained::All)]
    #[serde(skip_serializing_if = "Trained::is_all")]
    pub train: Trained,
    /// Dropout probability [default: the checkpoint's]
    #[arg(long, default_value_if("preset", "feather", "0.1"), value_name = "P", value_parser = ranges::number(0.0..=0.99))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Shuffle with a buffer of N examples (as `tf.data` does) instead of a full permutation
    #[arg(long, default_value_if("preset", "feather", "100"), value_name = "N", value_parser = ranges::count(1..=100_000_000), hide_short_help = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle_window: Option<usize>,
    /// Where the head comes from
    #[arg(long, value_enum, default_value_t = HeadPolicy::Fresh, help_heading = "Head and seeds")]
    pub head: HeadPolicy,
    /// Standard deviation of a fresh head's weights
    #[arg(long, default_value_t = 0.02, value_name = "STD", value_parser = ranges::number(0.0..=100.0), help_heading = "Head and seeds", hide_short_help = true)]
    pub head_std: f64,
    /// Draw a fresh head's weights from a normal distribution truncated at two standard deviations
    #[arg(
        long,
        default_value_if("preset", "feather", "true"),
        help_heading = "Head and seeds",
        hide_short_help = true
    )]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub head_truncated: bool,
    /// Seed of a fresh head's weights [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = "Head and seeds")]
    pub head_seed: Option<u64>,
    /// Seed of the data order [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = "Head and seeds")]
    pub order_seed: Option<u64>,
    /// Seed of the dropout masks [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = "Head and seeds")]
    pub dropout_seed: Option<u64>,
    /// Seed of the pooler where the checkpoint has none; the same for all runs by default
    #[arg(
        long,
        default_value_t = 0,
        value_name = "SEED",
        help_heading = "Head and seeds",
        hide_short_help = true
    )]
    pub pooler_seed: u64,
    /// Peak learning rate
    #[arg(long, default_value_if("preset", "feather", "2e-5"), default_value_t = 1e-3, value_name = "RATE", value_parser = ranges::number(0.0..=100.0), help_heading = "Optimiser")]
    pub learning_rate: f64,
    /// Learning-rate schedule: constant, linear, inverse-sqrt or cosine
    #[arg(long, default_value = "linear", value_parser = ranges::schedule, help_heading = "Optimiser")]
    pub schedule: Schedule,
    /// Steps of linear warm-up [default: a tenth of --steps]
    #[arg(long, value_name = "N", help_heading = "Optimiser")]
    pub warmup: Option<u64>,
    /// AdamW: decoupled weight decay, not applied to biases and LayerNorm
    #[arg(long, default_value_t = 0.01, value_parser = ranges::number(0.0..=100.0), help_heading = "Optimiser")]
    pub weight_decay: f64,
    /// AdamW: decay rate of the first moment
    #[arg(long, default_value_t = 0.9, value_parser = ranges::number(0.0..=1.0), help_heading = "Optimiser", hide_short_help = true)]
    pub beta1: f64,
    /// AdamW: decay rate of the second moment
    #[arg(long, default_value_t = 0.999, value_parser = ranges::number(0.0..=1.0), help_heading = "Optimiser", hide_short_help = true)]
    pub beta2: f64,
    /// AdamW: added to the denominator
    #[arg(long, default_value_if("preset", "feather", "1e-6"), default_value_t = 1e-8, value_parser = ranges::number(0.0..=1.0), help_heading = "Optimiser", hide_short_help = true)]
    pub epsilon: f64,
    /// AdamW without bias correction, as in the original BERT release
    #[arg(
        long,
        default_value_if("preset", "feather", "true"),
        help_heading = "Optimiser",
        hide_short_help = true
    )]
    pub no_bias_correction: bool,
    /// Clip gradients to this norm; 0 disables clipping
    #[arg(long, default_value_t = 1.0, value_name = "NORM", value_parser = ranges::number(0.0..=1e9), help_heading = "Optimiser", hide_short_help = true)]
    pub clip: f64,
    /// Rank of the updates [default: 8]
    #[arg(long, value_name = "R", value_parser = ranges::count(1..=65_536), help_heading = "LoRA", hide_short_help = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_rank: Option<usize>,
    /// The updates are scaled by ALPHA / rank [default: 16]
    #[arg(long, value_name = "ALPHA", value_parser = ranges::number(0.0..=1e6), help_heading = "LoRA", hide_short_help = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f64>,
    /// Linear layers to adapt, by the ends of their names, or all-linear [default: those of queries and values]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", help_heading = "LoRA", hide_short_help = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_targets: Option<Vec<String>>,
    /// Seed of the low-rank factors [default: --seed]
    #[arg(long, value_name = "SEED", help_heading = "LoRA", hide_short_help = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_seed: Option<u64>,
    /// Precision and device.
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
}

impl Stage for Finetune {
    const NAME: &'static str = "finetune";
    const VERSION: u32 = 1;
    const OUTPUTS: &'static [&'static str] = &["model", "config", "curve"];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        self.head_seed.get_or_insert(self.seed);
        self.order_seed.get_or_insert(self.seed);
        self.dropout_seed.get_or_insert(self.seed);
        let mut inputs = Inputs::default();
        let config = checkpoint::add_inputs(&mut inputs, session, &self.checkpoint)?;
        if let Some(dropout) = self.dropout {
            let set = config.clone().set_dropout(dropout);
            set.map_err(|error| Failure::Usage(format!("--dropout: {error}")))?;
        }
        let task = self.task.manifest(session)?;
        task_inputs::add(&mut inputs, &task, &["train", "split.val"])?;
        self.resolve_lora()?;
        self.resolve_length(task_inputs::size(&task, "train")?);
        inputs.rest_on(learn::training_versions(&config).and(learn::scoring_versions(&config)));
        inputs.rest_on(measures::scores::versions().and(self.compute.versions()));
        if self.train == Trained::Lora {
            inputs.rest_on(learn::lora_versions());
        }
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        self.train_and_publish(work)
    }
}

impl Finetune {
    /// Writes out the batch, the steps and the warm-up that follow from the size of the training set.
    fn resolve_length(&mut self, examples: u64) {
        let batch = *self.batch.get_or_insert(BATCH.min(examples.max(1)) as usize);
        let steps = *self.steps.get_or_insert(3 * (examples / batch as u64).max(1));
        self.warmup.get_or_insert(steps / 10);
    }

    /// Writes out the defaults of LoRA, or refuses its flags where it is not asked for.
    fn resolve_lora(&mut self) -> Result<(), Failure> {
        if self.train == Trained::Lora {
            self.lora_rank.get_or_insert(8);
            self.lora_alpha.get_or_insert(16.0);
            self.lora_seed.get_or_insert(self.seed);
            if let Some(targets) = &mut self.lora_targets {
                // Their order means nothing.
                targets.sort_unstable();
                targets.dedup();
            }
            return Ok(());
        }
        let given = [
            ("--lora-rank", self.lora_rank.is_some()),
            ("--lora-alpha", self.lora_alpha.is_some()),
            ("--lora-targets", self.lora_targets.is_some()),
            ("--lora-seed", self.lora_seed.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(Failure::Usage(format!("{flag} needs --train lora"))),
            None => Ok(()),
        }
    }
}
