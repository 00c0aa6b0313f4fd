//! Held to PyTorch transformers: logits, losses and gradients of small random models.
//!
//! The fixtures are made by `tests/transformers/make_fixtures.py` at the top of the repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use models::{Config, Head, Inputs, Model, Targets, Tokens, Workspace};
use serde::Deserialize;
use weights::Weights;

#[derive(Deserialize)]
struct Expected {
    ids: Vec<u32>,
    types: Vec<u32>,
    starts: Vec<u32>,
    labels: Vec<u32>,
    logits: Vec<Vec<f64>>,
    loss: f64,
    gradients: BTreeMap<String, Gradient>,
    masked_rows: Vec<u32>,
    masked_labels: Vec<u32>,
    masked_loss: f64,
    masked_gradients: BTreeMap<String, Gradient>,
}

#[derive(Deserialize)]
struct Gradient {
    norm: f64,
    first: Vec<f64>,
}

/// Families with fixtures.
const FAMILIES: [&str; 3] = ["bert", "distilbert", "roberta"];

fn load(family: &str, file: &str, head: Head) -> (Model, Weights, Expected) {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transformers").join(family);
    let fixtures = || folder.clone();
    let text = std::fs::read_to_string(fixtures().join("config.json")).unwrap();
    let model = Model::new(Config::from_json(&text).unwrap(), head).unwrap();
    let published = Weights::from_safetensors(&std::fs::read(fixtures().join(file)).unwrap()).unwrap();
    let expected = serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap();
    (model.clone(), model.adopt(&published).unwrap(), expected)
}

/// Largest relative error of the norms, and of the first values against the norm's root mean square.
fn compare(model: &Model, gradient: &[f32], expected: &BTreeMap<String, Gradient>) -> f64 {
    let mut worst: f64 = 0.0;
    let largest = expected.values().map(|gradient| gradient.norm).fold(0.0, f64::max);
    for entry in model.layout().entries() {
        let theirs =
            expected.get(&entry.name).unwrap_or_else(|| panic!("{} has no gradient there", entry.name));
        let ours: Vec<f64> = gradient[entry.range()].iter().map(|&value| f64::from(value)).collect();
        let norm = ours.iter().map(|value| value * value).sum::<f64>().sqrt();
        // The gradient of the keys' biases is 0 but for rounding: the softmax does not see them.
        let scale = theirs.norm.max(1e-4 * largest);
        let mut error = (norm - theirs.norm).abs() / scale;
        for (ours, theirs) in ours.iter().zip(&theirs.first) {
            error = error.max((ours - theirs).abs() / scale);
        }
        assert!(error < 1e-3, "{}: relative error {error:.1e}", entry.name);
        worst = worst.max(error);
    }
    assert_eq!(model.layout().entries().len(), expected.len(), "they have parameters that we have not");
    worst
}

#[test]
fn sequence_classifiers_compute_what_transformers_computes() {
    FAMILIES.iter().for_each(|family| classifier(family));
}

fn classifier(family: &str) {
    let (model, weights, expected) = load(family, "model.safetensors", Head::Classification { labels: 3 });
    let inputs =
        Inputs::Tokens(Tokens { ids: &expected.ids, types: &expected.types, starts: &expected.starts });
    let targets = Targets::Classes(&expected.labels);
    model.check(&inputs, Some(&targets)).unwrap();
    let mut workspace = Workspace::default();
    let logits = model.logits(&weights.values, &inputs, &mut workspace).to_vec();
    let theirs = expected.logits.concat();
    let difference = logits
        .iter()
        .zip(&theirs)
        .map(|(&ours, theirs)| (f64::from(ours) - theirs).abs())
        .fold(0.0, f64::max);
    assert_eq!(logits.len(), theirs.len());
    assert!(difference < 1e-4, "{difference:e}");

    let mut gradient = vec![0.0; model.layout().len()];
    let scale = 1.0 / expected.labels.len() as f32;
    let tally = model.loss_and_gradient(
        &weights.values,
        &inputs,
        &targets,
        None,
        scale,
        &mut gradient,
        &mut workspace,
    );
    assert!((tally.mean_loss() - expected.loss).abs() < 1e-5 * expected.loss, "{}", tally.mean_loss());
    let worst = compare(&model, &gradient, &expected.gradients);
    let loss = (tally.mean_loss() - expected.loss).abs() / expected.loss;
    println!("{family:<12} classifier  logits {difference:.1e}  loss {loss:.1e}  gradients {worst:.1e}");
}

#[test]
fn masked_language_models_compute_what_transformers_computes() {
    FAMILIES.iter().for_each(|family| masked(family));
}

fn masked(family: &str) {
    let (model, weights, expected) = load(family, "mlm.safetensors", Head::MaskedLanguage);
    let inputs =
        Inputs::Tokens(Tokens { ids: &expected.ids, types: &expected.types, starts: &expected.starts });
    let targets = Targets::MaskedTokens { rows: &expected.masked_rows, labels: &expected.masked_labels };
    model.check(&inputs, Some(&targets)).unwrap();
    let mut workspace = Workspace::default();
    let mut gradient = vec![0.0; model.layout().len()];
    let scale = 1.0 / expected.masked_labels.len() as f32;
    let tally = model.loss_and_gradient(
        &weights.values,
        &inputs,
        &targets,
        None,
        scale,
        &mut gradient,
        &mut workspace,
    );
    assert!(
        (tally.mean_loss() - expected.masked_loss).abs() < 1e-5 * expected.masked_loss,
        "{}",
        tally.mean_loss()
    );
    let worst = compare(&model, &gradient, &expected.masked_gradients);
    let loss = (tally.mean_loss() - expected.masked_loss).abs() / expected.masked_loss;
    println!("{family:<12} masked      loss {loss:.1e}  gradients {worst:.1e}");
}
