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

/// Keys of a stage's finished results. Parts of them, such as the rungs of a ladder, are published as they are made.
fn finished(bench: &Bench, stage: &str) -> Vec<String> {
    let of_stage = |key: &String| key.starts_with(&format!("\"{stage}\" "));
    bench.results().into_keys().filter(of_stage).collect()
}

/// Kills a stage when its state has been saved, and runs it again.
fn killed_and_resumed(bench: &Bench, stage: &str, arguments: &[&str]) {
    let before = finished(bench, stage);
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
    assert_eq!(finished(bench, stage), before, "a killed run published its manifest");
    bench.assert_clean();
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

/// A run that is asked to end saves what it has, says so by its exit code, and goes on with the same bytes.
#[test]
fn a_run_that_is_asked_to_end_goes_on_where_it_was() {
    let pretrain: &[&str] =
        &["--world", "roles", "--hidden", "16", "--steps", "9000", "--checkpoints", "0,9000"];
    let finetune: &[&str] =
        &["--checkpoint", "ladder:step-20", "--task", "task", "--steps", "9000", "--batch", "8"];
    for (stage, arguments, signal) in
        [("pretrain", pretrain, "-TERM"), ("finetune", finetune, "-USR1"), ("finetune", finetune, "-INT")]
    {
        let (whole, bench) = (Bench::new(), Bench::new());
        for bench in [&whole, &bench] {
            bench.tiny();
        }
        whole.run(stage, arguments);
        let before = finished(&bench, stage);
        // A signal that comes before anything is there to be saved ends the process as signals do: later, then.
        let mut asked = [100, 200, 400, 800, 1_600].into_iter().map(|milliseconds| {
            let child = bench.stage(stage).args(arguments).stderr(std::process::Stdio::piped()).spawn();
            let child = child.expect("the program starts");
            std::thread::sleep(Duration::from_millis(milliseconds));
            let mut kill = std::process::Command::new("kill");
            kill.args([signal, &child.id().to_string()]).status().expect("kill starts");
            child.wait_with_output().expect("it ended")
        });
        let output = asked.find(|output| output.status.code().is_some()).expect("it pays attention");
        let stderr = crate::harness::text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{stage} {signal}: {stderr}");
        assert!(stderr.contains("as asked; run it again"), "{stderr}");
        assert_eq!(finished(&bench, stage), before);
        assert!(
            crate::harness::files(&bench.store().join("scratch")).iter().any(|path| path.ends_with("state")),
            "no state was saved"
        );
        bench.run(stage, arguments);
        assert_eq!(bench.results(), whole.results(), "{stage} {signal}");
    }
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
