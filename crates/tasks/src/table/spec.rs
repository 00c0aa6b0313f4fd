//! The specification: where a task's rows are and what their columns mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::metric::ratings;
use crate::{Error, Form, Metric, Pool, PoolBy, hans};

/// A task's specification. See the [module](super) for an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the task.
    pub name: String,
    /// Names of the labels, in order of their class index.
    pub labels: Vec<String>,
    /// What a model is asked about an example.
    #[serde(default)]
    pub form: Form,
    /// What the task is scored by.
    #[serde(default)]
    pub metric: Metric,
    /// What is trained on.
    pub train: Part,
    /// What choices are made on; becomes the split `val`.
    pub val: Part,
    /// What is evaluated on, by name.
    #[serde(default)]
    pub split: BTreeMap<String, Part>,
    /// Splits that are made and not read, by name.
    #[serde(default)]
    pub generated: BTreeMap<String, Generated>,
    /// Interventions, by name.
    #[serde(default, rename = "do")]
    pub interventions: BTreeMap<String, Pair>,
}

/// The two sides of an intervention: row `i` of one belongs to row `i` of the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Before.
    pub base: Part,
    /// After.
    pub done: Part,
}

/// One file, or a sample of its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The file, relative to the folder that the specification is read with.
    pub file: String,
    /// Its format, if its name does not tell.
    pub format: Option<Format>,
    /// Names of its columns, if it has no header (TSV, CSV).
    pub columns: Option<Vec<String>>,
    /// Column of the text, or of the first text of a pair.
    pub text: String,
    /// Column of the second text.
    pub text_b: Option<String>,
    /// Column of the label. A preference needs none: the first text is then the preferred one.
    pub label: Option<String>,
    /// Column of the example's name; else the number of the line (or row of a Parquet file), from 1.
    pub id: Option<String>,
    /// Column of the case.
    pub case: Option<String>,
    /// One case for all rows.
    pub case_value: Option<String>,
    /// Label names by what stands in the file. Without it the file holds label names.
    pub map: Option<BTreeMap<String, String>>,
    /// Rows with one of these in the label column are left out.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Which rows; else all.
    pub sample: Option<Sample>,
    /// How the task's labels pool into the coarser ones of a split.
    pub pool: Option<Pooled>,
}

/// Coarser labels for a split: its file, or its `map`, names these in place of those that they hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pooled {
    /// The labels that fall into each coarser one; a label in none stays what it is.
    pub labels: BTreeMap<String, Vec<String>>,
    /// What their scores become.
    pub by: PoolBy,
}

/// A split of examples that are made by a generator, with labels of the generator's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generated {
    /// What makes them.
    pub generator: Generator,
    /// Examples of each of its cases.
    pub per_case: usize,
    /// Seed of the examples.
    pub seed: u64,
    /// How the task's labels pool into the generator's.
    pub pool: Option<Pooled>,
}

/// What makes examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// Pairs of sentences that are entailed or not, by sub-case ([`hans`]).
    Hans,
}

/// `take` rows, after `skip` others, of a file's rows in the random order of `seed`: parts with one seed and ranges
/// that do not overlap share no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Seed of the order.
    pub seed: u64,
    /// Rows of the order to pass over.
    #[serde(default)]
    pub skip: usize,
    /// Rows to take.
    pub take: usize,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON object on each line.
    Jsonl,
    /// Cells between tabs; a quote is a character like any other.
    Tsv,
    /// Cells between commas, quoted where they must be (RFC 4180).
    Csv,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The format that the end of a file's name tells.
    pub(super) fn of(file: &str) -> Option<Self> {
        let name = file.strip_suffix(".gz").unwrap_or(file);
        match Path::new(name).extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => Some(Self::Jsonl),
            Some("tsv") => Some(Self::Tsv),
            Some("csv") => Some(Self::Csv),
            Some("parquet") => Some(Self::Parquet),
            _ => None,
        }
    }
}

