//! Where each fine-tuned model comes from: its seeds, its rung, its arm, read from the manifests alone.

use std::collections::{BTreeMap, BTreeSet};

use report::DEFAULT_ARM;
use serde_json::{Map, Value};
use store::{Manifest, StageKey};

/// Parameters that tell runs of one arm apart, and those that say which code ran.
const NOT_OF_AN_ARM: [&str; 7] =
    ["seed", "head_seed", "order_seed", "dropout_seed", "lora_seed", "step", "versions"];

/// Stages whose results are fine-tuned models: here, and elsewhere.
pub(crate) const RUNS: [&str; 2] = ["finetune", "fetch-run"];

/// A fine-tuned model with its history.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) key: String,
    pub(crate) arm: String,
    pub(crate) pretraining_seed: u64,
    pub(crate) step: u64,
    /// Key of the ladder that lists the checkpoint, or else of the checkpoint; empty where neither is known.
    pub(crate) ladder: String,
    pub(crate) finetuning_seed: u64,
    pub(crate) head_seed: u64,
    pub(crate) order_seed: u64,
    pub(crate) learning_rate: f64,
    pub(crate) steps: u64,
    /// Key of the training set.
    pub(crate) task: String,
    pub(crate) failed: bool,
    /// True if the arm is the default one, or differs from it in the task alone.
    pub(crate) data_arm: bool,
    /// Names in `recipe` that describe the task.
    of_task: BTreeSet<String>,
    /// All that an arm is told by, by name.
    recipe: BTreeMap<String, String>,
}

impl Run {
    /// The recipe as (subject, name, value): what the methods of the page say.
    pub(crate) fn described(&self) -> impl Iterator<Item = (&'static str, &str, &str)> {
        self.recipe.iter().map(|(name, value)| match name.strip_prefix("pretraining ") {
            Some(name) => ("pretraining", name, value.as_str()),
            None if self.of_task.contains(name) => ("data", name.as_str(), value.as_str()),
            None => ("fine-tuning", name.as_str(), value.as_str()),
        })
    }
}

/// All manifests of a study, by key.
pub(crate) type Manifests = BTreeMap<StageKey, Manifest>;

