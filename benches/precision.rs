//! What the precision of products does to a fine-tune: `cargo bench --bench precision`.
//!
//! The embedded world is fine-tuned from an early and a late checkpoint with one seed, in each precision and in `f64`: the
//! same model in candle's operations, with a naive AdamW. Everything is said of the difference to `f64`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use candle_core::{DType, Device, Tensor, Var};
use learn::{AdamW, Order, Recipe, Schedule, Scope, Scorer, Shuffle, State, Trainer, train};
use measures::scores::{argmax, scores};
use models::composite::Composite;
use models::{Config, Draw, Head, Inputs, Model, Precision, Targets, Tokens};
use tasks::{Batch, Encoded, Encoder, Examples, LabelledBatch, roles};
use weights::Weights;

type Failure = Box<dyn std::error::Error>;

/// Steps of pretraining of the two checkpoints.
const RUNGS: [u64; 2] = [300, 6_000];
const STEPS: u64 = 300;
const BATCH: usize = 32;
/// The study's (`pipelines/world/Makefile`).
const OPTIMISER: AdamW =
    AdamW { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weight_decay: 0.0, bias_correction: true, clip: 1.0 };
const RECIPE: Recipe = Recipe {
    steps: STEPS,
    learning_rate: 1e-3,
    schedule: Schedule::Linear,
    warmup: 30,
    optimiser: OPTIMISER,
    dropout_seed: None,
};

fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    println!(
        "rung   precision  loss, steps 1-30  31-100   101-300  weights  ID acc.  OOD acc.  OOD agreement"
    );
    for rung in RUNGS {
        let start = Start::at(rung, folder.path())?;
        let truth = start.in_f64(0)?;
        start.line("f64", &truth, &truth);
        for (name, precision, seed) in [
            ("f32", Precision::F32, 0),
            ("bf16x3", Precision::Bf16x3, 0),
            ("bf16", Precision::Bf16, 0),
            ("f32, another seed", Precision::F32, 1),
        ] {
            start.line(name, &start.fused(precision, seed)?, &truth);
        }
    }
    Ok(())
}

/// A checkpoint and a task.
struct Start {
    rung: u64,
    config: Config,
    pretrained: Weights,
    train: Encoded,
    labels: Vec<u32>,
    /// `id` and `ood`.
    splits: [(Encoded, Vec<u32>); 2],
}

/// What a fine-tune left.
struct Run {
    losses: Vec<f64>,
    values: Vec<f32>,
    /// Accuracy on `id` and on `ood`.
    accuracy: [f64; 2],
    /// Answers on `ood`.
    answers: Vec<u32>,
}

impl Start {
    /// Pretrains so many steps with the programs.
    fn at(rung: u64, folder: &Path) -> Result<Self, Failure> {
        let (store, exported) = (folder.join("store"), folder.join(rung.to_string()));
        let run = |program: &str, arguments: &[&str]| -> Result<(), Failure> {
            let mut command = Command::new(program);
            command.args(arguments).arg("--store").arg(&store).stdout(Stdio::null());
            if command.status()?.success() { Ok(()) } else { Err(format!("{program} failed").into()) }
        };
        let (name, steps) = (format!("ladder/{rung}"), rung.to_string());
        let ladder = ["--world", "roles", "--steps", &steps, "--checkpoints", &steps, "--ref", &name];
        run(env!("CARGO_BIN_EXE_samebasin-pretrain"), &ladder)?;
        let checkpoint = format!("{name}:step-{rung}");
        let to = exported.display().to_string();
        run(env!("CARGO_BIN_EXE_samebasin-store"), &["export", &checkpoint, &to])?;

        let read = |name: &str| std::fs::read(exported.join(name));
        let encoder = Encoder::from_tokenizer_json(&read("tokenizer.json")?)?;
        let encoded = |examples: &Examples| -> Result<(Encoded, Vec<u32>), Failure> {
            Ok((encoder.encode(&examples.content, usize::MAX)?, examples.labels.clone()))
        };
        let task = roles::task(&roles::Params::default())?;
        let (train, labels) = encoded(&task.train)?;
        Ok(Self {
            rung,
            config: Config::from_json(std::str::from_utf8(&read("config.json")?)?)?,
            pretrained: Weights::from_safetensors(&read("model.safetensors")?)?,
            train,
            labels,
            splits: [encoded(&task.splits["id"])?, encoded(&task.splits["ood"])?],
        })
    }

