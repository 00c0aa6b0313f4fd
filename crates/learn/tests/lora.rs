//! Low-rank adaptation: held to `peft`, to its own formula in `f64`, and to what training promises.
//!
//! The fixtures are made by `tests/transformers/make_lora.py` at the top of the repository.

use std::path::Path;

use learn::{ALL_LINEAR, AdamW, Adapter, Error, Lora, Recipe, Schedule, Scope, State, Trainer, train};
use models::{Config, Head, Inputs, Model, Tokens, Workspace};
use serde::Deserialize;
use tasks::{Batch, Encoded, LabelledBatch};
use weights::Weights;

const FAMILIES: [&str; 8] = ["bert", "roberta", "distilbert", "gpt2", "gpt_neox", "llama", "olmo2", "t5"];

/// What the names of an adapter's tensors begin with in a file of `peft`'s.
const PREFIX: &str = "base_model.model.";

#[derive(Deserialize)]
struct Expected {
    rank: usize,
    alpha: f64,
    targets: Vec<String>,
    logits: Vec<Vec<f64>>,
    loss: f64,
}

#[derive(Deserialize)]
struct Examples {
    ids: Vec<u32>,
    types: Vec<u32>,
    starts: Vec<u32>,
    labels: Vec<u32>,
}

fn read(family: &str, file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transformers").join(family);
    std::fs::read(folder.join(file)).unwrap()
}

fn tensors(family: &str, file: &str) -> Weights {
    Weights::from_safetensors(&read(family, file)).unwrap()
}

fn load(family: &str) -> (Model, Weights, Batch) {
    let config = Config::from_json(std::str::from_utf8(&read(family, "config.json")).unwrap()).unwrap();
    let model = Model::new(config, Head::Classification { labels: 3 }).unwrap();
    let weights = model.adopt(&tensors(family, "model.safetensors")).unwrap();
    let Examples { ids, types, starts, labels } =
        serde_json::from_slice(&read(family, "expected.json")).unwrap();
    let inputs = Encoded::Tokens { ids, types, starts };
    (model, weights, Batch::Labelled(LabelledBatch { inputs, labels }))
}

fn logits(model: &Model, weights: &Weights, batch: &Batch) -> Vec<f64> {
    let Batch::Labelled(LabelledBatch { inputs: Encoded::Tokens { ids, types, starts }, .. }) = batch else {
        panic!("{batch:?}")
    };
    let inputs = Inputs::Tokens(Tokens { ids, types, starts });
    let mut workspace = Workspace::default();
    model.logits(&weights.values, &inputs, &mut workspace).unwrap().iter().copied().map(f64::from).collect()
}

