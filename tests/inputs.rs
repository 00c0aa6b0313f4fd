//! Files as people have them: they mean what they mean to the programs that wrote them, or are refused by name.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Bench, root, text};

const INPUT: i32 = 3;

fn write(bench: &Bench, name: &str, content: impl AsRef<[u8]>) {
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, content).expect("written");
}

/// Prepares the task of `SPEC` with files from the bench's folder.
fn prepare(bench: &Bench, specification: &str) -> std::process::Output {
    write(bench, "task.toml", specification);
    let mut command = bench.stage("prepare");
    command.args(["--json", "--ref", "task", "table"]).arg(bench.path("task.toml"));
    command.arg("--root").arg(bench.path("")).output().expect("it starts")
}

fn facts(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let manifest: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    manifest["facts"].clone()
}

#[test]
fn a_task_without_training_from_several_files_and_sides_of_one() {
    let bench = Bench::new();
    let rows = |from: usize| -> String {
        let row =
            |i: usize| format!("{i}\told\t\"he said \"\"{i}\"\"\"\tno\n{i}\tnew\t\"she said\n{i}\"\tyes\n");
        (from..from + 5).map(row).collect()
    };
    for (name, from) in [("reviews-0.tsv", 0), ("reviews-1.tsv", 5)] {
        write(&bench, name, format!("id\tside\ttext\tlabel\n{}", rows(from)));
    }
    let specification = r#"
        name = "sides"
        labels = ["no", "yes"]
        [defaults]
        file = "reviews-*.tsv"
        quotes = "rfc4180"
        text = "text"
        label = "label"
        [split.id]
        where = { side = "old" }
        [do.swap]
        pair = "id"
        base = { where = { side = "old" } }
        done = { where = { side = "new" } }
    "#;
    let found = facts(&prepare(&bench, specification));
    let expected = serde_json::json!({ "split.id": 10, "do.swap.base": 10, "do.swap.done": 10 });
    assert_eq!(found["examples"], expected);
    assert!(found.get("skipped").is_none() && found.get("contradictions").is_none());
    let train = bench.fails(INPUT, "finetune", &["--checkpoint", "task", "--task", "task"]);
    assert!(train.contains("split.id"), "{train}");
}

#[test]
fn what_is_left_out_and_what_repeats_is_told() {
    let bench = Bench::new();
    write(&bench, "q.tsv", "a\tb\ty\nx\tz\t1\nshort\nx\tz\t0\nw\tv\t1\n");
    let part = "file = \"q.tsv\"\ntext = \"a\"\ntext_b = \"b\"\nlabel = \"y\"\nskip_invalid = true\n";
    let specification = format!("name = \"q\"\nlabels = [\"0\", \"1\"]\n[train]\n{part}[val]\n{part}");
    write(&bench, "task.toml", &specification);
    let mut command = bench.stage("prepare");
    command.args(["--json", "table"]).arg(bench.path("task.toml")).arg("--root").arg(bench.path(""));
    let found = facts(&command.output().expect("it starts"));
    assert_eq!(found["examples"]["train"], 3);
    assert_eq!((&found["skipped"]["train"], &found["duplicates"]["train"]), (&1.into(), &1.into()));
    assert_eq!(found["contradictions"]["split.val"], 1);
    let strict = prepare(&bench, &specification.replace("skip_invalid = true\n", ""));
    assert_eq!(strict.status.code(), Some(INPUT));
    let message = text(&strict.stderr);
    assert!(message.contains("q.tsv, line 3: it has 1 cells, but there are 3 columns"), "{message}");
}

