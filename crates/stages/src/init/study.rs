//! The files of a study.

use std::fmt::Write;
use std::path::PathBuf;

/// The rules of all studies.
const RULES: &str = include_str!("../../../../pipelines/study.mk");
/// The same for Snakemake.
const SNAKEFILE: &str = include_str!("../../../../pipelines/study.smk");

/// What is written down of a study.
pub(super) struct Study {
    pub(super) name: String,
    pub(super) ladder: Ladder,
    /// Own data; else the embedded language.
    pub(super) data: Option<Data>,
    /// Steps of the checkpoints, in order.
    pub(super) rungs: Vec<u64>,
    pub(super) pretraining_seeds: usize,
    pub(super) finetuning_seeds: usize,
    /// The folder of the programs.
    pub(super) programs: PathBuf,
    pub(super) has_snakefile: bool,
}

/// Where the checkpoints come from.
pub(super) enum Ladder {
    /// Pretrained on the embedded language.
    World,
    /// Pretrained on these files of text.
    Text { root: String, train: Vec<String>, held_out: String },
    /// Fetched, and measured on a file of text.
    Published { name: String, root: String, held_out: String },
}

/// A file of examples.
pub(super) struct Part {
    pub(super) file: String,
    pub(super) rows: usize,
}

/// Own data.
pub(super) struct Data {
    /// The folder that the names of files are relative to.
    pub(super) root: String,
    pub(super) labels: Vec<String>,
    pub(super) train: Part,
    pub(super) id: Option<Part>,
    pub(super) ood: String,
    pub(super) text: String,
    pub(super) text_b: Option<String>,
    pub(super) label: String,
}