/// Largest difference over the largest value.
fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, f64::max);
    largest(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / largest(&mut theirs.iter().copied())
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// An adapter of the default targets that trains the classifier, of a family's fixture.
fn adapter(model: &Model, weights: &Weights, targets: Vec<String>) -> Result<Adapter, Error> {
    let lora = Lora { rank: 4, alpha: 6.0, targets };
    Adapter::new(model, weights.clone(), &lora, &model.head_and_missing(weights))
}

#[test]
fn logits_loss_and_gradients_are_those_of_peft() {
    for family in FAMILIES {
        let (model, weights, batch) = load(family);
        let expected: Expected = serde_json::from_slice(&read(family, "lora.json")).unwrap();
        assert_eq!(model.default_targets(), expected.targets, "{family}");
        let (given, slopes) =
            (tensors(family, "lora.safetensors"), tensors(family, "lora_gradients.safetensors"));
        let named = |name: &str| format!("{PREFIX}{name}");
        let entries = model.layout().entries().iter();
        let whole: Vec<bool> = entries.map(|entry| given.tensor(&named(&entry.name)).is_some()).collect();
        let lora = Lora { rank: expected.rank, alpha: expected.alpha, targets: expected.targets };
        let mut adapter = Adapter::new(&model, weights, &lora, &whole).unwrap();
        assert_eq!(adapter.layout().entries().len(), given.layout().entries().len(), "{family}");

        let mut trained = Weights::zeros(adapter.layout().clone());
        for entry in adapter.layout().clone().entries() {
            trained.values[entry.range()].copy_from_slice(given.tensor(&named(&entry.name)).unwrap());
        }
        let found = logits(&model, adapter.merge(&trained.values), &batch);
        let logit_error = difference(&found, &expected.logits.concat());

        let mut gradient = vec![0.0; trained.values.len()];
        let mut trainer = Trainer::new(&model, None);
        let tally = adapter.gradient(&mut trainer, &trained.values, &batch, None, &mut gradient).unwrap();
        let loss_error = (tally.mean_loss() / expected.loss - 1.0).abs();
        let errors = adapter.layout().entries().iter().map(|entry| {
            let theirs = wide(slopes.tensor(&named(&entry.name)).unwrap());
            assert!(theirs.iter().any(|value| value.abs() > 1e-5), "{family}, {}", entry.name);
            difference(&wide(&gradient[entry.range()]), &theirs)
        });
        let gradient_error = errors.fold(0.0, f64::max);
        println!(
            "{family:<12} logits {logit_error:.1e}  loss {loss_error:.1e}  gradients {gradient_error:.1e}"
        );
        assert!(logit_error < 1e-5 && loss_error < 1e-6 && gradient_error < 1e-4, "{family}");
    }
}

#[test]
fn a_merged_weight_is_the_checkpoints_and_the_scaled_product_of_the_factors() {
    for family in ["bert", "gpt2"] {
        let (model, weights, _) = load(family);
        let mut adapter = adapter(&model, &weights, vec![ALL_LINEAR.into()]).unwrap();
        let mut trained = adapter.init(3);
        assert_eq!(adapter.merge(&trained.values).values, weights.values, "B begins as zero");
        for (i, value) in trained.values.iter_mut().enumerate() {
            *value = ((i * 37 % 101) as f32 - 50.0) / 60.0;
        }
        let layout = adapter.layout().clone();
        let merged = adapter.merge(&trained.values);
        for map in model.linear_maps() {
            let factor = |which: &str| {
                let entry = layout.entry(&format!("{}.lora_{which}.weight", map.name)).unwrap();
                wide(&trained.values[entry.range()])
            };
            let (a, b) = (factor("A"), factor("B"));
            let entry = &model.layout().entries()[map.entry];
            let (start, found) = (&weights.values[entry.range()], &merged.values[entry.range()]);
            for (i, (start, found)) in start.iter().zip(found).enumerate() {
                let (output, input) = match map.is_transposed {
                    true => (i % map.outputs, i / map.outputs),
                    false => (i / map.inputs, i % map.inputs),
                };
                let product: f64 = (0..4).map(|k| b[output * 4 + k] * a[k * map.inputs + input]).sum();
                let error = f64::from(*start) + 6.0 / 4.0 * product - f64::from(*found);
                assert!(error.abs() < 1e-6, "{}, {i}: off by {error:e}", entry.name);
            }
        }
    }
}

fn recipe() -> Recipe {
    Recipe {
        steps: 6,
        learning_rate: 1e-2,
        schedule: Schedule::Linear,
        warmup: 1,
        optimiser: AdamW {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.1,
            bias_correction: true,
            clip: 1.0,
        },
        dropout_seed: None,
    }
}

/// Trains with pauses after these steps, on so many threads; the merged weights, and losses.
fn run(family: &str, pauses: &[u64], threads: usize) -> (Weights, Vec<f64>) {
    let (model, weights, batch) = load(family);
    let mut adapter = adapter(&model, &weights, model.default_targets()).unwrap();
    let mut state = State::start(adapter.init(7));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut trainer = Trainer::new(&model, (threads > 1).then_some(&pool));
    let mut losses = Vec::new();
    for &until in pauses {
        train::<Error>(
            &model,
            Scope::LowRank(&mut adapter),
            &mut state,
            &recipe(),
            &mut trainer,
            &mut |_| batch.clone(),
            until,
            &mut |now| {
                losses.push(now.tally.mean_loss());
                Ok(())
            },
        )
        .unwrap();
        state = State::from_bytes(&state.to_bytes(), adapter.layout()).unwrap();
    }
    (adapter.merge(&state.weights.values).clone(), losses)
}

#[test]
fn what_is_not_adapted_stays_and_the_loss_falls() {
    for family in FAMILIES {
        let (model, start, _) = load(family);
        let (end, losses) = run(family, &[6], 1);
        assert!(losses[5] < losses[0], "{family}: {losses:?}");
        let targets = model.default_targets();
        let maps = model.linear_maps();
        let head = model.head_and_missing(&start);
        for (index, entry) in model.layout().entries().iter().enumerate() {
            let map = maps.iter().find(|map| map.entry == index);
            let is_trained =
                head[index] || map.is_some_and(|map| targets.iter().any(|end| map.is_called(end)));
            let has_moved = end.values[entry.range()] != start.values[entry.range()];
            assert_eq!(has_moved, is_trained, "{family}, {}", entry.name);
        }
    }
}

#[test]
fn pauses_and_threads_change_no_byte() {
    let straight = run("bert", &[6], 1);
    assert_eq!(run("bert", &[1, 4, 6], 1).0.values, straight.0.values);
    assert_eq!(run("bert", &[6], 3).0.values, straight.0.values);
}

#[test]
fn what_cannot_be_adapted_is_named() {
    let (model, weights, _) = load("bert");
    let found = |lora: &Lora| Adapter::new(&model, weights.clone(), lora, &[]).unwrap_err().to_string();
    let good = Lora { rank: 4, alpha: 8.0, targets: model.default_targets() };
    let error = found(&Lora { targets: vec!["query".into(), "c_attn".into()], ..good.clone() });
    assert_eq!(error, "no linear map of the layers is called `c_attn`; there are dense, key, query, value");
    for rank in [0, 25] {
        let error = found(&Lora { rank, ..good.clone() });
        assert!(error.contains("rank") && error.contains("smaller side"), "{error}");
    }
    for alpha in [0.0, f64::NAN, f64::INFINITY] {
        let error = found(&Lora { alpha, ..good.clone() });
        assert!(error.contains("alpha") && error.contains("positive"), "{error}");
    }

    // A state of the whole model is not one of what the adapter trains.
    let mut adapter = adapter(&model, &weights, model.default_targets()).unwrap();
    let mut trainer = Trainer::new(&model, None);
    let mut state = State::start(weights.clone());
    let trained = train::<Error>(
        &model,
        Scope::LowRank(&mut adapter),
        &mut state,
        &recipe(),
        &mut trainer,
        &mut |_| unreachable!("no step is made"),
        6,
        &mut |_| Ok(()),
    );
    assert!(matches!(trained, Err(Error::Weights(_))), "{trained:?}");
}
