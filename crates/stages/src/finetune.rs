//! `samebasin finetune`: one fine-tuned model from one checkpoint, one task and one set of seeds.

use clap::{Args, ValueEnum};
use learn::{AdamW, Adapter, Lora, Order, Recipe, Schedule, Scope, Scorer, Shuffle, State, Trainer, train};
use models::{Config, Draw, Model};
use serde::Serialize;
use store::Media;
use tasks::Batch;
use weights::Weights;

use crate::compute::Compute;
use crate::rows::CurveRow;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work, ranges};
use crate::task_inputs::{self, TaskInputs};
use crate::{adapter, checkpoint};

/// Rows of the training curve.
const CURVE_ROWS: u64 = 50;

/// Steps, at least, between two saves of the state that lets a killed run go on.
const SAVE_AFTER: u64 = 500;

/// Where a classifier's head comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadPolicy {
    /// Drawn anew for each seed
    Fresh,
    /// The checkpoint's own, which must have the task's labels
    Keep,
}

/// Which parameters are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// All
    All,
    /// Biases and the head (BitFit)
    Biases,
    /// Differences of low rank and the head (LoRA); the result is the merged model, and the adapter beside it
    Lora,
}

impl Trained {
    /// Left out of a recipe, whose key is then that of the time before there was a choice.
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// Recipes with a name. They stand for their values, which the recipe holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// "BERTs of a feather do not generalize together" (McCoy, Min and Linzen 2020): the original BERT release's recipe with
    /// its quirks, AdamW without bias correction and an order that is nearly the file's
    Feather,
}

/// Fine-tune a checkpoint on a task with one seed
///
/// Example: samebasin finetune --checkpoint world/ladder/0:step-1000 --task world/task --seed 3 --ref world/run/3
#[derive(Args, Clone, Debug, Serialize)]
pub struct Finetune {
    /// Checkpoint to start from: a ref or key, and which of its outputs
    #[arg(long, value_name = "REF[:OUTPUT]")]
    #[serde(skip)]
    pub checkpoint: Source,
    /// Task to learn (ref or key of a `prepare` result)
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub task: Source,
    /// Take other defaults: those of a published recipe
    #[arg(long, value_enum)]
    #[serde(skip)]
    pub preset: Option<Preset>,
    /// Seed of this run: of its head, its data order and its dropout, unless they are given apart
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Seed of a fresh head's weights [default: the seed]
    #[arg(long)]
    pub head_seed: Option<u64>,
    /// Seed of the data order [default: the seed]
    #[arg(long)]
    pub order_seed: Option<u64>,
    /// Seed of the dropout masks [default: the seed]
    #[arg(long)]
    pub dropout_seed: Option<u64>,
    /// Seed of the pooler where the checkpoint has none: the same for all runs, unless you say otherwise
    #[arg(long, default_value_t = 0)]
    pub pooler_seed: u64,
    /// Optimiser steps [default: three epochs]
    #[arg(long)]
    pub steps: Option<u64>,
    /// Examples in a batch
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Peak learning rate
    #[arg(long, default_value_if("preset", "feather", "2e-5"), default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// Shape of the learning rate over the run: constant, linear, inverse-sqrt or cosine
    #[arg(long, default_value = "linear", value_parser = ranges::schedule)]
    pub schedule: Schedule,
    /// Steps of linear warm-up [default: a tenth of the steps]
    #[arg(long)]
    pub warmup: Option<u64>,
    /// AdamW: decay of the first moment
    #[arg(long, default_value_t = 0.9)]
    pub beta1: f64,
    /// AdamW: decay of the second moment
    #[arg(long, default_value_t = 0.999)]
    pub beta2: f64,
    /// AdamW: denominator's floor
    #[arg(long, default_value_if("preset", "feather", "1e-6"), default_value_t = 1e-8)]
    pub epsilon: f64,
    /// AdamW: decoupled weight decay (never on biases and LayerNorm)
    #[arg(long, default_value_t = 0.01)]
    pub weight_decay: f64,
    /// AdamW without bias correction, as in the original BERT release
    #[arg(long, default_value_if("preset", "feather", "true"))]
    pub no_bias_correction: bool,
    /// Largest norm of the gradient; 0 switches clipping off
    #[arg(long, default_value_t = 1.0)]
    pub clip: f64,
    /// Where the head comes from
    #[arg(long, value_enum, default_value_t = HeadPolicy::Fresh)]
    pub head: HeadPolicy,
    /// Standard deviation of a fresh head's weights
    #[arg(long, default_value_t = 0.02)]
    pub head_std: f64,
    /// Draw a fresh head's weights again where they are beyond two standard deviations
    #[arg(long, default_value_if("preset", "feather", "true"))]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub head_truncated: bool,
    /// Mix the training set by a buffer of so many examples over the file, as TensorFlow does, and not as a whole
    #[arg(long, default_value_if("preset", "feather", "100"), value_name = "EXAMPLES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle_window: Option<usize>,
    /// Which parameters are trained
    #[arg(long, value_enum, default_value_t = Trained::All)]
    #[serde(skip_serializing_if = "Trained::is_all")]
    pub train: Trained,
    /// LoRA: rank of the differences [default: 8]
    #[arg(long, value_name = "R")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_rank: Option<usize>,
    /// LoRA: the product of the factors is multiplied by alpha / rank [default: 16]
    #[arg(long, value_name = "ALPHA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f64>,
    /// LoRA: linear maps to adapt, by the ends of their names; all-linear for those of all layers
    /// [default: those to queries and values]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_targets: Option<Vec<String>>,
    /// LoRA: seed of the factors [default: the seed]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_seed: Option<u64>,
    /// Dropout probability [default: the checkpoint's]
    #[arg(long, default_value_if("preset", "feather", "0.1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Longest input in tokens; longer ones are cut [default: what the model can take]
    #[arg(long, default_value_if("preset", "feather", "128"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// In what and where products of matrices are computed
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
}

