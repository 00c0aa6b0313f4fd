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
    let of_two = [
        "task-arithmetic",
        "ties",
        "dare",
        "model-stock",
        "slerp",
        "nuslerp",
        "multislerp",
        "karcher",
        "dare-ties",
        "della",
        "della-linear",
        "breadcrumbs",
        "breadcrumbs-ties",
        "sce",
    ];
    let with_base = |method: &str| !["slerp", "nuslerp", "multislerp", "karcher"].contains(&method);
    for method in of_two {
        bench.run("soup", &soup(method, &["--method", method]));
        bench.run("evaluate", &["--model", method, "--task", "task"]);
        let merged = weights(&bench, method, "model");
        assert_ne!(merged.values, uniform.values, "{method}");
        for entry in merged.layout().entries() {
            let is_of_base = start.tensor(&entry.name).is_some();
            if !is_of_base && with_base(method) {
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
    bench.run("soup", &[&stew[..], &["--base", "ladder:step-20"]].concat());
    let error = bench.fails(USAGE, "soup", &soup("soup", &["--base", "ladder:step-20"]));
    assert!(error.contains("--base has no effect with --method uniform"), "{error}");
    let error =
        bench.fails(USAGE, "soup", &soup("soup", &["--method", "wise-ft", "--base", "ladder:step-20"]));
    assert!(error.contains("wise-ft takes 1 model, not 2"), "{error}");
    let error = bench.fails(USAGE, "soup", &soup("soup", &["--scale", "0.5"]));
    assert!(error.contains("--scale has no effect with --method uniform"), "{error}");
    let error = bench.fails(USAGE, "soup", &soup("soup", &["--method", "model-stock", "--density", "0.5"]));
    assert!(error.contains("--density has no effect with --method model-stock"), "{error}");
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

#[test]
fn one_model_is_pulled_back_to_its_base() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    let one = |name: &'static str, more: &[&'static str]| {
        let common = ["--model", "run/0", "--task", "task", "--keep-failed", "--ref", name];
        bench.run("soup", &[&common[..], more].concat());
        weights(&bench, name, "model")
    };
    let (run, start) = (weights(&bench, "run/0", "model"), weights(&bench, "ladder", "step-20"));
    assert_eq!(one("whole", &["--method", "wise-ft", "--alpha", "1"]).values, run.values);
    let half = one("half", &["--method", "wise-ft"]);
    for entry in half.layout().entries().iter().filter(|entry| start.tensor(&entry.name).is_some()) {
        let (half, run, start) = (
            half.tensor(&entry.name).unwrap(),
            run.tensor(&entry.name).unwrap(),
            start.tensor(&entry.name).unwrap(),
        );
        for ((half, run), start) in half.iter().zip(run).zip(start) {
            assert!((half - f32::midpoint(*run, *start)).abs() < 1e-6, "{}", entry.name);
        }
    }
    for method in ["nearswap", "arcee-fusion"] {
        assert_ne!(one(method, &["--method", method]).values, run.values, "{method}");
    }
    // By name and by layer: only attention is pulled back.
    let part = one("part", &["--method", "wise-ft", "--alpha", "attention=0", "--alpha", "1"]);
    for entry in part.layout().entries() {
        let source = if entry.name.contains("attention") { &start } else { &run };
        assert_eq!(part.tensor(&entry.name), source.tensor(&entry.name), "{}", entry.name);
    }
}

#[test]
fn paths_other_than_the_line_are_walked() {
    let bench = Bench::new();
    bench.tiny();
    for seed in ["0", "1"] {
        bench.tiny_run(seed);
    }
    let models = ["--model", "run/0", "run/1", "--task", "task", "--split", "id"];
    let walk = |name: &'static str, more: &[&'static str]| {
        bench.run("interpolate", &[&models[..], &["--ref", name], more].concat());
        std::fs::read(bench.object(name, "paths")).unwrap()
    };
    let line = walk("line", &["--points", "5"]);
    assert!(bench.manifest("line")["parameters"].get("path").is_none());
    assert_eq!(walk("same", &["--points", "5", "--path", "linear"]), line);
    for path in ["spherical", "layer-wise"] {
        assert_ne!(walk(path, &["--points", "5", "--path", path]), line, "{path}");
        assert_eq!(bench.manifest(path)["parameters"]["path"], path);
    }
    // The same positions, and two beyond the ends: barriers are those of what lies between.
    walk("beyond", &["--alphas", "-0.5", "0", "0.25", "0.5", "0.75", "1", "1.5"]);
    let pairs = |name: &str| std::fs::read(bench.object(name, "pairs")).unwrap();
    assert_eq!(pairs("beyond"), pairs("line"));
    assert_ne!(std::fs::read(bench.object("beyond", "paths")).unwrap(), line);
    for (alphas, message) in [
        (&["0", "1"][..], "--alphas must hold 0, 1 and a position between them"),
        (&["0.5", "1"], "--alphas must hold 0, 1 and a position between them"),
        (&["0", "nan", "1"], "--alphas must be finite numbers"),
    ] {
        let error = bench.fails(USAGE, "interpolate", &[&models[..], &["--alphas"], alphas].concat());
        assert!(error.contains(message), "{error}");
    }
}
