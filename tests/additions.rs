//! The key follows what is read: what is added to a finished study recomputes nothing that does not read it.

use std::collections::BTreeSet;

use crate::harness::Bench;

/// A task of one's own whose splits are samples of two files.
const TASK: &str = r#"
name = "tiny"
labels = ["no", "yes"]
[train]
file = "train.jsonl"
text = "a"
label = "y"
[val]
file = "rest.jsonl"
text = "a"
label = "y"
sample = { seed = 1, take = 8 }
[split.id]
file = "rest.jsonl"
text = "a"
label = "y"
sample = { seed = 1, skip = 8, take = 8 }
"#;

/// A finished study: two runs from one rung, their line, soup, evaluations, and a report.
struct Study {
    bench: Bench,
    /// `<stage> <key>` of all results that were seen.
    seen: BTreeSet<String>,
}

impl Study {
    fn new() -> Self {
        let bench = Bench::new();
        let rows = |n: usize| -> String {
            let words = ["kalo", "garit", "malo", "gobel", "talo"];
            (0..n)
                .map(|i| {
                    let text: Vec<&str> = (0..4).map(|k| words[(i * 7 + k * (i + 1)) % 5]).collect();
                    let label = if i % 2 == 0 { "no" } else { "yes" };
                    format!("{{\"a\": \"{}\", \"y\": \"{label}\"}}\n", text.join(" "))
                })
                .collect()
        };
        for (name, text) in [
            ("train.jsonl", rows(40)),
            ("rest.jsonl", rows(32)),
            ("task.toml", TASK.to_owned()),
            ("text.txt", "kalo garit malo\ntalo was garit by salo\n".repeat(40)),
        ] {
            std::fs::write(bench.path(name), text).expect("writable");
        }
        Self { bench, seen: BTreeSet::new() }
    }

    fn run(&self, command: &str) {
        let root = self.bench.path("").display().to_string();
        let command = command.replace("ROOT/", &root);
        let mut words = command.split_whitespace();
        let stage = words.next().expect("a stage");
        self.bench.run(stage, &words.collect::<Vec<_>>());
    }

    /// Runs every step of the study, and returns the stages of the results that are new, each as often as it ran.
    fn made(&mut self, checkpoints: &str, gauge: &str) -> Vec<String> {
        self.run(&format!(
            "pretrain --world roles --steps 20 --checkpoints {checkpoints} --hidden 16 --batch 8 --ref ladder"
        ));
        self.run(&format!("gauge --ladder ladder --text text.txt --root ROOT/ {gauge} --ref gauged"));
        self.run("prepare --ref task table ROOT/task.toml --root ROOT/");
        for seed in [0, 1] {
            self.run(&format!(
                "finetune --checkpoint gauged:step-20 --task task --steps 6 --batch 8 --seed {seed} --ref run/{seed}"
            ));
            self.run(&format!("evaluate --model run/{seed} --task task --ref scores/{seed}"));
        }
        self.run("interpolate --model run/0 run/1 --task task --split id --points 3 --ref lines");
        self.run("soup --model run/0 run/1 --task task --method greedy --ref soup");
        self.run("report --input scores/0 scores/1 lines soup gauged --ref report");
        let now: BTreeSet<String> = self.bench.results().into_keys().collect();
        let new = now
            .difference(&self.seen)
            .map(|result| result.split(' ').next().expect("a stage").trim_matches('"').to_owned());
        let new = new.collect();
        self.seen = now;
        new
    }

    fn write_task(&self, text: &str) {
        std::fs::write(self.bench.path("task.toml"), text).expect("writable");
    }
}

#[test]
fn what_is_added_recomputes_nothing_that_does_not_read_it() {
    let mut study = Study::new();
    let first = study.made("0,20", "--tokens 100");
    let count = |stage: &str| first.iter().filter(|made| *made == stage).count();
    assert_eq!(
        (count("pretrain-rung"), count("prepare-part"), count("finetune"), count("evaluate")),
        (2, 4, 2, 2),
        "{first:?}"
    );
    assert_eq!(study.made("0,20", "--tokens 100"), [""; 0], "a second run is found");

    // A further rung: itself, the ladder, its gauge, and the report that shows it.
    assert_eq!(study.made("0,10,20", "--tokens 100"), ["gauge", "pretrain", "pretrain-rung", "report"]);
    // Other text to measure on.
    assert_eq!(study.made("0,10,20", "--tokens 120"), ["gauge", "report"]);
    // A comment, and another order.
    let (head, tail) = TASK.split_at(TASK.find("[val]").expect("a section"));
    study.write_task(&format!("# what the task is for\n{head}\n# held out\n{tail}"));
    assert_eq!(study.made("0,10,20", "--tokens 120"), [""; 0]);
    // A further split: itself, the task that lists it, the evaluations that read all splits, and the report.
    let further = format!(
        "{TASK}[split.ood]\nfile = \"rest.jsonl\"\ntext = \"a\"\nlabel = \"y\"\nsample = {{ seed = 1, skip = 16, take = 8 }}\n"
    );
    study.write_task(&further);
    let made = study.made("0,10,20", "--tokens 120");
    assert_eq!(made, ["evaluate", "evaluate", "prepare", "prepare-part", "report"]);
    study.bench.assert_clean();
}

