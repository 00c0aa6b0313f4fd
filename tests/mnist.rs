//! Images from files, a cue planted in them, and the study of MNIST whose direction is known.

use std::path::Path;

use crate::harness::{Bench, succeed, text};

/// An IDX file.
fn idx(path: &Path, sizes: &[u32], values: &[u8]) {
    let sizes_bytes = sizes.iter().flat_map(|size| size.to_be_bytes());
    let header = [0, 0, 8, sizes.len() as u8].into_iter().chain(sizes_bytes);
    std::fs::write(path, header.chain(values.iter().copied()).collect::<Vec<u8>>()).expect("written");
}

const SPEC: &str = r#"
name = "bars"
labels = ["no", "yes"]
map = { 0 = "no", 1 = "yes" }

[train]
images = "images"
labels = "labels"
range = [0, 100]
sample = { seed = 0, take = 60 }

[val]
images = "images"
labels = "labels"
range = [0, 100]
sample = { seed = 0, skip = 60, take = 40 }

[split.id]
images = "images"
labels = "labels"
range = [100, 160]

[cue]
strength = 0.9
mark.patch = { height = 1, width = 1, value = 1.0, at = { no = [0, 0], yes = [0, 3] } }
"#;

/// A hundred and sixty images of 4 x 4: a bright row 2 or 3 is the rule; a task file beside them.
fn bars(bench: &Bench) {
    let image = |number: u32| -> Vec<u8> {
        let (label, mut image) = (number % 2, vec![0; 16]);
        image[8 + 4 * label as usize..][..4].fill(200);
        image[4] = number as u8;
        image
    };
    idx(&bench.path("images"), &[160, 4, 4], &(0..160).flat_map(image).collect::<Vec<u8>>());
    idx(&bench.path("labels"), &[160], &(0..160).map(|number| (number % 2) as u8).collect::<Vec<u8>>());
    std::fs::write(bench.path("bars.toml"), SPEC).expect("written");
}

fn prepare<'a>(bench: &'a Bench, reference: &'a str, root: &'a str, spec: &'a str) -> [String; 6] {
    let spec = bench.path(spec).display().to_string();
    ["--ref", reference, "images", &spec, "--root", root].map(str::to_owned)
}

fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn images_are_pretrained_on_and_fine_tuned_on_and_the_strength_is_a_flag() {
    let bench = Bench::new();
    bars(&bench);
    let root = bench.path("").display().to_string();
    let arguments = prepare(&bench, "task", &root, "bars.toml");
    bench.run("prepare", &refs(&arguments));
    let task = bench.manifest("task");
    assert_eq!(task["facts"]["images"]["values"], "byte / 255");
    assert_eq!(task["facts"]["images"]["height"], 4);
    assert_eq!(task["facts"]["overlap_with_train"]["id"], 0);
    assert_eq!(task["facts"]["labels"]["split.id"]["yes"], 30);
    for split in ["id", "ood", "cue-right", "cue-absent", "random-content", "val"] {
        assert!(task["outputs"][format!("split.{split}")].is_object(), "{split}");
    }

    // A stronger cue is another training set and another `id`, and nothing else.
    let arguments = prepare(&bench, "strong", &root, "bars.toml");
    bench.run("prepare", &[&refs(&arguments)[..], &["--strength", "1"]].concat());
    let strong = bench.manifest("strong");
    let roles = task["outputs"].as_object().expect("outputs").keys();
    let changed: Vec<&String> =
        roles.filter(|role| task["outputs"][*role]["from"] != strong["outputs"][*role]["from"]).collect();
    assert_eq!(changed, ["split.id", "split.val", "train"]);

    let ladder =
        "--world images --images task --steps 60 --checkpoints 0,60 --hidden 16 --batch 16 --ref ladder";
    bench.run("pretrain", &ladder.split(' ').collect::<Vec<_>>());
    for seed in ["0", "1"] {
        let run = format!("run/{seed}");
        let run_flags = format!(
            "--checkpoint ladder:step-60 --task strong --steps 30 --batch 16 --seed {seed} --ref {run}"
        );
        bench.run("finetune", &run_flags.split(' ').collect::<Vec<_>>());
        bench.run("evaluate", &["--model", &run, "--task", "strong", "--ref", &format!("scores/{seed}")]);
    }
    let accuracy = bench.manifest("scores/0")["facts"]["accuracy_cue-right"].as_f64().expect("a number");
    assert!(accuracy > 0.9, "{accuracy}");

    // Results that a file names are those of the command line.
    std::fs::write(bench.path("list"), "scores/0\n\nscores/1\n").expect("written");
    let list = bench.path("list").display().to_string();
    let listed = bench.run("report", &["--inputs", &list]);
    assert_eq!(listed, bench.run("report", &["--input", "scores/1", "scores/0"]));
    std::fs::write(bench.path("list"), "scores/0\nscores/2\n").expect("written");
    assert!(bench.fails(3, "report", &["--inputs", &list]).contains("scores/2"));
}