/// The fine-tuning runs among the manifests, with their arms named, sorted by arm, pretraining seed, step and key.
pub(crate) fn runs(manifests: &Manifests) -> Vec<Run> {
    let known = Known { seeds: pretraining_seeds(manifests), ladders: ladders(manifests) };
    let finetunes = manifests.values().filter(|manifest| RUNS.contains(&manifest.stage.as_str()));
    let mut runs: Vec<Run> = finetunes.map(|manifest| run(manifest, manifests, &known)).collect();
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

/// The seed of each pretraining run, by its [name](run_name); those that name none get numbers after the largest that is
/// named.
pub(crate) fn pretraining_seeds(manifests: &Manifests) -> BTreeMap<String, u64> {
    let ladders = ladders(manifests);
    let mut named: BTreeMap<String, Option<u64>> = BTreeMap::new();
    let rungs = manifests
        .values()
        .filter(|manifest| RUNS.contains(&manifest.stage.as_str()))
        .filter_map(|manifest| Some(manifest.inputs.get("model")?.first()?.from));
    for rung in rungs {
        let ladder = ladders.get(&rung).copied();
        let seed = ladder.and_then(seed_of).or_else(|| seed_of(manifests.get(&rung)?));
        let known = named.entry(run_name(&rung, manifests)).or_default();
        *known = known.or(seed);
    }
    for ladder in manifests.values().filter(|manifest| manifest.outputs.contains_key("ladder")) {
        let known = named.entry(run_of_ladder(ladder, manifests)).or_default();
        *known = known.or(seed_of(ladder));
    }
    let mut next = named.values().flatten().max().map_or(0, |seed| seed + 1);
    let number = |(name, seed): (String, Option<u64>)| {
        let seed = seed.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        (name, seed)
    };
    named.into_iter().map(number).collect()
}

fn seed_of(manifest: &Manifest) -> Option<u64> {
    manifest.parameters.get("seed")?.as_u64()
}

/// The ladder that lists each rung: one with losses before one without, one that was measured on a text of one's own
/// before the loss that its pretraining left.
fn ladders(manifests: &Manifests) -> BTreeMap<StageKey, &Manifest> {
    let mut ladders: BTreeMap<StageKey, &Manifest> = BTreeMap::new();
    let rank = |ladder: &Manifest| (ladder.outputs.contains_key("ladder"), ladder.stage == "gauge");
    for manifest in manifests.values() {
        for (_, rung) in manifest.parts().filter(|(role, _)| crate::ladder::step_of(role).is_some()) {
            let known = ladders.entry(rung.from).or_insert(manifest);
            if rank(manifest) > rank(known) {
                *known = manifest;
            }
        }
    }
    ladders
}

/// What the pretraining run of a rung is called: all rungs of a run share it.
pub(crate) fn run_name(rung: &StageKey, manifests: &Manifests) -> String {
    let Some(manifest) = manifests.get(rung) else { return rung.to_string() };
    match manifest.stage.as_str() {
        "fetch-rung" => manifest.parameters.get("run").map_or_else(String::new, Value::to_string),
        "pretrain-rung" => {
            let mut parameters = manifest.parameters.clone();
            parameters.remove("step");
            let objects = manifest.inputs.values().flatten().map(|input| input.object.to_string());
            format!("{} {}", Value::from(parameters), objects.collect::<Vec<_>>().join(" "))
        }
        _ => rung.to_string(),
    }
}

/// What the run of a ladder is called: by a rung of it that was fine-tuned from, if there is one.
pub(crate) fn run_of_ladder(ladder: &Manifest, manifests: &Manifests) -> String {
    let known = ladder.parts().map(|(_, rung)| rung.from).find(|rung| manifests.contains_key(rung));
    known.map_or_else(|| ladder.key.to_string(), |rung| run_name(&rung, manifests))
}

fn run(manifest: &Manifest, manifests: &Manifests, known: &Known<'_>) -> Run {
    let integer = |name: &str| manifest.parameters.get(name).and_then(Value::as_u64);
    let origin = manifest.inputs.get("model").and_then(|inputs| inputs.first());
    let rung = origin.and_then(|origin| manifests.get(&origin.from));
    let ladder = origin.and_then(|origin| known.ladders.get(&origin.from).copied());
    let listed = ladder.zip(origin).and_then(|(ladder, origin)| {
        ladder
            .parts()
            .filter(|(_, part)| part.from == origin.from)
            .find_map(|(role, _)| crate::ladder::step_of(role))
    });
    let stated = || rung?.parameters.get("step")?.as_u64();
    let task = manifest.inputs.get("task.train").and_then(|inputs| inputs.first()).map(|input| input.from);
    let seed = integer("seed").unwrap_or(0);
    let mut recipe = BTreeMap::new();
    flatten(&manifest.parameters, "", &mut recipe);
    let of_training: BTreeSet<String> = recipe.keys().cloned().collect();
    match task.and_then(|key| manifests.get(&key)) {
        Some(prepared) => describe_task(prepared, &mut recipe),
        None => {
            recipe.insert("task".into(), task.map_or("none".into(), |key| key.short()));
        }
    }
    let of_task = recipe.keys().filter(|name| !of_training.contains(*name)).cloned().collect();
    if let Some(rung) = rung {
        describe_pretraining(rung, manifests, &mut recipe);
    }
    let name = origin.map(|origin| run_name(&origin.from, manifests));
    Run {
        key: manifest.key.to_string(),
        arm: String::new(),
        pretraining_seed: name.and_then(|name| known.seeds.get(&name)).copied().unwrap_or(0),
        step: listed.or_else(stated).unwrap_or(0),
        ladder: ladder.or(rung).map_or(String::new(), |ladder| ladder.key.to_string()),
        finetuning_seed: seed,
        head_seed: integer("head_seed").unwrap_or(seed),
        order_seed: integer("order_seed").unwrap_or(seed),
        learning_rate: manifest.parameters.get("learning_rate").and_then(Value::as_f64).unwrap_or(0.0),
        steps: integer("steps").unwrap_or(0),
        task: task.map_or(String::new(), |key| key.to_string()),
        failed: manifest.facts.get("failed").and_then(Value::as_bool).unwrap_or(false),
        data_arm: false,
        of_task,
        recipe,
    }
}

/// What is known of where rungs come from.
struct Known<'a> {
    seeds: BTreeMap<String, u64>,
    ladders: BTreeMap<StageKey, &'a Manifest>,
}

/// What an arm's pretraining is told by. Pretraining seeds of one model are one arm: what was fetched is described by its
/// kind and size, and not by the names and commits of its repositories.
fn describe_pretraining(rung: &Manifest, manifests: &Manifests, recipe: &mut BTreeMap<String, String>) {
    match rung.stage.as_str() {
        "fetch" | "fetch-rung" => {
            let fetched = rung.inputs.get("model").and_then(|inputs| manifests.get(&inputs.first()?.from));
            for fact in ["model_type", "parameters"] {
                if let Some(value) = fetched.unwrap_or(rung).facts.get(fact) {
                    recipe.insert(format!("pretraining {fact}"), plain(value));
                }
            }
        }
        _ => {
            flatten(&rung.parameters, "pretraining ", recipe);
            for (role, inputs) in &rung.inputs {
                let objects: Vec<String> = inputs.iter().map(|input| input.object.short()).collect();
                recipe.insert(format!("pretraining {role}"), objects.join(" "));
            }
        }
    }
}

