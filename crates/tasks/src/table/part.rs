//! One part of a task: where its rows are and what their columns mean.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::spec::names;
use crate::metric::ratings;
use crate::{Form, Metric, Pool, PoolBy};

/// Rows of one or more files, or a sample of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The files, relative to the folder that the specification is read with.
    pub file: Files,
    /// Their format, if their names do not tell.
    pub format: Option<Format>,
    /// What a quotation mark means (TSV, CSV); else what is usual for the format.
    pub quotes: Option<Quotes>,
    /// Names of the columns, if the files have no header (TSV, CSV).
    pub columns: Option<Vec<String>>,
    /// Column of the text, or of the first text of a pair. Here and below, a path leads to a nested value:
    /// `chosen[-1].content`.
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
    /// Only rows with one of these values in each of these columns.
    #[serde(rename = "where")]
    pub only: Option<BTreeMap<String, Values>>,
    /// Whether rows that cannot be read are left out and counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_invalid: bool,
    /// Whether rows without any text are left out and counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_empty: bool,
    /// Which rows; else all.
    pub sample: Option<Sample>,
    /// How the task's labels pool into the coarser ones of a split.
    pub pool: Option<Pooled>,
}

/// A file, or several whose rows are read one after the other. In a name a `*` stands for anything but a slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Files {
    /// A name, or a pattern of names.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Files {
    /// The names and patterns.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }

    /// Puts the names that `find` gives in the place of each pattern.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn expand<E>(&mut self, find: &mut impl FnMut(&str) -> Result<Vec<String>, E>) -> Result<(), E> {
        if !self.names().iter().any(|name| name.contains('*')) {
            return Ok(());
        }
        let mut found = Vec::new();
        for name in self.names() {
            match name.contains('*') {
                true => found.extend(find(name)?),
                false => found.push(name.clone()),
            }
        }
        *self = Self::Many(found);
        Ok(())
    }
}

/// Values of a column, as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A value.
    One(Value),
    /// Any of several.
    Any(Vec<Value>),
}

/// A value as a specification writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A truth value.
    Truth(bool),
    /// Another number.
    Number(f64),
}

impl Values {
    /// Whether a cell holds one of these values.
    pub(super) fn hold(&self, cell: &str) -> bool {
        let is = |value: &Value| match value {
            Value::Text(text) => text == cell,
            Value::Whole(number) => number.to_string() == cell,
            Value::Truth(truth) => truth.to_string() == cell,
            Value::Number(number) => cell.parse() == Ok(*number),
        };
        match self {
            Self::One(value) => is(value),
            Self::Any(values) => values.iter().any(is),
        }
    }
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

impl Pooled {
    pub(super) fn of(&self, labels: &[String]) -> Result<Pool, String> {
        Pool::new(labels, &self.labels, self.by)
    }
}

/// `take` rows, after `skip` others, of a part's rows in the random order of `seed`: parts with one seed and ranges
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
    /// A JSON object on each line, or a list of them.
    Jsonl,
    /// As `Jsonl`.
    Json,
    /// Cells between tabs.
    Tsv,
    /// Cells between commas.
    Csv,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The format that a file's name tells.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        match Path::new(name).extension()?.to_str()? {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            "tsv" => Some(Self::Tsv),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// What a quotation mark means in TSV and CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quotes {
    /// It is a character like any other: usual for TSV.
    None,
    /// A cell that begins with one ends at the next single one (RFC 4180): usual for CSV.
    Rfc4180,
}

impl Part {
    pub(super) fn check(&self, section: &str, labels: &[String], form: Form) -> Result<(), String> {
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
        self.check_files()?;
        if self.case.is_some() && self.case_value.is_some() {
            return Err("`case` and `case_value` exclude each other".into());
        }
        if self.sample.is_some_and(|sample| sample.take == 0) {
            return Err("`sample` must take at least one row".into());
        }
        let pool = self.pool(labels)?;
        let labels = pool.as_ref().map_or(labels, |pool| &pool.labels);
        let unknown = self.map.iter().flatten().find(|(_, label)| !labels.contains(label));
        if let Some((from, label)) = unknown {
            return Err(format!("`map` sends `{from}` to `{label}`, but the labels are {}", names(labels)));
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), String> {
        if self.file.names().is_empty() {
            return Err("`file` names no file".into());
        }
        for file in self.file.names() {
            let inside = |component: Component| matches!(component, Component::Normal(_) | Component::CurDir);
            if file.is_empty() || !Path::new(file).components().all(inside) {
                return Err(format!("file `{file}` must be a path below the folder, without `..`"));
            }
            let format = self.format(file)?;
            if self.quotes.is_some() && !matches!(format, Format::Tsv | Format::Csv) {
                return Err(format!("`quotes` is for TSV and CSV, and `{file}` is neither"));
            }
        }
        Ok(())
    }

    /// How the task's labels pool, if they do.
    pub(super) fn pool(&self, labels: &[String]) -> Result<Option<Pool>, String> {
        self.pool.as_ref().map(|pooled| pooled.of(labels)).transpose()
    }

    /// The format of a file, by word or by its name.
    pub(super) fn format(&self, file: &str) -> Result<Format, String> {
        self.format.or_else(|| Format::of(file)).ok_or_else(|| {
            format!("the name of `{file}` does not tell its `format`: jsonl, json, tsv, csv or parquet")
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

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::super::spec::tests::SPEC;
    use super::*;

    #[test]
    fn a_rating_counts_as_the_nearest_label() {
        let text = SPEC
            .replace("labels = [\"no\", \"yes\"]", "labels = [\"0\", \"1\", \"3\"]\nmetric = \"pearson\"");
        let spec = Spec::parse(&text.replace("map = { 0 = \"no\", 1 = \"yes\" }", "")).unwrap();
        let label = |cell| spec.train.as_ref().unwrap().label(cell, &spec.labels, spec.metric);
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
        let message = |part: &Option<Part>, cell| {
            part.as_ref().unwrap().label(cell, &spec.labels, spec.metric).unwrap_err()
        };
        assert_eq!(message(&spec.train, "2"), "label `2` is not in `map`, which has `0`, `1`");
        assert_eq!(message(&spec.val, "0"), "label `0` is none of `no`, `yes`; give a `map`?");
    }

    #[test]
    fn values_are_compared_as_they_are_meant() {
        let values = |text: &str| toml::from_str::<BTreeMap<String, Values>>(&format!("a = {text}")).unwrap();
        let hold = |text: &str, cell: &str| values(text)["a"].hold(cell);
        assert!(hold("\"new\"", "new") && !hold("\"new\"", "new "));
        assert!(hold("1", "1") && hold("true", "true") && hold("0.5", "0.50") && !hold("1", "1.0"));
        assert!(hold("[\"a\", 2]", "2") && !hold("[\"a\", 2]", "b") && !hold("[]", ""));
    }

    #[test]
    fn patterns_become_files() {
        let mut files = Files::Many(vec!["b.tsv".into(), "a*.tsv".into()]);
        let find =
            |pattern: &str| Ok::<_, String>(vec![pattern.replace('*', "1"), pattern.replace('*', "2")]);
        files.expand(&mut { find }).unwrap();
        assert_eq!(files.names(), ["b.tsv", "a1.tsv", "a2.tsv"]);
        let mut one = Files::One("a.tsv".into());
        one.expand(&mut { find }).unwrap();
        assert_eq!(one, Files::One("a.tsv".into()));
    }
}
