//! Every way an input can lie has a clear message and an exit code of its own, and costs nothing that was there.

use std::fs::{OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::harness::Bench;

/// Exit codes, as every `--help` states them.
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 3;

/// Overwrites bytes of a write-once object, as a failing disk would.
fn damage(path: &Path, at: u64, bytes: &[u8]) {
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).expect("owned");
    let mut file = OpenOptions::new().write(true).open(path).expect("writable now");
    file.seek(SeekFrom::Start(at)).expect("seekable");
    file.write_all(bytes).expect("written");
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "expected `{part}` in:\n{message}");
    }
}

#[test]
fn a_flipped_byte_is_noticed_before_it_is_parsed() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    let object = bench.object("run/0", "model");
    damage(&object, 1_000, &[0xff, 0xff]);
    let message = bench.fails(INPUT, "evaluate", &["--model", "run/0", "--task", "task"]);
    let id = object.file_name().expect("a name").to_string_lossy().into_owned();
    says(&message, &[&id, "verify"]);
    let verify = bench.stage("store").args(["verify"]).output().expect("it starts");
    assert_eq!(verify.status.code(), Some(INPUT), "verify finds it too");
}

#[test]
fn a_truncated_checkpoint_is_refused() {
    let bench = Bench::new();
    bench.tiny();
    let object = bench.object("ladder", "step-20");
    std::fs::set_permissions(&object, Permissions::from_mode(0o644)).expect("owned");
    OpenOptions::new().write(true).open(&object).expect("writable").set_len(4_000).expect("cut");
    let message = bench.fails(INPUT, "finetune", &["--checkpoint", "ladder:step-20", "--task", "task"]);
    says(&message, &["object"]);
}

#[test]
fn a_missing_role_names_those_that_exist() {
    let bench = Bench::new();
    bench.tiny();
    let message = bench.fails(INPUT, "finetune", &["--checkpoint", "ladder:step-21", "--task", "task"]);
    says(&message, &["step-21", "step-0", "step-20"]);
    let message = bench.fails(INPUT, "finetune", &["--checkpoint", "lader:step-20", "--task", "task"]);
    says(&message, &["lader", "ladder"]);
}

#[test]
fn a_checkpoint_of_another_shape_names_the_tensor() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    bench.run(
        "pretrain",
        &[
            "--world",
            "roles",
            "--steps",
            "20",
            "--checkpoints",
            "20",
            "--hidden",
            "24",
            "--batch",
            "8",
            "--ref",
            "wider",
        ],
    );
    bench.run(
        "finetune",
        &["--checkpoint", "wider:step-20", "--task", "task", "--steps", "10", "--ref", "run/wide"],
    );
    let message = bench.fails(INPUT, "interpolate", &["--task", "task", "--model", "run/0", "run/wide"]);
    says(&message, &["run/0", "run/wide", "config"]);
}

#[test]
fn divergence_is_an_error_and_publishes_nothing() {
    let bench = Bench::new();
    bench.tiny();
    let before = bench.results();
    let arguments = [
        "--checkpoint",
        "ladder:step-20",
        "--task",
        "task",
        "--steps",
        "60",
        "--learning-rate",
        "100",
        "--weight-decay",
        "100",
        "--clip",
        "0",
        "--warmup",
        "0",
    ];
    let message = bench.fails(FAILED, "finetune", &arguments);
    says(&message, &["diverged at step", "learning rate"]);
    assert_eq!(bench.results(), before);
}

