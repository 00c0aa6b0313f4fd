//! `samebasin init`: a small study of one's own, as a folder with a Makefile.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::stage::{Failure, ranges};

/// The rules that all studies share.
const RULES: &str = include_str!("../../../pipelines/study.mk");

/// Write a small study of your own: a Makefile, the rules that it includes and, for your own data, a task file
///
/// Without --train the study is about the embedded language, and pretrains its own ladder in a minute.
///
/// Example: samebasin init paws --ladder pythia-70m --rungs 0,512,143000 --train train.csv --test new.csv --text question --label duplicate --labels no,yes
#[derive(Parser, Clone, Debug)]
#[command(name = "samebasin-init", bin_name = "samebasin init", version)]
pub struct Init {
    /// Folder to write; it must not exist, or be empty
    pub folder: PathBuf,
    /// Name of the study [default: the folder's]
    #[arg(long)]
    pub name: Option<String>,
    /// Ladder of the hub to fine-tune from, as `fetch ladder` takes it [default: pretrain one]
    #[arg(long, requires = "gauge_text", value_name = "NAME")]
    pub ladder: Option<String>,
    /// Steps of the checkpoints to fine-tune from
    #[arg(long, value_delimiter = ',', value_name = "STEPS", default_value = "0,200,600")]
    pub rungs: Vec<u64>,
    /// Text file to measure the checkpoints of --ladder on, relative to --root
    #[arg(long, value_name = "FILE")]
    pub gauge_text: Option<String>,
    /// Fine-tuning seeds
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = ranges::count(2..=1_000))]
    pub seeds: usize,
    /// Training data of your own, relative to --root: CSV, TSV, JSONL or Parquet
    #[arg(long, value_name = "FILE", requires_all = ["text", "label", "labels"])]
    pub train: Option<String>,
    /// Data of your own to test out of distribution, relative to --root [default: none]
    #[arg(long, value_name = "FILE", requires = "train")]
    pub test: Option<String>,
    /// Folder of the data
    #[arg(long, value_name = "FOLDER", default_value = ".", env = "SAMEBASIN_DATA")]
    pub root: PathBuf,
    /// Column of the text
    #[arg(long, value_name = "COLUMN")]
    pub text: Option<String>,
    /// Column of the second text of a pair
    #[arg(long, value_name = "COLUMN")]
    pub text_b: Option<String>,
    /// Column of the label
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// Names of the labels as they stand in the data
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub labels: Vec<String>,
    /// Examples of the training data that are held out, half to choose by, half to test on
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = ranges::count(2..=10_000_000))]
    pub held_out: usize,
}

