//! The store under attack: what is needed is never deleted, what was changed is never used, what is not ours is not touched.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::harness::{Bench, files, program, succeed, text};

const USAGE: i32 = 2;
const INPUT: i32 = 3;

/// Makes every file of a store look as if it had been written in another year.
fn aged(bench: &Bench) {
    let time = SystemTime::now() - Duration::from_secs(400 * 24 * 3600);
    for path in files(&bench.store()) {
        std::fs::File::open(&path).and_then(|file| file.set_modified(time)).expect("our own file");
    }
}

/// A run of some seconds whose inputs have no name, and which holds its lock.
fn running(bench: &Bench) -> Child {
    bench.tiny();
    let key = |name: &str| bench.manifest(name)["key"].as_str().expect("a key").to_owned();
    let (ladder, task) = (format!("{}:step-20", key("ladder")), key("task"));
    bench.run("store", &["rm", "ladder", "task"]);
    let arguments = ["--checkpoint", &ladder, "--task", &task, "--steps", "3000", "--batch", "8"];
    let child = bench
        .stage("finetune")
        .args(arguments)
        .args(["--ref", "run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let locked = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("finetune-"))
    };
    while !files(&bench.store().join("locks")).iter().any(locked) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn gc_spares_what_a_running_stage_reads_by_key() {
    let bench = Bench::new();
    let mut child = running(&bench);
    let mut sweeps = 0;
    while child.try_wait().expect("waitable").is_none() {
        aged(&bench);
        bench.run("store", &["gc", "--grace", "0"]);
        sweeps += 1;
    }
    succeed(&child.wait_with_output().expect("it ended"));
    assert!(sweeps > 1, "the run ended before a sweep");
    bench.assert_clean();
    aged(&bench);
    bench.run("store", &["gc", "--grace", "0"]);
    bench.assert_clean();
    assert_eq!(bench.run("store", &["list"]).matches("run").count(), 1);
}

#[test]
fn gc_spares_what_a_killed_run_goes_on_from() {
    let bench = Bench::new();
    let mut child = running(&bench);
    while !files(&bench.store().join("scratch")).iter().any(|path| path.ends_with("state")) {
        assert!(child.try_wait().expect("waitable").is_none(), "it ended before it saved its state");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killable");
    child.wait().expect("it ended");
    aged(&bench);
    let said = bench.run("store", &["gc", "--grace", "0"]);
    assert!(said.contains("which can go on from its state"), "{said}");
    let before = files(&bench.store().join("manifests")).len();
    assert!(before > 0, "{said}");
    bench.run("store", &["gc", "--grace", "0", "--unfinished"]);
    assert!(files(&bench.store().join("manifests")).is_empty());
    assert!(files(&bench.store().join("objects")).is_empty());
    assert!(files(&bench.store().join("scratch")).is_empty());
}

#[test]
fn gc_stops_at_what_it_cannot_follow() {
    let bench = Bench::new();
    bench.tiny();
    let elsewhere = bench.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::rename(bench.store().join("refs/ladder.json"), elsewhere.join("ladder.json")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.store().join("refs/mine")).unwrap();
    aged(&bench);
    let before = bench.results();
    let error = bench.fails(INPUT, "store", &["gc", "--grace", "0"]);
    assert!(error.contains("nothing was deleted") && error.contains("refs/mine"), "{error}");
    assert_eq!(bench.results(), before);
}

/// A loss, a digest, a parameter: whatever is changed by hand in a manifest or a ref is found by whoever reads it.
#[test]
fn what_was_changed_by_hand_is_not_used() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    bench.tiny_run("1");
    let reference = bench.store().join("refs/run/0.json");
    let whole = std::fs::read_to_string(&reference).unwrap();
    let changed = whole.replacen("\"failed\": false", "\"failed\": true ", 1);
    let changed =
        if changed == whole { whole.replacen("\"failed\": true", "\"failed\": false", 1) } else { changed };
    assert_ne!(changed, whole);
    std::fs::write(&reference, changed).unwrap();
    let error = bench.fails(INPUT, "evaluate", &["--model", "run/0", "--task", "task"]);
    assert!(error.contains("refs/run/0.json") && error.contains("changed after it was written"), "{error}");
    let error = bench.stage("store").args(["verify", "--repair"]).output().unwrap();
    assert_eq!(error.status.code(), Some(INPUT));
    assert!(text(&error.stderr).contains("removed: ref run/0"), "{}", text(&error.stderr));
    bench.tiny_run("0");
    bench.assert_clean();

    // Two refs that changed places are both sound, and are what they say: verify compares them with manifests.
    let manifest = |seed: &str| {
        let key = bench.manifest(&format!("run/{seed}"))["key"].as_str().unwrap().to_owned();
        bench.store().join("manifests/finetune").join(format!("{key}.json"))
    };
    let (one, other) = (manifest("0"), manifest("1"));
    let swap = bench.path("swap");
    std::fs::rename(&one, &swap).unwrap();
    std::fs::rename(&other, &one).unwrap();
    std::fs::rename(&swap, &other).unwrap();
    let found = bench.stage("store").arg("verify").output().unwrap();
    assert_eq!(found.status.code(), Some(INPUT));
    assert!(text(&found.stdout).matches("it is that of finetune").count() == 2, "{}", text(&found.stdout));
    bench.stage("store").args(["verify", "--repair"]).output().unwrap();
    bench.assert_clean();
}

/// Under Make a ref that exists is up to date: after a repair those to damaged results must be gone.
#[test]
fn a_study_goes_on_after_a_repair() {
    let bench = Bench::new();
    succeed(&bench.make("world", "smoke", 2).output().expect("make starts"));
    let (before, page) = (bench.results(), bench.path("out/report.html"));
    let ladder =
        files(&bench.store().join("refs")).into_iter().find(|path| path.to_string_lossy().contains("/run/"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(ladder.expect("a run")).unwrap()).unwrap();
    let object = bench.store().join("objects").join(manifest["outputs"]["model"]["object"].as_str().unwrap());
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, bytes).unwrap();
    let verified = bench.stage("store").args(["verify", "--repair"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(INPUT), "{}", text(&verified.stderr));
    succeed(&bench.make("world", "smoke", 2).output().expect("make starts"));
    bench.assert_clean();
    assert_eq!(bench.results(), before);
    // A page that is gone is delivered again.
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    succeed(&bench.make("world", "smoke", 2).output().expect("make starts"));
    assert!(page.exists());
}

#[test]
fn an_export_is_whole_or_not_there_and_touches_nothing_else() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    let folder = bench.path("model");
    let to = folder.display().to_string();
    bench.run("store", &["export", "ladder", &to]);
    assert!(folder.join("ladder.parquet").exists());
    bench.run("store", &["export", "run/0", &to]);
    let names: Vec<String> = files(&folder)
        .iter()
        .map(|path| path.strip_prefix(&folder).unwrap().display().to_string())
        .filter(|name| !name.starts_with(".samebasin"))
        .collect();
    let expected =
        ["config.json", "curve.parquet", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(names, expected, "nothing is left of the earlier export");
    assert_eq!(
        files(bench.path("model").parent().unwrap())
            .iter()
            .filter(|path| path.to_string_lossy().contains(".partial"))
            .count(),
        0
    );
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let error = bench.fails(USAGE, "store", &["export", "ladder", &to]);
    assert!(error.contains("notes.txt"), "{error}");
    assert!(folder.join("model.safetensors").exists() && folder.join("notes.txt").exists());
}

#[test]
fn names_are_listed_changed_and_taken_away() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    bench.tiny_run("1");
    let all = bench.run("store", &["list"]);
    assert!(all.contains("val accuracy") && !all.contains("pretrain-rung"), "{all}");
    assert!(bench.run("store", &["list", "--all"]).contains("pretrain-rung"));
    let runs = bench.run("store", &["list", "run/"]);
    assert!(runs.contains("run/1") && !runs.contains("ladder"), "{runs}");
    let key = bench.manifest("run/0")["key"].as_str().unwrap().to_owned();
    assert!(bench.run("store", &["list", &key[..6]]).contains("run/0"));
    assert!(bench.run("store", &["show", &key[..4]]).contains(&key));
    bench.run("store", &["mv", "run/0", "kept/0"]);
    let error = bench.fails(USAGE, "store", &["mv", "run/1", "kept/0"]);
    assert!(error.contains("kept/0"), "{error}");
    let error = bench.fails(INPUT, "store", &["rm", "run/1", "run/2"]);
    assert!(error.contains("run/2"), "{error}");
    assert!(bench.run("store", &["list"]).contains("run/1"), "all or none");
    bench.run("store", &["rm", "run/1"]);
    assert!(!bench.run("store", &["list"]).contains("run/1"));
    assert_eq!(bench.manifest("kept/0")["key"], key.as_str());
}

/// Names in files of others do not move the cursor of whoever reads a message.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let bench = Bench::new();
    bench.tiny();
    let folder = bench.path("model");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(bench.object("ladder", "tokenizer"), folder.join("tokenizer.json")).unwrap();
    std::fs::copy(bench.object("ladder", "step-20"), folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("config.json"), "{\"model_type\": \"\\u001b[31mred\\u009b1m\\u202e\"}")
        .unwrap();
    let output = program("fetch")
        .arg("--store")
        .arg(bench.store())
        .args(["--ref", "m", "folder", &folder.display().to_string()])
        .output()
        .unwrap();
    succeed(&output);
    let shown = bench.run("store", &["show", "m"])
        + &bench.run("store", &["show", "m", "--json"])
        + &text(&output.stderr);
    assert!(shown.contains("red"), "{shown:?}");
    let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!shown.contains(obeyed), "{shown:?}");
}