#[test]
fn parameters_out_of_range_are_usage_errors() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    for (arguments, part) in [
        (&["--checkpoint", "ladder:step-20", "--task", "task", "--beta1", "1.5"][..], "beta1"),
        (&["--checkpoint", "ladder:step-20", "--task", "task", "--batch", "0"], "batch"),
        (&["--checkpoint", "ladder:step-20", "--task", "task", "--batch", "5000"], "5000"),
    ] {
        says(&bench.fails(USAGE, "finetune", arguments), &[part]);
    }
    says(&bench.fails(USAGE, "interpolate", &["--task", "task", "--model", "run/0"]), &["at least 2"]);
    says(&bench.fails(USAGE, "interpolate", &["--task", "task", "--model", "run/0", "run/0"]), &["twice"]);
    says(
        &bench.fails(USAGE, "pretrain", &["--world", "roles", "--steps", "10", "--checkpoints", "0,20"]),
        &["step 20", "10 steps"],
    );
    says(&bench.fails(USAGE, "pretrain", &["--world", "roles", "--checkpoints", "5,5"]), &["step 5 twice"]);
}

#[test]
fn tasks_from_files_say_which_line_is_wrong() {
    let bench = Bench::new();
    let spec = |name: &str, data: &str| {
        std::fs::write(bench.path("data.jsonl"), data).expect("written");
        let text = "name = \"t\"\nlabels = [\"no\", \"yes\"]\n\
            [train]\nfile = \"data.jsonl\"\ntext = \"a\"\nlabel = \"y\"\n[train.map]\n0 = \"no\"\n1 = \"yes\"\n\
            [val]\nfile = \"data.jsonl\"\ntext = \"a\"\nlabel = \"y\"\n[val.map]\n0 = \"no\"\n1 = \"yes\"\n";
        let path = bench.path(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let check = |name: &str, data: &str, parts: &[&str]| {
        let path = spec(name, data);
        let root = bench.path("");
        let arguments = ["table", path.to_str().expect("UTF-8"), "--root", root.to_str().expect("UTF-8")];
        says(&bench.fails(INPUT, "prepare", &arguments), parts);
    };
    check("label.toml", "{\"a\": \"x\", \"y\": 0}\n{\"a\": \"z\", \"y\": 7}\n", &["data.jsonl", "2", "7"]);
    check("column.toml", "{\"b\": \"x\", \"y\": 0}\n", &["data.jsonl", "`a`"]);
    check("empty.toml", "", &["data.jsonl"]);
    check("broken.toml", "{\"a\": \"x\", \"y\": 0}\n{\"a\": \n", &["data.jsonl", "2"]);
    let missing = bench.fails(INPUT, "prepare", &["table", "nowhere.toml"]);
    says(&missing, &["nowhere.toml"]);
}

#[test]
fn a_full_disk_loses_nothing() {
    let bench = Bench::new();
    bench.tiny();
    let disk = bench.path("disk");
    std::fs::create_dir(&disk).expect("created");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=160k", "none"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: mounting a small disk needs the rights to do so");
        return;
    }
    let result = std::panic::catch_unwind(|| {
        let store = disk.join("store");
        let mut command = crate::harness::program("pretrain");
        command.arg("--store").arg(&store).args([
            "--world",
            "roles",
            "--steps",
            "4",
            "--checkpoints",
            "0,1,2,3,4",
            "--quiet",
        ]);
        let output = command.output().expect("it starts");
        let stderr = crate::harness::text(&output.stderr);
        assert_eq!(output.status.code(), Some(FAILED), "{stderr}");
        assert!(stderr.contains("space") || stderr.contains("full"), "{stderr}");
        let partial = crate::harness::files(&store.join("manifests"));
        assert!(partial.is_empty(), "a manifest without its objects: {partial:?}");
        let mut verify = crate::harness::program("store");
        let verified = verify.arg("--store").arg(&store).arg("verify").output().expect("it starts");
        assert!(verified.status.success(), "{}", crate::harness::text(&verified.stdout));
    });
    Command::new("umount").arg(&disk).status().expect("umount starts");
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_store_that_cannot_be_written_says_so() {
    let bench = Bench::new();
    std::fs::write(bench.path("file"), "not a folder").expect("written");
    let mut command = crate::harness::program("prepare");
    let store = bench.path("file").join("store");
    let output = command.arg("--store").arg(&store).arg("roles").output().expect("it starts");
    assert_eq!(output.status.code(), Some(FAILED));
    says(&crate::harness::text(&output.stderr), &["file/store"]);
}
