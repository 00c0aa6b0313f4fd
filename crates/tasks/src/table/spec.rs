//! The specification of a task: its labels and its parts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use toml::Table;

use super::{Part, Pooled};
use crate::{Error, Form, Metric, Pool, hans};

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
    /// What is trained on; nothing where models are only evaluated.
    pub train: Option<Part>,
    /// What choices are made on; becomes the split `val`.
    pub val: Option<Part>,
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

/// The two sides of an intervention: row `i` of one belongs to row `i` of the other, or to the row with the same value in
/// the column `pair`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Column by whose values rows belong together.
    pub pair: Option<String>,
    /// Before.
    pub base: Part,
    /// After.
    pub done: Part,
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

impl Spec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// [`Error::Specification`] naming the part and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Err(Error::Specification { reason });
        let spec = Self::with_defaults(text).map_err(|reason| Error::Specification { reason })?;
        if spec.train.is_some() && spec.val.is_none() {
            return wrong(
                "missing section `[val]`: choices are made on it where there is a `[train]`".into(),
            );
        }
        if spec.parts().next().is_none() && spec.generated.is_empty() {
            return wrong("it has no part: give `[train]` and `[val]`, or a `[split.<name>]`".into());
        }
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

    /// The specification with the keys of `[defaults]` in each of its parts that does not have them.
    fn with_defaults(text: &str) -> Result<Self, String> {
        let mut whole: Table = toml::from_str(text).map_err(|error| error.to_string())?;
        let Some(defaults) = whole.remove("defaults") else {
            // From the text, so that a mistake has its line.
            return toml::from_str(text).map_err(|error| error.to_string());
        };
        let toml::Value::Table(defaults) = defaults else { return Err("`defaults` is no section".into()) };
        let fill = |part: Option<&mut toml::Value>, is_split: bool| {
            let Some(toml::Value::Table(part)) = part else { return };
            let has_case = part.contains_key("case") || part.contains_key("case_value");
            for (key, value) in &defaults {
                let is_of_splits = key == "pool" && !is_split;
                let is_taken = key.starts_with("case") && has_case;
                if !is_of_splits && !is_taken && !part.contains_key(key) {
                    part.insert(key.clone(), value.clone());
                }
            }
        };
        fill(whole.get_mut("train"), false);
        fill(whole.get_mut("val"), false);
        for split in sections(&mut whole, "split") {
            fill(Some(split), true);
        }
        for pair in sections(&mut whole, "do") {
            fill(pair.get_mut("base"), false);
            fill(pair.get_mut("done"), false);
        }
        whole.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }

    /// Puts the names that `find` gives in the place of each pattern of file names.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn expand<E>(&mut self, mut find: impl FnMut(&str) -> Result<Vec<String>, E>) -> Result<(), E> {
        let pairs = self.interventions.values_mut().flat_map(|pair| [&mut pair.base, &mut pair.done]);
        let parts = self.train.iter_mut().chain(&mut self.val).chain(self.split.values_mut()).chain(pairs);
        for part in parts {
            part.file.expand(&mut find)?;
        }
        Ok(())
    }

    /// All parts with the names of their sections.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, &Part)> {
        let splits = self.split.iter().map(|(name, part)| (format!("split.{name}"), part));
        let pairs = self.interventions.iter().flat_map(|(name, pair)| {
            [(format!("do.{name}.base"), &pair.base), (format!("do.{name}.done"), &pair.done)]
        });
        let first = [("train".to_owned(), &self.train), ("val".to_owned(), &self.val)];
        let first = first.into_iter().filter_map(|(name, part)| Some((name, part.as_ref()?)));
        first.chain(splits).chain(pairs)
    }

    /// The files that the specification names, each once, in order of their names.
    #[must_use]
    pub fn files(&self) -> BTreeSet<String> {
        self.parts().flat_map(|(_, part)| part.file.names().to_vec()).collect()
    }
}

/// The sections `[<name>.<any>]`.
fn sections<'a>(whole: &'a mut Table, name: &str) -> impl Iterator<Item = &'a mut toml::Value> {
    whole
        .get_mut(name)
        .and_then(toml::Value::as_table_mut)
        .into_iter()
        .flat_map(|table| table.iter_mut())
        .map(|(_, section)| section)
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

pub(super) fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Sample;
    use super::*;
    use crate::PoolBy;

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
        assert_eq!(spec.train.as_ref().unwrap().label("1", &spec.labels, spec.metric), Ok(Some(1)));
        assert_eq!(spec.val.as_ref().unwrap().label("yes", &spec.labels, spec.metric), Ok(Some(1)));
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
        assert!(message("train.jsonl", "train.xlsx").contains("does not tell its `format`"));
        assert!(message("[train]", "[training]").contains("unknown field `training`"));
        assert!(message("[val]", "[split.val2]").contains("missing section `[val]`"));
        assert!(
            message("text = \"a\"", "quotes = \"none\"\ntext = \"a\"")
                .contains("`quotes` is for TSV and CSV")
        );
        assert!(message("\"train.jsonl\"", "[]").contains("`file` names no file"));
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
    fn what_parts_share_is_said_once() {
        let whole = r#"
            name = "test"
            labels = ["no", "yes"]
            [defaults]
            file = "val.tsv"
            text = "a"
            label = "y"
            case_value = "all"
            pool = { by = "max", labels = { no = ["no"] } }
            [train]
            file = "train.jsonl"
            map = { 0 = "no", 1 = "yes" }
            [val]
            case = "c"
            [split.ood]
            [do.swap.base]
            where = { side = "old" }
            [do.swap.done]
            where = { side = "new" }
        "#;
        let spec = Spec::parse(whole).unwrap();
        let (train, val) = (spec.train.as_ref().unwrap(), spec.val.as_ref().unwrap());
        assert_eq!((train.file.names(), train.text.as_str()), (&["train.jsonl".to_owned()][..], "a"));
        assert_eq!((val.case.as_deref(), val.case_value.as_deref()), (Some("c"), None));
        assert_eq!(train.case_value.as_deref(), Some("all"));
        assert!(val.pool.is_none() && spec.split["ood"].pool.is_some());
        assert_eq!(spec.interventions["swap"].done.label.as_deref(), Some("y"));
        let written_out = SPEC.replace("[train]", "[defaults]\ntext = \"other\"\n[train]");
        assert_eq!(Spec::parse(&written_out).unwrap(), Spec::parse(SPEC).unwrap(), "a part's own keys count");
        let message = |text: &str| Spec::parse(text).unwrap_err().to_string();
        assert!(message(&whole.replace("text =", "test =")).contains("unknown field `test`"));
        assert!(message("name = \"x\"\nlabels = [\"a\", \"b\"]\ndefaults = 1").contains("no section"));
    }

    #[test]
    fn a_task_need_not_be_trained_on() {
        let start = SPEC.find("[train]").unwrap();
        let end = SPEC.find("[split.ood]").unwrap();
        let spec = Spec::parse(&format!("{}{}", &SPEC[..start], &SPEC[end..])).unwrap();
        assert_eq!(spec.files().into_iter().collect::<Vec<_>>(), ["val.tsv"]);
        let message = Spec::parse(&SPEC[..start]).unwrap_err().to_string();
        assert!(message.contains("it has no part"), "{message}");
    }

    #[test]
    fn the_example_of_the_reference_is_a_specification() {
        let page = include_str!("../../../../docs/reference/task-file.md");
        let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let spec = Spec::parse(example).unwrap();
        assert_eq!(spec.interventions["revision"].pair.as_deref(), Some("batch_id"));
        assert_eq!(spec.interventions["revision"].done.text, "review");
    }
}