/// Neither a closed stream nor a full one is a reason to panic, and huge numbers are refused at once.
#[test]
fn nothing_panics() {
    let bench = Bench::new();
    bench.tiny();
    let store = bench.store().display().to_string();
    let bin = crate::harness::programs();
    for tail in
        [">&- 2>&-", "2>/dev/full", ">/dev/full", "2>/dev/full >/dev/full", "| true", "0<&- 1<&- 2<&-"]
    {
        for stage in
            ["prepare --store S roles --train 50", "store --store S list", "store --store S show task"]
        {
            let line = format!("{}/samebasin-{} {tail}", bin.display(), stage.replace('S', &store));
            let status = Command::new("bash").args(["-c", &line]).status().unwrap();
            assert!(status.code().is_some_and(|code| code <= 3), "{line}: {status}");
        }
    }
    let huge = "18446744073709551615";
    for (stage, arguments) in [
        ("prepare", vec!["roles", "--train", huge]),
        ("prepare", vec!["--threads", "1000000", "roles", "--train", "50"]),
        ("finetune", vec!["--checkpoint", "ladder:step-20", "--task", "task", "--batch", huge]),
        ("finetune", vec!["--checkpoint", "ladder:step-20", "--task", "task", "--steps", huge]),
        ("finetune", vec!["--checkpoint", "ladder:step-20", "--task", "task", "--shuffle-window", huge]),
        ("interpolate", vec!["--model", "a", "b", "--task", "task", "--points", huge]),
        ("pretrain", vec!["--world", "roles", "--steps", huge]),
        ("evaluate", vec!["--model", "a", "--task", "task", "--threads", huge]),
        ("store", vec!["gc", "--grace", huge]),
    ] {
        let output = program(stage).arg("--store").arg(bench.store()).args(&arguments).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE), "{stage} {arguments:?}: {error}");
        let says_range = ["from ", "at most", "must be"].iter().any(|words| error.contains(words));
        assert!(says_range, "{stage} {arguments:?}: {error}");
    }
}