/// The parameters of a task that is generated or of images by name; of one from other files, its key.
fn describe_task(train: &Manifest, recipe: &mut BTreeMap<String, String>) {
    let part = train.parameters.get("part");
    if let Some(Value::Object(images)) = part.and_then(|part| part.get("images")) {
        recipe.insert("task".into(), "images".into());
        return describe_images(images, "", recipe);
    }
    let world = part.and_then(|part| part.get("world")?.as_object()?.iter().next());
    match world {
        Some((name, Value::Object(parameters))) => {
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
            recipe.insert("task".into(), train.key.short());
        }
    }
}

/// What decides a training set of images. Its seeds are no seeds of a run: they say which draw it is.
fn describe_images(section: &Map<String, Value>, prefix: &str, recipe: &mut BTreeMap<String, String>) {
    for (name, value) in section {
        match value {
            Value::Object(inner) if name == "part" => describe_images(inner, prefix, recipe),
            Value::Object(inner) => describe_images(inner, &format!("{prefix}{name} "), recipe),
            value => {
                let name = if name == "seed" { "draw" } else { name };
                recipe.insert(format!("{prefix}{name}"), plain(value));
            }
        }
    }
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn flatten(parameters: &Map<String, Value>, prefix: &str, recipe: &mut BTreeMap<String, String>) {
    for (name, value) in parameters.iter().filter(|(name, _)| !NOT_OF_AN_ARM.contains(&name.as_str())) {
        match value {
            Value::Object(inner) => flatten(inner, &format!("{prefix}{name} "), recipe),
            value => drop(recipe.insert(format!("{prefix}{name}"), plain(value))),
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
    let tasks: BTreeSet<String> = runs.iter().flat_map(|run| run.of_task.iter().cloned()).collect();
    for run in runs {
        run.data_arm = changed(&run.recipe, &default).all(|name| tasks.contains(name));
        run.arm = if run.recipe == default { DEFAULT_ARM.into() } else { difference(&run.recipe, &default) };
    }
}

/// Names of the parameters in which two recipes differ, in order.
fn changed<'a>(
    recipe: &'a BTreeMap<String, String>,
    default: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    let names: BTreeSet<&String> = recipe.keys().chain(default.keys()).collect();
    names.into_iter().filter(|name| recipe.get(*name) != default.get(*name))
}

fn difference(recipe: &BTreeMap<String, String>, default: &BTreeMap<String, String>) -> String {
    let told: Vec<String> = changed(recipe, default)
        .map(|name| format!("{name} = {}", recipe.get(name).map_or("none", String::as_str)))
        .collect();
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
            data_arm: false,
            of_task: BTreeSet::from(["disambiguating".to_owned()]),
            recipe: recipe.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn arms_are_named_by_what_differs_from_the_one_with_most_rungs() {
        let usual = [("disambiguating", "0.05"), ("learning_rate", "0.001")];
        let mut runs = vec![
            run_of(&[("disambiguating", "0.0"), ("learning_rate", "0.001")], 0),
            run_of(&[("disambiguating", "0.0"), ("learning_rate", "0.001")], 0),
            run_of(&usual, 0),
            run_of(&usual, 9),
            run_of(&[("disambiguating", "0.05"), ("dropout", "0.1"), ("learning_rate", "0.01")], 9),
        ];
        name_arms(&mut runs);
        let names: Vec<&str> = runs.iter().map(|run| run.arm.as_str()).collect();
        let pooled: Vec<bool> = runs.iter().map(|run| run.data_arm).collect();
        assert_eq!(pooled, [true, true, true, true, false]);
        let third = "dropout = 0.1, learning_rate = 0.01";
        assert_eq!(names, ["disambiguating = 0.0", "disambiguating = 0.0", DEFAULT_ARM, DEFAULT_ARM, third]);
    }

    #[test]
    fn another_draw_or_strength_of_images_is_another_arm() {
        let section = serde_json::json!({
            "labels": ["low", "high"],
            "part": {"images": "a", "sample": {"seed": 1, "take": 400}},
            "cue": {"seed": 0, "strength": 0.9},
        });
        let mut recipe = BTreeMap::new();
        describe_images(section.as_object().unwrap(), "", &mut recipe);
        let expected = [
            ("cue draw", "0"),
            ("cue strength", "0.9"),
            ("images", "a"),
            ("labels", r#"["low","high"]"#),
            ("sample draw", "1"),
            ("sample take", "400"),
        ];
        assert_eq!(recipe, BTreeMap::from(expected.map(|(a, b)| (a.to_owned(), b.to_owned()))));
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
