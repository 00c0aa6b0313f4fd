//! A recipe is all that decides the bytes of a stage's outputs; its key is their name before they exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ObjectId, StageKey, canonical, names};

/// Bytes with their history: this object, as it was made by that recipe.
///
/// Both enter the key of the stage that reads it. In a study of path dependence the past is the subject: two models
/// that happen to agree bit by bit but came by other ways are other inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Key of the recipe that made the bytes.
    pub from: StageKey,
    /// The bytes.
    pub object: ObjectId,
}

/// Everything that decides the bytes of a stage's outputs, and nothing else: no path, host, clock or thread count.
///
/// # Canonical form
///
/// A stage key is the hash of these bytes, on one line:
///
/// ```text
/// {"inputs":{"model":[{"from":"<key>","object":"<id>"}]},"parameters":{"seed":3},"stage":"finetune","version":1}
/// ```
///
/// Object keys are sorted by their bytes, there is no whitespace, strings are minimally escaped, and numbers are
/// written by value: `1` and `1.0` are one number, `-0.0` is `0`, integers from -2^63 to 2^64-1 are exact, other
/// numbers are the shortest decimal that reads back as the same 64-bit float, without an exponent. `null` is an error,
/// because NaN and infinity would be written as `null`. The inputs of a role keep their order; a role with no inputs
/// is not the same as no such role.
///
/// | field | why it is hashed |
/// |---|---|
/// | `inputs` | the bytes that are read, in their order, and how they came to be |
/// | `parameters` | every choice, with defaults written out, so that a new default changes no old key |
/// | `stage` | two stages may take the same parameters |
/// | `version` | the code's own version, bumped by hand when it would write other bytes |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the stage: a lower-case word.
    pub stage: String,
    /// Version of the stage's code: bumped by hand whenever it would write other bytes.
    pub version: u32,
    /// All parameters, with defaults written out.
    pub parameters: Map<String, Value>,
    /// What is read, by role. The order within a role matters.
    pub inputs: BTreeMap<String, Vec<Input>>,
}

