//! The run: from a checkpoint and a task to a fine-tuned model.

use learn::{AdamW, Adapter, Lora, Order, Progress, Recipe, Scope, Scorer, Shuffle, State, Trainer, train};
use models::{Config, Draw, Model};
use store::Media;
use tasks::Batch;
use weights::Weights;

use super::{Finetune, HeadPolicy, Trained};
use crate::rows::CurveRow;
use crate::stage::{Attention, Failure, Work};
use crate::task_inputs::{EncodedExamples, TaskInputs};
use crate::{adapter, checkpoint};

/// Rows of the training curve.
const CURVE_ROWS: u64 = 50;

/// Steps, at least, between two saves of the state that lets a killed run go on.
const SAVE_AFTER: u64 = 500;

/// What a run reads.
struct Setting {
    model: Model,
    task: TaskInputs,
    train: EncodedExamples,
    held_out: EncodedExamples,
}

/// What a run trains, and how far it is.
struct Run {
    adapter: Option<Adapter>,
    state: State,
    curve: Curve,
}

impl Finetune {
    /// Trains, and publishes what was made.
    pub(super) fn train_and_publish(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let setting = self.setting(work)?;
        let mut run = self.start(work, &setting.model)?;
        self.train_on(work, &setting, &mut run)?;
        let merged = run.adapter.as_mut().map(|adapter| adapter.merge(&run.state.weights.values).clone());
        let weights = merged.as_ref().unwrap_or(&run.state.weights);
        score(work, &setting, weights)?;
        work.fact("train_loss", run.curve.rows.last().map_or(0.0, |row| row.loss))?;
        work.publish("curve", Media::Parquet, &CurveRow::write(&run.curve.rows)?)?;
        let tokenizer = work.optional_bytes("tokenizer")?;
        checkpoint::publish_description(
            work,
            &setting.model,
            &setting.task.output_names(),
            tokenizer.as_deref(),
        )?;
        work.publish("model", Media::Safetensors, &weights.to_safetensors())?;
        if run.adapter.is_some() {
            adapter::publish(work, &setting.model, &self.lora(&setting.model), &run.state.weights)?;
        }
        Ok(())
    }

    fn setting(&self, work: &Work<'_>) -> Result<Setting, Failure> {
        let session = work.session;
        let mut config = checkpoint::config(session, work.input("config")?)?;
        if let Some(dropout) = self.dropout {
            config.set_dropout(dropout).map_err(|error| Failure::Usage(format!("--dropout: {error}")))?;
        }
        let mut task = TaskInputs::load(work)?;
        if self.head == HeadPolicy::Keep {
            let classes = checkpoint::classes(session, work.input("config")?)?;
            task = task.in_order_of(classes.as_ref())?;
        }
        let encoder = checkpoint::encoder(session, work.optional("tokenizer"), &config)?;
        let max_length = config.max_length(self.max_length);
        let train = task.encoded(&encoder, "train", max_length)?;
        let held_out = task.encoded(&encoder, "split.val", max_length)?;
        let model = checkpoint::classifier(config, task.outputs(), self.compute)?;
        Ok(Setting { model, task, train, held_out })
    }

    /// The beginning of the run, or where an interrupted run of this key stands.
    fn start(&self, work: &Work<'_>, model: &Model) -> Result<Run, Failure> {
        let pretrained = checkpoint::any_weights(work.session, work.input("model")?)?;
        let start = match self.head {
            HeadPolicy::Fresh => {
                let head_seed = self.head_seed.unwrap_or(self.seed);
                let draw = if self.head_truncated { Draw::TruncatedNormal } else { Draw::Normal };
                model.transfer(&pretrained, self.pooler_seed, head_seed, draw(self.head_std as f32))?
            }
            HeadPolicy::Keep => model.adopt(&pretrained)?,
        };
        let adapter = match self.train {
            Trained::Lora => {
                let whole = model.head_and_missing(&pretrained);
                Some(Adapter::new(model, start.clone(), &self.lora(model), &whole)?)
            }
            Trained::All | Trained::Biases => None,
        };
        let seed = self.lora_seed.unwrap_or(self.seed);
        let mut state = State::start(adapter.as_ref().map_or(start, |adapter| adapter.init(seed)));
        let mut curve = Curve::new(self.steps.unwrap_or(0));
        if let (Some(saved), Some(rows)) = (work.scratch.read("state")?, work.scratch.read("curve")?) {
            state = State::from_bytes(&saved, state.weights.layout())?;
            curve.rows = CurveRow::read(&rows)?;
            // The curve is saved first: after a kill in between it may be ahead of the state.
            curve.rows.retain(|row| row.step <= state.step);
            work.session.note(&format!("resumed at step {}", state.step));
        }
        Ok(Run { adapter, state, curve })
    }