impl Stage for Finetune {
    const NAME: &'static str = "finetune";
    const VERSION: u32 = 1;

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        self.head_seed.get_or_insert(self.seed);
        self.order_seed.get_or_insert(self.seed);
        self.dropout_seed.get_or_insert(self.seed);
        let mut inputs = Inputs::default();
        let config = checkpoint::add_inputs(&mut inputs, session, &self.checkpoint)?;
        let task = self.task.manifest(session)?;
        task_inputs::add(&mut inputs, &task, &["train", "split.val"])?;
        self.resolve_lora()?;
        if self.shuffle_window == Some(0) {
            return Err(Failure::Usage("--shuffle-window must be at least 1".into()));
        }
        if self.steps.is_none() {
            let examples = task_inputs::size(&task, "train")?;
            self.steps = Some(3 * (examples / self.batch.max(1) as u64).max(1));
        }
        self.warmup.get_or_insert(self.steps.unwrap_or(0) / 10);
        inputs.rest_on(learn::training_versions(&config).and(learn::scoring_versions(&config)));
        inputs.rest_on(measures::scores::versions().and(self.compute.versions()));
        if self.train == Trained::Lora {
            inputs.rest_on(learn::lora_versions());
        }
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let session = work.session;
        let steps = self.steps.unwrap_or(0);
        let mut config = checkpoint::config(session, work.input("config")?)?;
        if let Some(dropout) = self.dropout {
            config.set_dropout(dropout).map_err(|error| Failure::Usage(format!("--dropout: {error}")))?;
        }
        let mut task = TaskInputs::load(work)?;
        if self.head == HeadPolicy::Keep {
            let classes = checkpoint::class_names(session, work.input("config")?)?;
            task = task.in_order_of(classes.as_deref())?;
        }
        let encoder = checkpoint::encoder(session, work.optional("tokenizer"))?;
        let max_length = config.max_length(self.max_length);
        let train_set = task.encoded(&encoder, "train", max_length)?;
        let model = checkpoint::classifier(config, task.outputs(), self.compute)?;
        let pretrained = checkpoint::any_weights(session, work.input("model")?)?;
        let start = match self.head {
            HeadPolicy::Fresh => {
                let head_seed = self.head_seed.unwrap_or(self.seed);
                let draw = if self.head_truncated { Draw::TruncatedNormal } else { Draw::Normal };
                model.transfer(&pretrained, self.pooler_seed, head_seed, draw(self.head_std as f32))?
            }
            HeadPolicy::Keep => model.adopt(&pretrained)?,
        };
        let mut adapter = match self.train {
            Trained::Lora => Some(self.adapter(&model, &pretrained, start.clone())?),
            Trained::All | Trained::Biases => None,
        };
        let seed = self.lora_seed.unwrap_or(self.seed);
        let mut state = State::start(adapter.as_ref().map_or(start, |adapter| adapter.init(seed)));
        drop(pretrained);

