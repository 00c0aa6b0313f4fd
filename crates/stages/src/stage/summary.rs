//! One line of what a stage made, from the facts of its manifest.

use std::time::Duration;

use serde_json::Value;
use store::Manifest;

use super::duration;

/// Most facts, and most entries of one fact, that the line shows.
const SHOWN: usize = 4;

/// What a result is, in a line: `val accuracy 0.912, val loss 0.281`.
pub(crate) fn facts(manifest: &Manifest) -> String {
    let told = manifest
        .facts
        .iter()
        .filter_map(|(name, value)| Some(format!("{} {}", name.replace('_', " "), told(value)?)));
    told.take(SHOWN).collect::<Vec<_>>().join(", ")
}

/// What a run of the stage ends with.
pub(super) fn line(manifest: &Manifest, took: Option<Duration>) -> String {
    let facts = facts(manifest);
    let what = if facts.is_empty() { format!("{} outputs", manifest.outputs.len()) } else { facts };
    match took {
        Some(time) => format!("made {}: {what} ({})", manifest.key.short(), duration(time)),
        None => format!("found {}: {what}", manifest.key.short()),
    }
}

fn told(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.is_f64() => Some(rounded(number.as_f64()?)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(if *is { "yes" } else { "no" }.to_owned()),
        Value::Object(entries) if !entries.is_empty() => {
            let told = |(name, value): (&String, &Value)| match value {
                Value::Number(number) if number.is_f64() => {
                    Some(format!("{name} {}", rounded(number.as_f64()?)))
                }
                Value::Number(number) => Some(format!("{name} {number}")),
                _ => None,
            };
            let entries: Vec<String> = entries.iter().filter_map(told).collect();
            let more = if entries.len() > SHOWN { ", ..." } else { "" };
            let shown = entries.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            (!shown.is_empty()).then(|| format!("({shown}{more})"))
        }
        _ => None,
    }
}

/// Four significant digits at most.
fn rounded(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        0.001..1_000.0 => format!("{number:.3}"),
        _ => format!("{number:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_told_in_a_line() {
        assert_eq!(told(&json!(0.91234)).unwrap(), "0.912");
        assert_eq!(told(&json!(0.0)).unwrap(), "0");
        assert_eq!(told(&json!(12)).unwrap(), "12");
        assert_eq!(told(&json!(true)).unwrap(), "yes");
        assert_eq!(told(&json!({"train": 200, "split.val": 50})).unwrap(), "(split.val 50, train 200)");
        assert_eq!(told(&json!("text")), None);
        assert_eq!(told(&json!([])), None);
    }
}