    fn model(&self, precision: Precision) -> Result<Model, Failure> {
        let model = Model::new(self.config.clone(), Head::Classification { labels: 2 })?;
        Ok(model.with_precision(precision)?)
    }

    fn weights(&self, model: &Model, seed: u64) -> Result<Weights, Failure> {
        Ok(model.transfer(&self.pretrained, 0, seed, Draw::Normal(0.02))?)
    }

    /// The batches of a run.
    fn batches(&self, seed: u64) -> Result<impl FnMut(u64) -> LabelledBatch, Failure> {
        let mut order = Order::new(seed, self.labels.len(), BATCH, Shuffle::Full)?;
        Ok(move |step| {
            let rows = order.rows(step);
            let labels = rows.iter().map(|&row| self.labels[row as usize]).collect();
            LabelledBatch { inputs: self.train.gather(rows), labels }
        })
    }

    /// A run as `samebasin finetune` does it.
    fn fused(&self, precision: Precision, seed: u64) -> Result<Run, Failure> {
        let model = self.model(precision)?;
        let mut state = State::start(self.weights(&model, seed)?);
        let mut batches = self.batches(seed)?;
        let mut losses = Vec::new();
        train::<learn::Error>(
            &model,
            Scope::All,
            &mut state,
            &RECIPE,
            &mut Trainer::new(&model, None),
            &mut |step| Batch::Labelled(batches(step)),
            STEPS,
            &mut |now| {
                losses.push(now.tally.mean_loss());
                Ok(())
            },
        )?;
        let mut scorer = Scorer::default();
        self.scored(losses, state.weights.values.clone(), |examples| {
            Ok(scorer.logits(&model, &state.weights.values, examples)?)
        })
    }

