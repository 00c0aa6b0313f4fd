//! A low-rank adapter as `peft` reads it: tensors under its names, and an `adapter_config.json`.

use std::sync::Arc;

use learn::Lora;
use models::Model;
use serde_json::json;
use store::Media;
use weights::{Layout, Weights};

use crate::stage::{Failure, Work};

/// Roles of what is published, and the names of their files in a folder of `peft`'s. The folder is one of its own:
/// transformers would put the adapter on top of a merged model beside it.
pub(crate) const FILES: [(&str, &str); 2] =
    [("adapter", "adapter_model.safetensors"), ("adapter_config", "adapter_config.json")];

/// Publishes what an adapter trained.
///
/// # Errors
/// [`Failure::Store`] if it cannot be written.
pub(crate) fn publish(
    work: &mut Work<'_>,
    model: &Model,
    lora: &Lora,
    trained: &Weights,
) -> Result<(), Failure> {
    let mut layout = Layout::default();
    for entry in trained.layout().entries() {
        layout.push(format!("base_model.model.{}", entry.name), &entry.shape);
    }
    let mut renamed = Weights::zeros(Arc::new(layout));
    renamed.values.copy_from_slice(&trained.values);
    work.publish("adapter", Media::Safetensors, &renamed.to_safetensors())?;
    work.fact("trained_parameters", trained.values.len())?;
    work.publish("adapter_config", Media::Json, config(model, lora, trained.layout()).as_bytes())?;
    Ok(())
}

fn config(model: &Model, lora: &Lora, trained: &Layout) -> String {
    let is_factor = |name: &str| name.contains(".lora_A.") || name.contains(".lora_B.");
    let mut whole: Vec<&str> = trained.entries().iter().map(|entry| entry.name.as_str()).collect();
    whole.retain(|name| !is_factor(name));
    let mut whole: Vec<&str> =
        whole.iter().map(|name| name.rsplit_once('.').map_or(*name, |(module, _)| module)).collect();
    whole.dedup();
    // Whole names, since `peft` looks for a target in the head as well.
    let maps = model.linear_maps();
    let targets: Vec<&str> = maps
        .iter()
        .map(|map| map.name.as_str())
        .filter(|name| trained.entry(&format!("{name}.lora_A.weight")).is_some())
        .collect();
    let fields = json!({
        "base_model_name_or_path": null,
        "bias": "none",
        "fan_in_fan_out": maps.iter().any(|map| map.is_transposed),
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "modules_to_save": whole,
        "peft_type": "LORA",
        "r": lora.rank,
        "target_modules": targets,
        "task_type": "SEQ_CLS",
    });
    format!("{fields:#}\n")
}