/// Folders of a training script become a ladder, models that were fine-tuned elsewhere become runs, and both a report.
#[test]
fn checkpoints_and_runs_from_elsewhere_are_reported_on() {
    let bench = Bench::new();
    bench.tiny();
    let copy = |role: &str, to: &str, name: &str| {
        let folder = bench.path(to);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(
            bench.object(role.split(':').next().unwrap(), role.split(':').nth(1).unwrap()),
            folder.join(name),
        )
        .unwrap();
    };
    for (step, role) in [(0, "step-0"), (20, "step-20")] {
        let folder = format!("out/checkpoint-{step}");
        copy(&format!("ladder:{role}"), &folder, "model.safetensors");
        copy("ladder:config", &folder, "config.json");
        copy("ladder:tokenizer", &folder, "tokenizer.json");
        std::fs::write(bench.path(&folder).join("optimizer.pt"), "not read").unwrap();
    }
    let pattern = format!("{}/out/checkpoint-(?<step>\\d+)", bench.path("").display());
    let fetch = ["--ref", "rungs", "ladder", "--folder", &pattern, "--pretraining-seed", "3"];
    let key = bench.run("fetch", &fetch);
    let outputs = bench.manifest("rungs")["outputs"].clone();
    assert!(outputs.get("step-0").is_some() && outputs.get("step-20").is_some(), "{outputs}");
    std::fs::rename(bench.path("out"), bench.path("moved")).unwrap();
    let moved = pattern.replace("/out/", "/moved/");
    assert_eq!(bench.run("fetch", &["ladder", "--folder", &moved, "--pretraining-seed", "3"]), key);
    let error = bench.fails(USAGE, "fetch", &["ladder", "--folder", &moved]);
    assert!(error.contains("--pretraining-seed"), "{error}");

    for seed in ["0", "1"] {
        bench.tiny_run(seed);
        let folder = format!("finetuned-{seed}");
        bench.run("store", &["export", &format!("run/{seed}"), &bench.path(&folder).display().to_string()]);
        let name = format!("elsewhere/{seed}");
        let from = bench.path(&folder).display().to_string();
        bench.run("fetch", &["--ref", &name, "folder", &from, "--base", "rungs:step-20", "--seed", seed]);
        bench.run("evaluate", &["--model", &name, "--task", "task", "--ref", &format!("scores/{seed}")]);
    }
    bench.run(
        "interpolate",
        &["--model", "elsewhere/0", "elsewhere/1", "--task", "task", "--points", "3", "--ref", "lines"],
    );
    bench.run(
        "soup",
        &[
            "--model",
            "elsewhere/0",
            "elsewhere/1",
            "--task",
            "task",
            "--method",
            "task-arithmetic",
            "--ref",
            "soup",
        ],
    );
    let out = bench.path("page").display().to_string();
    bench.run("report", &["--input", "scores/0", "scores/1", "lines", "--out", &out]);
    let bytes = std::fs::read(Path::new(&out).join("tables/runs.parquet")).unwrap();
    let runs = report::rows::RunScore::read(&bytes).unwrap();
    assert_eq!(runs.iter().map(|run| &run.run).collect::<std::collections::BTreeSet<_>>().len(), 2);
    assert!(runs.iter().all(|run| (run.pretraining_seed, run.step) == (3, 20)), "{runs:?}");
    bench.assert_clean();
}
