//! What scripts rely on: help, dry runs with reasons, JSON, exit codes.

use crate::harness::{Bench, program, text};

const STAGES: [&str; 7] = ["prepare", "pretrain", "finetune", "interpolate", "soup", "evaluate", "report"];

#[test]
fn every_stage_explains_itself() {
    for stage in STAGES {
        let help = program(stage).arg("--help").output().expect("it starts");
        assert!(help.status.success());
        let help = text(&help.stdout);
        for part in [&format!("samebasin {stage}"), "--store", "--dry-run", "--json", "Exit codes"] {
            assert!(help.contains(part), "{stage} --help lacks {part}:\n{help}");
        }
        assert!(
            !help.starts_with("Where results go"),
            "{stage} --help opens with words that are not its own:\n{help}"
        );
        let wrong = program(stage).arg("--no-such-flag").output().expect("it starts");
        assert_eq!(wrong.status.code(), Some(2), "{stage}");
    }
}

#[test]
fn the_front_door_becomes_the_stage() {
    let door = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_samebasin"))
            .args(arguments)
            .output()
            .expect("it starts")
    };
    let help = door(&["--help"]);
    assert!(help.status.success());
    for stage in STAGES {
        assert!(text(&help.stdout).contains(stage));
        assert_eq!(
            door(&[stage, "--help"]).stdout,
            program(stage).arg("--help").output().expect("it starts").stdout
        );
    }
    assert_eq!(door(&["pretain"]).status.code(), Some(2));
    assert_eq!(door(&[]).status.code(), Some(2));
}

#[test]
fn a_dry_run_says_hit_or_what_changed() {
    let bench = Bench::new();
    bench.tiny();
    let plan = |arguments: &[&str]| {
        let mut all =
            vec!["--checkpoint", "ladder:step-20", "--task", "task", "--ref", "run", "--steps", "5"];
        all.extend(arguments);
        bench.run("finetune", &all)
    };
    assert!(plan(&["--dry-run"]).starts_with("run "));
    let key = plan(&[]).trim().to_owned();
    assert_eq!(plan(&["--dry-run"]).trim(), format!("hit {key}"));
    let changed = plan(&["--dry-run", "--learning-rate", "0.002"]);
    assert!(
        changed.starts_with("run ") && changed.contains("learning_rate") && changed.contains("0.002"),
        "{changed}"
    );
    // A change far upstream is traced to its root.
    bench.run("prepare", &["--ref", "task", "roles", "--train", "200", "--disambiguating", "0.25"]);
    let changed = plan(&["--dry-run"]);
    assert!(changed.contains("disambiguating") && changed.contains("0.25"), "{changed}");
    let json: serde_json::Value = serde_json::from_str(&plan(&["--dry-run", "--json"])).expect("JSON");
    assert_eq!(json["plan"], "run");
}

/// `--ambiguity` meant its opposite; who still says it is told, and gets what they had.
#[test]
fn a_former_name_is_understood_and_said() {
    let bench = Bench::new();
    let key = bench.run("prepare", &["roles", "--train", "50", "--disambiguating", "0.25"]);
    let mut former = program("prepare");
    former.arg("--store").arg(bench.store()).args(["roles", "--train", "50", "--ambiguity", "0.25"]);
    let output = former.output().expect("it starts");
    assert_eq!(text(&output.stdout), key);
    assert!(text(&output.stderr).contains("--ambiguity is now called --disambiguating"));
    bench.fails(2, "prepare", &["roles", "--ambiguity", "0.25", "--disambiguating", "0.25"]);
    assert!(
        !text(&program("prepare").args(["roles", "--help"]).output().expect("it starts").stdout)
            .contains("--ambiguity")
    );
}

#[test]
fn the_key_and_the_manifest_are_printed_on_stdout() {
    let bench = Bench::new();
    let key = bench.run("prepare", &["roles", "--train", "50"]);
    assert_eq!(key.trim().len(), 64);
    let manifest: serde_json::Value =
        serde_json::from_str(&bench.run("prepare", &["--json", "roles", "--train", "50"])).expect("JSON");
    assert_eq!(manifest["key"], key.trim());
    assert_eq!(manifest["parameters"]["kind"]["roles"]["train"], 50);
    assert_eq!(manifest["facts"]["examples"]["train"], 50);
}

#[test]
fn the_store_can_be_looked_into() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    bench.tiny_run("1");
    assert!(bench.run("store", &["list"]).contains("run/0"));
    assert!(bench.run("store", &["show", "run/0"]).contains("finetune"));
    let why = bench.run("store", &["explain", "run/0", "run/1"]);
    assert!(why.contains("head_seed") && why.contains("order_seed"), "{why}");
    let history = bench.run("store", &["history", "run/0"]);
    assert!(
        history.contains("pretrain") && history.contains("prepare") && history.contains("─"),
        "{history}"
    );
    assert!(bench.run("store", &["du"]).contains("pretrain"));
    let freed: serde_json::Value =
        serde_json::from_str(&bench.run("store", &["gc", "--dry-run", "--json"])).expect("JSON");
    assert!(freed.is_object(), "{freed}");
    for command in [
        &["list"][..],
        &["show", "run/0"],
        &["explain", "run/0", "run/1"],
        &["history", "run/0"],
        &["verify"],
        &["du"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--json");
        let printed = bench.run("store", &arguments);
        serde_json::from_str::<serde_json::Value>(&printed)
            .unwrap_or_else(|error| panic!("{command:?}: {error}\n{printed}"));
    }
}

/// A preset stands for its values, and a word of one's own goes before it.
#[test]
fn a_preset_is_its_values() {
    let bench = Bench::new();
    bench.tiny();
    let run = |name: &str, more: &[&str]| {
        let arguments = ["--checkpoint", "ladder:step-20", "--task", "task", "--steps", "5", "--ref", name];
        bench.run("finetune", &[&arguments, more].concat());
        bench.manifest(name)["parameters"].clone()
    };
    let plain = run("plain", &[]);
    let feather = run("feather", &["--preset", "feather", "--beta2", "0.98"]);
    let changed: Vec<(&str, String)> = feather
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, value)| plain.get(name.as_str()) != Some(value))
        .map(|(name, value)| (name.as_str(), value.to_string()))
        .collect();
    let expected = [
        ("beta2", "0.98"),
        ("dropout", "0.1"),
        ("epsilon", "1e-6"),
        ("head_truncated", "true"),
        ("learning_rate", "2e-5"),
        ("max_length", "128"),
        ("no_bias_correction", "true"),
        ("shuffle_window", "100"),
    ];
    let number = |text: &str| text.parse::<f64>().map_or(text.to_owned(), |number| number.to_string());
    let changed: Vec<(&str, String)> = changed.iter().map(|(name, text)| (*name, number(text))).collect();
    assert_eq!(changed, expected.map(|(name, text)| (name, number(text))));
    let biases = run("biases", &["--train", "biases"]);
    assert_eq!(biases["train"], "biases");
}