#[test]
fn running_text_is_found_in_tables() {
    let bench = Bench::new();
    let documents = ["the cat sat on the mat\n\nand slept", "a dog and the cats", "the mat sat on the dog"];
    let rows =
        |line: &dyn Fn(&str) -> String| -> String { documents.iter().map(|text| line(text)).collect() };
    write(&bench, "plain.txt", rows(&|text| format!("{text}\n\n")));
    write(&bench, "c4.jsonl", rows(&|text| format!("{}\n", serde_json::json!({ "text": text, "url": "x" }))));
    write(&bench, "c4.csv", format!("url,body\n{}", rows(&|text| format!("x,\"{text}\"\n"))));
    write(&bench, "c4.json.txt", rows(&|text| format!("{}\n", serde_json::json!({ "text": text }))));
    let corpus = |name: &str, more: &[&str]| {
        let mut command = bench.stage("prepare");
        command.args([
            "--json",
            "corpus",
            "--train",
            name,
            "--held-out",
            name,
            "--vocabulary",
            "60",
            "--root",
        ]);
        command.arg(bench.path("")).args(more).output().expect("it starts")
    };
    let plain = facts(&corpus("plain.txt", &[]));
    assert_eq!(facts(&corpus("c4.jsonl", &[])), plain);
    assert_eq!(facts(&corpus("c4.csv", &["--column", "body"])), plain);
    assert_eq!(facts(&corpus("c4.jsonl", &["--rows", "lines"])), plain);
    for (name, more, code, message) in [
        ("c4.csv", &[][..], INPUT, "it has no column `text`"),
        ("c4.json.txt", &[], INPUT, "holds JSON and not plain text"),
        ("plain.txt", &["--column", "text"], 2, "--column has no effect on plain text"),
    ] {
        let output = corpus(name, more);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
}

/// A model of the fixtures with a tokenizer of words, as refs `model` and `task`; the task's only row has this text.
fn model_and_row(bench: &Bench, family: &str, row: &str) {
    let fixture = root().join("tests/transformers").join(family);
    for name in ["config.json", "model.safetensors"] {
        write(bench, &format!("model/{name}"), std::fs::read(fixture.join(name)).expect("a fixture"));
    }
    let words = (0..40).map(|id| format!("\"w{id}\": {id}")).collect::<Vec<_>>().join(", ");
    let tokenizer = format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{{"id": 40, "content": "<extra>",
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}}], "normalizer": null,
        "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "post_processor": null, "decoder": null,
        "model": {{"type": "WordLevel", "vocab": {{{words}}}, "unk_token": "w0"}}}}"#
    );
    write(bench, "model/tokenizer.json", tokenizer);
    bench.run("fetch", &["--ref", "model", "folder", bench.path("model").to_str().expect("UTF-8")]);
    write(bench, "rows.jsonl", format!("{}\n", serde_json::json!({ "t": row, "y": "a" })));
    let part = "file = \"rows.jsonl\"\ntext = \"t\"\nlabel = \"y\"\n";
    let output = prepare(bench, &format!("name = \"r\"\nlabels = [\"a\", \"b\", \"c\"]\n[split.id]\n{part}"));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_a_model_cannot_read_is_named() {
    for (family, row, parts) in [
        ("gpt2", "", &["task part `split.id`: example `1`", "it has no token", "skip_empty = true"][..]),
        (
            "gpt2",
            "w3 <extra> w4",
            &["example `1`", "`<extra>` has the id 40", "knows 40 tokens and the tokenizer 41"],
        ),
        ("bert", "w1 <extra>", &["`<extra>`"]),
    ] {
        let bench = Bench::new();
        model_and_row(&bench, family, row);
        let message = bench.fails(INPUT, "evaluate", &["--model", "model", "--task", "task"]);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let bench = Bench::new();
    model_and_row(&bench, "gpt2", "w1 w2");
    bench.run("evaluate", &["--model", "model", "--task", "task"]);
}

#[test]
fn a_model_of_text_needs_a_tokenizer() {
    let bench = Bench::new();
    model_and_row(&bench, "gpt2", "w1 w2");
    std::fs::remove_file(bench.path("model/tokenizer.json")).expect("removed");
    let fetch = |name: &str| ["--ref", name, "folder"].map(str::to_owned).to_vec();
    let folder = bench.path("model").display().to_string();
    let mut without = fetch("bare");
    without.push(folder.clone());
    bench.run("fetch", &without.iter().map(String::as_str).collect::<Vec<_>>());
    let message = bench.fails(INPUT, "evaluate", &["--model", "bare", "--task", "task"]);
    assert!(message.contains("came without a tokenizer"), "{message}");
    write(&bench, "model/spiece.model", "");
    let message = bench.fails(INPUT, "fetch", &["folder", &folder]);
    assert!(message.contains("spiece.model is of SentencePiece"), "{message}");
}

#[test]
fn numbers_of_labels_are_told_as_labels() {
    let bench = Bench::new();
    model_and_row(&bench, "gpt2", "w1 w2");
    let part = "file = \"rows.jsonl\"\ntext = \"t\"\nlabel = \"y\"\n";
    prepare(&bench, &format!("name = \"r\"\nlabels = [\"a\", \"b\"]\n[split.id]\n{part}"));
    let message = bench.fails(INPUT, "evaluate", &["--model", "model", "--task", "task"]);
    assert!(message.contains("labels") && !message.contains("tensor"), "{message}");
}

/// The files of one script each are what it makes: names and sizes that the tests rely on.
#[test]
fn fixtures_stay_small() {
    fn size(path: &Path) -> u64 {
        if path.is_dir() {
            return std::fs::read_dir(path)
                .expect("a folder")
                .map(|entry| size(&entry.expect("an entry").path()))
                .sum();
        }
        path.metadata().expect("a file").len()
    }
    assert!(size(&root().join("tests/inputs")) < 1 << 20);
}
