//! Tables alone make the page, and the page that documents them is what the program prints.

use std::path::Path;

use report::rows::{PairSplit, RunScore};

use crate::harness::{Bench, files, program, root, text};

/// A report on two runs from one checkpoint, in `FOLDER`.
fn study() -> Bench {
    let bench = Bench::new();
    bench.tiny();
    for seed in ["0", "1"] {
        bench.tiny_run(seed);
        let (model, scores) = (format!("run/{seed}"), format!("scores/{seed}"));
        bench.run("evaluate", &["--model", &model, "--task", "task", "--ref", &scores]);
    }
    bench.run(
        "interpolate",
        &["--model", "run/0", "run/1", "--task", "task", "--points", "3", "--ref", "lines"],
    );
    let out = bench.path("out").display().to_string();
    bench.run("report", &["--input", "scores/0", "scores/1", "lines", "--out", &out, "--ref", "report"]);
    bench
}

/// The page without what says where it comes from: its key and the section that counts its inputs.
fn without_origin(page: &str) -> (String, String) {
    let start = page.find("<h2>How to make it again</h2>").expect("a section");
    let end = page.find("<h3>The tables behind it</h3>").expect("a heading");
    let tail = page.rfind("<footer>").expect("a footer");
    (page[..start].to_owned(), page[end..tail].to_owned())
}

fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("report.html")).expect("a report")
}

/// `report --tables`, which must not look for a store.
fn from_tables(tables: &Path, out: &Path) -> std::process::Output {
    let mut command = program("report");
    command.args(["--store", "/nowhere/at/all", "--tables"]).arg(tables).arg("--out").arg(out);
    command.output().expect("it starts")
}

#[test]
fn tables_alone_make_the_page() {
    let bench = study();
    let (tables, again) = (bench.path("out/tables"), bench.path("again"));
    let output = from_tables(&tables, &again);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), again.join("report.html").display().to_string());
    let (first, second) = (page(&bench.path("out")), page(&again));
    assert!(without_origin(&first) == without_origin(&second), "the pages differ");
    let key = bench.manifest("report")["key"].as_str().expect("a key").to_owned();
    assert!(first.contains(&key) && !second.contains(&key));
    // One rung is neither early nor late: the largest number that a machine has is no step.
    for largest in ["18446744073709551615", "18,446,744,073,709,551,615"] {
        assert!(!first.contains(largest) && !second.contains(largest));
    }
    // Beside the page lie all tables, to the byte.
    let bytes = |folder: &Path| -> Vec<Vec<u8>> {
        files(folder).iter().map(|file| std::fs::read(file).expect("readable")).collect()
    };
    assert!(bytes(&tables) == bytes(&again.join("tables")), "the tables differ");
    // In place, the tables that were read stay as they are.
    let before = bytes(&tables);
    assert!(from_tables(&tables, &bench.path("out")).status.success());
    assert!(bytes(&tables) == before && page(&bench.path("out")) == second);
}

#[test]
fn tables_that_are_not_what_they_should_be_are_named() {
    let bench = study();
    let (folder, out) = (bench.path("out/tables"), bench.path("again"));
    let refused = |code: i32| {
        let output = from_tables(&folder, &out);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(!stderr.contains("panicked") && output.stdout.is_empty(), "{stderr}");
        stderr
    };
    let runs = std::fs::read(folder.join("runs.parquet")).expect("runs");
    let pairs = std::fs::read(folder.join("pairs.parquet")).expect("pairs");
    // The table of one kind under the name of the other: it lacks columns.
    std::fs::write(folder.join("runs.parquet"), &pairs).expect("writable");
    let message = refused(3);
    assert!(
        message.contains("table `runs`") && message.contains("column `run` (text) is missing"),
        "{message}"
    );
    std::fs::write(folder.join("runs.parquet"), &runs[..runs.len() / 2]).expect("writable");
    assert!(refused(3).contains("table `runs`"));
    std::fs::write(folder.join("runs.parquet"), &runs).expect("writable");
    assert!(
        !RunScore::read(&runs).expect("runs").is_empty()
            && !PairSplit::read(&pairs).expect("pairs").is_empty()
    );
    for name in ["runs", "pairs"] {
        std::fs::remove_file(folder.join(format!("{name}.parquet"))).expect("removable");
    }
    assert!(refused(3).contains("has no table of a study"));
    // Two sources, none, or a flag without effect.
    for arguments in [
        &["--tables", "a", "--input", "b", "--out", "c"][..],
        &["--out", "c"],
        &["--tables", "a"],
        &["--tables", "a", "--out", "c", "--ref", "d"],
    ] {
        bench.fails(2, "report", arguments);
    }
}

#[test]
fn the_page_of_tables_is_what_the_program_prints() {
    let printed = |arguments: &[&str]| {
        let output = program("report").args(arguments).output().expect("it starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let page = std::fs::read_to_string(root().join("docs/reference/tables.md")).expect("the page");
    assert!(
        page == printed(&["--schema"]),
        "the page is not what the program prints: see the tests of `report::schema`"
    );
    let json: serde_json::Value = serde_json::from_str(&printed(&["--schema", "--json"])).expect("JSON");
    let tables = json.as_array().expect("a list");
    assert!(tables.len() >= report::TABLES.len());
    for table in tables {
        let name = table["table"].as_str().expect("a name");
        assert!(page.contains(&format!("### `{name}`")), "{name}");
        for column in table["columns"].as_array().expect("columns") {
            let name = column["name"].as_str().expect("a name");
            assert!(page.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
