//! From manifests and the tables of single stages to the tables of a study.
//!
//! Runs from one checkpoint are taken together, one group at a time: predictions are the bulk of a study, and only
//! those of a group are ever in memory at once.

pub(crate) mod behaviour;
pub(crate) mod evaluations;
pub(crate) mod facts;
pub(crate) mod group;
pub(crate) mod lineage;
pub(crate) mod lines;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use report::Observed;
use report::rows::Rung;
use store::{Input, Manifest, Store};

use crate::rows::{GaugedRow, LadderRow, LossPoint, MemberRow};
use crate::stage::Failure;
use evaluations::Evaluations;
use group::{Group, Soup};
pub(crate) use lineage::{Manifests, Run};
use lines::Lines;

/// The joined tables of a study.
#[derive(Debug, Default)]
pub(crate) struct Collated {
    pub(crate) observed: Observed,
    /// Parquet bytes of the predictions of each group, by the group's name.
    pub(crate) predictions: BTreeMap<String, Vec<u8>>,
    /// What was left out, and why.
    pub(crate) warnings: Vec<String>,
}

/// The manifests that were named, and those upstream that say where they come from.
///
/// # Errors
/// [`Failure::Store`] if a manifest that is there cannot be read, [`Failure::Input`] if a model that was evaluated is not.
pub(crate) fn upstream(store: &Store, named: Vec<Manifest>) -> Result<Manifests, Failure> {
    let mut manifests = Manifests::new();
    let mut waiting = named;
    while let Some(manifest) = waiting.pop() {
        // Ladders and tasks are described by their own parameters; what they were made from is theirs to tell.
        let roles: &[&str] = match manifest.stage.as_str() {
            "evaluate" | "interpolate" | "soup" => &["model"],
            "finetune" => &["model", "task.train"],
            "fetch-rung" | "fetch-run" => &["model"],
            _ => &[],
        };
        for input in roles.iter().filter_map(|role| manifest.inputs.get(*role)).flatten() {
            if manifests.contains_key(&input.from) {
                continue;
            }
            match store.manifest(&input.from)? {
                Some(found) => waiting.push(found),
                None if ["finetune", "fetch-rung", "fetch-run"].contains(&manifest.stage.as_str()) => {}
                None => {
                    return Err(Failure::Input(format!(
                        "{} {} is about model {}, whose manifest is not in the store",
                        manifest.stage,
                        manifest.key.short(),
                        input.from.short()
                    )));
                }
            }
        }
        manifests.insert(manifest.key, manifest);
    }
    Ok(manifests)
}

/// Joins everything.
///
/// # Errors
/// If an object is missing or corrupt, or a table is not of its stage.
pub(crate) fn collate(
    store: &Store,
    pool: Option<&rayon::ThreadPool>,
    manifests: &Manifests,
    runs: &[Run],
) -> Result<Collated, Failure> {
    let ladder = ladder(store, manifests)?;
    let evaluations = Evaluations::new(manifests);
    let lines = Lines::read(store, manifests)?;
    let mut warnings = lines.warnings.clone();
    let soups = soups(store, manifests, &evaluations, &mut warnings)?;
    let same_group =
        |a: &Run, b: &Run| (&a.arm, a.pretraining_seed, a.step) == (&b.arm, b.pretraining_seed, b.step);
    let groups: Vec<&[Run]> = runs.chunk_by(same_group).collect();
    let one = |members: &&[Run]| -> Result<Collated, Failure> {
        let mut warnings = Vec::new();
        let mut group = Group::new(members, held_out_loss(&ladder, &members[0]));
        for run in *members {
            if let Some(behaviour) = evaluations.behaviour(store, &run.key, &mut warnings)? {
                group.behaviours.insert(&run.key, behaviour);
            }
        }
        Ok(Collated { warnings, ..group.collate(&lines, &soups)? })
    };
    let done: Result<Vec<Collated>, Failure> = match pool {
        Some(pool) => pool.install(|| groups.par_iter().map(one).collect()),
        None => groups.iter().map(one).collect(),
    };
    let mut whole = Collated::default();
    whole.observed.ladder = ladder;
    whole.observed.facts = facts::facts(manifests, runs);
    whole.warnings = warnings;
    for part in done? {
        whole.predictions.extend(part.predictions);
        whole.warnings.extend(part.warnings);
        whole.observed.append(part.observed);
    }
    Ok(whole)
}