impl Study {
    /// Names and texts.
    pub(super) fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![("Makefile", self.makefile()), ("study.mk", RULES.to_owned())];
        files.extend(self.data.as_ref().map(|data| ("task.toml", data.task(&self.name))));
        if self.has_snakefile {
            files.push(("study.smk", SNAKEFILE.to_owned()));
        }
        files
    }

    fn makefile(&self) -> String {
        let numbers = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        let rungs: Vec<String> = self.rungs.iter().map(u64::to_string).collect();
        // Early is the lower half, late the last two at most; of two rungs, the first and the last.
        let early = self.rungs[self.rungs.len() / 2 - 1];
        let late = self.rungs[self.rungs.len().saturating_sub(2).max(self.rungs.len() / 2)];
        format!(
            "# Does the path matter when fine-tuning starts from these checkpoints?\n\
             #\n\
             #   make                      runs the study on all cores; kill it and run it again: it goes on\n\
             #   make smoke                two seeds and a few steps, to see that everything fits together\n\
             #\n\
             # out/report.html is the page, out/tables/*.parquet are its numbers, artifacts/ is everything in between.\n\
             \n\
             STUDY        := {name}\n\
             # Seeds. All intervals rest on the pretraining seeds.\n\
             PRETRAINING  := {pretraining}\n\
             FINETUNING   := {finetuning}\n\
             # Checkpoints (steps), and points on the line between two models.\n\
             RUNGS        := {rungs}\n\
             POINTS       := 11\n\
             \n\
             {ladder}\
             {task}\
             \n\
             # What is early and what is late: decide before you look.\n\
             REPORT       := --title \"{name}\" --early-until {early} --late-from {late}\n\
             \n\
             # The programs, and where things go.\n\
             BIN          ?= {programs}\n\
             STORE        ?= $(CURDIR)/artifacts\n\
             OUT          ?= $(CURDIR)/out\n\
             BUILD        := true\n\
             \n\
             GROUPS := $(foreach p,$(PRETRAINING),$(RUNGS:%=$p.%.base))\n\
             \n\
             include study.mk\n\
             \n\
             smoke: ; $(MAKE) $(GOAL) PRETRAINING=0 FINETUNING=\"0 1\" STUDY={name}-smoke {smoke}OUT=$(CURDIR)/out-smoke\n",
            name = self.name,
            pretraining = numbers(self.pretraining_seeds),
            finetuning = numbers(self.finetuning_seeds),
            rungs = rungs.join(" "),
            ladder = self.ladder_section(),
            task = self.task_section(),
            programs = self.programs.display(),
            smoke = self.smoke(),
        )
    }

    /// Flags of `pretrain`, for this many steps.
    fn pretraining(&self, steps: u64, warmup: u64) -> String {
        match &self.ladder {
            Ladder::World => format!("--world roles --steps {steps} --warmup {warmup}"),
            Ladder::Text { .. } | Ladder::Published { .. } => format!(
                "--world corpus --steps {steps} --warmup {warmup} --hidden 128 --layers 2 --heads 2 --positions 64 \
                 --batch 32 --weight-decay 0.01 --initializer-range 0.05"
            ),
        }
    }

    /// Flags of `finetune`, for this many steps.
    fn finetuning(&self, steps: u64, warmup: u64) -> String {
        match self.data {
            None => format!("--steps {steps} --warmup {warmup} --weight-decay 0 --beta2 0.98"),
            Some(_) => format!("--steps {steps} --warmup {warmup} --batch 32 --learning-rate 1e-4"),
        }
    }

    fn ladder_section(&self) -> String {
        let flags = self.pretraining(self.rungs.last().copied().unwrap_or(0), 100);
        match &self.ladder {
            Ladder::World => format!("LADDER       := {flags}\n"),
            Ladder::Text { root, train, held_out } => format!(
                "CORPUS       := text\n\
                 CORPUS.text  := corpus --root {root} --train {} --held-out {held_out}\n\
                 # Choose size, learning rate and steps on the held-out loss of a seed that is not in the study.\n\
                 LADDER       := {flags}\n",
                train.join(" ")
            ),
            Ladder::Published { name, root, held_out } => format!(
                "# A ladder for each pretraining seed: `$*` is the seed.\n\
                 FETCH         = {name}\n\
                 GAUGE        := --root {root} --text {held_out}\n"
            ),
        }
    }

    fn task_section(&self) -> String {
        let (task, prepare) = match &self.data {
            None => ("clear", "roles --disambiguating 0.05 --cue 0.9".to_owned()),
            Some(data) => ("own", format!("table $(CURDIR)/task.toml --root {}", data.root)),
        };
        format!(
            "FLAGS.base   := {}\nTASK.base    := {task}\nPREPARE.{task} := {prepare}\n",
            self.finetuning(300, 30)
        )
    }

    /// What a smoke run has less of.
    fn smoke(&self) -> String {
        let flags = format!("FLAGS.base=\"{}\" POINTS=3 ", self.finetuning(20, 2));
        match self.ladder {
            Ladder::Published { .. } => {
                let (first, last) = (self.rungs[0], self.rungs[self.rungs.len() - 1]);
                format!(
                    "RUNGS=\"{first} {last}\" {flags}REPORT='--title \"{}, smoke test\" --early-until {first} --late-from {last}' ",
                    self.name
                )
            }
            Ladder::World | Ladder::Text { .. } => format!(
                "RUNGS=\"0 40\" LADDER=\"{}\" {flags}REPORT='--title \"{}, smoke test\" --early-until 0 --late-from 40' ",
                self.pretraining(40, 4),
                self.name
            ),
        }
    }
}

impl Data {
    fn task(&self, name: &str) -> String {
        let labels: Vec<String> = self.labels.iter().map(|label| quoted(label)).collect();
        let mut text = format!(
            "# What the models are fine-tuned to do, and what they are tested on.\n\n\
             name = {}\n\
             labels = [{}]\n",
            quoted(name),
            labels.join(", ")
        );
        let mut part = |section: &str, file: &str, sample: Option<(usize, usize)>| {
            let _ = write!(text, "\n[{section}]\nfile = {}\ntext = {}\n", quoted(file), quoted(&self.text));
            if let Some(second) = &self.text_b {
                let _ = writeln!(text, "text_b = {}", quoted(second));
            }
            let _ = writeln!(text, "label = {}", quoted(&self.label));
            if let Some((skip, take)) = sample {
                // One seed and ranges that share no row.
                let _ = writeln!(text, "sample = {{ seed = 0, skip = {skip}, take = {take} }}");
            }
        };
        let all = self.train.rows;
        match &self.id {
            Some(id) => {
                let half = (id.rows / 2).max(1);
                part("train", &self.train.file, None);
                part("val", &id.file, Some((0, half)));
                part("split.id", &id.file, Some((half, (id.rows - half).max(1))));
            }
            None => {
                let tenth = (all / 10).max(1);
                part("train", &self.train.file, Some((2 * tenth, all.saturating_sub(2 * tenth).max(1))));
                part("val", &self.train.file, Some((0, tenth)));
                part("split.id", &self.train.file, Some((tenth, tenth)));
            }
        }
        part("split.ood", &self.ood, None);
        text
    }
}

/// A string as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
