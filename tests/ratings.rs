//! Labels that are numbers, from a file to a report.

use measures::scores::{expectations, pearson};
use report::rows::RunScore;
use stages::rows::PredictionRow;

use crate::harness::Bench;

/// Sentences of the embedded language, rated by their agent.
const SPEC: &str = r#"
    name = "rated"
    labels = ["0", "2.5", "5"]
    metric = "pearson"
    [train]
    file = "rows.tsv"
    text = "text"
    label = "rating"
    [val]
    file = "rows.tsv"
    text = "text"
    label = "rating"
    [split.id]
    file = "rows.tsv"
    text = "text"
    label = "rating"
"#;

#[test]
fn ratings_are_scored_by_their_correlation() {
    let bench = Bench::new();
    bench.tiny();
    // 0.9 is nearest to 0, 3.1 to 2.5; 5 is a label.
    let agents = [("kalo", "0.9"), ("malo", "3.1"), ("talo", "5")];
    let patients = ["salo", "seru", "simo", "sona", "supe", "savi"];
    let rows = agents.iter().flat_map(|(agent, rating)| {
        patients.iter().map(move |patient| format!("M0 {agent} garit {patient}\t{rating}\n"))
    });
    std::fs::write(bench.path("rows.tsv"), format!("text\trating\n{}", rows.collect::<String>()))
        .expect("written");
    std::fs::write(bench.path("rated.toml"), SPEC).expect("written");
    let (spec, root) = (bench.path("rated.toml"), bench.path(""));
    let arguments = ["table", spec.to_str().expect("UTF-8"), "--root", root.to_str().expect("UTF-8")];
    bench.run("prepare", &[&["--ref", "rated"], &arguments[..]].concat());
    let training = ["--checkpoint", "ladder:step-20", "--task", "rated", "--steps", "40", "--batch", "6"];
    bench.run("finetune", &[&["--ref", "run/rated"], &training[..]].concat());
    bench.run("evaluate", &["--model", "run/rated", "--task", "rated", "--ref", "scores"]);

    let table = std::fs::read(bench.object("scores", "predictions")).expect("a table");
    let mut predictions = PredictionRow::read(&table).expect("of its schema");
    predictions.retain(|row| row.split == "id");
    let right: Vec<f64> = predictions.iter().map(|row| [0.0, 2.5, 5.0][row.label as usize]).collect();
    assert_eq!(right, [[0.0; 6], [2.5; 6], [5.0; 6]].concat());
    let logits: Vec<f32> = predictions.iter().flat_map(|row| row.logits.clone()).collect();
    let expected = pearson(&expectations(&logits, &[0.0, 2.5, 5.0]), &right).expect("not constant");
    assert!(expected > 0.5, "three words are learned: {expected}");
    assert_eq!(bench.manifest("scores")["facts"]["pearson_id"].as_f64(), Some(expected));

    let out = bench.path("out").display().to_string();
    bench.run("report", &["--input", "scores", "--out", &out]);
    let table = std::fs::read(bench.path("out/tables/runs.parquet")).expect("a table");
    let runs = RunScore::read(&table).expect("of its schema");
    let run = runs.iter().find(|run| run.split == "id" && run.case.is_empty()).expect("a row");
    assert_eq!((run.metric.as_str(), run.score), ("pearson", Some(expected)));
}
