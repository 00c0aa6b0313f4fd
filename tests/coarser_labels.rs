//! A model of three labels is scored on questions that know two.

use std::collections::BTreeSet;

use measures::pooling::{Rule, pool};
use stages::rows::{PathRow, PredictionRow, ScoreRow};

use crate::harness::{Bench, succeed};

/// Sentences of the embedded language with one of three labels; the split `ood` holds the same rows as `id`, with the
/// last two labels pooled.
const SPEC: &str = r#"
    name = "three"
    labels = ["a", "b", "c"]
    [train]
    file = "rows.tsv"
    text = "text"
    label = "label"
    [val]
    file = "rows.tsv"
    text = "text"
    label = "label"
    [split.id]
    file = "rows.tsv"
    text = "text"
    label = "label"
    [split.ood]
    file = "rows.tsv"
    text = "text"
    label = "label"
    case = "label"
    map = { a = "a", b = "rest", c = "rest" }
    pool = { by = "BY", labels = { rest = ["b", "c"] } }
"#;

fn prepared(by: &str) -> Bench {
    let bench = Bench::new();
    bench.tiny();
    let nouns = ["kalo", "malo", "talo", "salo", "keru", "meru"];
    let row = |i: usize| {
        format!("{} garit {}\t{}\n", nouns[i % 6], nouns[(i / 6 + i + 1) % 6], ["a", "b", "c"][i % 3])
    };
    let rows: String = (0..36).map(row).collect();
    std::fs::write(bench.path("rows.tsv"), format!("text\tlabel\n{rows}")).expect("written");
    std::fs::write(bench.path("three.toml"), SPEC.replace("BY", by)).expect("written");
    let (spec, root) = (bench.path("three.toml"), bench.path(""));
    let arguments = ["table", spec.to_str().expect("UTF-8"), "--root", root.to_str().expect("UTF-8")];
    bench.run("prepare", &[&["--ref", "three"], &arguments[..]].concat());
    for seed in ["0", "1"] {
        let name = format!("three/{seed}");
        let arguments = [
            "--checkpoint",
            "ladder:step-20",
            "--task",
            "three",
            "--steps",
            "10",
            "--seed",
            seed,
            "--ref",
            &name,
        ];
        bench.run("finetune", &arguments);
    }
    bench
}

fn checked(by: &str, rule: Rule) {
    let bench = prepared(by);
    bench.run("evaluate", &["--model", "three/0", "--task", "three", "--ref", "scores"]);
    let table = |reference: &str, role: &str| std::fs::read(bench.object(reference, role)).expect("a table");
    let rows = PredictionRow::read(&table("scores", "predictions")).expect("of its schema");
    let of = |split: &str| -> Vec<&PredictionRow> { rows.iter().filter(|row| row.split == split).collect() };
    let (fine, coarse) = (of("id"), of("ood"));
    assert_eq!((fine.len(), coarse.len()), (36, 36));
    for (fine, coarse) in fine.iter().zip(&coarse) {
        assert_eq!((fine.label_order.as_str(), coarse.label_order.as_str()), ("a|b|c", "a|rest"));
        assert_eq!(coarse.logits, pool(&fine.logits, &[0, 1, 1], rule));
        assert_eq!(coarse.label, fine.label.min(1));
    }
    let scores = ScoreRow::read(&table("scores", "scores")).expect("of its schema");
    let right = coarse.iter().filter(|row| row.label == row.prediction).count() as f64 / 36.0;
    let ood = scores.iter().find(|row| row.split == "ood" && row.case.is_empty()).expect("a score");
    assert!((ood.accuracy - right).abs() < 1e-12);
    assert!((ood.majority - 2.0 / 3.0).abs() < 1e-12, "of the two labels, not of the three");

    // The ends of a line are scored as the models are.
    bench.run(
        "interpolate",
        &["--model", "three/0", "three/1", "--task", "three", "--points", "3", "--ref", "lines"],
    );
    let run = bench.manifest("three/0")["key"].as_str().expect("a key").to_owned();
    let paths = PathRow::read(&table("lines", "paths")).expect("of its schema");
    let end = paths.iter().find(|point| {
        point.split == "ood"
            && ((point.alpha == 0.0 && point.run_a == run) || (point.alpha == 1.0 && point.run_b == run))
    });
    let end = end.expect("an end");
    assert_eq!((end.loss, end.accuracy), (ood.loss, ood.accuracy));

    // Only what scores the split depends on how its labels pool.
    let inputs = |reference: &str| bench.manifest(reference)["inputs"].to_string();
    assert!(inputs("scores").contains("pool.split.ood") && inputs("lines").contains("pool.split.ood"));
    assert!(!inputs("three/0").contains("pool."));
}

#[test]
fn the_largest_logit_stands_for_all() {
    checked("max", Rule::Max);
}

#[test]
fn probabilities_are_summed() {
    checked("sum", Rule::Sum);
}

#[test]
fn a_task_without_pools_has_no_trace_of_them() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    bench.run("evaluate", &["--model", "run/0", "--task", "task", "--ref", "scores"]);
    for reference in ["task", "scores"] {
        assert!(!bench.manifest(reference).to_string().contains("pool"), "{reference}");
    }
}

/// The plumbing of `pipelines/hans`, from files to a report.
#[test]
fn the_study_of_hans_runs() {
    if std::env::var_os("SAMEBASIN_DATA").is_none() {
        eprintln!("skipped: SAMEBASIN_DATA is not set");
        return;
    }
    let bench = Bench::new();
    succeed(&bench.make("hans", "smoke", 2).output().expect("make starts"));
    let table = std::fs::read(bench.path("out/tables/runs.parquet")).expect("runs");
    let runs = report::rows::RunScore::read(&table).expect("of its schema");
    for split in ["ood", "ours"] {
        let cases: BTreeSet<&str> =
            runs.iter().filter(|run| run.split == split).map(|run| run.case.as_str()).collect();
        assert_eq!(cases.len(), 31, "the whole of `{split}`, and every sub-case");
    }
    assert!(runs.iter().all(|run| run.metric == "accuracy" && run.score == Some(run.accuracy)));
    bench.assert_clean();
}