impl Spec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// [`Error::Specification`] naming the part and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let spec: Self =
            toml::from_str(text).map_err(|error| Error::Specification { reason: error.to_string() })?;
        let wrong = |reason: String| Err(Error::Specification { reason });
        if spec.labels.len() < 2 {
            return wrong("`labels` must name at least two labels".into());
        }
        if let Err(reason) = spec.metric.check(&spec.labels) {
            return wrong(reason);
        }
        if spec.split.contains_key("val") {
            return wrong("`split.val` is the section `[val]`".into());
        }
        for (name, part) in spec.parts() {
            part.check(&name, &spec.labels, spec.form)
                .map_err(|reason| Error::Specification { reason: format!("[{name}]: {reason}") })?;
        }
        for (name, generated) in &spec.generated {
            if name == "val" || spec.split.contains_key(name) {
                return wrong(format!("[generated.{name}]: there is a split `{name}` from a file"));
            }
            generated
                .check(&spec.labels)
                .map_err(|reason| Error::Specification { reason: format!("[generated.{name}]: {reason}") })?;
        }
        Ok(spec)
    }

    /// All parts with the names of their sections.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, &Part)> {
        let splits = self.split.iter().map(|(name, part)| (format!("split.{name}"), part));
        let pairs = self.interventions.iter().flat_map(|(name, pair)| {
            [(format!("do.{name}.base"), &pair.base), (format!("do.{name}.done"), &pair.done)]
        });
        [("train".to_owned(), &self.train), ("val".to_owned(), &self.val)]
            .into_iter()
            .chain(splits)
            .chain(pairs)
    }

    /// The files that the specification names, each once, in order of their names.
    #[must_use]
    pub fn files(&self) -> BTreeSet<String> {
        self.parts().map(|(_, part)| part.file.clone()).collect()
    }
}

impl Generated {
    fn check(&self, labels: &[String]) -> Result<(), String> {
        let pool = self.pool(labels)?;
        let labels = pool.as_ref().map_or(labels, |pool| &pool.labels);
        let Generator::Hans = self.generator;
        if labels != hans::LABELS {
            return Err(format!(
                "`hans` has the labels {}, but these are {}; give a `pool`, or other names in this order?",
                names(&hans::LABELS.map(str::to_owned)),
                names(labels)
            ));
        }
        match self.per_case {
            1..=hans::MOST_PER_CASE => Ok(()),
            other => Err(format!("`per_case` is {other}, but must be 1 to {}", hans::MOST_PER_CASE)),
        }
    }

    /// How the task's labels pool, if they do.
    pub(super) fn pool(&self, labels: &[String]) -> Result<Option<Pool>, String> {
        self.pool.as_ref().map(|pooled| pooled.of(labels)).transpose()
    }
}

impl Pooled {
    fn of(&self, labels: &[String]) -> Result<Pool, String> {
        Pool::new(labels, &self.labels, self.by)
    }
}

impl Part {
    fn check(&self, section: &str, labels: &[String], form: Form) -> Result<(), String> {
        if self.label.is_none() && form != Form::Preference {
            return Err("missing field `label`, the column of the answers".into());
        }
        if self.label.is_none() && (self.map.is_some() || !self.drop.is_empty()) {
            return Err("`map` and `drop` speak of a `label`, and there is none".into());
        }
        if self.pool.is_some() && !section.starts_with("split.") {
            return Err(
                "`pool` is for splits: what is learned and chosen by has the task's own labels".into()
            );
        }
        let pool = self.pool(labels)?;
        let labels = pool.as_ref().map_or(labels, |pool| &pool.labels);
        let path = Path::new(&self.file);
        let inside = |component: Component| matches!(component, Component::Normal(_) | Component::CurDir);
        if self.file.is_empty() || !path.components().all(inside) {
            return Err(format!("file `{}` must be a path below the folder, without `..`", self.file));
        }
        self.format()?;
        if self.case.is_some() && self.case_value.is_some() {
            return Err("`case` and `case_value` exclude each other".into());
        }
        if self.sample.is_some_and(|sample| sample.take == 0) {
            return Err("`sample` must take at least one row".into());
        }
        let unknown = self.map.iter().flatten().find(|(_, label)| !labels.contains(label));
        if let Some((from, label)) = unknown {
            return Err(format!("`map` sends `{from}` to `{label}`, but the labels are {}", names(labels)));
        }
        Ok(())
    }

