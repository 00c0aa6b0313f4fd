//! How a study was made, fact by fact: what the page's methods are written from.
//!
//! Only what recipes say. When and on which machine something ran is in the provenance of each result, and no part of a
//! report's bytes.

use std::collections::BTreeSet;

use report::DEFAULT_ARM;
use report::rows::Fact;
use serde_json::Value;

use super::lineage::{Manifests, Run};

/// The facts of a study, in the order of its stages.
pub(crate) fn facts(manifests: &Manifests, runs: &[Run]) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(run) = runs.iter().find(|run| run.arm == DEFAULT_ARM) {
        facts.extend(run.described().map(|(subject, name, value)| fact(subject, name, value)));
    }
    facts.extend(gate(manifests));
    for (subject, stage, names) in
        [("paths", "interpolate", &["points", "path", "alphas"][..]), ("soups", "soup", &["method"])]
    {
        for name in names {
            let of_stage = manifests.values().filter(|manifest| manifest.stage == stage);
            let values: BTreeSet<String> = of_stage
                .filter_map(|manifest| manifest.parameters.get(*name))
                .filter(|value| !value.is_null())
                .map(plain)
                .collect();
            if !values.is_empty() {
                facts.push(fact(subject, name, &values.into_iter().collect::<Vec<_>>().join(", ")));
            }
        }
    }
    facts.push(fact("programs", "samebasin", env!("CARGO_PKG_VERSION")));
    let versions = manifests.values().find(|manifest| manifest.stage == "finetune");
    if let Some(Value::Object(versions)) = versions.and_then(|manifest| manifest.parameters.get("versions")) {
        let versions: Vec<String> =
            versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        facts.push(fact("programs", "versions of fine-tuning", &versions.join(", ")));
    }
    facts
}

fn fact(subject: &str, name: &str, value: &str) -> Fact {
    Fact { subject: subject.into(), name: name.into(), value: value.into() }
}

/// What the gate of fetched ladders found.
fn gate(manifests: &Manifests) -> Vec<Fact> {
    let lists = manifests.values().filter_map(|manifest| manifest.facts.get("findings")?.as_array());
    let (mut ladders, mut findings) = (0, BTreeSet::new());
    for list in lists {
        ladders += 1;
        findings.extend(list.iter().map(finding));
    }
    match (ladders, findings.is_empty()) {
        (0, _) => Vec::new(),
        (_, true) => vec![fact("ladder", "gate", "no duplicates, holes or strays")],
        _ => findings.iter().map(|finding| fact("ladder", "finding", finding)).collect(),
    }
}

/// A finding as the gate words it.
fn finding(finding: &Value) -> String {
    let part = |name: &str| finding.get(name).map_or(String::new(), plain);
    match finding.get("finding").and_then(Value::as_str) {
        Some("duplicates") => format!("one and the same model: {}", part("names")),
        Some("hole") => format!(
            "{} rung(s) seem to be missing between steps {} and {}",
            part("missing"),
            part("after"),
            part("before")
        ),
        Some("stray") => format!("{} does not lie between its neighbours: {}", part("name"), part("because")),
        _ => finding.to_string(),
    }
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are those of the gate itself.
    #[cfg(feature = "fetch")]
    #[test]
    fn findings_are_worded_as_the_gate_words_them() {
        for (found, words) in crate::fetch::findings_of_every_kind() {
            assert_eq!(finding(&found), words);
        }
    }
}