impl Init {
    /// Writes the study.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the folder is not empty or the flags do not fit together, [`Failure::Io`] if it cannot be
    /// written.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::Usage(format!("{} is not empty", self.folder.display())));
        }
        if self.ladder.is_none() && self.train.is_some() {
            return Err(Failure::Usage(
                "--train needs --ladder: the embedded language's ladder reads no other text".into(),
            ));
        }
        let name = self.name()?;
        let mut files = vec![("study.mk", RULES.to_owned()), ("Makefile", self.makefile(&name)?)];
        if let Some(train) = &self.train {
            files.push(("task.toml", self.task(&name, train)));
        }
        fs::create_dir_all(&self.folder).map_err(|source| written(&self.folder, source))?;
        for (file, text) in files {
            let path = self.folder.join(file);
            fs::write(&path, text).map_err(|source| written(&path, source))?;
        }
        let said = format!(
            "{} is ready: read its Makefile{}, then run `make -C {}`\n",
            self.folder.display(),
            if self.train.is_some() { " and task.toml" } else { "" },
            self.folder.display()
        );
        let out = std::io::stdout().lock().write_all(said.as_bytes());
        out.map_err(|source| Failure::Io { what: "cannot write to stdout".into(), source })
    }

    fn name(&self) -> Result<String, Failure> {
        let of_folder = || self.folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = self.name.clone().or_else(of_folder).unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match !name.is_empty() && name.chars().all(is_plain) {
            true => Ok(name),
            false => Err(Failure::Usage(format!(
                "`{name}` cannot name a study: give --name with letters, digits, - and _"
            ))),
        }
    }

    fn makefile(&self, name: &str) -> Result<String, Failure> {
        let programs = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.display().to_string()));
        let programs = programs.ok_or_else(|| Failure::Bug("this program has no folder".into()))?;
        let steps: Vec<String> = self.rungs.iter().map(u64::to_string).collect();
        let seeds: Vec<String> = (0..self.seeds).map(|seed| seed.to_string()).collect();
        let last = self.rungs.iter().max().copied().unwrap_or(0);
        let root = fs::canonicalize(&self.root).unwrap_or_else(|_missing| self.root.clone());
        let root = root.display();
        let ladder = match (&self.ladder, &self.gauge_text) {
            (Some(ladder), Some(text)) => format!(
                "# What `samebasin fetch ladder` takes, and how its checkpoints are measured (`samebasin gauge`).\n\
                 FETCH        := {ladder}\nGAUGE        := --text {text} --root {root}\n"
            ),
            _ => format!(
                "# Flags of `samebasin pretrain`.\nLADDER       := --world roles --steps {last} --hidden 32\n"
            ),
        };
        let task = match self.train {
            Some(_) => format!("table $(CURDIR)/task.toml --root {root}"),
            None => "roles --ambiguity 0.05 --cue 0.9".to_owned(),
        };
        let flags = match self.train {
            Some(_) => "--learning-rate 3e-5 --max-length 128",
            None => "--steps 100 --warmup 10",
        };
        Ok(format!(
            "# The study {name}. Run `make`; kill it anywhere and run it again: it goes on.\n\
             # The report is written to out/report.html, its tables to out/tables/.\n\n\
             STUDY        := {name}\n\
             # Pretraining seeds, checkpoints (steps), and fine-tuning seeds.\n\
             PRETRAINING  := 0\nRUNGS        := {}\nFINETUNING   := {}\n\
             # Points on the line between two models.\n\
             POINTS       := 5\n\n{ladder}\n\
             # Flags of `samebasin finetune`, and the task (`samebasin prepare`).\n\
             FLAGS.base   := {flags}\nTASK.base    := main\nPREPARE.main := {task}\n\n\
             # Flags of `samebasin report`.\n\
             REPORT       := --title \"{name}\"\n\n\
             STORE        ?= $(CURDIR)/artifacts\nOUT          ?= $(CURDIR)/out\n\
             BIN          ?= {programs}\nBUILD        ?= true\n\n\
             GROUPS := $(foreach p,$(PRETRAINING),$(RUNGS:%=$p.%.base))\n\n\
             include study.mk\n",
            steps.join(" "),
            seeds.join(" "),
        ))
    }

    fn task(&self, name: &str, train: &str) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let labels: Vec<String> = self.labels.iter().map(|label| quoted(label)).collect();
        let mut columns = format!("text = {}\n", quoted(self.text.as_deref().unwrap_or_default()));
        if let Some(second) = &self.text_b {
            columns.push_str(&format!("text_b = {}\n", quoted(second)));
        }
        columns.push_str(&format!("label = {}\n", quoted(self.label.as_deref().unwrap_or_default())));
        let half = self.held_out / 2;
        let part = |section: &str, file: &str, sample: &str| {
            format!("\n[{section}]\nfile = {}\n{columns}{sample}", quoted(file))
        };
        let sample = |skip: usize| format!("sample = {{ seed = 0, skip = {skip}, take = {half} }}\n");
        let mut text = format!(
            "# What is learned, and what is tested. `samebasin prepare table --help` and the documentation say more.\n\
             # Take care that [train] does not hold the examples of [val] and [split.id].\n\
             name = {}\nlabels = [{}]\n",
            quoted(name),
            labels.join(", ")
        );
        text.push_str(&part("train", train, ""));
        text.push_str(&part("val", train, &sample(0)));
        text.push_str(&part("split.id", train, &sample(half)));
        text.push_str(&part("split.ood", self.test.as_deref().unwrap_or(train), ""));
        text
    }
}

fn written(path: &Path, source: std::io::Error) -> Failure {
    Failure::Io { what: format!("cannot write {}", path.display()), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(command: &str) -> Init {
        Init::parse_from(std::iter::once("init").chain(command.split_whitespace()))
    }

    #[test]
    fn a_task_of_ones_own_parses() {
        let own = init("x --ladder l --gauge-text t --train a.csv --test b.tsv --text s --label y --labels no,yes");
        let spec = tasks::table::Spec::parse(&own.task("x", "a.csv")).unwrap();
        assert_eq!(spec.labels, ["no", "yes"]);
        assert_eq!(spec.files().into_iter().collect::<Vec<_>>(), ["a.csv", "b.tsv"]);
    }

    #[test]
    fn names_of_studies_are_plain() {
        assert_eq!(init("some/where").name().unwrap(), "where");
        assert!(init("x --name a/b").name().unwrap_err().to_string().contains("--name"));
    }
}
