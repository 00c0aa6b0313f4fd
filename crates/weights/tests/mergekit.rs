//! Merges held to mergekit 0.1.5, on fixtures that `tests/mergekit/make.py` makes with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use random::Stream;
use serde::Deserialize;
use weights::parameters::Value;
use weights::{Layout, Members, Method, Plan, Weights};

/// A case in this project's words.
#[derive(Deserialize)]
struct Case {
    case: String,
    method: String,
    members: Vec<String>,
    base: bool,
    values: BTreeMap<String, Vec<Value>>,
}

/// What mergekit makes of a large normal tensor.
#[derive(Deserialize)]
struct Statistics {
    /// Share that is kept in each tenth of magnitudes of a row.
    kept: Vec<f64>,
    /// Sum of magnitudes after the mask over that before.
    ratio: f64,
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/mergekit/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

/// One model of a fixture, its language head behind its layers as a model has it.
fn model(all: &Weights, name: &str) -> Weights {
    let prefix = format!("{name}/");
    let mut entries: Vec<_> = all.layout().entries().iter().filter(|e| e.name.starts_with(&prefix)).collect();
    entries.sort_by_key(|entry| entry.name.contains("lm_head"));
    let (mut layout, mut values) = (Layout::default(), Vec::new());
    for entry in entries {
        layout.push(&entry.name[prefix.len()..], &entry.shape);
        values.extend_from_slice(&all.values[entry.range()]);
    }
    let mut model = Weights::zeros(Arc::new(layout));
    model.values = values;
    model
}

/// Largest difference of a case from mergekit's result.
fn difference(all: &Weights, case: &Case) -> f32 {
    let models: Vec<Weights> = case.members.iter().map(|name| model(all, name)).collect();
    let models: Vec<&Weights> = models.iter().collect();
    let base = model(all, "base");
    let shared = vec![true; base.layout().entries().len()];
    let mut members = Members::of(&models).unwrap();
    if case.base {
        members = members.with_base(&base, &shared).unwrap();
    }
    let plan = Plan { values: case.values.clone(), seed: 0 };
    let found = Method::named(&case.method).unwrap().merge(&members, &plan).unwrap();
    let mut entries: Vec<_> = found.layout().entries().iter().collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut expected = all.tensor(&case.case).unwrap();
    let (mut largest, mut compared) = (0.0_f32, 0);
    for entry in &entries {
        let (found, base) = (&found.values[entry.range()], &base.values[entry.range()]);
        let (here, rest) = expected.split_at(entry.len);
        expected = rest;
        // Where task vectors point away from each other, mergekit leaves the base in the opposite direction of their mean.
        // The paper's share lies between 0 and 1, and the base stays here.
        if case.method == "model-stock" && found == base {
            continue;
        }
        compared += 1;
        let differences = found.iter().zip(here).map(|(found, expected)| (found - expected).abs());
        largest = differences.fold(largest, f32::max);
    }
    assert!(expected.is_empty(), "{} values of {} have no tensor", expected.len(), case.case);
    assert!(2 * compared > entries.len() / 2, "only {compared} tensors of {} are compared", case.case);
    largest
}

#[test]
fn merges_equal_mergekits() {
    let cases: Vec<Case> = serde_json::from_slice(&fixture("cases.json")).unwrap();
    assert!(cases.len() >= 18);
    let mut failures = Vec::new();
    for family in ["llama", "qwen2", "bert"] {
        let all = Weights::from_safetensors(&fixture(&format!("{family}.safetensors"))).unwrap();
        for case in &cases {
            let difference = difference(&all, case);
            println!("{family:6} {:18} {difference:.1e}", case.case);
            if difference > 1e-5 {
                failures.push(format!("{family} {}: {difference:e}", case.case));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Masks are random: the share that is kept in each tenth of magnitudes is the same, and so is the sum of magnitudes of
/// DARE. mergekit scales what is kept so that this sum stays; here each value is divided by its probability, as both
/// papers have it, so that the sum is that of the tensor in expectation.
#[test]
fn masks_have_mergekits_statistics() {
    let statistics: BTreeMap<String, Statistics> =
        serde_json::from_slice(&fixture("statistics.json")).unwrap();
    let (rows, columns) = (64, 4096);
    let mut layout = Layout::default();
    layout.push("w", &[rows, columns]);
    let base = Weights::zeros(Arc::new(layout));
    let mut model = base.clone();
    let mut stream = Stream::new(0, "statistics");
    model.values.fill_with(|| stream.normal() as f32);
    for (name, plan) in [
        ("dare", Plan::default().with("density", 0.4)),
        ("della", Plan::default().with("density", 0.4).with("epsilon", 0.2)),
    ] {
        let expected = &statistics[name];
        let method = Method::named(if name == "della" { "della-linear" } else { name }).unwrap();
        let members = Members::of(&[&model]).unwrap().with_base(&base, &[true]).unwrap();
        let found = method.merge(&members, &plan.with("scale", 1.0)).unwrap();
        let mut kept = [0.0; 10];
        for (before, after) in model.values.chunks(columns).zip(found.values.chunks(columns)) {
            let mut order: Vec<usize> = (0..columns).collect();
            order.sort_by(|&a, &b| before[a].abs().total_cmp(&before[b].abs()));
            for (rank, &place) in order.iter().enumerate() {
                kept[rank * 10 / columns] += f64::from(u8::from(after[place] != 0.0));
            }
        }
        for (tenth, (kept, expected)) in kept.iter().zip(&expected.kept).enumerate() {
            let kept = kept * 10.0 / (rows * columns) as f64;
            assert!((kept - expected).abs() < 0.02, "{name}, tenth {tenth}: {kept} {expected}");
        }
        let sum = |values: &[f32]| values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
        let ratio = sum(&found.values) / sum(&model.values);
        assert!((ratio - expected.ratio).abs() < 0.02, "{name}: {ratio} {}", expected.ratio);
    }
}