    /// How the task's labels pool, if they do.
    pub(super) fn pool(&self, labels: &[String]) -> Result<Option<Pool>, String> {
        self.pool.as_ref().map(|pooled| pooled.of(labels)).transpose()
    }

    /// The format, by word or by the file's name.
    pub(super) fn format(&self) -> Result<Format, String> {
        self.format.or_else(|| Format::of(&self.file)).ok_or_else(|| {
            format!("the name of `{}` does not tell its `format`: jsonl, tsv, csv or parquet", self.file)
        })
    }

    /// The class index of what stands in the label column; `None` if the row is to be left out. A rating between two
    /// labels counts as the nearer one, or the higher if it lies half-way.
    pub(super) fn label(&self, cell: &str, labels: &[String], metric: Metric) -> Result<Option<u32>, String> {
        if self.drop.iter().any(|dropped| dropped == cell) {
            return Ok(None);
        }
        let name = match &self.map {
            None => cell,
            Some(map) => map.get(cell).ok_or_else(|| {
                let allowed: Vec<String> = map.keys().cloned().collect();
                format!("label `{cell}` is not in `map`, which has {}", names(&allowed))
            })?,
        };
        let mut index = labels.iter().position(|label| label == name);
        if metric == Metric::Pearson {
            index = index.or_else(|| nearest(name, &ratings(labels).ok()?));
        }
        let unknown = || format!("label `{cell}` is none of {}; give a `map`?", names(labels));
        index.map(|index| Some(index as u32)).ok_or_else(unknown)
    }
}

/// Index of the rating that is nearest to the number in `cell`; `None` if it is no number, or beyond them all.
fn nearest(cell: &str, ratings: &[f64]) -> Option<usize> {
    let number: f64 = cell.trim().parse().ok()?;
    let within =
        ratings.iter().any(|&rating| rating <= number) && ratings.iter().any(|&rating| number <= rating);
    let distance = |index: &usize| (number - ratings[*index]).abs();
    let nearer =
        |a: &usize, b: &usize| distance(a).total_cmp(&distance(b)).then(ratings[*b].total_cmp(&ratings[*a]));
    within.then(|| (0..ratings.len()).min_by(nearer)).flatten()
}