#[test]
fn files_and_flags_that_lie_are_refused() {
    let bench = Bench::new();
    bars(&bench);
    let root = bench.path("").display().to_string();
    let fails = |code: i32, spec: &str, more: &[&str]| {
        std::fs::write(bench.path("other.toml"), spec).expect("written");
        let arguments = prepare(&bench, "other", &root, "other.toml");
        bench.fails(code, "prepare", &[&refs(&arguments)[..], more].concat())
    };
    assert!(fails(2, SPEC, &["--strength", "1.5"]).contains("--strength"));
    let plain = SPEC.split("[cue]").next().expect("a part");
    assert!(fails(2, plain, &["--strength", "1"]).contains("no [cue]"));
    let whole = SPEC.replace("sample = { seed = 0, take = 60 }", "");
    assert!(fails(2, &whole, &["--draw", "1"]).contains("no `sample`"));
    assert!(fails(3, &SPEC.replace("strength = 0.9", "strength = -0.1"), &[]).contains("between 0 and 1"));
    assert!(fails(3, &SPEC.replace("yes = [0, 3]", "yes = [0, 4]"), &[]).contains("does not fit"));
    assert!(fails(3, &SPEC.replace("\"images\"", "\"nothing\""), &[]).contains("nothing"));

    let images = std::fs::read(bench.path("images")).expect("readable");
    std::fs::write(bench.path("images"), &images[..1_000]).expect("written");
    let message = fails(3, SPEC, &[]);
    assert!(message.contains("states sizes [160, 4, 4], 2560 values, but it ends after 984"), "{message}");

    let message = bench.fails(2, "pretrain", &["--world", "images"]);
    assert!(message.contains("--world images needs --images"), "{message}");
    bench.run("prepare", &["--ref", "roles", "roles", "--train", "20"]);
    assert!(
        bench.fails(2, "pretrain", &["--world", "roles", "--images", "roles"]).contains("--world images")
    );
    let message = bench.fails(3, "pretrain", &["--world", "images", "--images", "roles"]);
    assert!(message.contains("no result of `prepare images`"), "{message}");
}

/// Where the cue is always right, pretraining makes two seeds agree less out of distribution; where one image in ten
/// contradicts it, it does not. The smallest study that can show it.
#[test]
fn on_mnist_the_effect_of_pretraining_depends_on_ambiguity() {
    if std::env::var_os("SAMEBASIN_DATA").is_none() {
        eprintln!("skipped: SAMEBASIN_DATA is not set");
        return;
    }
    let bench = Bench::new();
    let output = bench.make("mnist", "smoke", 2).output().expect("make starts");
    succeed(&output);
    assert!(text(&output.stdout).contains("pretrain"));
    let summary = bench.summary();
    let change = summary
        .iter()
        .find(|row| row.measure == "ood_agreement" && row.kind == "(last - first) - default")
        .expect("an interaction");
    assert!(change.arm.contains("cue strength = 1"), "{}", change.arm);
    assert!(change.estimate < -0.03, "the interaction is {}", change.estimate);
    let at = |measure: &str, arm: &str, step: u64| {
        let here = |row: &&report::rows::Summary| {
            row.measure == measure && row.kind == "rung" && row.step == Some(step) && row.arm.contains(arm)
        };
        summary.iter().find(here).unwrap_or_else(|| panic!("no {measure} at {step}")).estimate
    };
    assert!(at("ood_agreement", "strength = 1", 0) > 0.95);
    assert!(at("ood_accuracy", "strength = 1", 0) < 0.1, "only the cue is learned");
    assert!(
        at("ood_accuracy", "default", 3_000) > 0.6,
        "the rule is learned where the cue is not always right"
    );
}
