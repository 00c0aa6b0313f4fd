//! Where something comes from: the tree of recipes above a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Error, Manifest, StageKey, Store};

/// Most parameters and uses that a line of the printed tree shows.
const N_SHOWN: usize = 8;

/// A manifest and all that it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lineage {
    /// Its stage.
    pub stage: String,
    /// Its key.
    pub key: StageKey,
    /// Its names, if it has any.
    pub refs: Vec<String>,
    /// Its parameters that are a number, a string or a truth value.
    pub parameters: Map<String, Value>,
    /// What its inputs and its parts came from, each once.
    pub upstream: Vec<Upstream>,
}

/// What some inputs came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Upstream {
    /// The inputs that came from there.
    pub uses: Vec<Use>,
    /// What made them.
    pub branch: Branch,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Role of the input.
    pub role: String,
    /// Position within the role, where it has several inputs.
    pub index: Option<usize>,
    /// Role of the output that it is. `None` where the upstream manifest is lost, or does not name these bytes because
    /// it was replaced after a loss.
    pub output: Option<String>,
}

/// What is above an input.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Branch {
    /// This.
    Made(Lineage),
    /// What is in the tree already, further up.
    Again {
        /// Its stage.
        stage: String,
        /// Its key.
        key: StageKey,
    },
    /// It is not in the store.
    Lost {
        /// Its key.
        key: StageKey,
    },
}

impl Store {
    /// The tree of what a manifest came from. What several branches share is spelled out once.
    ///
    /// # Errors
    /// When an upstream manifest cannot be read.
    pub fn history(&self, manifest: &Manifest) -> Result<Lineage, Error> {
        let mut refs: BTreeMap<StageKey, Vec<String>> = BTreeMap::new();
        for name in self.list_refs()? {
            // A ref that cannot be read is `verify`'s to report.
            if let Ok(manifest) = self.get_ref(&name) {
                refs.entry(manifest.key).or_default().push(name);
            }
        }
        Climb { store: self, refs, seen: BTreeSet::new() }.lineage(manifest)
    }
}

struct Climb<'a> {
    store: &'a Store,
    refs: BTreeMap<StageKey, Vec<String>>,
    seen: BTreeSet<StageKey>,
}

impl Climb<'_> {
    fn lineage(&mut self, manifest: &Manifest) -> Result<Lineage, Error> {
        self.seen.insert(manifest.key);
        let mut order: Vec<StageKey> = Vec::new();
        let mut uses: BTreeMap<StageKey, Vec<(Use, crate::ObjectId)>> = BTreeMap::new();
        let read: BTreeSet<StageKey> = manifest.inputs.values().flatten().map(|input| input.from).collect();
        for (role, index, input) in manifest.origins() {
            // What is read and handed on is spelled out once.
            if manifest.inputs.contains_key(role) || !read.contains(&input.from) {
                let found = uses.entry(input.from).or_insert_with(|| {
                    order.push(input.from);
                    Vec::new()
                });
                found.push((Use { role: role.to_owned(), index, output: None }, input.object));
            }
        }
        let mut upstream = Vec::new();
        for key in order {
            let uses = uses.remove(&key).unwrap_or_default();
            upstream.push(self.upstream(key, uses)?);
        }
        let plain = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_) | Value::Null);
        let parameters = manifest.parameters.iter().filter(|(_, value)| plain(value));
        let parameters: BTreeMap<String, Value> = parameters.map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Lineage {
            stage: manifest.stage.clone(),
            key: manifest.key,
            refs: self.refs.get(&manifest.key).cloned().unwrap_or_default(),
            parameters: parameters.into_iter().collect(),
            upstream,
        })
    }

    fn upstream(&mut self, key: StageKey, uses: Vec<(Use, crate::ObjectId)>) -> Result<Upstream, Error> {
        let Some(manifest) = self.store.manifest(&key)? else {
            let uses = uses.into_iter().map(|(used, _)| used).collect();
            return Ok(Upstream { uses, branch: Branch::Lost { key } });
        };
        let uses = uses
            .into_iter()
            .map(|(used, object)| {
                let output = manifest.outputs.iter().find(|(_, output)| output.object == object);
                Use { output: output.map(|(role, _)| role.clone()), ..used }
            })
            .collect();
        let branch = if self.seen.contains(&key) {
            Branch::Again { stage: manifest.stage, key }
        } else {
            Branch::Made(self.lineage(&manifest)?)
        };
        Ok(Upstream { uses, branch })
    }
}

impl fmt::Display for Lineage {
    /// One line per manifest, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        self.branches(f, "")
    }
}

