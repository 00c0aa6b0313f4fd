//! Coarser labels: a split whose answers are fewer than the task's labels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Error;

/// What the scores of the labels that fall together become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolBy {
    /// The largest of them: the published way of HANS (McCoy et al. 2019).
    Max,
    /// The sum of their probabilities.
    Sum,
}

/// How a task's labels fall into the coarser ones of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Names of the split's labels, in order of their class index.
    pub labels: Vec<String>,
    /// For each of the task's labels, the class index that it falls into.
    pub of: Vec<usize>,
    /// What their scores become.
    pub by: PoolBy,
}

impl Pool {
    /// The pool in which each of `groups` is one label, and a label of the task in no group stays what it is. Classes
    /// are in the order of the first of their labels.
    ///
    /// # Errors
    /// In words, if a group is empty or has the name of a label that stays, a member is no label or in two groups, or
    /// fewer than two classes are left.
    pub fn new(
        labels: &[String],
        groups: &BTreeMap<String, Vec<String>>,
        by: PoolBy,
    ) -> Result<Self, String> {
        let mut group_of: BTreeMap<&str, &String> = BTreeMap::new();
        for (group, members) in groups {
            if members.is_empty() {
                return Err(format!("`pool` puts no label into `{group}`"));
            }
            for member in members {
                if !labels.contains(member) {
                    return Err(format!(
                        "`pool` puts `{member}` into `{group}`, but it is none of the labels"
                    ));
                }
                if let Some(other) = group_of.insert(member, group) {
                    return Err(format!("`pool` puts `{member}` into `{other}` and into `{group}`"));
                }
            }
        }
        let mut pooled: Vec<String> = Vec::new();
        let mut of = Vec::with_capacity(labels.len());
        for label in labels {
            let name = group_of.get(label.as_str()).copied().unwrap_or(label);
            if !group_of.contains_key(label.as_str()) && groups.contains_key(name) {
                return Err(format!("`pool` makes a label `{name}`, but a label of that name stays"));
            }
            let class = pooled.iter().position(|known| known == name);
            of.push(class.unwrap_or(pooled.len()));
            if class.is_none() {
                pooled.push(name.clone());
            }
        }
        let pool = Self { labels: pooled, of, by };
        pool.check(labels.len())?;
        Ok(pool)
    }

    /// Checks that each of `classes` labels falls into one of at least two that have names of their own, none of them
    /// empty.
    ///
    /// # Errors
    /// In words, the first thing that is wrong.
    pub fn check(&self, classes: usize) -> Result<(), String> {
        let n = self.labels.len();
        if n < 2 {
            return Err(format!("`pool` leaves {n} label(s), and with them nothing to tell apart"));
        }
        if self.labels.iter().collect::<BTreeSet<_>>().len() < n {
            return Err("two of the pooled labels have one name".into());
        }
        if self.of.len() != classes {
            return Err(format!("{} labels are pooled, but the task has {classes}", self.of.len()));
        }
        match (0..n).find(|class| !self.of.contains(class)) {
            Some(class) => Err(format!("no label falls into `{}`", self.labels[class])),
            None if self.of.iter().any(|&class| class >= n) => Err(format!(
                "a label falls into class {}, but there are {n}",
                self.of.iter().max().unwrap_or(&0)
            )),
            None => Ok(()),
        }
    }

    /// The pool as JSON.
    ///
    /// # Errors
    /// [`Error::Pool`] if it has no JSON form.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| Error::Pool { reason: error.to_string() })
    }

    /// A pool of a task with `classes` labels.
    ///
    /// # Errors
    /// [`Error::Pool`] if it is none, or not of such a task.
    pub fn from_json(bytes: &[u8], classes: usize) -> Result<Self, Error> {
        let pool: Self =
            serde_json::from_slice(bytes).map_err(|error| Error::Pool { reason: error.to_string() })?;
        pool.check(classes).map_err(|reason| Error::Pool { reason })?;
        Ok(pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn pool(groups: &[(&str, &[&str])]) -> Result<Pool, String> {
        let groups = groups.iter().map(|&(group, members)| (group.to_owned(), strings(members))).collect();
        Pool::new(&strings(&["entailment", "neutral", "contradiction"]), &groups, PoolBy::Max)
    }

    #[test]
    fn three_become_two_and_come_back() {
        let two = pool(&[("non-entailment", &["neutral", "contradiction"])]).unwrap();
        assert_eq!((&two.labels, &two.of), (&strings(&["entailment", "non-entailment"]), &vec![0, 1, 1]));
        let json = two.to_json().unwrap();
        assert_eq!(json, r#"{"labels":["entailment","non-entailment"],"of":[0,1,1],"by":"max"}"#);
        assert_eq!(Pool::from_json(json.as_bytes(), 3).unwrap(), two);
        // The other way round, and with a name that goes away.
        let two = pool(&[("neutral", &["entailment", "neutral"])]).unwrap();
        assert_eq!((two.labels, two.of), (strings(&["neutral", "contradiction"]), vec![0, 0, 1]));
    }

    #[test]
    fn every_mistake_is_named() {
        let message = |groups: &[(&str, &[&str])]| pool(groups).unwrap_err();
        assert_eq!(message(&[("no", &[])]), "`pool` puts no label into `no`");
        assert_eq!(
            message(&[("no", &["contradictory"])]),
            "`pool` puts `contradictory` into `no`, but it is none of the labels"
        );
        assert_eq!(
            message(&[("a", &["neutral"]), ("b", &["neutral"])]),
            "`pool` puts `neutral` into `a` and into `b`"
        );
        assert_eq!(
            message(&[("entailment", &["neutral", "contradiction"])]),
            "`pool` makes a label `entailment`, but a label of that name stays"
        );
        assert!(message(&[("all", &["entailment", "neutral", "contradiction"])]).contains("leaves 1 label"));
    }

    #[test]
    fn foreign_pools_are_checked() {
        let message = |json: &str| Pool::from_json(json.as_bytes(), 3).unwrap_err().to_string();
        assert!(message("{}").contains("missing field"));
        assert!(message(r#"{"labels":["a","b"],"of":[0,1],"by":"max"}"#).contains("the task has 3"));
        assert!(message(r#"{"labels":["a","b"],"of":[0,1,2],"by":"max"}"#).contains("class 2"));
        assert!(message(r#"{"labels":["a","b"],"of":[0,0,0],"by":"sum"}"#).contains("falls into `b`"));
        assert!(message(r#"{"labels":["a","a"],"of":[0,1,1],"by":"max"}"#).contains("one name"));
        assert!(message(r#"{"labels":["a","b"],"of":[0,1,1],"by":"mean"}"#).contains("unknown variant"));
    }
}