fn ladder(store: &Store, manifests: &Manifests) -> Result<Vec<Rung>, Failure> {
    let seeds = lineage::pretraining_seeds(manifests);
    let mut rungs = Vec::new();
    for manifest in manifests.values().filter(|manifest| manifest.outputs.contains_key("ladder")) {
        let seed = seeds.get(&lineage::run_of_ladder(manifest, manifests)).copied().unwrap_or(0);
        let bytes = store.map(&manifest.output("ladder")?.object)?;
        let gauged: BTreeMap<u64, GaugedRow> = match manifest.stage.as_str() {
            "gauge" => GaugedRow::read(&bytes)?.into_iter().map(|row| (row.step, row)).collect(),
            _ => BTreeMap::new(),
        };
        let rates: BTreeMap<u64, f64> = match manifest.stage.as_str() {
            "pretrain" => {
                LadderRow::read(&bytes)?.into_iter().map(|row| (row.step, row.learning_rate)).collect()
            }
            _ => BTreeMap::new(),
        };
        rungs.extend(LossPoint::read(&bytes)?.into_iter().map(|row| Rung {
            pretraining_seed: seed,
            step: row.step,
            tokens: row.tokens,
            held_out_loss: row.held_out_loss,
            held_out_accuracy: row.held_out_accuracy,
            checkpoint: row.checkpoint,
            ladder: manifest.key.to_string(),
            learning_rate: rates.get(&row.step).copied(),
            phase: phase(&manifest.parameters, row.step).map(str::to_owned),
            to_go: gauged.get(&row.step).and_then(|row| row.to_go),
            to_go_lower: gauged.get(&row.step).and_then(|row| row.to_go_lower),
            to_go_upper: gauged.get(&row.step).and_then(|row| row.to_go_upper),
        }));
    }
    // Where a run's ladder is not named, its rung says what it measured itself.
    let listed: BTreeSet<String> = rungs.iter().map(|rung| rung.checkpoint.clone()).collect();
    for manifest in manifests.values().filter(|manifest| manifest.stage == "pretrain-rung") {
        let rung = measured_rung(manifest, manifests, &seeds);
        rungs.extend(rung.filter(|rung| !listed.contains(&rung.checkpoint)));
    }
    rungs.sort_by(|a, b| {
        (a.pretraining_seed, &a.ladder, a.step).cmp(&(b.pretraining_seed, &b.ladder, b.step))
    });
    Ok(rungs)
}

/// Where in the schedule that a ladder's parameters name a step is.
fn phase(parameters: &serde_json::Map<String, serde_json::Value>, step: u64) -> Option<&'static str> {
    let schedule = parameters.get("schedule")?.as_str()?;
    let integer = |name: &str| parameters.get(name).and_then(serde_json::Value::as_u64);
    Some(match step {
        0 => "start",
        step if step < integer("warmup")? => "warm-up",
        _ if schedule == "constant" => "constant",
        step if Some(step) == integer("steps") => "end",
        _ => "decay",
    })
}

/// What a rung's own manifest says of its loss.
fn measured_rung(manifest: &Manifest, manifests: &Manifests, seeds: &BTreeMap<String, u64>) -> Option<Rung> {
    let fact = |name: &str| manifest.facts.get(name);
    Some(Rung {
        pretraining_seed: seeds.get(&lineage::run_name(&manifest.key, manifests)).copied().unwrap_or(0),
        step: manifest.parameters.get("step")?.as_u64()?,
        tokens: fact("tokens")?.as_u64()?,
        held_out_loss: fact("held_out_loss")?.as_f64()?,
        held_out_accuracy: fact("held_out_accuracy")?.as_f64()?,
        checkpoint: manifest.outputs.get("model")?.object.to_string(),
        ladder: manifest.key.to_string(),
        learning_rate: None,
        phase: None,
        to_go: None,
        to_go_lower: None,
        to_go_upper: None,
    })
}

fn held_out_loss(ladder: &[Rung], run: &Run) -> Option<f64> {
    let rung = ladder.iter().find(|rung| rung.ladder == run.ladder && rung.step == run.step)?;
    rung.held_out_loss.is_finite().then_some(rung.held_out_loss)
}

/// The soups that were evaluated, each with its scores.
fn soups(
    store: &Store,
    manifests: &Manifests,
    evaluations: &Evaluations<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Soup>, Failure> {
    let mut soups = Vec::new();
    for manifest in manifests.values().filter(|manifest| manifest.stage == "soup") {
        let key = manifest.key.to_string();
        let Some(scores) = evaluations.scores(store, &key, warnings)? else { continue };
        let offered: &[Input] = manifest.inputs.get("model").map_or(&[], Vec::as_slice);
        let members = MemberRow::read(&store.map(&manifest.output("members")?.object)?)?;
        let method = manifest.parameters.get("method").and_then(serde_json::Value::as_str).unwrap_or("soup");
        soups.push(Soup {
            key,
            method: method.to_owned(),
            members: offered.iter().map(|input| input.from.to_string()).collect(),
            kept: members.iter().filter(|member| member.kept).count() as u64,
            scores,
        });
    }
    Ok(soups)
}