impl Lineage {
    fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stage, self.key.short())?;
        if !self.refs.is_empty() {
            write!(f, " ({})", self.refs.join(", "))?;
        }
        for (name, value) in self.parameters.iter().take(N_SHOWN) {
            match value {
                Value::String(text) => write!(f, " {name}={text}")?,
                other => write!(f, " {name}={other}")?,
            }
        }
        if self.parameters.len() > N_SHOWN {
            write!(f, " ...")?;
        }
        Ok(())
    }

    fn branches(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for (position, upstream) in self.upstream.iter().enumerate() {
            let last = position + 1 == self.upstream.len();
            let (tick, bar) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            write!(f, "\n{indent}{tick}{}: ", upstream.label())?;
            match &upstream.branch {
                Branch::Made(lineage) => {
                    lineage.headline(f)?;
                    lineage.branches(f, &format!("{indent}{bar}"))?;
                }
                Branch::Again { stage, key } => write!(f, "{stage} {} as above", key.short())?,
                Branch::Lost { key } => write!(f, "{} is not in the store", key.short())?,
            }
        }
        Ok(())
    }
}

impl Upstream {
    /// The inputs that came from here: `base = step-000100, config`.
    fn label(&self) -> String {
        let is_lost = matches!(self.branch, Branch::Lost { .. });
        let name = |used: &Use| {
            let place =
                used.index.map_or_else(|| used.role.clone(), |index| format!("{}[{index}]", used.role));
            match &used.output {
                Some(output) if *output == used.role => place,
                Some(output) => format!("{place} = {output}"),
                None if is_lost => place,
                None => format!("{place} = bytes that were replaced"),
            }
        };
        let mut names: Vec<String> = self.uses.iter().take(N_SHOWN).map(name).collect();
        if self.uses.len() > N_SHOWN {
            names.push(format!("{} more", self.uses.len() - N_SHOWN));
        }
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::sample;

    #[test]
    fn a_tree_spells_what_is_shared_out_once() {
        let (_folder, store) = sample::store();
        let data = sample::commit(&store, "prepare", 7, &[]);
        let ladder = sample::commit(&store, "pretrain", 1, &[]);
        let train = ("train", data.input_of("members").unwrap());
        let base = ("base", ladder.input_of("model").unwrap());
        let table = ("ladder", ladder.input_of("members").unwrap());
        let one = sample::commit(&store, "finetune", 1, &[train, base, table]);
        let two = sample::commit(&store, "finetune", 2, &[train, base]);
        let models = [("model", one.input_of("model").unwrap()), ("model", two.input_of("model").unwrap())];
        let soup = sample::commit(&store, "soup", 3, &models);
        store.set_ref("world/soup", &soup).unwrap();
        store.set_ref("world/ladder", &ladder).unwrap();
        fs::write(store.ref_path("torn").unwrap(), b"").unwrap();

        let expected = "\
soup @soup (world/soup) rate=0.00005 seed=3
├─ model[0] = model: finetune @one rate=0.00005 seed=1
│  ├─ base = model, ladder = members: pretrain @ladder (world/ladder) rate=0.00005 seed=1
│  └─ train = members: prepare @data rate=0.00005 seed=7
└─ model[1] = model: finetune @two rate=0.00005 seed=2
   ├─ base = model: pretrain @ladder as above
   └─ train = members: prepare @data as above";
        let expected =
            [("@soup", &soup), ("@one", &one), ("@two", &two), ("@ladder", &ladder), ("@data", &data)]
                .iter()
                .fold(expected.to_owned(), |text, (mark, manifest)| text.replace(mark, &manifest.key.short()))
                .replace("[0] = model", "[0]")
                .replace("[1] = model", "[1]");
        let lineage = store.history(&soup).unwrap();
        assert_eq!(lineage.to_string(), expected);

        let json = serde_json::to_value(&lineage).unwrap();
        assert_eq!(
            json["upstream"][1]["branch"]["made"]["upstream"][0]["branch"]["again"]["stage"],
            "pretrain"
        );

        fs::remove_file(store.manifest_path("pretrain", &ladder.key)).unwrap();
        let text = store.history(&two).unwrap().to_string();
        assert!(text.contains(&format!("base: {} is not in the store", ladder.key.short())), "{text}");
    }

    #[test]
    fn long_lists_are_cut_in_print() {
        let (_folder, store) = sample::store();
        let ladder = sample::commit(&store, "pretrain", 1, &[]);
        let inputs = vec![("model", ladder.input_of("model").unwrap()); 12];
        let text = store.history(&sample::manifest("soup", 1, &inputs)).unwrap().to_string();
        assert!(text.contains("model[7], 4 more: pretrain"), "{text}");
    }
}
