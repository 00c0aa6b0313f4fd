//! `kill -9` at any moment: the rerun completes, and nothing partial is ever visible.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use random::Stream;

use crate::harness::{Bench, succeed};

/// Kills a study twenty times, each time after a random while, then lets it end.
#[test]
fn a_study_survives_twenty_kills() {
    let whole = Bench::new();
    succeed(&whole.make("world", "smoke", 2).output().expect("make starts"));

    let bench = Bench::new();
    let mut stream = Stream::new(20, "kills");
    for _ in 0..20 {
        // A process group of its own, so that Make and all its stages die at once.
        let mut child = bench.make("world", "smoke", 2).process_group(0).spawn().expect("make starts");
        std::thread::sleep(Duration::from_millis(50 + stream.below(1_200) as u64));
        let group = child.id().to_string();
        std::process::Command::new("kill")
            .args(["-9", "--", &format!("-{group}")])
            .status()
            .expect("kill starts");
        child.wait().expect("it ended");
        if bench.store().join("manifests").exists() {
            bench.assert_clean();
        }
    }
    succeed(&bench.make("world", "smoke", 2).output().expect("make starts"));
    bench.assert_clean();
    assert_eq!(bench.results(), whole.results(), "a killed and resumed study has other results");
}

/// Kills a stage when its state has been saved, and runs it again.
fn killed_and_resumed(bench: &Bench, stage: &str, arguments: &[&str]) {
    let before = bench.results();
    let mut child = bench.stage(stage).args(arguments).spawn().expect("the program starts");
    let saved = || {
        crate::harness::files(&bench.store().join("scratch"))
            .iter()
            .any(|path| path.to_string_lossy().contains("state"))
    };
    while !saved() {
        assert!(child.try_wait().expect("waitable").is_none(), "it ended before it saved its state");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killable");
    child.wait().expect("it ended");
    assert_eq!(bench.results(), before, "a killed run published a manifest");
    bench.run(stage, arguments);
    assert!(!saved(), "the scratch state is cleared once the result is committed");
}

/// A pretraining run that is killed half way goes on from its saved state and ends with the same bytes.
#[test]
fn a_killed_pretraining_run_resumes_exactly() {
    let shape = ["--world", "roles", "--hidden", "16", "--batch", "16"];
    let length = ["--steps", "1400", "--checkpoints", "0,300,1400", "--ref", "ladder"];
    let arguments = [shape, length].concat();
    let whole = Bench::new();
    whole.run("pretrain", &arguments);
    let bench = Bench::new();
    killed_and_resumed(&bench, "pretrain", &arguments);
    assert_eq!(bench.results(), whole.results());
}

/// And so does a fine-tuning run, whatever part of the model it trains.
#[test]
fn a_killed_fine_tuning_run_resumes_exactly() {
    for train in ["all", "biases", "lora"] {
        let (whole, bench) = (Bench::new(), Bench::new());
        let task = ["--checkpoint", "ladder:step-20", "--task", "task", "--train", train];
        let length = ["--steps", "1530", "--batch", "8", "--ref", "run", "--learning-rate", "1e-3"];
        let arguments = [task.as_slice(), length.as_slice()].concat();
        for bench in [&whole, &bench] {
            bench.tiny();
        }
        whole.run("finetune", &arguments);
        killed_and_resumed(&bench, "finetune", &arguments);
        assert_eq!(bench.results(), whole.results(), "{train}");
    }
}