    fn train_on(&self, work: &Work<'_>, setting: &Setting, run: &mut Run) -> Result<(), Failure> {
        let steps = self.steps.unwrap_or(0);
        let examples = &setting.train;
        let shuffle = self.shuffle_window.map_or(Shuffle::Full, Shuffle::Window);
        let order_seed = self.order_seed.unwrap_or(self.seed);
        let mut order = Order::new(order_seed, examples.labels.len(), self.batch.unwrap_or(1), shuffle)?;
        let mut batches = |step| Batch::Labelled(examples.batch(order.rows(step)));
        let pool = work.session.pool()?;
        let mut trainer = Trainer::new(&setting.model, pool.as_ref());
        let recipe = self.recipe(setting.model.config());
        let meter = work.session.meter_from("finetune", run.state.step, steps);
        let attention = Attention::pay();
        while run.state.step < steps {
            let scope = match (&mut run.adapter, self.train) {
                (Some(adapter), _) => Scope::LowRank(adapter),
                (None, Trained::Biases) => Scope::Biases,
                (None, _) => Scope::All,
            };
            let until = run.curve.row_after(run.state.step + SAVE_AFTER);
            let curve = &mut run.curve;
            let mut observe = |now: &Progress| {
                meter.at(now.step, || format!("loss {:.3}", now.tally.mean_loss()));
                let is_row = curve.add(now);
                // Between two rows of the curve there are sums that no file keeps.
                match is_row && now.step < steps && attention.is_asked_to_end() {
                    true => Err(Failure::Interrupted { step: now.step }),
                    false => Ok(()),
                }
            };
            let trained = train::<Failure>(
                &setting.model,
                scope,
                &mut run.state,
                &recipe,
                &mut trainer,
                &mut batches,
                until,
                &mut observe,
            );
            let is_interrupted = matches!(trained, Err(Failure::Interrupted { .. }));
            if is_interrupted || (trained.is_ok() && run.state.step < steps) {
                work.scratch.write("curve", &CurveRow::write(&run.curve.rows)?)?;
                work.scratch.write("state", &run.state.to_bytes())?;
            }
            trained?;
        }
        Ok(())
    }

    fn lora(&self, model: &Model) -> Lora {
        Lora {
            rank: self.lora_rank.unwrap_or(0),
            alpha: self.lora_alpha.unwrap_or(0.0),
            targets: self.lora_targets.clone().unwrap_or_else(|| model.default_targets()),
        }
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

/// Notes what the model scores on held-out examples.
fn score(work: &mut Work<'_>, setting: &Setting, weights: &Weights) -> Result<(), Failure> {
    let pool = work.session.pool()?;
    let held_out = &setting.held_out;
    let logits = Scorer::on(pool.as_ref()).logits(&setting.model, &weights.values, &held_out.inputs)?;
    let scores = measures::scores::scores(&held_out.answers(logits), &held_out.labels);
    work.fact("val_accuracy", scores.accuracy)?;
    work.fact("val_loss", scores.loss)?;
    work.fact("majority", scores.majority)?;
    // A run that does no better than always giving the commonest answer has failed (Dodge et al. 2020).
    work.fact("failed", scores.accuracy <= scores.majority)
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
        let every = steps.div_ceil(CURVE_ROWS).max(1);
        Self { every, steps, sums: models::Tally::default(), rows: Vec::new() }
    }

    /// The first step from this one on that ends with a row: between two rows there are sums to keep.
    fn row_after(&self, step: u64) -> u64 {
        (step.div_ceil(self.every) * self.every).min(self.steps)
    }

    /// Adds a step; whether that ends a row.
    fn add(&mut self, now: &Progress) -> bool {
        self.sums += now.tally;
        let ends_row = now.step.is_multiple_of(self.every) || now.step == self.steps;
        if ends_row {
            let sums = std::mem::take(&mut self.sums);
            self.rows.push(CurveRow {
                step: now.step,
                loss: sums.mean_loss(),
                accuracy: sums.accuracy(),
                learning_rate: now.learning_rate,
                gradient_norm: now.gradient_norm,
            });
        }
        ends_row
    }
}