pub(super) fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const SPEC: &str = r#"
        name = "test"
        labels = ["no", "yes"]
        [train]
        file = "train.jsonl"
        text = "a"
        label = "y"
        map = { 0 = "no", 1 = "yes" }
        [val]
        file = "val.tsv"
        text = "a"
        label = "y"
        sample = { seed = 1, take = 2 }
        [split.ood]
        file = "val.tsv"
        text = "a"
        label = "y"
        case_value = "rest"
        sample = { seed = 1, skip = 2, take = 2 }
    "#;

    #[test]
    fn a_specification_is_read() {
        let spec = Spec::parse(SPEC).unwrap();
        assert_eq!(spec.files().into_iter().collect::<Vec<_>>(), ["train.jsonl", "val.tsv"]);
        assert_eq!(spec.train.label("1", &spec.labels, spec.metric), Ok(Some(1)));
        assert_eq!(spec.val.label("yes", &spec.labels, spec.metric), Ok(Some(1)));
        assert_eq!(spec.split["ood"].sample, Some(Sample { seed: 1, skip: 2, take: 2 }));
    }

    #[test]
    fn every_mistake_is_named() {
        let message =
            |from: &str, to: &str| Spec::parse(&SPEC.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message("text = \"a\"", "test = \"a\"").contains("unknown field `test`"));
        assert!(message("label = \"y\"", "").contains("missing field `label`"));
        assert!(
            message("1 = \"yes\"", "1 = \"maybe\"")
                .contains("[train]: `map` sends `1` to `maybe`, but the labels are `no`, `yes`")
        );
        assert!(message("train.jsonl", "train.json").contains("does not tell its `format`"));
        assert!(message("train.jsonl", "../train.jsonl").contains("without `..`"));
        assert!(message("train.jsonl", "/train.jsonl").contains("below the folder"));
        assert!(message("[split.ood]", "[split.val]").contains("`split.val` is the section `[val]`"));
        assert!(message("take = 2", "take = 0").contains("[val]: `sample` must take"));
        assert!(message("case_value", "case = \"a\"\ncase_value").contains("exclude each other"));
        assert!(message("\"no\", ", "").contains("at least two"));
        assert!(message("name", "name name").contains("TOML parse error"));
        assert!(message("[train]", "metric = \"bleu\"\n[train]").contains("unknown variant `bleu`"));
        assert!(
            message("\"yes\"]", "\"yes\", \"perhaps\"]\nmetric = \"f1\"")
                .contains("`f1` is of the second of two")
        );
        let pool = "pool = { by = \"max\", labels = { any = [\"no\", \"yes\"] } }\n";
        assert!(message("[val]", &format!("{pool}[val]")).contains("[train]: `pool` is for splits"));
        assert!(message("case_value", &format!("{pool}case_value")).contains("[split.ood]: `pool` leaves 1"));
    }

    #[test]
    fn a_split_may_have_coarser_labels() {
        let pool = "pool = { by = \"sum\", labels = { right = [\"yes\", \"perhaps\"] } }\n";
        let text = SPEC.replace("labels = [\"no\", \"yes\"]", "labels = [\"no\", \"yes\", \"perhaps\"]");
        let text = text.replace("case_value", &format!("{pool}map = {{ y = \"right\" }}\ncase_value"));
        let spec = Spec::parse(&text).unwrap();
        let pool = spec.split["ood"].pool(&spec.labels).unwrap().unwrap();
        assert_eq!((pool.of, pool.by), (vec![0, 1, 1], PoolBy::Sum));
        assert_eq!(spec.split["ood"].label("y", &pool.labels, spec.metric), Ok(Some(1)));
        let fine = text.replace("y = \"right\"", "y = \"yes\"");
        let message = Spec::parse(&fine).unwrap_err().to_string();
        assert!(message.contains("sends `y` to `yes`, but the labels are `no`, `right`"), "{message}");
    }

    #[test]
    fn a_rating_counts_as_the_nearest_label() {
        let text = SPEC
            .replace("labels = [\"no\", \"yes\"]", "labels = [\"0\", \"1\", \"3\"]\nmetric = \"pearson\"");
        let spec = Spec::parse(&text.replace("map = { 0 = \"no\", 1 = \"yes\" }", "")).unwrap();
        let label = |cell| spec.train.label(cell, &spec.labels, spec.metric);
        for (cell, index) in [("0", 0), ("0.4", 0), ("0.500", 1), ("1.9", 1), ("2", 2), ("3.0", 2)] {
            assert_eq!(label(cell), Ok(Some(index)), "{cell}");
        }
        for cell in ["3.1", "-0.1", "NaN", "often"] {
            let message = label(cell).unwrap_err();
            assert_eq!(message, format!("label `{cell}` is none of `0`, `1`, `3`; give a `map`?"));
        }
        let message = Spec::parse(&SPEC.replace("[train]", "metric = \"pearson\"\n[train]")).unwrap_err();
        assert!(message.to_string().contains("labels that are numbers, and `no` is none"));
    }

    #[test]
    fn labels_outside_of_the_map_are_named() {
        let spec = Spec::parse(SPEC).unwrap();
        let message = |part: &Part, cell| part.label(cell, &spec.labels, spec.metric).unwrap_err();
        assert_eq!(message(&spec.train, "2"), "label `2` is not in `map`, which has `0`, `1`");
        assert_eq!(message(&spec.val, "0"), "label `0` is none of `no`, `yes`; give a `map`?");
    }
}
