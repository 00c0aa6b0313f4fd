//! An empty folder, the real programs, and studies run by Make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of a test's own, with a store in it.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// A stage, to be run on this bench's store with one thread.
    pub(crate) fn stage(&self, name: &str) -> Command {
        let mut command = program(name);
        command.arg("--store").arg(self.store());
        if name != "store" {
            command.args(["--threads", "1", "--quiet"]);
        }
        command
    }

    /// Runs a stage that must succeed; its stdout.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.stage(name).args(arguments).output().expect("the program starts");
        assert!(output.status.success(), "{name} {arguments:?} failed:\n{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a stage that must fail with this exit code; its stderr.
    pub(crate) fn fails(&self, code: i32, name: &str, arguments: &[&str]) -> String {
        let output = self.stage(name).args(arguments).output().expect("the program starts");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name} {arguments:?} said:\n{stderr}");
        assert!(!stderr.contains("panicked"), "{name} {arguments:?} panicked:\n{stderr}");
        assert!(output.stdout.is_empty(), "a failed stage prints no result");
        stderr
    }

    /// Make, set to run a study of `pipelines/` with these programs on this bench's store.
    pub(crate) fn make(&self, study: &str, target: &str, jobs: usize) -> Command {
        let mut command = Command::new("make");
        command
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .arg("--directory")
            .arg(root().join("pipelines").join(study))
            .arg(target)
            .arg(format!("STORE={}", self.store().display()))
            .arg(format!("OUT={}", self.path("out").display()))
            .arg(format!("BIN={}", programs().display()))
            .arg("BUILD=true")
            .arg(format!("JOBS={jobs}"));
        command
    }

    /// A very small ladder and task, in a second: refs `ladder`, `task`.
    pub(crate) fn tiny(&self) {
        self.run("prepare", &["--ref", "task", "roles", "--train", "200"]);
        self.run(
            "pretrain",
            &[
                "--world",
                "roles",
                "--steps",
                "20",
                "--checkpoints",
                "0,20",
                "--hidden",
                "16",
                "--batch",
                "8",
                "--ref",
                "ladder",
            ],
        );
    }

    /// A fine-tuned model on [`Bench::tiny`]'s ladder: ref `run/<seed>`.
    pub(crate) fn tiny_run(&self, seed: &str) {
        let name = format!("run/{seed}");
        let arguments = [
            "--checkpoint",
            "ladder:step-20",
            "--task",
            "task",
            "--steps",
            "10",
            "--seed",
            seed,
            "--ref",
            &name,
        ];
        self.run("finetune", &arguments);
    }

    /// The manifest that a ref points at.
    pub(crate) fn manifest(&self, reference: &str) -> serde_json::Value {
        let path = self.store().join("refs").join(format!("{reference}.json"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&bytes).expect("a manifest is JSON")
    }

    /// The file of an object that a ref's manifest names.
    pub(crate) fn object(&self, reference: &str, role: &str) -> PathBuf {
        let manifest = self.manifest(reference);
        let id = manifest["outputs"][role]["object"].as_str().expect("the role exists");
        self.store().join("objects").join(id)
    }

    /// Keys of all manifests, each with its outputs' objects: what a study computed.
    pub(crate) fn results(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut results = BTreeMap::new();
        for path in files(&self.store().join("manifests")) {
            let manifest: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("a manifest is JSON");
            let outputs = manifest["outputs"].as_object().expect("outputs by role");
            let objects = outputs.iter().map(|(role, output)| (role.clone(), output["object"].to_string()));
            results.insert(format!("{} {}", manifest["stage"], manifest["key"]), objects.collect());
        }
        results
    }

    /// The summary table of the study that was made.
    pub(crate) fn summary(&self) -> Vec<report::rows::Summary> {
        let bytes = std::fs::read(self.path("out/tables/summary.parquet")).expect("a summary");
        report::rows::Summary::read(&bytes).expect("of its schema")
    }

    /// Asserts that every byte in the store is what its name says, and that nothing partial is visible.
    pub(crate) fn assert_clean(&self) {
        let output = self.stage("store").args(["verify", "--json"]).output().expect("the program starts");
        assert!(
            output.status.success(),
            "the store is damaged:\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

/// All files under a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.expect("readable").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The program of a stage, as it was built for this test.
pub(crate) fn program(name: &str) -> Command {
    Command::new(programs().join(format!("samebasin-{name}")))
}

pub(crate) fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_samebasin")).parent().expect("in a folder").to_owned()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts that a command succeeded.
pub(crate) fn succeed(output: &Output) {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
