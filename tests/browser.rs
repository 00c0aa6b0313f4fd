//! The report in a real browser: Chromium opens the page of a real study and measures what it drew.
//!
//! Chromium is taken from `SAMEBASIN_CHROMIUM` or found on `PATH`. `browser.html` holds the page in a frame, at the
//! widths of a desk, a tablet and a phone, with every fold open.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Bench, succeed, text};

/// The browser's program; `None`, said aloud, where there is none.
fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SAMEBASIN_CHROMIUM") {
        return Some(path.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let program = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = program.into_iter().find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: no Chromium on PATH, and SAMEBASIN_CHROMIUM is not set");
    }
    found
}

#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    Light,
    Dark,
}

/// What the browser finds wrong with a page, and the page's colours.
struct Finding {
    complaints: Vec<String>,
    colours: String,
}

/// Opens a page and measures it. Whatever it asks for beyond itself is refused and told.
fn look(program: &PathBuf, page: &str, scheme: Scheme) -> Finding {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let alone = "<head><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
                 style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\
                 <script>window.refused = []; addEventListener('securitypolicyviolation', \
                 (event) => refused.push(event.blockedURI));</script>";
    assert!(page.contains("<head>"), "a page has a head");
    std::fs::write(folder.path().join("report.html"), page.replacen("<head>", alone, 1)).expect("writable");
    std::fs::write(folder.path().join("browser.html"), include_str!("browser.html")).expect("writable");
    let mut command = Command::new(program);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-quic"]);
    command.args([
        "--allow-file-access-from-files",
        "--enable-logging=stderr",
        "--virtual-time-budget=60000",
    ]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    if scheme == Scheme::Dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    command.arg("--dump-dom").arg(format!("file://{}", folder.path().join("browser.html").display()));
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (dom, log) = (text(&output.stdout), text(&output.stderr));
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found.unwrap_or_else(|| panic!("the page was not measured:\n{dom:.2000}\n{log}"));
    let mut complaints: Vec<String> = found.lines().map(str::to_owned).collect();
    assert_eq!(complaints.pop().as_deref(), Some("done"), "{found}");
    let colours = complaints.pop().expect("the colours of the page");
    // The browser's own words on the page: errors, refusals, what it could not read.
    complaints.extend(log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned));
    Finding { complaints, colours }
}

#[test]
fn a_report_is_readable_on_a_desk_and_on_a_phone_by_day_and_by_night() {
    let Some(program) = chromium() else { return };
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
    let page = std::fs::read_to_string(bench.path("out/report.html")).expect("a report");
    for figure in ["primary", "measures", "cases", "lines", "matrices", "interventions", "soups", "arms"] {
        assert!(page.contains(&format!("<figure id=\"{figure}\"")), "no figure {figure}");
    }
    let [light, dark] = [Scheme::Light, Scheme::Dark].map(|scheme| look(&program, &page, scheme));
    for finding in [&light, &dark] {
        assert!(finding.complaints.is_empty(), "{}", finding.complaints.join("\n"));
    }
    let pair = |finding: &Finding| -> Vec<String> {
        finding.colours.trim_start_matches("colours: rgb(").split(") rgb(").map(str::to_owned).collect()
    };
    let (light, dark) = (pair(&light), pair(&dark));
    assert!(light.len() == 2 && light[0] != dark[0] && light[1] != dark[1], "{light:?} {dark:?}");
}

/// Each fault that the measuring looks for, made on purpose, is found.
#[test]
fn what_is_wrong_with_a_page_is_found() {
    let Some(program) = chromium() else { return };
    let drawing = "<svg viewBox='0 0 100 40' style='width:100px'><text x='2' y='14'>first</text><text x='4' y='16'>second\
                   </text><text x='80' y='34'>beyond the edge</text><text x='2' y='36' style='font-size:5px'>tiny</text></svg>";
    let faults = [
        ("page: ", "<div style='width:2000px'>wide</div>"),
        ("contrast: ", "<table class='contrasts'><tr><td><p style='width:1500px'>far</p></td></tr></table>"),
        ("outside: ", drawing),
        ("small: ", drawing),
        ("overlap: ", drawing),
        ("faint: ", "<p style='color:#999;background:#fff'>pale</p>"),
        ("request: ", "<img src='https://example.org/picture.png' alt=''>"),
        ("CONSOLE", "<script>missing()</script>"),
    ];
    let plain = "<!doctype html><html><head></head><body style='margin:0'><p>plain</p>FAULTS</body></html>";
    let clean = look(&program, &plain.replace("FAULTS", ""), Scheme::Light);
    assert!(clean.complaints.is_empty(), "{:?}", clean.complaints);
    let every: String = faults.iter().map(|(_, markup)| *markup).collect();
    let finding = look(&program, &plain.replace("FAULTS", &every), Scheme::Light);
    for (complaint, markup) in faults {
        assert!(
            finding.complaints.iter().any(|line| line.contains(complaint)),
            "no `{complaint}` for {markup}:\n{}",
            finding.complaints.join("\n")
        );
    }
}
