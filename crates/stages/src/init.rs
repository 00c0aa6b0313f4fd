//! `samebasin init`: a small study of one's own, written from a few answers.
//!
//! What is written is a Makefile that sets variables, the rules that it includes, and for own data a task file: the
//! files that one would otherwise copy from `pipelines/` and change by hand.

mod questions;
mod study;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::data_files;
use crate::stage::{Failure, exit, ranges, say};
use study::{Data, Ladder, Part, Study};

/// Write a small study of your own: a Makefile, its rules and a task file
///
/// Without --train the study fine-tunes on the embedded language. Without flags, and on a terminal, it asks.
///
/// Example: samebasin init mystudy --train train.csv --ood shifted.csv --text question --label answer --ladder pythia-70m
#[derive(Parser)]
#[command(
    name = "samebasin-init",
    bin_name = "samebasin init",
    version,
    after_help = "Exit codes: 0 the study is written; 1 it failed; 2 the command line is wrong; 3 a file is missing or not \
        what it should be."
)]
pub(crate) struct Init {
    /// Folder to write; it must not exist, or be empty
    folder: PathBuf,
    /// Engine that runs the study
    #[arg(long, value_enum, default_value = "make")]
    engine: Engine,
    /// Pretraining seeds; all intervals rest on them
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = ranges::count(1..=1_000))]
    pretraining_seeds: usize,
    /// Fine-tuning seeds from every checkpoint
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = ranges::count(2..=1_000))]
    finetuning_seeds: usize,
    /// Checkpoints (steps) to fine-tune from [default: 0,100,300,1000,3000; of a published ladder you must say]
    #[arg(long, value_name = "STEPS", value_delimiter = ',')]
    rungs: Vec<u64>,
    /// A published ladder, as `fetch ladder` takes it (`pythia-70m`; `$*` is the pretraining seed: `multiberts:$*`)
    #[arg(
        long,
        value_name = "LADDER",
        help_heading = "Ladder",
        conflicts_with = "pretrain",
        requires = "held_out"
    )]
    ladder: Option<String>,
    /// Text files to pretrain a ladder on
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Ladder", requires = "held_out")]
    pretrain: Vec<PathBuf>,
    /// Text that the ladder is not trained on: how far its checkpoints have come is measured on it
    #[arg(long, value_name = "FILE", help_heading = "Ladder")]
    held_out: Option<PathBuf>,
    /// Training examples (.jsonl, .tsv, .csv or .parquet)
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "ood")]
    train: Option<PathBuf>,
    /// Examples of the same kind, for choices and for the score in distribution [default: a tenth of --train each]
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "train")]
    id: Option<PathBuf>,
    /// Examples of another kind: the report is about what models do on them
    #[arg(long, value_name = "FILE", help_heading = "Data", requires = "train")]
    ood: Option<PathBuf>,
    /// Column of the text
    #[arg(long, value_name = "COLUMN", help_heading = "Data", default_value = "text")]
    text: String,
    /// Column of a second text
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    text_b: Option<String>,
    /// Column of the label
    #[arg(long, value_name = "COLUMN", help_heading = "Data", default_value = "label")]
    label: String,
}

/// What runs a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// GNU Make, on one machine
    Make,
    /// Snakemake, on one machine or a cluster
    Snakemake,
}

/// The command line of the program.
#[must_use]
pub(crate) fn command() -> clap::Command {
    <Init as clap::CommandFactory>::command()
}

/// The body of the program.
#[must_use]
pub fn main() -> ExitCode {
    let mut init = Init::parse();
    exit(questions::ask(&mut init).and_then(|()| init.run()), "samebasin init")
}

