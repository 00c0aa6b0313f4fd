//! What decides each part of a task: the section of the specification that is its own, what it takes from the whole, and
//! its files. A comment, another order of the sections, or a further section changes none of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use versions::Versions;

use super::{Generator, Part, Spec};
use crate::{Form, Metric, hans};

/// What decides a part of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct PartRecipe {
    /// The part's section with what it takes from the whole specification: labels, form and metric. Nothing in it is
    /// null.
    pub section: Value,
    /// The files that it reads.
    pub files: BTreeSet<String>,
    /// Versions of what makes it.
    pub versions: Versions,
}

impl Spec {
    /// The specification as a value that depends on its meaning alone. Nothing in it is null.
    #[must_use]
    pub fn canonical(&self) -> Value {
        without_nulls(self)
    }

    /// What decides each part, by the part's role: `train`, `split.<name>`, `do.<name>.base` and `do.<name>.done`.
    #[must_use]
    pub fn part_recipes(&self) -> BTreeMap<String, PartRecipe> {
        let read = self.parts().map(|(section, part)| {
            let role = if section == "val" { "split.val".to_owned() } else { section };
            let recipe = self.of_pair(&role).unwrap_or_else(|| self.of_file(part));
            (role, recipe)
        });
        let made = self.generated.iter().map(|(name, generated)| {
            let Generator::Hans = generated.generator;
            let recipe = PartRecipe {
                section: self.with_whole(without_nulls(generated)),
                files: BTreeSet::new(),
                versions: super::versions().and(hans::versions()),
            };
            (format!("split.{name}"), recipe)
        });
        read.chain(made).collect()
    }

    fn of_file(&self, part: &Part) -> PartRecipe {
        PartRecipe {
            section: self.with_whole(without_nulls(part)),
            files: part.file.names().iter().cloned().collect(),
            versions: super::versions(),
        }
    }

    /// What decides a side of an intervention whose rows pair up by a column: both sides.
    fn of_pair(&self, role: &str) -> Option<PartRecipe> {
        let (name, side) = role.strip_prefix("do.")?.rsplit_once('.')?;
        let pair = self.interventions.get(name).filter(|pair| pair.pair.is_some())?;
        let mut section = without_nulls(pair);
        section["side"] = side.into();
        let files =
            [&pair.base, &pair.done].into_iter().flat_map(|part| part.file.names()).cloned().collect();
        Some(PartRecipe { section: self.with_whole(section), files, versions: super::versions() })
    }

    /// A section and what every part takes from the whole. A default is omitted.
    fn with_whole(&self, section: Value) -> Value {
        let mut whole =
            Map::from_iter([("labels".to_owned(), json!(self.labels)), ("section".into(), section)]);
        if self.form != Form::default() {
            whole.insert("form".into(), json!(self.form));
        }
        // Only ratings are read by the metric: they need not be labels to the letter.
        if self.metric == Metric::Pearson {
            whole.insert("metric".into(), json!(self.metric));
        }
        whole.into()
    }
}

/// The JSON form of a value of ours, without the fields that are null.
fn without_nulls(value: &impl Serialize) -> Value {
    fn strip(value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, strip(value)))
                .collect::<Map<String, Value>>()
                .into(),
            Value::Array(values) => values.into_iter().map(strip).collect(),
            other => other,
        }
    }
    strip(serde_json::to_value(value).expect("a specification is plain data with string keys"))
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::SPEC;
    use super::*;

    fn recipes(text: &str) -> BTreeMap<String, PartRecipe> {
        Spec::parse(text).unwrap().part_recipes()
    }

    #[test]
    fn a_part_is_decided_by_its_own_section_and_the_labels() {
        let before = recipes(SPEC);
        assert_eq!(before.keys().collect::<Vec<_>>(), ["split.ood", "split.val", "train"]);
        assert_eq!(before["train"].files, BTreeSet::from(["train.jsonl".to_owned()]));

        let further =
            format!("# a comment\n{SPEC}[split.id]\nfile = \"id.csv\"\ntext = \"a\"\nlabel = \"y\"\n");
        let after = recipes(&further);
        assert_eq!(after.len(), 4);
        assert!(before.iter().all(|(role, recipe)| after[role] == *recipe));

        let other = recipes(&SPEC.replace("skip = 2", "skip = 1"));
        let changed: Vec<&String> = before.keys().filter(|role| before[*role] != other[*role]).collect();
        assert_eq!(changed, ["split.ood"]);
        let labels = recipes(&SPEC.replace(r#"["no", "yes"]"#, r#"["yes", "no"]"#));
        assert!(before.iter().all(|(role, recipe)| labels[role] != *recipe));
    }

    #[test]
    fn sides_that_pair_up_are_decided_by_both() {
        let side = |side: &str, file: &str| {
            format!("[do.x.{side}]\nfile = \"{file}\"\ntext = \"a\"\nlabel = \"y\"\n")
        };
        let by_row = format!("{SPEC}[do.x]\n{}{}", side("base", "a.csv"), side("done", "b.csv"));
        let files = |recipe: &PartRecipe| recipe.files.iter().cloned().collect::<Vec<_>>();
        assert_eq!(files(&recipes(&by_row)["do.x.done"]), ["b.csv"]);
        let by_column = recipes(&by_row.replace("[do.x]", "[do.x]\npair = \"id\""));
        assert_eq!(files(&by_column["do.x.done"]), ["a.csv", "b.csv"]);
        assert_ne!(by_column["do.x.done"], by_column["do.x.base"]);
        assert_eq!(by_column["do.x.done"].section["section"]["pair"], "id");
    }

    #[test]
    fn the_whole_is_compared_by_meaning() {
        let canonical = |text: &str| Spec::parse(text).unwrap().canonical();
        assert_eq!(canonical(SPEC), canonical(&format!("# why\n{}", SPEC.replace(" = ", "="))));
        assert_ne!(canonical(SPEC), canonical(&SPEC.replace("\"rest\"", "\"all\"")));
        assert!(!canonical(SPEC).to_string().contains("null"));
    }
}
