//! The evaluations of each model. Several, on several tasks, are one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use store::{Input, Manifest, StageKey, Store};
use tasks::Metric;

use super::Manifests;
use super::behaviour::Behaviour;
use crate::rows::{EffectRow, PredictionRow, ScoreRow};
use crate::stage::Failure;

/// The evaluations of each model, by the model's key: the one on the task it was trained on first, then by key.
pub(crate) struct Evaluations<'a>(BTreeMap<String, Vec<&'a Manifest>>);

impl<'a> Evaluations<'a> {
    pub(crate) fn new(manifests: &'a Manifests) -> Self {
        let mut found: BTreeMap<StageKey, Vec<&Manifest>> = BTreeMap::new();
        for manifest in manifests.values().filter(|manifest| manifest.stage == "evaluate") {
            if let Some(model) = manifest.inputs.get("model").and_then(|inputs| inputs.first()) {
                found.entry(model.from).or_default().push(manifest);
            }
        }
        let ordered = found.into_iter().map(|(model, mut evaluations)| {
            let training = training(manifests, &model);
            evaluations.sort_by_key(|evaluation| Reverse(shared(evaluation, training)));
            (model.to_string(), evaluations)
        });
        Self(ordered.collect())
    }

    /// What a model did; `None` if it was not evaluated. What is left out is named in `warnings`.
    ///
    /// # Errors
    /// [`Failure::Input`] naming the evaluation if its tables are not of their schemas, [`Failure::Store`] if they are not
    /// there.
    pub(crate) fn behaviour(
        &self,
        store: &Store,
        model: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Behaviour>, Failure> {
        self.joined(store, model, warnings, |evaluation| whole(store, evaluation))
    }

    /// The scores of a model alone.
    ///
    /// # Errors
    /// As [`Evaluations::behaviour`].
    pub(crate) fn scores(
        &self,
        store: &Store,
        model: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Vec<ScoreRow>>, Failure> {
        let read = |evaluation: &Manifest| {
            Ok(Behaviour {
                scores: ScoreRow::read(&bytes(store, evaluation, "scores")?)?,
                ..Behaviour::default()
            })
        };
        Ok(self.joined(store, model, warnings, read)?.map(|behaviour| behaviour.scores))
    }

    fn joined(
        &self,
        store: &Store,
        model: &str,
        warnings: &mut Vec<String>,
        read: impl Fn(&Manifest) -> Result<Behaviour, Failure>,
    ) -> Result<Option<Behaviour>, Failure> {
        let Some((first, further)) = self.0.get(model).and_then(|evaluations| evaluations.split_first())
        else {
            return Ok(None);
        };
        let whole = read(first)?;
        let mut known = BTreeMap::new();
        for part in parts(&whole) {
            known.insert(part.clone(), Origin { evaluation: first, part });
        }
        let mut joining = Joining { store, whole, known, warnings };
        for evaluation in further {
            joining.add(evaluation, read(evaluation)?)?;
        }
        Ok(Some(joining.whole))
    }
}

/// The run that says what a model was trained on: of a soup, its first member.
fn training<'a>(manifests: &'a Manifests, model: &StageKey) -> Option<&'a Manifest> {
    let manifest = manifests.get(model)?;
    match manifest.stage.as_str() {
        "soup" => manifests.get(&manifest.inputs.get("model")?.first()?.from),
        _ => Some(manifest),
    }
}

/// The number of parts of a task that an evaluation shares with a training run: labels, and the split that it held out.
fn shared(evaluation: &Manifest, training: Option<&Manifest>) -> usize {
    let Some(training) = training else { return 0 };
    let of_task = evaluation.inputs.iter().filter(|(role, _)| role.starts_with("task."));
    of_task.filter(|(role, inputs)| training.inputs.get(*role) == Some(inputs)).count()
}

/// A split (`split.id`) or an intervention (`do.cue`), by the role of what it was made from.
type Part = String;

/// The splits and interventions that a model was evaluated on.
fn parts(behaviour: &Behaviour) -> BTreeSet<Part> {
    let splits = behaviour.scores.iter().map(|row| format!("split.{}", row.split));
    splits.chain(behaviour.effects.iter().map(|row| format!("do.{}", row.intervention))).collect()
}

/// Where a part of the whole comes from.
struct Origin<'a> {
    evaluation: &'a Manifest,
    part: Part,
}

impl Origin<'_> {
    /// The examples.
    fn input(&self) -> Option<&Input> {
        let base = if self.part.starts_with("do.") { ".base" } else { "" };
        self.evaluation.inputs.get(&format!("task.{}{base}", self.part))?.first()
    }

    /// The name of the task that the examples are of: its world, or, for a task from files, the key of the examples.
    fn task(&self, store: &Store) -> Result<String, Failure> {
        let Some(input) = self.input() else { return Ok(self.evaluation.key.short()) };
        let made = store.manifest(&input.from)?;
        let world = made.as_ref().and_then(|made| made.parameters.get("part")?.get("world")?.as_object());
        let name = world.and_then(|world| world.keys().next());
        Ok(name.map_or_else(|| input.from.short(), String::clone))
    }
}

