//! The specification: where a task's images are, and what their labels mean.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::cue::{self, Cue};
use crate::table::{PartRecipe, Sample};

/// A task's specification. See the [module](super) for an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the task.
    pub name: String,
    /// Names of the labels, in order of their class index.
    pub labels: Vec<String>,
    /// Label names by what stands in the files. Without it the files hold label names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// How values from 0 to 1 are normalised; else they stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,
    /// A cue that is planted in the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cue: Option<Cue>,
    /// What is trained on.
    pub train: Part,
    /// What choices are made on, and what a pretraining loss is measured on; becomes the split `val`.
    pub val: Part,
    /// What is evaluated on, by name. With a cue there is `id` alone, from which the others follow.
    #[serde(default)]
    pub split: BTreeMap<String, Part>,
}

/// `(value / 255 - mean) / std`, for each channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    /// Mean of each channel (of values from 0 to 1).
    pub mean: Vec<f64>,
    /// Standard deviation of each channel.
    pub std: Vec<f64>,
}

/// Images and their labels, or a sample of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The file of the images, relative to the folder that the specification is read with.
    pub images: String,
    /// The file of their labels.
    pub labels: String,
    /// Rows of the file: the first, and the one behind the last; else all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[usize; 2]>,
    /// Which of these rows; else all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

impl Spec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// [`Error::Specification`] naming what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let spec: Self =
            toml::from_str(text).map_err(|error| Error::Specification { reason: error.to_string() })?;
        spec.check().map_err(|reason| Error::Specification { reason })?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), String> {
        if self.labels.len() < 2 {
            return Err("`labels` must name at least two labels".into());
        }
        if let Some((from, to)) = self.map.iter().find(|(_, to)| !self.labels.contains(to)) {
            return Err(format!("`map` leads from `{from}` to `{to}`, which is none of the labels"));
        }
        if self.split.contains_key("val") {
            return Err("`split.val` is the section `[val]`".into());
        }
        if let Some(normalise) = &self.normalise {
            normalise.check()?;
        }
        if self.cue.is_some()
            && let Some(name) = self.split.keys().find(|name| *name != "id")
        {
            return Err(format!(
                "[split.{name}]: with a [cue], all splits follow from [split.id]; leave one of the two out"
            ));
        }
        for (name, part) in self.parts() {
            if let Some([from, to]) = part.range
                && from >= to
            {
                return Err(format!("[{name}]: `range` from {from} to {to} holds no row"));
            }
        }
        Ok(())
    }

    /// Plants the cue with another strength.
    ///
    /// # Errors
    /// [`Error::Specification`] if there is no cue.
    pub fn set_strength(&mut self, strength: f64) -> Result<(), Error> {
        let missing =
            || Error::Specification { reason: "there is no [cue] whose strength could be set".into() };
        self.cue.as_mut().ok_or_else(missing)?.strength = strength;
        Ok(())
    }

    /// Samples `train` and `val` by another seed: another draw of the same size.
    ///
    /// # Errors
    /// [`Error::Specification`] if the training set is no sample.
    pub fn set_draw(&mut self, seed: u64) -> Result<(), Error> {
        let Some(sample) = &mut self.train.sample else {
            let reason = "[train] has no `sample`, so that there is no other draw of it".into();
            return Err(Error::Specification { reason });
        };
        sample.seed = seed;
        if let Some(sample) = &mut self.val.sample {
            sample.seed = seed;
        }
        Ok(())
    }

    /// All parts with the names of their sections.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, &Part)> {
        let splits = self.split.iter().map(|(name, part)| (format!("split.{name}"), part));
        [("train".to_owned(), &self.train), ("val".to_owned(), &self.val)].into_iter().chain(splits)
    }

    /// The files that the specification names, each once, in order of their names.
    #[must_use]
    pub fn files(&self) -> BTreeSet<String> {
        self.parts().flat_map(|(_, part)| part.files()).collect()
    }

    /// The specification as a value that depends on its meaning alone. Nothing in it is null.
    #[must_use]
    pub fn canonical(&self) -> Value {
        value(self)
    }

    /// What decides a part of the task, by its role: `train`, `split.<name>`, `do.<name>.base` or `do.<name>.done`.
    #[must_use]
    pub fn part_recipe(&self, role: &str) -> PartRecipe {
        let part = match role {
            "train" => &self.train,
            "split.val" => &self.val,
            // With a cue all others are made from `id`.
            _ => role
                .strip_prefix("split.")
                .and_then(|name| self.split.get(name))
                .unwrap_or_else(|| self.split.get("id").unwrap_or(&self.val)),
        };
        let mut section = Map::from_iter([
            ("labels".to_owned(), json!(self.labels)),
            ("map".into(), json!(self.map)),
            ("part".into(), value(part)),
        ]);
        if let Some(normalise) = &self.normalise {
            section.insert("normalise".into(), value(normalise));
        }
        let mut versions = super::versions();
        if let Some(cue) = &self.cue {
            let mut planted = value(cue);
            if !Cue::is_drawn(role) {
                // A cue that is always right, wrong or absent is so whatever its strength.
                planted.as_object_mut().map(|fields| fields.remove("strength"));
            }
            section.insert("cue".into(), planted);
            section.insert("role".into(), role.into());
            versions.add(cue::versions());
        }
        PartRecipe { section: section.into(), files: part.files().into_iter().collect(), versions }
    }
}

