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

/// A pretraining run that is killed half way goes on from its saved state and ends with the same bytes.
#[test]
fn a_killed_pretraining_run_resumes_exactly() {
    let arguments = |steps: &'static str| {
        [
            "--world",
            "roles",
            "--steps",
            steps,
            "--checkpoints",
            "0,300,1400",
            "--hidden",
            "16",
            "--batch",
            "16",
            "--ref",
            "ladder",
        ]
    };
    let whole = Bench::new();
    whole.run("pretrain", &arguments("1400"));

    let bench = Bench::new();
    let mut child = bench.stage("pretrain").args(arguments("1400")).spawn().expect("the program starts");
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
    assert!(bench.results().is_empty(), "a killed run published a manifest");

    bench.run("pretrain", &arguments("1400"));
    assert_eq!(bench.results(), whole.results());
    assert!(!saved(), "the scratch state is cleared once the result is committed");
}
