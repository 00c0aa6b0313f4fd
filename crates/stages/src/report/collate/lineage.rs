//! Where each fine-tuned model comes from: its seeds, its rung, its arm, read from the manifests alone.

use std::collections::{BTreeMap, BTreeSet};

use report::DEFAULT_ARM;
use serde_json::{Map, Value};
use store::{Manifest, StageKey};

/// Parameters that tell runs of one arm apart, and those that say which code ran.
const NOT_OF_AN_ARM: [&str; 7] =
    ["seed", "head_seed", "order_seed", "dropout_seed", "lora_seed", "checkpoints", "versions"];

/// A fine-tuned model with its history.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) key: String,
    pub(crate) arm: String,
    pub(crate) pretraining_seed: u64,
    pub(crate) step: u64,
    /// Key of the pretraining run; empty where it is not known.
    pub(crate) ladder: String,
    pub(crate) finetuning_seed: u64,
    pub(crate) head_seed: u64,
    pub(crate) order_seed: u64,
    pub(crate) learning_rate: f64,
    pub(crate) steps: u64,
    /// Key of the prepared task.
    pub(crate) task: String,
    pub(crate) failed: bool,
    /// All that an arm is told by, by name.
    recipe: BTreeMap<String, String>,
}

/// All manifests of a study, by key.
pub(crate) type Manifests = BTreeMap<StageKey, Manifest>;

/// The fine-tuning runs among the manifests, with their arms named, sorted by arm, pretraining seed, step and key.
pub(crate) fn runs(manifests: &Manifests) -> Vec<Run> {
    let seeds = pretraining_seeds(manifests);
    let finetunes = manifests.values().filter(|manifest| manifest.stage == "finetune");
    let mut runs: Vec<Run> = finetunes.map(|manifest| run(manifest, manifests, &seeds)).collect();
    name_arms(&mut runs);
    runs.sort_by(|a, b| {
        (a.arm != DEFAULT_ARM, &a.arm, a.pretraining_seed, a.step, &a.key).cmp(&(
            b.arm != DEFAULT_ARM,
            &b.arm,
            b.pretraining_seed,
            b.step,
            &b.key,
        ))
    });
    runs
}

/// The seed of each pretraining run; those that name none get numbers after the largest that is named.
pub(crate) fn pretraining_seeds(manifests: &Manifests) -> BTreeMap<StageKey, u64> {
    let used: BTreeSet<StageKey> = manifests
        .values()
        .filter(|manifest| manifest.stage == "finetune")
        .filter_map(|manifest| Some(manifest.inputs.get("model")?.first()?.from))
        .chain(
            manifests
                .values()
                .filter(|manifest| manifest.outputs.contains_key("ladder"))
                .map(|manifest| manifest.key),
        )
        .collect();
    let named =
        |key: &StageKey| manifests.get(key).and_then(|manifest| manifest.parameters.get("seed")?.as_u64());
    let mut next = used.iter().filter_map(named).max().map_or(0, |seed| seed + 1);
    let mut seeds = BTreeMap::new();
    for key in used {
        let seed = named(&key).unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        seeds.insert(key, seed);
    }
    seeds
}

fn run(manifest: &Manifest, manifests: &Manifests, seeds: &BTreeMap<StageKey, u64>) -> Run {
    let integer = |name: &str| manifest.parameters.get(name).and_then(Value::as_u64);
    let origin = manifest.inputs.get("model").and_then(|inputs| inputs.first());
    let ladder = origin.and_then(|origin| manifests.get(&origin.from));
    let role = ladder.zip(origin).and_then(|(ladder, origin)| {
        let same = |role: &&String| ladder.outputs[*role].object == origin.object;
        ladder
            .outputs
            .keys()
            .find(|role| role.starts_with("step-") && same(role))
            .or_else(|| ladder.outputs.keys().find(same))
    });
    let task = manifest.inputs.get("task.train").and_then(|inputs| inputs.first()).map(|input| input.from);
    let seed = integer("seed").unwrap_or(0);
    let mut recipe = BTreeMap::new();
    flatten(&manifest.parameters, "", &mut recipe);
    match task.and_then(|key| manifests.get(&key)) {
        Some(prepared) => describe_task(prepared, &mut recipe),
        None => {
            recipe.insert("task".into(), task.map_or("none".into(), |key| key.short()));
        }
    }
    if let Some(ladder) = ladder {
        flatten(&ladder.parameters, "pretraining ", &mut recipe);
        // The checkpoints that a ladder was made of are what its rungs are, not what its arm is.
        let described = |role: &&String| !role.starts_with("step-") && *role != "progress";
        for (role, inputs) in ladder.inputs.iter().filter(|(role, _)| described(role)) {
            let objects: Vec<String> = inputs.iter().map(|input| input.object.short()).collect();
            recipe.insert(format!("pretraining {role}"), objects.join(" "));
        }
    }
    Run {
        key: manifest.key.to_string(),
        arm: String::new(),
        pretraining_seed: origin.and_then(|origin| seeds.get(&origin.from)).copied().unwrap_or(0),
        step: role.and_then(|role| role.rsplit('-').next()?.parse().ok()).unwrap_or(0),
        ladder: ladder.map_or(String::new(), |ladder| ladder.key.to_string()),
        finetuning_seed: seed,
        head_seed: integer("head_seed").unwrap_or(seed),
        order_seed: integer("order_seed").unwrap_or(seed),
        learning_rate: manifest.parameters.get("learning_rate").and_then(Value::as_f64).unwrap_or(0.0),
        steps: integer("steps").unwrap_or(0),
        task: task.map_or(String::new(), |key| key.to_string()),
        failed: manifest.facts.get("failed").and_then(Value::as_bool).unwrap_or(false),
        recipe,
    }
}