impl Init {
    fn run(&self) -> Result<(), Failure> {
        let study = self.study()?;
        let unwritable =
            |source| Failure::Io { what: format!("cannot write {}", self.folder.display()), source };
        if std::fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::Usage(format!("{} is there and not empty", self.folder.display())));
        }
        std::fs::create_dir_all(&self.folder).map_err(unwritable)?;
        for (name, text) in study.files() {
            std::fs::write(self.folder.join(name), text).map_err(unwritable)?;
        }
        let folder = self.folder.display();
        say(&format!("wrote {folder}: read its Makefile, and change what you like"));
        say(&match self.engine {
            Engine::Make => format!("run it: make -C {folder}"),
            Engine::Snakemake => format!(
                "run it: make --silent -C {folder} print-study > {folder}/study.json\n        \
                 snakemake --snakefile {folder}/study.smk --configfile {folder}/study.json --cores all"
            ),
        });
        Ok(())
    }

    fn study(&self) -> Result<Study, Failure> {
        let ladder = match (&self.ladder, &self.held_out) {
            (Some(name), Some(held_out)) => {
                let Files { root, mut names } = Files::of(&[held_out])?;
                Ladder::Published { name: name.clone(), root, held_out: names.remove(0) }
            }
            (None, Some(held_out)) if !self.pretrain.is_empty() => {
                let files: Vec<&Path> =
                    self.pretrain.iter().chain([held_out]).map(PathBuf::as_path).collect();
                let Files { root, names: mut train } = Files::of(&files)?;
                let held_out = train.pop().unwrap_or_default();
                Ladder::Text { root, train, held_out }
            }
            _ => Ladder::World,
        };
        let data = match (&self.train, &self.ood) {
            (Some(train), Some(ood)) => Some(self.data(train, ood)?),
            _ => None,
        };
        if data.is_none() && !matches!(ladder, Ladder::World) {
            return Err(Failure::Usage("a ladder of real text needs a task: --train and --ood".into()));
        }
        if data.is_some() && matches!(ladder, Ladder::World) {
            return Err(Failure::Usage(
                "own data need a ladder that has seen such text: --ladder, or --pretrain".into(),
            ));
        }
        let mut rungs = self.rungs.clone();
        if rungs.is_empty() {
            if let Ladder::Published { name, .. } = &ladder {
                return Err(Failure::Usage(format!(
                    "say which checkpoints of {name} to use: --rungs 0,1000,..."
                )));
            }
            rungs = vec![0, 100, 300, 1_000, 3_000];
        }
        rungs.sort_unstable();
        rungs.dedup();
        if rungs.len() < 2 {
            return Err(Failure::Usage("--rungs needs an early and a late checkpoint at least".into()));
        }
        Ok(Study {
            name: name(&self.folder)?,
            ladder,
            data,
            rungs,
            pretraining_seeds: self.pretraining_seeds,
            finetuning_seeds: self.finetuning_seeds,
            programs: programs()?,
            has_snakefile: self.engine == Engine::Snakemake,
        })
    }

    /// Reads the files once, so that what is written fits them.
    fn data(&self, train: &Path, ood: &Path) -> Result<Data, Failure> {
        let text: Vec<&str> = std::iter::once(self.text.as_str()).chain(self.text_b.as_deref()).collect();
        let survey = |file: &Path| {
            let name = file.display().to_string();
            tasks::table::survey(&name, &data_files::read(file)?, &text, &self.label)
                .map_err(|error| Failure::Input(error.to_string()))
        };
        let known = survey(train)?;
        let id = self.id.as_deref().map(|file| Ok::<_, Failure>((file, survey(file)?))).transpose()?;
        let ood_labels = survey(ood)?.labels;
        let others = id.iter().map(|(file, found)| (*file, &found.labels)).chain([(ood, &ood_labels)]);
        for (file, labels) in others {
            if let Some(strange) = labels.iter().find(|label| !known.labels.contains(label)) {
                return Err(Failure::Input(format!(
                    "{} has the label `{strange}`, which {} has not ({}); for labels that fall together see `pool` in the \
                     reference of task files",
                    file.display(),
                    train.display(),
                    known.labels.join(", ")
                )));
            }
        }
        let files: Vec<&Path> = [train, ood].into_iter().chain(self.id.as_deref()).collect();
        let Files { root, names } = Files::of(&files)?;
        Ok(Data {
            root,
            train: Part { file: names[0].clone(), rows: known.rows },
            labels: known.labels,
            id: id.map(|(_, found)| Part { file: names[2].clone(), rows: found.rows }),
            ood: names[1].clone(),
            text: self.text.clone(),
            text_b: self.text_b.clone(),
            label: self.label.clone(),
        })
    }
}

/// The name of a study: that of its folder, as refs and Make can hold it.
fn name(folder: &Path) -> Result<String, Failure> {
    let what = || format!("cannot tell where {} is", folder.display());
    let absolute = std::path::absolute(folder).map_err(|source| Failure::Io { what: what(), source })?;
    let name = absolute.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.chars().all(safe) {
        true => Ok(name.to_owned()),
        false => Err(Failure::Usage(format!(
            "the folder's name is the study's: letters, digits, `-` and `_`, not `{name}`"
        ))),
    }
}

/// The folder of the programs: where this one lies.
fn programs() -> Result<PathBuf, Failure> {
    let what = || "cannot tell where this program is".to_owned();
    let this = std::env::current_exe().map_err(|source| Failure::Io { what: what(), source })?;
    Ok(this.parent().map_or_else(PathBuf::new, Path::to_path_buf))
}

/// Files below the deepest folder that holds them all.
struct Files {
    root: String,
    names: Vec<String>,
}

impl Files {
    /// # Errors
    /// [`Failure::Input`] naming a file that is not there, [`Failure::Usage`] one whose path Make does not take.
    fn of(files: &[impl AsRef<Path>]) -> Result<Self, Failure> {
        let paths: Vec<PathBuf> =
            files.iter().map(|file| absolute(file.as_ref())).collect::<Result<_, _>>()?;
        let mut root = paths[0].parent().unwrap_or(Path::new("/"));
        while !paths.iter().all(|path| path.starts_with(root)) {
            root = root.parent().unwrap_or(Path::new("/"));
        }
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
        Ok(Self { root: root.display().to_string(), names: paths.iter().map(name).collect() })
    }
}

/// A file's whole path, if Make can take it.
fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    let path = std::fs::canonicalize(file)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.display())))?;
    let odd = |c: char| c.is_whitespace() || matches!(c, '$' | '#');
    match path.to_str().is_some_and(|path| !path.contains(odd)) {
        true => Ok(path),
        false => Err(Failure::Usage(format!(
            "{} has a blank or another character in its path that Make does not take",
            path.display()
        ))),
    }
}