    /// The same in `f64`.
    fn in_f64(&self, seed: u64) -> Result<Run, Failure> {
        let model = self.model(Precision::F32)?;
        let start = self.weights(&model, seed)?;
        let composite = Composite::new(&model, &start.values, DType::F64, &Device::Cpu)?;
        let variable = |(name, tensor): (&String, &Tensor)| Ok((name.clone(), Var::from_tensor(tensor)?));
        let variables: BTreeMap<String, Var> =
            composite.parameters().iter().map(variable).collect::<Result<_, Failure>>()?;
        let mut moments: BTreeMap<&str, [Tensor; 2]> = BTreeMap::new();
        for (name, variable) in &variables {
            let zeros = variable.as_tensor().zeros_like()?;
            moments.insert(name, [zeros.clone(), zeros]);
        }
        let mut batches = self.batches(seed)?;
        let mut losses = Vec::new();
        for step in 0..STEPS {
            let batch = batches(step);
            let targets = Targets::Classes(&batch.labels);
            let loss = (composite.loss(&inputs(&batch.inputs), &targets, None)? / BATCH as f64)?;
            losses.push(loss.to_scalar::<f64>()?);
            let rate = RECIPE.learning_rate * RECIPE.schedule.factor(step, RECIPE.warmup, RECIPE.steps);
            adamw(&variables, &mut moments, &loss, step + 1, rate)?;
        }
        let mut values = Vec::with_capacity(start.values.len());
        for entry in model.layout().entries() {
            let tensor = composite.parameters()[&entry.name].to_dtype(DType::F32)?;
            values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        self.scored(losses, values, |examples| {
            let logits = composite.logits(&inputs(examples))?.to_dtype(DType::F32)?;
            Ok(logits.flatten_all()?.to_vec1::<f32>()?)
        })
    }

    fn scored(
        &self,
        losses: Vec<f64>,
        values: Vec<f32>,
        mut logits: impl FnMut(&Encoded) -> Result<Vec<f32>, Failure>,
    ) -> Result<Run, Failure> {
        let [(id, id_labels), (ood, ood_labels)] = &self.splits;
        let (on_id, on_ood) = (logits(id)?, logits(ood)?);
        let accuracy = [scores(&on_id, id_labels).accuracy, scores(&on_ood, ood_labels).accuracy];
        Ok(Run { losses, values, accuracy, answers: on_ood.chunks(2).map(argmax).collect() })
    }

    fn line(&self, name: &str, run: &Run, truth: &Run) {
        let gap = |steps: std::ops::Range<usize>| {
            let gaps = run.losses[steps.clone()].iter().zip(&truth.losses[steps]).map(|(a, b)| (a - b).abs());
            gaps.fold(0.0, f64::max)
        };
        let squares = |of: &dyn Fn(usize) -> f32| {
            (0..run.values.len()).map(|i| f64::from(of(i)).powi(2)).sum::<f64>().sqrt()
        };
        let apart = squares(&|i| run.values[i] - truth.values[i]) / squares(&|i| truth.values[i]);
        let same = run.answers.iter().zip(&truth.answers).filter(|(a, b)| a == b).count();
        println!(
            "{:<6} {name:<17} {:<10.1e} {:<8.1e} {:<8.1e} {apart:<8.1e} {:<8.3} {:<9.3} {:.3}",
            self.rung,
            gap(0..30),
            gap(30..100),
            gap(100..STEPS as usize),
            run.accuracy[0],
            run.accuracy[1],
            same as f64 / run.answers.len() as f64,
        );
    }
}

fn inputs(examples: &Encoded) -> Inputs<'_> {
    match examples {
        Encoded::Tokens { ids, types, starts } => Inputs::Tokens(Tokens { ids, types, starts }),
        Encoded::Dense { values, width } => Inputs::Dense { values, width: *width },
    }
}

/// One step of AdamW without decay, as its paper writes it (Kingma and Ba 2015, algorithm 1).
fn adamw<'a>(
    variables: &'a BTreeMap<String, Var>,
    moments: &mut BTreeMap<&'a str, [Tensor; 2]>,
    loss: &Tensor,
    step: u64,
    rate: f64,
) -> Result<(), Failure> {
    let gradients = loss.backward()?;
    let mut square = 0.0;
    for variable in variables.values() {
        if let Some(gradient) = gradients.get(variable.as_tensor()) {
            square += gradient.sqr()?.sum_all()?.to_scalar::<f64>()?;
        }
    }
    let clip = (OPTIMISER.clip / (square.sqrt() + 1e-6)).min(1.0);
    let corrected = |beta: f64| 1.0 - beta.powf(step as f64);
    for (name, variable) in variables {
        let Some(gradient) = gradients.get(variable.as_tensor()) else { continue };
        let gradient = (gradient * clip)?;
        let [first, second] = moments.get_mut(name.as_str()).expect("one for each");
        *first = ((&*first * OPTIMISER.beta1)? + (&gradient * (1.0 - OPTIMISER.beta1))?)?;
        *second = ((&*second * OPTIMISER.beta2)? + (gradient.sqr()? * (1.0 - OPTIMISER.beta2))?)?;
        let size = ((&*second / corrected(OPTIMISER.beta2))?.sqrt()? + OPTIMISER.epsilon)?;
        let change = ((&*first / corrected(OPTIMISER.beta1))? / size)?;
        variable.set(&(variable.as_tensor() - (change * rate)?)?)?;
    }
    Ok(())
}
