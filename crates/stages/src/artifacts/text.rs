//! Results and sizes for people.

use comfy_table::{Table, presets::NOTHING};
use store::Manifest;

/// All that a manifest says.
pub(super) fn show(manifest: &Manifest) -> String {
    let mut text = format!("{} {} (version {})\n", manifest.stage, manifest.key, manifest.version);
    let mut section = |title: &str, rows: Vec<[String; 2]>| {
        if !rows.is_empty() {
            let mut table = Table::new();
            table.load_preset(NOTHING).add_rows(rows);
            text.push_str(&format!("\n{title}\n{table}\n"));
        }
    };
    let plain = |name: &String, value: &serde_json::Value| [name.clone(), value.to_string()];
    section("parameters", manifest.parameters.iter().map(|(name, value)| plain(name, value)).collect());
    let inputs = manifest.inputs.iter().flat_map(|(role, inputs)| {
        inputs
            .iter()
            .map(move |input| [role.clone(), format!("{} of {}", input.object.short(), input.from.short())])
    });
    section("inputs", inputs.collect());
    let outputs = manifest.outputs.iter();
    section(
        "outputs",
        outputs
            .map(|(role, output)| {
                [
                    role.clone(),
                    format!("{} {} {}", output.object.short(), output.media.extension(), size(output.bytes)),
                ]
            })
            .collect(),
    );
    section("facts", manifest.facts.iter().map(|(name, value)| plain(name, value)).collect());
    let made = &manifest.provenance;
    section(
        "made",
        vec![
            [
                "on".into(),
                format!(
                    "{} ({}, {}, {} threads)",
                    made.host, made.target, made.instruction_set, made.threads
                ),
            ],
            ["by".into(), format!("samebasin {}", made.samebasin)],
            ["ended".into(), made.finished.clone().unwrap_or_default()],
            ["took".into(), format!("{:.1} s, {} of memory", made.seconds, size(made.peak_memory_bytes))],
        ],
    );
    text
}

/// A table without lines.
pub(super) fn bare_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.to_vec());
    table
}

/// Bytes for people, in powers of 1024.
pub(super) fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}
