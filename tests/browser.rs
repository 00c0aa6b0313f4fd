//! The report in a real browser: what it shows on a desk and on a phone, by day and by night.
//!
//! The browser is Chromium, named by `SAMEBASIN_CHROMIUM` or found on the PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::harness::{Bench, succeed, text};

/// Loads the report in a frame of some width, opens all that folds, and writes down what it finds.
const WRAPPER: &str = include_str!("browser.html");

/// What the browser found.
#[derive(Debug, Deserialize)]
struct Found {
    /// How wide the page is (pixels).
    width: f64,
    /// Files that the page asked for.
    requests: Vec<String>,
    /// Drawings that are on the page.
    drawings: usize,
    /// Labels of drawings that reach beyond them.
    outside: Vec<String>,
    /// Pairs of labels of one drawing that lie on each other.
    overlapping: Vec<String>,
    /// Texts with less contrast than 4.5 to 1.
    faint: Vec<String>,
    /// Lightness of the page, 0 to 1.
    paper: f64,
}

/// The browser; `None`, said aloud, where there is none.
fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SAMEBASIN_CHROMIUM") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.exists());
    if found.is_none() {
        eprintln!("skipped: there is no Chromium on the PATH; SAMEBASIN_CHROMIUM may name one");
    }
    found
}

/// Looks at a report in a window so many pixels wide.
fn look(chromium: &Path, bench: &Bench, report: &Path, width: u32, dark: bool) -> Found {
    let wrapper = bench.path("wrapper.html");
    let page =
        WRAPPER.replace("WIDTH", &width.to_string()).replace("REPORT", report.to_str().expect("UTF-8"));
    std::fs::write(&wrapper, page).expect("written");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // A page of a folder may look into another of it, and a report that is a file is a page of a folder.
        .args(["--allow-file-access-from-files", "--virtual-time-budget=20000", "--window-size=1400,900"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .arg(format!("--user-data-dir={}", bench.path("browser").display()))
        .arg(format!("file://{}", wrapper.display()))
        .output()
        .expect("Chromium starts");
    succeed(&output);
    let stderr = text(&output.stderr);
    let said: Vec<&str> = stderr.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(said.is_empty(), "the console says:\n{}", said.join("\n"));
    let dom = text(&output.stdout);
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found.unwrap_or_else(|| panic!("nothing was found:\n{stderr}"));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"))
}

#[test]
fn a_report_is_sound_on_a_desk_and_on_a_phone() {
    let Some(chromium) = chromium() else { return };
    let bench = Bench::new();
    // Every figure there is: several pretraining seeds, an arm, every way to merge.
    let study = [
        "STUDY=world-browser",
        "PRETRAINING=0 1",
        "FINETUNING=0 1 2",
        "RUNGS=0 200 600",
        "ARMS=ambiguous",
        "ARM_RUNGS=0 600",
        "LADDER=--world roles --steps 600 --hidden 32",
        "FLAGS.base=--steps 60 --warmup 6 --weight-decay 0",
        "METHODS=uniform greedy random-order task-arithmetic ties dare model-stock",
    ];
    succeed(&bench.make("world", "study", 2).args(study).output().expect("make starts"));
    let report = bench.path("out/report.html");
    for (width, dark) in [(1280, false), (360, false), (360, true)] {
        let found = look(&chromium, &bench, &report, width, dark);
        let at = format!("{width} pixels, {}", if dark { "dark" } else { "light" });
        assert!(found.width <= f64::from(width), "{at}: the page is {} pixels wide", found.width);
        assert!(found.requests.is_empty(), "{at}: it asks for {:?}", found.requests);
        assert!(found.drawings > 50, "{at}: {} drawings", found.drawings);
        assert!(found.outside.is_empty(), "{at}: beyond their drawings: {:#?}", found.outside);
        assert!(found.overlapping.is_empty(), "{at}: on each other: {:#?}", found.overlapping);
        assert!(found.faint.is_empty(), "{at}: hard to read: {:#?}", found.faint);
        assert_eq!(found.paper < 0.2, dark, "{at}: the paper's lightness is {}", found.paper);
    }
}
