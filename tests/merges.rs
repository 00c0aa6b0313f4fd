//! Merges over a checkpoint: what `soup` adds to the library's methods is the base, and what lies outside it.

use weights::Weights;

use crate::harness::Bench;

const USAGE: i32 = 2;
const INPUT: i32 = 3;

fn weights(bench: &Bench, reference: &str, role: &str) -> Weights {
    Weights::from_safetensors(&std::fs::read(bench.object(reference, role)).unwrap()).unwrap()
}

fn soup<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--model", "run/0", "run/1", "--task", "task", "--keep-failed", "--ref", name], more].concat()
}

#[test]
fn bodies_are_merged_over_their_checkpoint_and_heads_are_averaged() {
    let bench = Bench::new();
    bench.tiny();
    for seed in ["0", "1"] {
        bench.tiny_run(seed);
    }
    bench.run("soup", &soup("uniform", &[]));
    let uniform = weights(&bench, "uniform", "model");
    let start = weights(&bench, "ladder", "step-20");
    for method in ["task-arithmetic", "ties", "dare", "model-stock", "slerp"] {
        bench.run("soup", &soup(method, &["--method", method]));
        bench.run("evaluate", &["--model", method, "--task", "task"]);
        let merged = weights(&bench, method, "model");
        assert_ne!(merged.values, uniform.values, "{method}");
        for entry in merged.layout().entries() {
            let is_of_base = start.tensor(&entry.name).is_some();
            if !is_of_base && method != "slerp" {
                assert_eq!(
                    merged.tensor(&entry.name),
                    uniform.tensor(&entry.name),
                    "{method}, {}",
                    entry.name
                );
            }
        }
        assert_eq!(bench.manifest(method)["facts"]["members"], 2);
    }
    let ties = &bench.manifest("ties")["parameters"];
    assert_eq!((ties["scale"].as_f64(), ties["density"].as_f64()), (Some(1.0), Some(0.2)));
    let uniform_parameters = &bench.manifest("uniform")["parameters"];
    assert!(uniform_parameters.get("scale").is_none() && uniform_parameters.get("density").is_none());

    // Half of the sum of two differences is their mean.
    bench.run("soup", &soup("half", &["--method", "task-arithmetic", "--scale", "0.5"]));
    let half = weights(&bench, "half", "model");
    let furthest = half.values.iter().zip(&uniform.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-6, "{furthest:e}");
    let other =
        |seed| soup("dare", &["--method", "dare", "--seed", seed]).iter().map(|&a| a.to_owned()).collect();
    let dare = |arguments: Vec<String>| {
        bench.run("soup", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        weights(&bench, "dare", "model").values
    };
    assert_eq!(dare(other("0")), dare(other("0")));
    assert_ne!(dare(other("0")), dare(other("1")));
}

#[test]
fn what_has_no_common_base_is_refused() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    let start = ["--checkpoint", "ladder:step-0", "--task", "task", "--steps", "10", "--ref", "run/1"];
    bench.run("finetune", &start);
    let error = bench.fails(INPUT, "soup", &soup("soup", &["--method", "ties"]));
    assert!(error.contains("`run/0` and `run/1` were fine-tuned from different checkpoints"), "{error}");
    bench.run("soup", &soup("soup", &[]));
    let stew = ["--model", "soup", "--task", "task", "--method", "ties"];
    let error = bench.fails(INPUT, "soup", &stew);
    assert!(error.contains("`soup` was not fine-tuned here"), "{error}");
    let error = bench.fails(USAGE, "soup", &soup("soup", &["--scale", "0.5"]));
    assert!(error.contains("--scale means nothing to --method uniform"), "{error}");
    let error = bench.fails(USAGE, "soup", &soup("soup", &["--method", "model-stock", "--density", "0.5"]));
    assert!(error.contains("--density means nothing to --method model-stock"), "{error}");
}

#[test]
fn runs_that_failed_are_left_out_unless_all_did() {
    let bench = Bench::new();
    bench.tiny();
    let run = |name: &str, steps: &str, rate: &str, failed: bool| {
        let recipe = ["--checkpoint", "ladder:step-20", "--task", "task", "--steps", steps];
        bench.run(
            "finetune",
            &[&recipe[..], &["--learning-rate", rate, "--seed", "1", "--ref", name]].concat(),
        );
        assert_eq!(
            bench.manifest(name)["facts"]["failed"],
            failed,
            "{name}: {}",
            bench.manifest(name)["facts"]
        );
    };
    run("idle", "1", "1e-12", true);
    run("idler", "2", "1e-12", true);
    run("able", "300", "3e-3", false);
    let members = |name: &str, models: &[&str]| {
        bench.run("soup", &[&["--task", "task", "--ref", name, "--model"], models].concat());
        bench.manifest(name)["facts"]["members"].clone()
    };
    assert_eq!(members("mixed", &["idle", "able", "idler"]), 1);
    assert_eq!(weights(&bench, "mixed", "model").values, weights(&bench, "able", "model").values);
    assert_eq!(members("hopeless", &["idle", "idler"]), 2);
}
