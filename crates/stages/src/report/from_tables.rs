//! A report from the tables of a study alone: no store, no manifest, no key.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use report::{Edition, Observed, Plan, Study};
use serde_json::json;
use tables::Schema;

use super::PAGE;
use crate::delivery::Delivery;
use crate::stage::{Failure, Flags, say};

/// Writes `out/report.html` and the estimates `out/tables/*.parquet` from the tables in `folder`, which are copied beside
/// them unless that is where they lie.
///
/// # Errors
/// [`Failure::Usage`] for flags that are about a store; [`Failure::Report`] naming the table, the column and its type where a
/// table is not what it should be; [`Failure::Io`] if the report cannot be written.
pub(super) fn report(folder: &Path, out: &Path, plan: Plan, flags: &Flags) -> Result<(), Failure> {
    let given = [("--ref", flags.reference.is_some()), ("--dry-run", flags.dry_run)];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Failure::Usage(format!("{flag} has no effect with --tables, which writes to no store")));
    }
    let observed = Observed::read(folder)?;
    let (study, made) = Study::new(observed, plan, BTreeMap::new())?;
    let mut delivery = Delivery::begin(out)?;
    let lies_there = is_same(folder, &out.join("tables"))?;
    let mut known = Vec::new();
    for table in report::TABLES {
        let files = files(folder, table)?;
        let estimated = ["summary", "cells", "selection", "spreads", "correlations"].contains(&table.name);
        match made.get(table.name).filter(|_| estimated) {
            Some(bytes) => delivery.write(&format!("tables/{}.parquet", table.name), bytes)?,
            None if files.is_empty() => continue,
            None if lies_there => files.iter().for_each(|file| delivery.keep(&copied(file))),
            None => {
                for file in &files {
                    let from = folder.join(file);
                    let cannot_read =
                        |source| Failure::Io { what: format!("cannot read {}", from.display()), source };
                    delivery.write(&copied(file), &std::fs::read(&from).map_err(cannot_read)?)?;
                }
            }
        }
        known.push(table);
    }
    delivery.write(PAGE, study.page(&Edition { key: None, tables: &known })?.as_bytes())?;
    delivery.end()?;
    let page = out.join(PAGE);
    say(study.terminal().trim_end());
    let mut stdout = std::io::stdout().lock();
    if flags.json {
        let answer = study.answer();
        let said = json!({ "report": page, "answer": answer.headline, "sentences": answer.sentences });
        writeln!(stdout, "{said:#}").map_err(Failure::printing)?;
    } else {
        writeln!(stdout, "{}", page.display()).map_err(Failure::printing)?;
    }
    Ok(())
}

/// The files of a table, relative to the folder, in order: predictions are many.
fn files(folder: &Path, table: &Schema) -> Result<Vec<PathBuf>, Failure> {
    let whole = PathBuf::from(format!("{}.parquet", table.name));
    let mut files: Vec<PathBuf> = folder.join(&whole).is_file().then_some(whole).into_iter().collect();
    let parts = folder.join(table.name);
    if parts.is_dir() {
        let cannot_read = |source| Failure::Io { what: format!("cannot read {}", parts.display()), source };
        for entry in std::fs::read_dir(&parts).map_err(cannot_read)? {
            let path = entry.map_err(cannot_read)?.path();
            if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|e| e == "parquet"))
            {
                files.push(Path::new(table.name).join(name));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Where the page links to a table's file.
fn copied(file: &Path) -> String {
    format!("tables/{}", file.display())
}

/// Is this the folder that the tables would be copied to?
fn is_same(folder: &Path, beside: &Path) -> Result<bool, Failure> {
    let absolute = |path: &Path| match std::fs::canonicalize(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        path => path.map(Some),
    };
    let cannot_read = |source| Failure::Io { what: format!("cannot read {}", folder.display()), source };
    Ok(absolute(folder).map_err(cannot_read)? == absolute(beside).map_err(cannot_read)?)
}