/// The evaluations of one model on their way to one.
struct Joining<'a, 'w> {
    store: &'a Store,
    whole: Behaviour,
    known: BTreeMap<Part, Origin<'a>>,
    warnings: &'w mut Vec<String>,
}

impl<'a> Joining<'a, '_> {
    /// Adds another evaluation's splits and interventions, each under its own name where that is free.
    fn add(&mut self, evaluation: &'a Manifest, mut other: Behaviour) -> Result<(), Failure> {
        for part in parts(&other) {
            let origin = Origin { evaluation, part };
            let Some(name) = self.name(&origin, &other)? else { continue };
            self.take(&origin.part, &name, &mut other);
            self.known.insert(name, origin);
        }
        Ok(())
    }

    /// The part's name in the whole: its own, or with the task's name before it, or with the evaluation's key. `None` if it
    /// is there already.
    fn name(&mut self, origin: &Origin<'a>, other: &Behaviour) -> Result<Option<Part>, Failure> {
        let (kind, name) = origin.part.split_once('.').unwrap_or(("split", &origin.part));
        let task = origin.task(self.store)?;
        let evaluation = origin.evaluation.key.short();
        for name in [name.to_owned(), format!("{task}/{name}"), format!("{evaluation}/{name}")] {
            let part = format!("{kind}.{name}");
            let Some(known) = self.known.get(&part) else { return Ok(Some(part)) };
            let same = known.input().zip(origin.input()).is_some_and(|(a, b)| a.object == b.object);
            if same {
                if !alike(&self.whole, &part, other, &origin.part) {
                    self.warnings.push(format!(
                        "evaluate {} and evaluate {evaluation} are about the same examples of `{}` and differ: the second \
                         is left out",
                        known.evaluation.key.short(),
                        origin.part
                    ));
                }
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn take(&mut self, part: &str, name: &str, other: &mut Behaviour) {
        if let (Some(split), Some(name)) = (part.strip_prefix("split."), name.strip_prefix("split.")) {
            let rows = other.scores.iter().filter(|row| row.split == split);
            self.whole.scores.extend(rows.map(|row| ScoreRow { split: name.to_owned(), ..row.clone() }));
            if let Some(answers) = other.answers.remove(split) {
                self.whole.answers.insert(name.to_owned(), answers);
            }
            self.whole.metrics.insert(name.to_owned(), other.metric);
        }
        if let (Some(intervention), Some(name)) = (part.strip_prefix("do."), name.strip_prefix("do.")) {
            let rows = other.effects.iter().filter(|row| row.intervention == intervention);
            let renamed = rows.map(|row| EffectRow { intervention: name.to_owned(), ..row.clone() });
            self.whole.further_effects.extend(renamed);
        }
    }
}

/// Whether two evaluations say the same of a part.
fn alike(whole: &Behaviour, part: &str, other: &Behaviour, other_part: &str) -> bool {
    let scores = |behaviour: &Behaviour, part: &str| -> Vec<(String, u64, f64, f64)> {
        let rows = behaviour.scores.iter().filter(|row| part == format!("split.{}", row.split));
        rows.map(|row| (row.case.clone(), row.n, row.loss, row.accuracy)).collect()
    };
    let effects = |behaviour: &Behaviour, part: &str| -> Vec<(u64, f64, f64)> {
        let rows = behaviour.effects.iter().chain(&behaviour.further_effects);
        let rows = rows.filter(|row| part == format!("do.{}", row.intervention));
        rows.map(|row| (row.n, row.effect, row.accuracy)).collect()
    };
    scores(whole, part) == scores(other, other_part) && effects(whole, part) == effects(other, other_part)
}

fn bytes(store: &Store, evaluation: &Manifest, role: &str) -> Result<store::MappedObject, Failure> {
    Ok(store.map(&evaluation.output(role)?.object)?)
}

/// All of one evaluation.
fn whole(store: &Store, evaluation: &Manifest) -> Result<Behaviour, Failure> {
    let about =
        |error: tables::Error| Failure::Input(format!("evaluate {}: {error}", evaluation.key.short()));
    let metric = evaluation.facts.get("metric").and_then(Value::as_str);
    let metric = match metric.map(|name| Metric::named(name).ok_or(name)).transpose() {
        Ok(metric) => metric.unwrap_or_default(),
        Err(name) => {
            let key = evaluation.key.short();
            return Err(Failure::Input(format!("evaluate {key} is scored by `{name}`, which is no metric")));
        }
    };
    let behaviour = Behaviour::new(
        ScoreRow::read(&bytes(store, evaluation, "scores")?).map_err(about)?,
        EffectRow::read(&bytes(store, evaluation, "effects")?).map_err(about)?,
        PredictionRow::read(&bytes(store, evaluation, "predictions")?).map_err(about)?,
    )?;
    Ok(Behaviour { metric, ..behaviour })
}
