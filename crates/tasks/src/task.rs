//! A task: what to learn, and every way to ask whether it was learned for the right reason.

use std::collections::BTreeMap;

use crate::{Content, Error, Examples, Form, Metric, Pool};

/// A training set, evaluation splits and interventions over one list of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// Names of the labels, in order of their class index.
    pub labels: Vec<String>,
    /// What a model is asked about an example.
    pub form: Form,
    /// What it is scored by.
    pub metric: Metric,
    /// What is trained on; empty where models are only evaluated.
    pub train: Examples,
    /// What is evaluated on, by name. `val` is for choices, `id` in distribution, the rest out of it.
    pub splits: BTreeMap<String, Examples>,
    /// How the labels pool, for each split whose labels are coarser than the task's.
    pub pools: BTreeMap<String, Pool>,
    /// What is intervened on, by name.
    pub interventions: BTreeMap<String, Intervention>,
}

/// Pairs of examples before and after one change to the process that makes them: row `i` of `done` is do(row `i` of
/// `base`).
#[derive(Clone, Debug, PartialEq)]
pub struct Intervention {
    /// Its name.
    pub name: String,
    /// The examples, with the right answers.
    pub base: Examples,
    /// The same examples after the change, with the answers that are right then.
    pub done: Examples,
}

impl Task {
    /// Checks every part ([`Examples::check`]), that all hold the same kind of content, that both sides of an
    /// intervention pair up, and that label names are unique.
    ///
    /// # Errors
    /// [`Error::Examples`] with the part's name and the first thing that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |part: &str, reason: String| Err(Error::Examples { part: part.into(), reason });
        if self.labels.len() < 2 {
            return wrong("labels", format!("{} label(s) leave nothing to learn", self.labels.len()));
        }
        if let Some(twice) =
            (1..self.labels.len()).find(|&index| self.labels[..index].contains(&self.labels[index]))
        {
            return wrong("labels", format!("label `{}` is named twice", self.labels[twice]));
        }
        if let Some(label) = self.labels.iter().find(|label| label.contains('|')) {
            return wrong(
                "labels",
                format!("label `{label}` holds `|`, which stands between labels in tables"),
            );
        }
        if let Err(reason) = self.metric.check(&self.labels) {
            return wrong("metric", reason);
        }
        for (name, pool) in &self.pools {
            let part = format!("split.{name}");
            if !self.splits.contains_key(name) {
                return wrong(&part, "its labels pool, but there is no such split".into());
            }
            let suits = pool.check(self.labels.len()).and_then(|()| match self.metric {
                // F1 of a split is of its own second label, whatever the task has.
                Metric::Pearson => Metric::Pearson.check(&pool.labels),
                _ => Ok(()),
            });
            suits.map_err(|reason| Error::Examples { part, reason })?;
        }
        if self.form == Form::Preference && (self.labels.len() != 2 || !self.pools.is_empty()) {
            return wrong("labels", "a preference has two labels, which do not pool".into());
        }
        let Some((first, like)) = self.parts().next() else {
            return wrong(&self.name, "it has no example".into());
        };
        if self.form == Form::Preference && !matches!(like.content, Content::Text { second: Some(_), .. }) {
            return wrong(&first, "a preference is between the two texts of a pair".into());
        }
        for (part, examples) in self.parts() {
            examples.check(&part, self.labels_of(&part).len())?;
            let (found, expected) = (examples.content.kind(), like.content.kind());
            let width =
                |content: &Content| if let Content::Dense { width, .. } = content { *width } else { 0 };
            if found != expected || width(&examples.content) != width(&like.content) {
                return wrong(&part, format!("these are {found}, but those of `{first}` are {expected}"));
            }
        }
        for (name, intervention) in &self.interventions {
            if intervention.base.ids != intervention.done.ids {
                return wrong(&format!("do.{name}"), "the two sides do not pair up".into());
            }
        }
        Ok(())
    }

    /// Names of the labels of a part, in order of their class index: the task's own, but in a split where they pool.
    #[must_use]
    pub fn labels_of(&self, part: &str) -> &[String] {
        let pool = part.strip_prefix("split.").and_then(|split| self.pools.get(split));
        pool.map_or(&self.labels, |pool| &pool.labels)
    }

    /// All parts with their names: `train` where there is one, `split.<name>`, `do.<name>.base` and `do.<name>.done`.
    pub fn parts(&self) -> impl Iterator<Item = (String, &Examples)> {
        let splits = self.splits.iter().map(|(name, split)| (format!("split.{name}"), split));
        let interventions = self.interventions.iter().flat_map(|(name, intervention)| {
            [(format!("do.{name}.base"), &intervention.base), (format!("do.{name}.done"), &intervention.done)]
        });
        let train = (!self.train.is_empty()).then(|| ("train".to_owned(), &self.train));
        train.into_iter().chain(splits).chain(interventions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PoolBy;
    use crate::examples::tests::texts;

    fn task() -> Task {
        let intervention = Intervention { name: "swap".into(), base: texts(&["a b"]), done: texts(&["b a"]) };
        Task {
            name: "test".into(),
            labels: vec!["no".into(), "yes".into()],
            form: Form::default(),
            metric: Metric::Accuracy,
            train: texts(&["a", "b"]),
            splits: BTreeMap::from([("val".into(), texts(&["c"]))]),
            pools: BTreeMap::new(),
            interventions: BTreeMap::from([("swap".into(), intervention)]),
        }
    }

    #[test]
    fn parts_are_named_and_checked() {
        let task = task();
        let names: Vec<String> = task.parts().map(|(name, _)| name).collect();
        assert_eq!(names, ["train", "split.val", "do.swap.base", "do.swap.done"]);
        task.check().unwrap();
    }

    #[test]
    fn every_lie_is_named() {
        let message = |change: &dyn Fn(&mut Task)| {
            let mut task = task();
            change(&mut task);
            task.check().unwrap_err().to_string()
        };
        assert_eq!(message(&|t| t.labels[1] = "no".into()), "labels: label `no` is named twice");
        assert_eq!(
            message(&|t| t.labels[1] = "a|b".into()),
            "labels: label `a|b` holds `|`, which stands between labels in tables"
        );
        assert_eq!(
            message(&|t| t.metric = Metric::Pearson),
            "metric: `pearson` is of labels that are numbers, and `no` is none"
        );
        assert_eq!(message(&|t| t.labels.truncate(1)), "labels: 1 label(s) leave nothing to learn");
        assert_eq!(
            message(&|t| t.splits.get_mut("val").unwrap().labels[0] = 7).split(':').next(),
            Some("split.val")
        );
        let pool =
            |of: &[usize]| Pool { labels: vec!["a".into(), "b".into()], of: of.to_vec(), by: PoolBy::Max };
        assert_eq!(
            message(&|t| drop(t.pools.insert("ood".into(), pool(&[0, 1])))),
            "split.ood: its labels pool, but there is no such split"
        );
        assert_eq!(
            message(&|t| drop(t.pools.insert("val".into(), pool(&[0, 1, 1])))),
            "split.val: 3 labels are pooled, but the task has 2"
        );
        let dense = Content::Dense { values: vec![1.0], width: 1 };
        assert_eq!(
            message(&|t| t.splits.get_mut("val").unwrap().content = dense.clone()),
            "split.val: these are rows of numbers, but those of `train` are texts"
        );
        assert_eq!(
            message(&|t| t.interventions.get_mut("swap").unwrap().done.ids[0] = "z".into()),
            "do.swap: the two sides do not pair up"
        );
    }
}
