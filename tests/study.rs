//! A whole study: it runs, it is found again, and its bytes do not depend on the number of threads.

use std::time::Instant;

use crate::harness::{Bench, files, succeed, text};

#[test]
fn a_study_ends_in_a_report_and_is_found_again() {
    let bench = Bench::new();
    succeed(&bench.make("world", "smoke", 2).output().expect("make starts"));
    let html = std::fs::read_to_string(bench.path("out/report.html")).expect("a report");
    assert!(html.contains("<svg"), "figures are inline");
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!html.contains(outside), "the report needs the network: {outside}");
    }
    let folder = bench.path("out/tables");
    let mut tables: Vec<String> = files(&folder)
        .iter()
        .map(|path| {
            path.strip_prefix(&folder).expect("inside").with_extension("").to_string_lossy().into_owned()
        })
        .map(|path| path.split('/').next().expect("a name").to_owned())
        .collect();
    tables.dedup();
    let expected = [
        "cells",
        "correlations",
        "facts",
        "interventions",
        "items",
        "ladder",
        "pairs",
        "paths",
        "predictions",
        "runs",
        "selection",
        "soups",
        "spreads",
        "summary",
    ];
    assert_eq!(tables, expected);

    let before = bench.results();
    let start = Instant::now();
    let again = bench.make("world", "smoke", 2).output().expect("make starts");
    succeed(&again);
    assert_eq!(bench.results(), before);
    assert!(
        !text(&again.stdout).contains("finetune"),
        "a second run ran a stage again:\n{}",
        text(&again.stdout)
    );
    eprintln!("second run: {:.2} s", start.elapsed().as_secs_f64());

    // A flag on Make's command line is seen, and computes what depends on it alone.
    let finer = bench.make("world", "smoke", 2).arg("POINTS=7").output().expect("make starts");
    succeed(&finer);
    let added: Vec<String> = bench.results().into_keys().filter(|key| !before.contains_key(key)).collect();
    assert!(!added.is_empty());
    for key in &added {
        assert!(
            key.starts_with("\"interpolate") || key.starts_with("\"report"),
            "{key} does not depend on POINTS"
        );
    }
    succeed(&bench.make("world", "smoke", 2).output().expect("make starts"));
    let before = bench.results();

    // Without the refs nothing is up to date for Make, and yet everything is found.
    std::fs::remove_dir_all(bench.store().join("refs")).expect("removable");
    std::fs::create_dir(bench.store().join("refs")).expect("creatable");
    succeed(&bench.make("world", "smoke", 2).output().expect("make starts"));
    assert_eq!(bench.results(), before, "a replay made new results");
    bench.assert_clean();
}

#[test]
fn one_thread_or_two_the_same_keys_and_bytes() {
    let run = |threads: &str, jobs: usize| {
        let bench = Bench::new();
        succeed(
            &bench
                .make("world", "smoke", jobs)
                .arg(format!("THREADS={threads}"))
                .output()
                .expect("make starts"),
        );
        (bench.results(), std::fs::read(bench.path("out/report.html")).expect("a report"))
    };
    let (one, two) = (run("1", 1), run("2", 2));
    assert!(one.0.len() > 30, "only {} results", one.0.len());
    assert_eq!(one.0, two.0);
    assert!(one.1 == two.1, "the reports differ");
}

#[test]
fn a_new_seed_computes_its_own_pairs_only() {
    let bench = Bench::new();
    bench.tiny();
    for seed in ["0", "1", "2"] {
        bench.tiny_run(seed);
    }
    let lines = |seeds: &[&str]| {
        let models: Vec<String> = seeds.iter().map(|seed| format!("run/{seed}")).collect();
        let mut arguments = vec!["--task", "task", "--points", "3", "--split", "id", "--model"];
        arguments.extend(models.iter().map(String::as_str));
        bench.run("interpolate", &arguments);
        bench.results().keys().filter(|key| key.contains("interpolate-pair")).count()
    };
    assert_eq!(lines(&["0", "1"]), 1);
    // In another order, and with one more: the pair that is known is found.
    assert_eq!(lines(&["2", "1", "0"]), 3);
}
