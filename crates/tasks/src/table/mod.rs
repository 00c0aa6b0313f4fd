//! Tasks from anyone's files.
//!
//! A specification in TOML names the files, their columns and the labels:
//!
//! ```toml
//! name = "qqp"
//! labels = ["different", "duplicate"]
//! metric = "f1"                       # or "accuracy", "mcc", "macro-f1", "pearson"; else accuracy
//!
//! [train]
//! file = "glue/qqp.train.jsonl"       # .jsonl, .tsv, .csv or .parquet; or say `format`
//! text = "question1"                  # columns
//! text_b = "question2"
//! label = "label"
//! id = "idx"                          # else the number of the line
//! map = { 0 = "different", 1 = "duplicate" }
//!
//! [val]                               # for choices
//! file = "glue/qqp.valid.jsonl"
//! text = "question1"
//! text_b = "question2"
//! label = "label"
//! map = { 0 = "different", 1 = "duplicate" }
//! sample = { seed = 1, take = 1000 }  # the first 1,000 of the file's rows in random order
//!
//! [split.id]                          # as many as you like
//! file = "glue/qqp.valid.jsonl"
//! text = "question1"
//! text_b = "question2"
//! label = "label"
//! map = { 0 = "different", 1 = "duplicate" }
//! sample = { seed = 1, skip = 1000, take = 4000 }  # the next 4,000: none of them is in `val`
//!
//! [split.ood]
//! file = "paws-qqp/dev_and_test.tsv"
//! text = "sentence1"
//! text_b = "sentence2"
//! label = "label"
//! map = { 0 = "different", 1 = "duplicate" }
//! case_value = "paws"                 # or `case`, a column
//! ```
//!
//! `columns = ["source", "label", "mark", "text"]` names the columns of a file without a header; `drop = ["-"]` leaves
//! out the rows with these labels. A split whose answers are fewer than the task's labels says which fall together:
//! `pool = { by = "max", labels = { non-entailment = ["neutral", "contradiction"] } }`; its `map` leads to these. Ratings
//! are labels that are numbers, `labels = ["0", "1", "2", "3", "4", "5"]` with `metric = "pearson"`: a file's 3.8 counts as
//! 4, and a model's rating is the labels' expectation.
//!
//! What most parts share stands once, under `[defaults]`. `file` may name several files, or a pattern; `where = { side =
//! "new" }` takes only some rows; `text = "chosen[-1].content"` is a path to a nested value; `quotes = "none"` or
//! `"rfc4180"` says what a quotation mark means in TSV and CSV; `skip_invalid = true` leaves damaged rows out, and
//! `skip_empty = true` those without a text. Without `[train]` a task is for evaluation alone.
//!
//! `[do.<name>.base]` and `[do.<name>.done]` are the two sides of an intervention, row by row, or by the values of a column
//! that `pair` under `[do.<name>]` names. `[generated.<name>]` with `generator = "hans"`, `per_case = 100` and `seed = 0`
//! is a split that needs no file ([`crate::hans`]).

mod assemble;
mod part;
mod read;
mod recipe;
mod repeats;
mod rows;
mod spec;
mod survey;

pub use assemble::Prepared;
pub use part::{Files, Format, Part, Pooled, Quotes, Sample, Value, Values};
pub use read::{Cells, cells, column};
pub use recipe::PartRecipe;
pub use spec::{Generated, Generator, Pair, Spec};
pub use survey::{Survey, survey};

/// Changes whenever the same specification and files yield another task.
pub const VERSION: u32 = 2;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("table", VERSION).and(random::versions()).and(tables::versions())
}
