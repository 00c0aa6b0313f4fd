//! `samebasin import`: accuracies of models that others trained, as the tables of a study.
//!
//! A published list has a row for each run and a column for each score. Flags say which column is what; the result is a
//! folder that `samebasin report --tables` takes. Everything that the list says twice is checked: its summary rows against
//! its runs, each accuracy against its number of examples, counts by example against accuracies.

mod items;
mod list;
mod summary;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use report::Observed;
use report::rows::Fact;
use serde_json::json;
use tasks::table::Format;

use crate::report::{at, place};
use crate::stage::{Failure, say};

/// Read accuracies that others published into tables for `report --tables`
///
/// The file has a row for each run and a column for each score. Rows that summarise (minimum, maximum, mean, standard
/// deviation) are checked against the runs; an accuracy must be a share of its number of examples. Where a value can be
/// given for all runs at once, COLUMN is the name of a column, and =VALUE a value.
///
/// Example: samebasin import runs.csv --run name --score mnli id 9815 --score hans ood 30000 --score 'passive' 'ood/passive' 1000 --out tables
#[derive(Parser, Clone, Debug)]
#[command(
    name = "samebasin-import",
    bin_name = "samebasin import",
    version,
    after_help = "Exit codes: 0 the tables are written; 1 it failed; 2 the command line is wrong; 3 the file is missing or \
        not what the flags say."
)]
pub(crate) struct Import {
    /// File with a row for each run: .csv, .tsv, .jsonl or .parquet, also packed (.gz)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder to write the tables to
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Column that names the run; give several where one is not enough
    #[arg(long, value_name = "COLUMN", required = true)]
    run: Vec<String>,
    /// Rows whose name fits are runs; `*` stands for any text [default: all rows that do not summarise]
    #[arg(long, value_name = "PATTERN")]
    runs: Option<String>,
    /// A column of accuracies, the split (and case) that they are of, and its number of examples. Splits named `id`, `val`
    /// and `ood...` are read as in distribution, held out for choices, and out of distribution
    #[arg(long = "score", value_names = ["COLUMN", "SPLIT[/CASE]", "N"], num_args = 3, required = true)]
    scores: Vec<String>,
    /// Share of the most frequent label of a split or case: runs that are no better on `val`, or else on `id`, have failed
    #[arg(long, value_names = ["SPLIT[/CASE]", "SHARE"], num_args = 2)]
    majority: Vec<String>,
    /// Accuracies are percentages
    #[arg(long)]
    percent: bool,
    /// Arm of the study [default: all runs are one arm]
    #[arg(long, value_name = "COLUMN|=VALUE")]
    arm: Option<String>,
    /// Seed of the pretraining run [default: 0]
    #[arg(long, value_name = "COLUMN|=VALUE")]
    pretraining_seed: Option<String>,
    /// Pretraining steps of the checkpoint; leave it out where nobody knows them
    #[arg(long, value_name = "COLUMN|=VALUE")]
    step: Option<String>,
    /// Held-out pretraining loss of the checkpoint (nats)
    #[arg(long, value_name = "COLUMN|=VALUE")]
    held_out_loss: Option<String>,
    /// Fine-tuning seed [default: the place of the row among the runs of its checkpoint]
    #[arg(long, value_name = "COLUMN|=VALUE")]
    seed: Option<String>,
    /// Peak learning rate of fine-tuning
    #[arg(long, value_name = "COLUMN|=VALUE")]
    learning_rate: Option<String>,
    /// Optimiser steps of fine-tuning
    #[arg(long, value_name = "COLUMN|=VALUE")]
    steps: Option<String>,
    /// A file with a row for each example of a split, and its column with the number of runs that are right
    #[arg(long, value_names = ["FILE", "COLUMN", "SPLIT"], num_args = 3)]
    items: Vec<String>,
    /// Format of FILE, where its name does not tell it
    #[arg(long, value_name = "FORMAT", value_parser = format_named)]
    format: Option<Format>,
    /// Format of the file of --items, where its name does not tell it
    #[arg(long, value_name = "FORMAT", value_parser = format_named)]
    items_format: Option<Format>,
    /// Where the numbers come from, for the page's methods
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// Print what was read as JSON
    #[arg(long)]
    json: bool,
}

fn format_named(name: &str) -> Result<Format, String> {
    Format::of(&format!("x.{name}")).ok_or_else(|| "expected csv, tsv, jsonl or parquet".to_owned())
}

/// The command line of the program.
#[must_use]
pub(crate) fn command() -> clap::Command {
    <Import as clap::CommandFactory>::command()
}

/// The body of the program.
#[must_use]
pub fn main() -> ExitCode {
    crate::stage::exit(run(&Import::parse()), "samebasin import")
}