/// The parameters of a generated task by name; of one from files, its key.
fn describe_task(prepared: &Manifest, recipe: &mut BTreeMap<String, String>) {
    let kind = prepared.parameters.get("kind").and_then(Value::as_object).and_then(|kind| kind.iter().next());
    match kind {
        Some((name, Value::Object(parameters))) if name != "table" => {
            recipe.insert("task".into(), name.clone());
            let clash = |name: &str| recipe.contains_key(name) || name == "seed";
            let renamed: Map<String, Value> = parameters
                .iter()
                .map(|(name, value)| {
                    (if clash(name) { format!("task {name}") } else { name.clone() }, value.clone())
                })
                .collect();
            flatten(&renamed, "", recipe);
        }
        _ => {
            recipe.insert("task".into(), prepared.key.short());
        }
    }
}

fn flatten(parameters: &Map<String, Value>, prefix: &str, recipe: &mut BTreeMap<String, String>) {
    for (name, value) in parameters.iter().filter(|(name, _)| !NOT_OF_AN_ARM.contains(&name.as_str())) {
        match value {
            Value::Object(inner) => flatten(inner, &format!("{prefix}{name} "), recipe),
            Value::String(text) => drop(recipe.insert(format!("{prefix}{name}"), text.clone())),
            other => drop(recipe.insert(format!("{prefix}{name}"), other.to_string())),
        }
    }
}

/// Runs of one recipe but for their seeds and rung are an arm. The arm with most rungs (then runs) is the default; the
/// others are named by what they differ in.
fn name_arms(runs: &mut [Run]) {
    let mut rungs: BTreeMap<&BTreeMap<String, String>, (BTreeSet<u64>, usize)> = BTreeMap::new();
    for run in runs.iter() {
        let (steps, count) = rungs.entry(&run.recipe).or_default();
        steps.insert(run.step);
        *count += 1;
    }
    let largest = rungs.iter().rev().max_by_key(|(_, (steps, count))| (steps.len(), *count));
    let Some(default) = largest.map(|(recipe, _)| (*recipe).clone()) else { return };
    for run in runs {
        run.arm = if run.recipe == default { DEFAULT_ARM.into() } else { difference(&run.recipe, &default) };
    }
}

fn difference(recipe: &BTreeMap<String, String>, default: &BTreeMap<String, String>) -> String {
    let names: BTreeSet<&String> = recipe.keys().chain(default.keys()).collect();
    let changed = names.into_iter().filter(|name| recipe.get(*name) != default.get(*name));
    let told: Vec<String> =
        changed.map(|name| format!("{name} = {}", recipe.get(name).map_or("none", String::as_str))).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_of(recipe: &[(&str, &str)], step: u64) -> Run {
        Run {
            key: String::new(),
            arm: String::new(),
            pretraining_seed: 0,
            step,
            ladder: String::new(),
            finetuning_seed: 0,
            head_seed: 0,
            order_seed: 0,
            learning_rate: 0.0,
            steps: 0,
            task: String::new(),
            failed: false,
            recipe: recipe.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn arms_are_named_by_what_differs_from_the_one_with_most_rungs() {
        let usual = [("ambiguity", "0.05"), ("learning_rate", "0.001")];
        let mut runs = vec![
            run_of(&[("ambiguity", "0.0"), ("learning_rate", "0.001")], 0),
            run_of(&[("ambiguity", "0.0"), ("learning_rate", "0.001")], 0),
            run_of(&usual, 0),
            run_of(&usual, 9),
            run_of(&[("ambiguity", "0.05"), ("dropout", "0.1"), ("learning_rate", "0.01")], 9),
        ];
        name_arms(&mut runs);
        let names: Vec<&str> = runs.iter().map(|run| run.arm.as_str()).collect();
        let third = "dropout = 0.1, learning_rate = 0.01";
        assert_eq!(names, ["ambiguity = 0.0", "ambiguity = 0.0", DEFAULT_ARM, DEFAULT_ARM, third]);
    }

    #[test]
    fn seeds_and_versions_make_no_arm() {
        let parameters =
            serde_json::json!({"seed": 3, "versions": {"a": 1}, "deep": {"rate": 0.5}, "name": "x"});
        let mut recipe = BTreeMap::new();
        flatten(parameters.as_object().unwrap(), "", &mut recipe);
        let expected = [("deep rate", "0.5"), ("name", "x")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(recipe, BTreeMap::from(expected));
    }
}