impl Normalise {
    fn check(&self) -> Result<(), String> {
        let is_std = |std: &f64| std.is_finite() && *std > 0.0;
        match self.mean.iter().all(|mean| mean.is_finite()) && self.std.iter().all(is_std) {
            true => Ok(()),
            false => Err("`normalise` needs finite means and positive standard deviations".into()),
        }
    }
}

impl Part {
    pub(super) fn files(&self) -> [String; 2] {
        [self.images.clone(), self.labels.clone()]
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("a specification is plain data with string keys")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const SPEC: &str = r#"
name = "test"
labels = ["low", "high"]
map = { 0 = "low", 1 = "low", 2 = "high", 3 = "high" }

[train]
images = "images"
labels = "labels"
range = [4, 20]
sample = { seed = 0, take = 6 }

[val]
images = "images"
labels = "labels"
range = [4, 20]
sample = { seed = 0, skip = 6, take = 10 }

[split.id]
images = "images"
labels = "labels"
range = [0, 4]

[cue]
strength = 0.9
mark.patch = { height = 1, width = 1, value = 1.0, at = { low = [0, 0], high = [0, 1] } }
"#;

    #[test]
    fn a_part_depends_on_the_strength_only_where_the_cue_is_drawn() {
        let spec = Spec::parse(SPEC).unwrap();
        let mut stronger = spec.clone();
        stronger.set_strength(1.0).unwrap();
        let mut drawn_anew = spec.clone();
        drawn_anew.set_draw(1).unwrap();
        assert_eq!(drawn_anew.val.sample.unwrap().seed, 1);
        for (role, by_strength, by_draw) in [
            ("train", true, true),
            ("split.val", true, true),
            ("split.id", true, false),
            ("split.ood", false, false),
            ("do.cue.base", false, false),
        ] {
            let recipe = spec.part_recipe(role);
            assert_eq!(recipe != stronger.part_recipe(role), by_strength, "{role}");
            assert_eq!(recipe != drawn_anew.part_recipe(role), by_draw, "{role}");
            assert_eq!(recipe.files, BTreeSet::from(["images".to_owned(), "labels".to_owned()]));
            assert!(!recipe.section.to_string().contains("null"));
        }
        assert_ne!(spec.part_recipe("split.ood"), spec.part_recipe("split.cue-right"));
        assert_eq!(Spec::parse(&format!("# why\n{SPEC}")).unwrap().canonical(), spec.canonical());
    }

    #[test]
    fn every_mistake_is_named() {
        let message = |spec: String| Spec::parse(&spec).unwrap_err().to_string();
        let with = |from: &str, to: &str| message(SPEC.replacen(from, to, 1));
        assert!(with("\"low\", \"high\"]", "\"low\"]").contains("at least two labels"));
        assert!(with("3 = \"high\"", "3 = \"middle\"").contains("leads from `3` to `middle`"));
        assert!(with("[split.id]", "[split.val]").contains("is the section `[val]`"));
        assert!(with("[split.id]", "[split.other]").contains("[split.other]: with a [cue]"));
        assert!(
            with("range = [0, 4]", "range = [4, 4]").contains("[split.id]: `range` from 4 to 4 holds no row")
        );
        assert!(with("range = [0, 4]", "rang = [0, 4]").contains("unknown field `rang`"));
        assert!(with("mark.patch", "mark.sound").contains("unknown variant `sound`"));
        let normalise =
            |std: &str| with("[train]", &format!("[normalise]\nmean = [0.1]\nstd = [{std}]\n[train]"));
        assert!(normalise("0.0").contains("positive standard deviations"));
        let plain = SPEC.split("[cue]").next().unwrap().replace("sample = { seed = 0, take = 6 }", "");
        let mut plain = Spec::parse(&plain).unwrap();
        assert!(plain.set_strength(1.0).unwrap_err().to_string().contains("no [cue]"));
        assert!(plain.set_draw(1).unwrap_err().to_string().contains("no `sample`"));
    }
}