fn run(import: &Import) -> Result<(), Failure> {
    let columns = list::Columns::of(import)?;
    let file = read(&import.file, import.format)?;
    let list = list::read(import, &columns, &file)?;
    let checked = summary::check(&columns, &list)?;
    let runs = list::runs(import, &columns, &list)?;
    let (items, item_file) = match import.items.as_slice() {
        [name, column, split] => {
            let file = read(Path::new(name), import.items_format)?;
            (items::read(&file, column, split, &runs)?, Some(file))
        }
        _ => (Vec::new(), None),
    };
    let facts = facts(import, &columns, &file, item_file.as_ref());
    let n_items = items.len();
    let observed = Observed { runs, items, facts, ..Observed::default() };
    write(&import.out, &observed)?;
    let n_runs = list.runs.len();
    let (n_scores, folder) = (columns.scores.len(), import.out.display());
    say(&format!(
        "{n_runs} runs with {n_scores} scores each; {checked} summary cells of the file agree with its runs\n\
         samebasin report --tables {folder} --out FOLDER makes the page"
    ));
    let mut stdout = std::io::stdout().lock();
    let printed = match import.json {
        true => {
            let said = json!({ "tables": import.out, "runs": n_runs, "scores": n_scores, "checked": checked, "items": n_items });
            writeln!(stdout, "{said:#}")
        }
        false => writeln!(stdout, "{folder}"),
    };
    printed.map_err(Failure::printing)
}

/// A file that was read.
pub(crate) struct File {
    name: String,
    bytes: Vec<u8>,
    format: Format,
    /// BLAKE3 of the file as it lies there.
    digest: String,
}

fn read(path: &Path, format: Option<Format>) -> Result<File, Failure> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let format = format.or_else(|| Format::of(&name)).ok_or_else(|| {
        Failure::Usage(format!("the name of {name} does not tell its format: say csv, tsv, jsonl or parquet with --format or --items-format"))
    })?;
    let packed = crate::data_files::read(path)?;
    let digest = blake3::hash(&packed).to_hex().to_string();
    let bytes = match name.ends_with(".gz") {
        true => crate::data_files::unpacked(&name, &packed)?,
        false => packed,
    };
    Ok(File { name, bytes, format, digest })
}

impl File {
    /// Chosen columns.
    fn columns(&self, chosen: &[&str]) -> Result<tasks::table::Cells, Failure> {
        Ok(tasks::table::cells(&self.name, &self.bytes, self.format, chosen)?)
    }

    fn wrong(&self, line: u64, reason: &str) -> Failure {
        Failure::Input(format!("{}, line {line}: {reason}", self.name))
    }
}

/// What the page's methods say of the import.
fn facts(import: &Import, columns: &list::Columns, file: &File, items: Option<&File>) -> Vec<Fact> {
    let fact = |name: &str, value: String| Fact { subject: "import".into(), name: name.into(), value };
    let scores: Vec<String> =
        columns.scores.iter().map(|score| format!("{} ({})", score.column, score.n)).collect();
    let mut facts = vec![fact("file", file.name.clone()), fact("digest", format!("blake3:{}", file.digest))];
    facts.extend(import.source.iter().map(|source| fact("source", source.clone())));
    facts.push(fact("scores", scores.join(", ")));
    if let Some(items) = items {
        facts.push(fact("items", items.name.clone()));
        facts.push(fact("digest of items", format!("blake3:{}", items.digest)));
    }
    facts.push(Fact {
        subject: "programs".into(),
        name: "samebasin".into(),
        value: env!("CARGO_PKG_VERSION").into(),
    });
    facts
}

/// Writes the tables that have rows. A folder with other tables of a study is refused: they would be read together.
fn write(folder: &Path, observed: &Observed) -> Result<(), Failure> {
    const OURS: [&str; 3] = ["runs", "items", "facts"];
    let path = |table: &str| folder.join(format!("{table}.parquet"));
    for table in report::TABLES.iter().filter(|table| !OURS.contains(&table.name)) {
        let made = ["summary", "cells", "selection", "spreads", "correlations"].contains(&table.name);
        if !made && (path(table.name).exists() || folder.join(table.name).exists()) {
            return Err(Failure::Usage(format!(
                "{} already has the table `{}` of another study: choose an empty folder for --out",
                folder.display(),
                table.name
            )));
        }
    }
    std::fs::create_dir_all(folder).map_err(|source| at(folder, source))?;
    let tables = observed.write()?;
    for table in OURS {
        let is_empty = table == "items" && observed.items.is_empty();
        match is_empty && path(table).exists() {
            true => std::fs::remove_file(path(table)).map_err(|source| at(&path(table), source))?,
            false if is_empty => {}
            false => place(&path(table), &tables[table])?,
        }
    }
    Ok(())
}