impl Recipe {
    /// The bytes that the key is the hash of.
    ///
    /// # Errors
    /// When the stage's or a role's name is not one, and when a parameter is `null`, not finite or nested too deeply:
    /// the error names its JSON path.
    pub fn canonical(&self) -> Result<String, Error> {
        names::stage(&self.stage)?;
        let mut out = String::from("{\"inputs\":{");
        for (position, (role, inputs)) in self.inputs.iter().enumerate() {
            names::role(role)?;
            if position > 0 {
                out.push(',');
            }
            canonical::write_string(role, &mut out);
            let inputs: Vec<String> = inputs
                .iter()
                .map(|Input { from, object }| format!(r#"{{"from":"{from}","object":"{object}"}}"#))
                .collect();
            out.push_str(&format!(":[{}]", inputs.join(",")));
        }
        out.push_str("},\"parameters\":");
        canonical::write_map(&self.parameters, "parameters", &mut out)?;
        out.push_str(&format!(",\"stage\":\"{}\",\"version\":{}}}", self.stage, self.version));
        Ok(out)
    }

    /// The name of whatever this recipe makes.
    ///
    /// # Errors
    /// As [`Recipe::canonical`].
    pub fn key(&self) -> Result<StageKey, Error> {
        Ok(StageKey::of_canonical(self.canonical()?.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn input(n: u8) -> Input {
        Input { from: StageKey::of_canonical(&[n]), object: ObjectId::of(&[n]) }
    }

    fn recipe() -> Recipe {
        Recipe {
            stage: "finetune".to_owned(),
            version: 2,
            parameters: json!({"seed": 3, "rate": 5e-5, "head": {"std": 0.02, "kind": "linear"}, "on": true})
                .as_object()
                .unwrap()
                .clone(),
            inputs: [("model".to_owned(), vec![input(1), input(2)]), ("data".to_owned(), vec![])].into(),
        }
    }

    /// A change of these bytes or of this key makes every study in the world recompute: bump the context of `id.rs`.
    #[test]
    fn golden() {
        let canonical = concat!(
            r#"{"inputs":{"data":[],"model":["#,
            r#"{"from":"@K1","object":"48fc721fbbc172e0925fa27af1671de225ba927134802998b10a1568a188652b"},"#,
            r#"{"from":"@K2","object":"@O2"}]},"#,
            r#""parameters":{"head":{"kind":"linear","std":0.02},"on":true,"rate":0.00005,"seed":3},"#,
            r#""stage":"finetune","version":2}"#
        );
        let canonical = canonical
            .replace("@K1", &StageKey::of_canonical(&[1]).to_string())
            .replace("@K2", &StageKey::of_canonical(&[2]).to_string())
            .replace("@O2", &ObjectId::of(&[2]).to_string());
        assert_eq!(recipe().canonical().unwrap(), canonical);
        assert_eq!(
            recipe().key().unwrap().to_string(),
            "21754ed6a9a49b8b026746ca10fc89307febd82a1d829403364e266883df1a06"
        );
    }

    #[test]
    fn every_field_enters_the_key() {
        let key = |change: &dyn Fn(&mut Recipe)| {
            let mut recipe = recipe();
            change(&mut recipe);
            recipe.key().unwrap()
        };
        let keys = [
            key(&|_| {}),
            key(&|r| r.stage = "pretrain".to_owned()),
            key(&|r| r.version = 3),
            key(&|r| drop(r.parameters.insert("seed".to_owned(), json!(4)))),
            key(&|r| drop(r.parameters.insert("seed".to_owned(), json!("3")))),
            key(&|r| drop(r.parameters.remove("on"))),
            key(&|r| r.inputs.get_mut("model").unwrap().reverse()),
            key(&|r| r.inputs.get_mut("model").unwrap()[0].from = input(9).from),
            key(&|r| r.inputs.get_mut("model").unwrap()[0].object = input(9).object),
            key(&|r| drop(r.inputs.remove("data"))),
            key(&|r| {
                let model = r.inputs.remove("model").unwrap();
                r.inputs.insert("models".to_owned(), model);
            }),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn what_cannot_be_keyed_is_refused_by_name() {
        let mut nan = recipe();
        nan.parameters.insert("rate".to_owned(), serde_json::to_value(f64::NAN).unwrap());
        assert!(matches!(nan.key(), Err(Error::NullInRecipe { path }) if path == "parameters.rate"));
        let mut stage = recipe();
        stage.stage = "../finetune".to_owned();
        assert!(matches!(stage.key(), Err(Error::InvalidName { .. })));
        let mut role = recipe();
        role.inputs.insert(String::new(), vec![]);
        assert!(matches!(role.key(), Err(Error::InvalidName { .. })));
    }

    proptest! {
        #[test]
        fn order_of_parameters_never_matters(names in proptest::collection::btree_set("[a-z]{1,3}", 1..8), seed: u64) {
            let forward: Map<String, Value> = names.iter().map(|name| (name.clone(), json!(seed))).collect();
            let backward: Map<String, Value> = names.iter().rev().map(|name| (name.clone(), json!(seed))).collect();
            let with = |parameters| Recipe { parameters, ..recipe() }.key().unwrap();
            prop_assert_eq!(with(forward), with(backward));
        }

        #[test]
        fn different_recipes_have_different_keys(a in (0u32..3, 0u64..3, 0u8..3), b in (0u32..3, 0u64..3, 0u8..3)) {
            let make = |(version, seed, from): (u32, u64, u8)| Recipe {
                version,
                parameters: json!({"seed": seed}).as_object().unwrap().clone(),
                inputs: [("model".to_owned(), vec![input(from)])].into(),
                stage: "soup".to_owned(),
            };
            prop_assert_eq!(make(a) == make(b), make(a).key().unwrap() == make(b).key().unwrap());
        }
    }
}