        let order_seed = self.order_seed.unwrap_or(self.seed);
        let shuffle = self.shuffle_window.map_or(Shuffle::Full, Shuffle::Window);
        let mut order = Order::new(order_seed, train_set.labels.len(), self.batch, shuffle)?;
        let mut batches = |step| Batch::Labelled(train_set.batch(order.rows(step)));
        let pool = session.pool()?;
        let mut trainer = Trainer::new(&model, pool.as_ref());
        let meter = session.meter("finetune", steps);
        let mut curve = Curve::new(steps);
        if let (Some(saved), Some(rows)) = (work.scratch.read("state")?, work.scratch.read("curve")?) {
            state = State::from_bytes(&saved, state.weights.layout())?;
            curve.rows = CurveRow::read(&rows)?;
            // The curve is saved first: after a kill in between it may be ahead of the state.
            curve.rows.retain(|row| row.step <= state.step);
        }
        while state.step < steps {
            let scope = match (&mut adapter, self.train) {
                (Some(adapter), _) => Scope::LowRank(adapter),
                (None, Trained::Biases) => Scope::Biases,
                (None, _) => Scope::All,
            };
            let until = curve.row_after(state.step + SAVE_AFTER);
            train::<Failure>(
                &model,
                scope,
                &mut state,
                &self.recipe(model.config()),
                &mut trainer,
                &mut batches,
                until,
                &mut |now| {
                    meter.at(now.step, || format!("loss {:.3}", now.tally.mean_loss()));
                    curve.add(now);
                    Ok(())
                },
            )?;
            if state.step < steps {
                work.scratch.write("curve", &CurveRow::write(&curve.rows)?)?;
                work.scratch.write("state", &state.to_bytes())?;
            }
        }

        let weights = match &mut adapter {
            Some(adapter) => adapter.merge(&state.weights.values),
            None => &state.weights,
        };
        let held_out = task.encoded(&encoder, "split.val", max_length)?;
        let logits = Scorer::on(pool.as_ref()).logits(&model, &weights.values, &held_out.inputs)?;
        let scores = measures::scores::scores(&logits, &held_out.labels);
        work.fact("val_accuracy", scores.accuracy)?;
        work.fact("val_loss", scores.loss)?;
        work.fact("majority", scores.majority)?;
        // A run that does no better than always giving the commonest answer has failed (Dodge et al. 2020).
        work.fact("failed", scores.accuracy <= scores.majority)?;
        work.fact("train_loss", curve.rows.last().map_or(0.0, |row| row.loss))?;
        work.publish("curve", Media::Parquet, &CurveRow::write(&curve.rows)?)?;
        let tokenizer = work.optional_bytes("tokenizer")?;
        checkpoint::publish_description(work, &model, &task.output_names(), tokenizer.as_deref())?;
        work.publish("model", Media::Safetensors, &weights.to_safetensors())?;
        if adapter.is_some() {
            adapter::publish(work, &model, &self.lora(&model), &state.weights)?;
        }
        Ok(())
    }
}

impl Finetune {
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

    fn lora(&self, model: &Model) -> Lora {
        Lora {
            rank: self.lora_rank.unwrap_or(0),
            alpha: self.lora_alpha.unwrap_or(0.0),
            targets: self.lora_targets.clone().unwrap_or_else(|| model.default_targets()),
        }
    }

    fn adapter(&self, model: &Model, pretrained: &Weights, start: Weights) -> Result<Adapter, Failure> {
        let whole = model.head_and_missing(pretrained);
        Ok(Adapter::new(model, start, &self.lora(model), &whole)?)
    }

    fn recipe(&self, config: &Config) -> Recipe {
        Recipe {
            steps: self.steps.unwrap_or(0),
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            warmup: self.warmup.unwrap_or(0),
            optimiser: AdamW {
                beta1: self.beta1,
                beta2: self.beta2,
                epsilon: self.epsilon,
                weight_decay: self.weight_decay,
                bias_correction: !self.no_bias_correction,
                clip: self.clip,
            },
            dropout_seed: self.dropout_seed.filter(|_| config.has_dropout()),
        }
    }
}

/// Means of the training batches between logged steps.
struct Curve {
    every: u64,
    steps: u64,
    sums: models::Tally,
    rows: Vec<CurveRow>,
}

impl Curve {
    fn new(steps: u64) -> Self {
        Self {
            every: steps.div_ceil(CURVE_ROWS).max(1),
            steps,
            sums: models::Tally::default(),
            rows: Vec::new(),
        }
    }

    /// The first step from this one on that ends with a row: between two rows there are sums to keep.
    fn row_after(&self, step: u64) -> u64 {
        (step.div_ceil(self.every) * self.every).min(self.steps)
    }

    fn add(&mut self, now: &learn::Progress) {
        self.sums += now.tally;
        if now.step.is_multiple_of(self.every) || now.step == self.steps {
            let sums = std::mem::take(&mut self.sums);
            self.rows.push(CurveRow {
                step: now.step,
                loss: sums.mean_loss(),
                accuracy: sums.accuracy(),
                learning_rate: now.learning_rate,
                gradient_norm: now.gradient_norm,
            });
        }
    }
}
