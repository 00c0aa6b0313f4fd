//! Explanations as a person reads them.

use std::fs;

use serde_json::json;

use super::*;
use crate::{Media, Output, Recipe, sample};

fn lines(store: &Store, a: &Manifest, b: &Manifest) -> Vec<String> {
    store.explain(a, b).unwrap().iter().map(ToString::to_string).collect()
}

/// The manifest of the same outputs by another recipe.
fn changed(manifest: &Manifest, change: impl FnOnce(&mut Recipe)) -> Manifest {
    let mut recipe = manifest.recipe();
    change(&mut recipe);
    let Manifest { outputs, facts, provenance, .. } = manifest.clone();
    Manifest::new(recipe, outputs, facts, provenance).unwrap()
}

#[test]
fn stages_versions_and_parameters() {
    let (_folder, store) = sample::store();
    let a = sample::manifest("soup", 1, &[]);
    assert!(lines(&store, &a, &a).is_empty());
    let b = changed(&a, |recipe| {
        recipe.version = 2;
        recipe.parameters.insert("seed".to_owned(), json!(1.0)); // the same number
        recipe.parameters.insert("rate".to_owned(), json!(1e-4));
        recipe.parameters.insert("head".to_owned(), json!({"std": [0.02, 1]}));
    });
    assert_eq!(
        lines(&store, &a, &b),
        ["version 1 -> 2", "parameter head: none -> {\"std\":[0.02,1]}", "parameter rate: 0.00005 -> 0.0001"]
    );
    let c = changed(&b, |recipe| {
        recipe.parameters.insert("head".to_owned(), json!({"std": [0.02, 2]}));
        recipe.parameters.remove("rate");
    });
    assert_eq!(lines(&store, &b, &c), ["parameter head.std[1]: 1 -> 2", "parameter rate: 0.0001 -> none"]);
    let other = changed(&a, |recipe| recipe.stage = "finetune".to_owned());
    assert_eq!(lines(&store, &a, &other), ["stage soup -> finetune"]);
}

#[test]
fn the_root_cause_is_found_upstream_and_given_once() {
    let (_folder, store) = sample::store();
    let study = |seed: u64| {
        let pretrain = sample::commit(&store, "pretrain", seed, &[]);
        let model = pretrain.input_of("model").unwrap();
        let finetunes: Vec<(&str, Input)> = (0..3)
            .map(|seed| {
                (
                    "model",
                    sample::commit(&store, "finetune", seed, &[("base", model)]).input_of("model").unwrap(),
                )
            })
            .collect();
        sample::commit(&store, "soup", 0, &finetunes)
    };
    let (a, b) = (study(1), study(2));
    assert_eq!(
        lines(&store, &a, &b),
        [
            "model[0] from finetune < base from pretrain: parameter seed: 1 -> 2",
            "model[1] from finetune: input base differs as model[0] from finetune < base from pretrain",
            "model[2] from finetune: input base differs as model[0] from finetune < base from pretrain",
        ]
    );
    let json = serde_json::to_value(store.explain(&a, &b).unwrap()).unwrap();
    assert_eq!(json[0]["at"][1], json!({"role": "base", "index": null, "stage": "pretrain"}));
    assert_eq!(json[0]["change"]["parameter"], json!({"path": "seed", "before": 1, "after": 2}));
}

#[test]
fn another_step_of_the_same_ladder_is_not_another_recipe() {
    let (_folder, store) = sample::store();
    let ladder = sample::commit(&store, "pretrain", 1, &[]);
    let read = |role: &str| sample::manifest("finetune", 1, &[("base", ladder.input_of(role).unwrap())]);
    assert_eq!(lines(&store, &read("members"), &read("model")), ["input base: output members -> model"]);
}

#[test]
fn other_bytes_by_the_same_recipe() {
    let (_folder, store) = sample::store();
    let a = sample::commit(&store, "pretrain", 1, &[]);
    let mut b = a.clone();
    b.outputs.insert("model".to_owned(), Output::of(b"rounded otherwise", Media::Safetensors));
    let explained = lines(&store, &a, &b);
    assert_eq!(explained.len(), 1);
    assert!(explained[0].starts_with("output model: ") && explained[0].ends_with("by the same recipe"));
    let read = |manifest: &Manifest| {
        sample::manifest("finetune", 1, &[("base", manifest.input_of("model").unwrap())])
    };
    let explained = lines(&store, &read(&a), &read(&b));
    assert!(explained[0].starts_with("input base: recipe ") && explained[0].contains("made other bytes"));
}

#[test]
fn lists_of_inputs() {
    let (_folder, store) = sample::store();
    let models: Vec<Input> =
        (0..4).map(|seed| sample::commit(&store, "finetune", seed, &[]).input_of("model").unwrap()).collect();
    let soup = |which: &[usize]| {
        let inputs: Vec<(&str, Input)> = which.iter().map(|&n| ("model", models[n])).collect();
        sample::manifest("soup", 1, &inputs)
    };
    assert_eq!(
        lines(&store, &soup(&[0, 1]), &soup(&[1, 0])),
        ["the model inputs are the same in another order"]
    );
    let added = lines(&store, &soup(&[0, 2]), &soup(&[0, 1, 2]));
    assert!(
        added.len() == 1 && added[0].starts_with("input model[1], object ") && added[0].ends_with("added")
    );
    let removed = lines(&store, &soup(&[0, 0, 1]), &soup(&[0, 1]));
    assert!(
        removed.len() == 1 && removed[0].starts_with("input model[1], ") && removed[0].ends_with("removed")
    );
    assert_eq!(
        lines(&store, &soup(&[0, 1, 3]), &soup(&[0, 2, 3])),
        ["model[1] from finetune: parameter seed: 1 -> 2"]
    );
    let none = lines(&store, &sample::manifest("soup", 1, &[]), &soup(&[0]));
    assert!(none.len() == 1 && none[0].starts_with("input model[0]") && none[0].ends_with("added"));
}

#[test]
fn what_is_lost_is_said() {
    let (_folder, store) = sample::store();
    let read = |seed| {
        let base = sample::commit(&store, "pretrain", seed, &[]);
        sample::manifest("finetune", 1, &[("base", base.input_of("model").unwrap())])
    };
    let (a, b) = (read(1), read(2));
    let lost = a.inputs["base"][0].from;
    fs::remove_file(store.manifest_path("pretrain", &lost)).unwrap();
    let expected = format!("input base differs, but {} is not in the store", lost.short());
    assert_eq!(lines(&store, &a, &b), [expected]);
}