/// What each stage rests on, composed from what its parameters and inputs select. A method whose version is raised, or that
/// comes to rest on another, changes this table.
const VERSIONS: [(&str, &str); 10] = [
    ("pretrain-rung", "bert=1 kernels=2 random=1 roles=2 tables=1 training=1"),
    ("pretrain", "bert=1 kernels=2 random=1 roles=2 scores=1 scoring=1 tables=1 training=1"),
    ("gauge", "bert=1 convergence=1 corpus=1 encoding=2 kernels=2 random=1 scoring=1 tables=1"),
    ("prepare", "random=1 table=2 tables=1"),
    ("finetune", "bert=1 encoding=2 kernels=2 random=1 scores=1 scoring=1 tables=1 training=1"),
    ("evaluate", "bert=1 encoding=2 kernels=2 mechanism=1 random=1 scores=1 scoring=1 tables=1"),
    (
        "interpolate",
        "bert=1 distance=1 encoding=2 kernels=2 linear=1 path=1 random=1 scores=1 scoring=1 tables=1",
    ),
    (
        "interpolate-pair",
        "bert=1 distance=1 encoding=2 kernels=2 linear=1 path=1 random=1 scores=1 scoring=1 tables=1",
    ),
    ("soup", "bert=1 encoding=2 greedy=1 kernels=2 random=1 scores=1 scoring=1 tables=1 uniform=1"),
    (
        "report",
        "agreement=1 cluster=1 contrasts=1 course=1 effect=1 ensemble=1 equivalence=1 estimate=1 latent=1 logit_spread=1 \
         matched=1 matching=1 mechanism=1 multiplicity=1 planner=1 random=1 scores=1 selection=1 tables=1 trend=1 verdict=1",
    ),
];

#[test]
fn versions_are_composed_from_what_each_stage_rests_on() {
    let mut study = Study::new();
    study.made("0,20", "--tokens 100");
    for (stage, expected) in VERSIONS {
        let folder = study.bench.store().join("manifests").join(stage);
        let manifest = crate::harness::files(&folder).into_iter().next().expect("the stage ran");
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(manifest).expect("readable")).expect("JSON");
        let versions = manifest["parameters"]["versions"].as_object().expect("versions by name");
        let mut found: Vec<String> =
            versions.iter().map(|(name, version)| format!("{name}={version}")).collect();
        found.sort();
        assert_eq!(found.join(" "), expected, "{stage}");
    }
}

#[test]
fn parts_are_kept_by_what_lists_them_and_go_with_it() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    bench.tiny_run("1");
    bench.run(
        "interpolate",
        &["--model", "run/0", "run/1", "--task", "task", "--points", "3", "--ref", "lines"],
    );
    let refs: Vec<String> = crate::harness::files(&bench.store().join("refs"))
        .iter()
        .map(|path| path.strip_prefix(bench.store().join("refs")).expect("inside").display().to_string())
        .collect();
    assert_eq!(
        refs,
        ["ladder.json", "lines.json", "run/0.json", "run/1.json", "task.json"],
        "no hidden refs"
    );
    let before = bench.results();
    bench.run("store", &["gc", "--grace", "0"]);
    assert_eq!(bench.results(), before, "everything is reachable from what was asked for");

    // Runs are kept by the lines; the ladder's other rung and the task's other splits were kept by their lists.
    for name in ["ladder", "task", "run/0", "run/1"] {
        std::fs::remove_file(bench.store().join("refs").join(format!("{name}.json"))).expect("removable");
    }
    bench.run("store", &["gc", "--grace", "0"]);
    let left: Vec<String> = bench.results().into_keys().collect();
    let count = |stage: &str| left.iter().filter(|key| key.starts_with(&format!("\"{stage}\""))).count();
    assert_eq!((count("finetune"), count("interpolate-pair"), count("pretrain-rung")), (2, 1, 1), "{left:?}");
    assert_eq!(count("pretrain"), 0);
    bench.assert_clean();
}

/// What an origin is called in `config.json` decides nothing.
#[test]
fn another_name_of_an_origin_is_the_same_model() {
    let bench = Bench::new();
    bench.tiny();
    for name in ["one", "two"] {
        let folder = bench.path(name);
        std::fs::create_dir(&folder).expect("creatable");
        for (role, file) in [("step-20", "model.safetensors"), ("tokenizer", "tokenizer.json")] {
            std::fs::copy(bench.object("ladder", role), folder.join(file)).expect("copied");
        }
        let config = std::fs::read_to_string(bench.object("ladder", "config")).expect("readable");
        let mut config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
        config["_name_or_path"] = name.into();
        config["transformers_version"] = if name == "one" { "4.40.0" } else { "5.1.0" }.into();
        std::fs::write(folder.join("config.json"), config.to_string()).expect("writable");
    }
    let fetch = |name: &str| {
        bench.run("fetch", &["--ref", name, "folder", bench.path(name).to_str().expect("UTF-8")])
    };
    assert_eq!(fetch("one"), fetch("two"));
}
