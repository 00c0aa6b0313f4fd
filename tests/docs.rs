//! The pages under `docs/`: every link leads somewhere, and what is said of flags is what the programs say.

use std::path::{Path, PathBuf};

use crate::harness::{program, root, text};

/// The programs that have a page of flags, in the order of a study.
const PROGRAMS: [&str; 13] = [
    "init",
    "fetch",
    "prepare",
    "pretrain",
    "gauge",
    "finetune",
    "interpolate",
    "soup",
    "evaluate",
    "report",
    "plan",
    "import",
    "store",
];

#[test]
fn every_link_leads_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    pages.extend(pages_under(&root().join("docs")));
    assert!(pages.len() > 10);
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            let (file, _) = link.split_once('#').unwrap_or((link, ""));
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let target = page.parent().expect("a folder").join(file);
            assert!(target.exists(), "{} links to {link}, which is not there", page.display());
        }
    }
}

/// `BLESS=1 cargo test --release --test end-to-end docs` writes the page anew.
#[test]
fn the_page_of_flags_is_what_the_programs_say() {
    let mut page = String::from(
        "# Stages and flags\n\nWhat each program prints with `--help`; a test keeps this page and the programs the same.\n",
    );
    for name in PROGRAMS {
        let output = program(name).arg("--help").env("COLUMNS", "100").output().expect("the program starts");
        assert!(output.status.success(), "{name} --help failed");
        let lines: Vec<String> =
            text(&output.stdout).lines().map(|line| line.trim_end().to_owned()).collect();
        page += &format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    }
    let path = root().join("docs/reference/flags.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/reference/flags.md is not what the programs say: \
         BLESS=1 cargo test --release --test end-to-end docs"
    );
}

fn pages_under(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => pages.extend(pages_under(&path)),
            false if path.extension().is_some_and(|extension| extension == "md") => pages.push(path),
            false => {}
        }
    }
    pages.sort();
    pages
}

/// Targets of Markdown links, outside of blocks of code.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split(')').next())).collect()
}
