//! A study that `samebasin init` writes runs to its end.

use std::path::Path;
use std::process::Output;

use crate::harness::{Bench, program, succeed, text};

fn init(arguments: &[&str]) -> Output {
    program("init").args(arguments).output().expect("it starts")
}

fn smoke(folder: &Path) -> Output {
    let mut make = std::process::Command::new("make");
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").arg("-C").arg(folder).arg("smoke");
    make.output().expect("make starts")
}

#[test]
fn a_study_of_the_embedded_language() {
    let bench = Bench::new();
    let folder = bench.path("mine");
    succeed(&init(&[&folder.display().to_string(), "--engine", "snakemake"]));
    succeed(&smoke(&folder));
    let page = std::fs::read_to_string(folder.join("out-smoke/report.html")).expect("a page");
    assert!(page.contains("mine") && folder.join("study.smk").exists());
    // It is there now, and is not written over.
    let again = init(&[&folder.display().to_string()]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("not empty"), "{}", text(&again.stderr));
}

#[test]
fn a_study_of_own_data_on_a_ladder_of_own_text() {
    let bench = Bench::new();
    let write = |name: &str, content: String| {
        let path = bench.path(name);
        std::fs::write(&path, content).expect("writable");
        path.display().to_string()
    };
    let words = ["red", "green", "blue", "old", "new", "small", "large", "house", "tree", "river"];
    let sentence = |i: usize| format!("the {} {} is {}", words[i % 7], words[7 + i % 3], words[(i + 3) % 7]);
    let prose =
        |from: usize| (from..from + 400).map(|i| sentence(i * 13 + i / 7) + ".\n").collect::<String>();
    let rows = |from: usize| {
        let row = |i: usize| format!("{},{}\n", sentence(i), if i.is_multiple_of(3) { "yes" } else { "no" });
        "question,answer\n".to_owned() + &(from..from + 120).map(row).collect::<String>()
    };
    let (train, ood) = (write("train.csv", rows(0)), write("ood.csv", rows(1_000)));
    let (corpus, held_out) = (write("corpus.txt", prose(0)), write("held-out.txt", prose(5_000)));
    let folder = bench.path("own").display().to_string();
    let data = ["--train", &train, "--ood", &ood, "--text", "question", "--label", "answer"];
    let ladder = ["--pretrain", &corpus, "--held-out", &held_out, "--rungs", "0,60"];
    succeed(&init(&[&[folder.as_str()], &data[..], &ladder[..]].concat()));
    succeed(&smoke(Path::new(&folder)));
    assert!(Path::new(&folder).join("out-smoke/tables/summary.parquet").exists());

    // What does not fit is said before anything is written.
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let folder = bench.path("other").display().to_string();
        let output = init(&[&[folder.as_str()], arguments].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert!(!Path::new(&folder).exists());
    };
    refused(&data, 2, "--ladder, or --pretrain");
    refused(&ladder, 2, "--train and --ood");
    refused(&["--train", &train, "--ood", &ood, "--label", "answer"], 3, "no column `text`");
    refused(&[&data[..], &["--ladder", "pythia-70m", "--held-out", &held_out]].concat(), 2, "--rungs");
    let strange = write("strange.csv", rows(0).replace(",yes", ",maybe"));
    refused(
        &[&["--train", &train, "--ood", &strange, "--text", "question", "--label", "answer"], &ladder[..]]
            .concat(),
        3,
        "has the label `maybe`",
    );
}
