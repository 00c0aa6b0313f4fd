//! Stages on another device than the processor's fused passes: here candle's operations, which GPUs run too.

use weights::Weights;

use crate::harness::{Bench, program, succeed};

const USAGE: i32 = 2;

fn read(bench: &Bench, reference: &str, role: &str) -> Weights {
    Weights::from_safetensors(&std::fs::read(bench.object(reference, role)).unwrap()).unwrap()
}

/// Largest difference of two models' weights.
fn difference(one: &Weights, other: &Weights) -> f32 {
    assert_eq!(one.layout(), other.layout());
    one.values.iter().zip(&other.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_study_comes_out_the_same_in_candles_operations() {
    let bench = Bench::new();
    bench.run("prepare", &["--ref", "task", "roles", "--train", "200"]);
    for (device, name) in [("cpu", "fused"), ("candle", "composite")] {
        let name = |part: &str| format!("{name}/{part}");
        let run = |stage: &str, reference: &str, arguments: &[&str]| {
            bench.run(stage, &[&["--device", device, "--ref", reference], arguments].concat());
        };
        let steps = ["--world", "roles", "--steps", "20", "--checkpoints", "0,20"];
        run("pretrain", &name("ladder"), &[&steps[..], &["--hidden", "16", "--batch", "8"]].concat());
        let start = format!("{}:step-20", name("ladder"));
        for seed in ["0", "1"] {
            let steps = ["--steps", "10", "--dropout", "0.2", "--seed", seed];
            let of = ["--checkpoint", &start, "--task", "task"];
            run("finetune", &name(seed), &[&of[..], &steps].concat());
        }
        let models = [name("0"), name("1")];
        run("evaluate", &name("scores"), &["--model", &models[0], "--task", "task"]);
        let pair = ["--model", &models[0], &models[1], "--task", "task"];
        run("interpolate", &name("path"), &[&pair[..], &["--split", "id", "--points", "3"]].concat());
        run("soup", &name("soup"), &[&["--method", "greedy"], &pair[..]].concat());
    }
    let manifest = |name: &str| bench.manifest(name);
    for (name, role) in [("ladder", "step-20"), ("0", "model"), ("1", "model"), ("soup", "model")] {
        let [fused, composite] = ["fused", "composite"].map(|device| format!("{device}/{name}"));
        let found = difference(&read(&bench, &fused, role), &read(&bench, &composite, role));
        assert!(found < 1e-4, "{name}: weights differ by {found}");
        assert_ne!(manifest(&fused)["key"], manifest(&composite)["key"], "{name}");
        assert!(manifest(&fused)["parameters"].get("device").is_none(), "{name}");
        assert_eq!(manifest(&composite)["parameters"]["device"], "candle", "{name}");
        assert_eq!(
            manifest(&composite)["parameters"]["versions"]["composite"],
            models::composite::VERSION,
            "{name}"
        );
    }
    for name in ["scores", "path"] {
        let facts = |device: &str| manifest(&format!("{device}/{name}"))["facts"].clone();
        assert_eq!(facts("fused"), facts("composite"), "{name}");
    }
}

#[test]
fn threads_do_not_change_the_bytes() {
    let [one, two] = ["1", "2"].map(|threads| {
        let bench = Bench::new();
        bench.tiny();
        let run = ["--checkpoint", "ladder:step-20", "--task", "task", "--steps", "5", "--ref", "run"];
        let output = program("finetune")
            .arg("--store")
            .arg(bench.store())
            .args(["--quiet", "--threads", threads, "--device", "candle"])
            .args(run)
            .output();
        succeed(&output.expect("the program starts"));
        bench.manifest("run")["outputs"].clone()
    });
    assert_eq!(one, two);
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let bench = Bench::new();
    bench.tiny();
    let with = |more: &[&'static str]| {
        [&["--checkpoint", "ladder:step-20", "--task", "task", "--steps", "5"], more].concat()
    };
    let error = bench.fails(USAGE, "finetune", &with(&["--device", "gpu"]));
    assert!(error.contains("it must be `cpu`, `candle`, `cuda`, `metal`"), "{error}");
    let error = bench.fails(USAGE, "finetune", &with(&["--device", "metal"]));
    assert!(error.contains("--features samebasin-stages/metal"), "{error}");
    let error = bench.fails(USAGE, "finetune", &with(&["--device", "candle", "--precision", "bf16"]));
    assert!(error.contains("a model in candle's operations is computed in f32 only"), "{error}");
    bench.assert_clean();
}
