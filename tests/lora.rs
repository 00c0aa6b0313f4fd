//! Low-rank adaptation, from the flags to a folder that `peft` opens.

use weights::Weights;

use crate::harness::{Bench, text};

const USAGE: i32 = 2;

fn read(bench: &Bench, reference: &str, role: &str) -> Weights {
    Weights::from_safetensors(&std::fs::read(bench.object(reference, role)).unwrap()).unwrap()
}

fn arguments<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let start = ["--checkpoint", "ladder:step-20", "--task", "task", "--steps", "10", "--ref", name];
    [&start, ["--train", "lora"].as_slice(), more].concat()
}

#[test]
fn the_merged_model_is_the_checkpoint_and_its_adapter() {
    let bench = Bench::new();
    bench.tiny();
    bench.run("finetune", &arguments("run/0", &["--lora-rank", "2", "--lora-alpha", "3"]));
    let manifest = bench.manifest("run/0");
    let parameters = &manifest["parameters"];
    assert_eq!((&parameters["train"], &parameters["lora_rank"]), (&"lora".into(), &2.into()));
    assert_eq!(parameters["lora_seed"], parameters["seed"]);

    let (start, model) = (read(&bench, "ladder", "step-20"), read(&bench, "run/0", "model"));
    let adapter = read(&bench, "run/0", "adapter");
    let trained = manifest["facts"]["trained_parameters"].as_u64().unwrap() as usize;
    assert!(trained == adapter.layout().len() && trained < model.layout().len() / 4, "{trained}");
    let named = |name: &str| adapter.tensor(&format!("base_model.model.{name}"));
    let mut n_adapted = 0;
    for entry in model.layout().entries() {
        let found = model.tensor(&entry.name).unwrap();
        let module = entry.name.trim_end_matches(".weight");
        if let Some(a) = named(&format!("{module}.lora_A.weight")) {
            let b = named(&format!("{module}.lora_B.weight")).unwrap();
            assert!(b.iter().any(|&value| value != 0.0), "{module} was trained");
            let (start, width) = (start.tensor(&entry.name).unwrap(), entry.shape[1]);
            for (i, (start, found)) in start.iter().zip(found).enumerate() {
                let product: f32 = (0..2).map(|k| b[i / width * 2 + k] * a[k * width + i % width]).sum();
                assert!((start + 1.5 * product - found).abs() < 1e-6, "{module}, {i}");
            }
            n_adapted += 1;
        } else if let Some(whole) = named(&entry.name) {
            assert_eq!(whole, found, "{}", entry.name);
        } else {
            assert_eq!(start.tensor(&entry.name), Some(found), "{} is frozen", entry.name);
        }
    }
    let maps = 2 * manifest_layers(&bench);
    assert_eq!(n_adapted, maps, "queries and values of every layer");

    // What uses a model uses a merged one; its folder holds the adapter in a folder of its own.
    bench.run("finetune", &arguments("run/1", &["--seed", "1"]));
    bench.run(
        "interpolate",
        &["--model", "run/0", "run/1", "--task", "task", "--split", "id", "--points", "3"],
    );
    bench.run("evaluate", &["--model", "run/0", "--task", "task"]);
    let folder = bench.path("exported");
    bench.run("store", &["export", "run/0", folder.to_str().unwrap()]);
    let config = std::fs::read(folder.join("adapter/adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["r"], &config["lora_alpha"]), (&2.into(), &3.0.into()));
    assert_eq!(config["target_modules"].as_array().unwrap().len(), maps);
    assert_eq!(config["modules_to_save"], serde_json::json!(["bert.pooler.dense", "classifier"]));
    let exported = std::fs::read(folder.join("adapter/adapter_model.safetensors")).unwrap();
    assert_eq!(exported, std::fs::read(bench.object("run/0", "adapter")).unwrap());
    assert!(folder.join("model.safetensors").exists());
}

fn manifest_layers(bench: &Bench) -> usize {
    bench.manifest("ladder")["parameters"]["layers"].as_u64().unwrap() as usize
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    let bench = Bench::new();
    bench.tiny();
    let start = ["--checkpoint", "ladder:step-20", "--task", "task", "--steps", "10"];
    let error = bench.fails(USAGE, "finetune", &[&start, ["--lora-rank", "4"].as_slice()].concat());
    assert!(error.contains("--lora-rank needs --train lora"), "{error}");
    let error = bench.fails(USAGE, "finetune", &arguments("run", &["--lora-targets", "c_attn"]));
    assert!(error.contains("`c_attn`") && error.contains("dense, key, query, value"), "{error}");
    let error = bench.fails(USAGE, "finetune", &arguments("run", &["--lora-rank", "99"]));
    assert!(error.contains("rank"), "{error}");

    // Without it, the recipe does not speak of it.
    bench.tiny_run("0");
    let parameters = bench.manifest("run/0")["parameters"].clone();
    assert!(parameters.as_object().unwrap().keys().all(|name| !name.contains("lora")), "{parameters}");
    let targets = |list: &str| {
        let output =
            bench.stage("finetune").args(arguments("run", &["--lora-targets", list])).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        bench.manifest("run")["key"].clone()
    };
    assert_eq!(targets("value,query"), targets("query,value,query"));
}
