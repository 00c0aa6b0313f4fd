//! `samebasin interpolate`: the straight lines between all pairs of several models.
//!
//! Each pair is a result of its own, so that a seventh model costs six new pairs and nothing else. The ends of the
//! lines are scored once for each model, not once for each pair.

use std::collections::BTreeMap;

use clap::Args;
use learn::Scorer;
use measures::{path, scores};
use rayon::prelude::*;
use serde::Serialize;
use store::{Lookup, Media, Recipe};
use weights::{Weights, distance, interpolate};

use crate::checkpoint;
use crate::compute::Compute;
use crate::group::{self, Group};
use crate::rows::{PairRow, PathRow};
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use crate::task_inputs::{self, EncodedExamples, TaskInputs};

/// Walk the straight line between every pair of models
///
/// Writes loss, accuracy and expected error at each point (`paths`) and the barriers of each pair (`pairs`).
///
/// Example: samebasin interpolate --model world/run/0 --model world/run/1 --task world/task --split id --split ood
#[derive(Args, Clone, Debug, Serialize)]
pub struct Interpolate {
    /// A model at the end of lines: a `finetune` result (ref or key); give several
    #[arg(long = "model", value_name = "REF", required = true, num_args = 1..)]
    #[serde(skip)]
    pub models: Vec<Source>,
    /// Task (ref or key of a `prepare` result)
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub task: Source,
    /// Split to score on; give several
    #[arg(long = "split", value_name = "NAME", default_values_t = ["id".to_owned(), "ood".to_owned()])]
    pub splits: Vec<String>,
    /// Points on each line, both ends included
    #[arg(long, default_value_t = 11)]
    pub points: usize,
    /// In what and where products of matrices are computed
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
    /// Whether the labels of a split pool, as the task's manifest says
    #[arg(skip)]
    #[serde(skip)]
    pub pools: bool,
}

impl Stage for Interpolate {
    const NAME: &'static str = "interpolate";
    const VERSION: u32 = 1;

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        if self.points < 3 {
            return Err(Failure::Usage("--points must be at least 3: two ends and something between".into()));
        }
        self.splits.sort();
        self.splits.dedup();
        let mut inputs = Inputs::default();
        group::add(&mut inputs, session, &self.models, 2)?;
        let parts: Vec<String> = self.splits.iter().map(|split| format!("split.{split}")).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        task_inputs::add(&mut inputs, &self.task.manifest(session)?, &parts)?;
        self.pools = task_inputs::pools(&inputs);
        Ok(inputs)
    }

    fn versions(&self) -> BTreeMap<&'static str, u32> {
        let mut versions = BTreeMap::from([
            ("scoring", learn::SCORING_VERSION),
            ("kernels", kernels::VERSION),
            ("models", checkpoint::MODELS_VERSION),
            ("encoding", tasks::ENCODING_VERSION),
            ("scores", scores::VERSION),
            ("path", path::VERSION),
            ("interpolate", interpolate::VERSION),
            ("distance", distance::VERSION),
        ]);
        versions.extend(task_inputs::pooling_version(self.pools));
        versions.extend(self.compute.versions());
        versions
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let session = work.session;
        let task = TaskInputs::load(work)?;
        let group = Group::load(work, task.outputs(), self.compute)?;
        let encoder = checkpoint::encoder(session, work.input("tokenizer").ok())?;
        let max_length = group.config.max_length(None);
        let splits: Result<Vec<EncodedExamples>, Failure> = self
            .splits
            .iter()
            .map(|split| task.encoded(&encoder, &format!("split.{split}"), max_length))
            .collect();
        let line = Lines { names: &self.splits, splits: splits?, group: &group, points: self.points };

        let pairs = line.pairs(work.recipe);
        let mut missing = vec![false; group.weights.len()];
        for pair in &pairs {
            if !matches!(session.store.find(&pair.recipe.stage, &pair.recipe.key()?)?, Lookup::Hit(_)) {
                missing[pair.a] = true;
                missing[pair.b] = true;
            }
        }
        let meter = session.meter("interpolate", pairs.len() as u64);
        let on_pair = |pair: &Pair, ends: &[Option<Vec<Point>>]| {
            let manifest = session.keyed(pair.recipe.clone(), |work| line.walk(pair, ends, work))?;
            // A pair is no input of the group: without a name of its own, a clean-up would take it.
            session.store.set_ref(&format!("pairs/{}", manifest.key), &manifest)?;
            meter.tick();
            let read = |role: &str| session.bytes(&manifest.input_of(role)?);
            Ok((PathRow::read(&read("paths")?)?, PairRow::read(&read("pairs")?)?))
        };
        let compute = || -> Result<Vec<Tables>, Failure> {
            let ends: Result<Vec<Option<Vec<Point>>>, Failure> = missing
                .par_iter()
                .zip(&group.weights)
                .map(|(&missing, weights)| missing.then(|| line.score(weights)).transpose())
                .collect();
            let ends = ends?;
            pairs.par_iter().map(|pair| on_pair(pair, &ends)).collect()
        };
        let tables = session.with_threads(compute)?;
        let (paths, summaries): (Vec<Vec<PathRow>>, Vec<Vec<PairRow>>) = tables.into_iter().unzip();
        work.publish("paths", Media::Parquet, &PathRow::write(&paths.concat())?)?;
        work.publish("pairs", Media::Parquet, &PairRow::write(&summaries.concat())?)?;
        Ok(())
    }
}

/// What is found on one line.
type Tables = (Vec<PathRow>, Vec<PairRow>);

/// What every line of a group shares.
struct Lines<'a> {
    names: &'a [String],
    splits: Vec<EncodedExamples>,
    group: &'a Group,
    points: usize,
}

/// One line, and the recipe of its result.
struct Pair {
    a: usize,
    b: usize,
    recipe: Recipe,
}

/// Scores of one model on one split.
#[derive(Clone, Copy, Debug)]
struct Point {
    loss: f64,
    accuracy: f64,
    expected_error: f64,
}

impl Lines<'_> {
    /// All pairs; a pair's key does not depend on the order in which its models, or other models, were given.
    fn pairs(&self, whole: &Recipe) -> Vec<Pair> {
        let models = &self.group.inputs;
        let mut order: Vec<usize> = (0..models.len()).collect();
        order.sort_by_key(|&index| models[index].from.to_string());
        let mut pairs = Vec::new();
        for (i, &a) in order.iter().enumerate() {
            for &b in &order[i + 1..] {
                let mut recipe = whole.clone();
                recipe.stage = "interpolate-pair".into();
                recipe.inputs.insert("model".into(), vec![models[a], models[b]]);
                // One configuration and one tokenizer serve all models: name them by the pair's own first model.
                for role in ["config", "tokenizer"] {
                    for input in recipe.inputs.get_mut(role).into_iter().flatten() {
                        input.from = models[a].from;
                    }
                }
                pairs.push(Pair { a, b, recipe });
            }
        }
        pairs
    }

    /// Scores of these weights on each split.
    fn score(&self, weights: &Weights) -> Result<Vec<Point>, Failure> {
        let mut scorer = Scorer::default();
        self.splits.iter().map(|split| self.score_split(&mut scorer, weights, split)).collect()
    }

    fn score_split(
        &self,
        scorer: &mut Scorer<'_>,
        weights: &Weights,
        split: &EncodedExamples,
    ) -> Result<Point, Failure> {
        let logits = scorer.logits(&self.group.model, &weights.values, &split.inputs)?;
        let scores = scores::scores(&split.answers(logits), &split.labels);
        Ok(Point { loss: scores.loss, accuracy: scores.accuracy, expected_error: scores.expected_error })
    }

    /// Walks one line and publishes its tables. `ends` holds the scores of the models themselves.
    fn walk(&self, pair: &Pair, ends: &[Option<Vec<Point>>], work: &mut Work<'_>) -> Result<(), Failure> {
        let (a, b) = (&self.group.weights[pair.a], &self.group.weights[pair.b]);
        let end = |index: usize| match &ends[index] {
            Some(points) => Ok(points.clone()),
            // Its result was there a moment ago: another process's clean-up took it.
            None => self.score(&self.group.weights[index]),
        };
        let alphas: Vec<f64> = (0..self.points).map(|i| i as f64 / (self.points - 1) as f64).collect();
        let mut points = vec![end(pair.a)?];
        let mut between = Weights::zeros(std::sync::Arc::clone(a.layout()));
        let mut scorer = Scorer::default();
        for &alpha in &alphas[1..self.points - 1] {
            interpolate::lerp(a, b, alpha, &mut between)?;
            let scores: Result<Vec<Point>, Failure> =
                self.splits.iter().map(|split| self.score_split(&mut scorer, &between, split)).collect();
            points.push(scores?);
        }
        points.push(end(pair.b)?);

        let runs = [pair.a, pair.b].map(|index| self.group.inputs[index].from.to_string());
        let weight_distance = distance::l2(a, b)?;
        let mut path_rows = Vec::new();
        let mut pair_rows = Vec::new();
        for (index, (name, split)) in self.names.iter().zip(&self.splits).enumerate() {
            for (&alpha, point) in alphas.iter().zip(&points) {
                path_rows.push(PathRow {
                    run_a: runs[0].clone(),
                    run_b: runs[1].clone(),
                    split: name.clone(),
                    alpha,
                    n: split.labels.len() as u64,
                    loss: point[index].loss,
                    accuracy: point[index].accuracy,
                    expected_error: point[index].expected_error,
                });
            }
            let along =
                |value: fn(&Point) -> f64| -> Vec<f64> { points.iter().map(|p| value(&p[index])).collect() };
            let loss = path::summarise(&alphas, &along(|point| point.loss));
            pair_rows.push(PairRow {
                run_a: runs[0].clone(),
                run_b: runs[1].clone(),
                split: name.clone(),
                points: self.points as u64,
                barrier: loss.barrier,
                barrier_over_mean: loss.over_mean,
                barrier_over_max: loss.over_max,
                convexity_gap: loss.convexity_gap,
                error_barrier: path::barrier(&alphas, &along(|point| 1.0 - point.accuracy)),
                expected_error_barrier: path::barrier(&alphas, &along(|point| point.expected_error)),
                weight_distance,
            });
        }
        work.publish("paths", Media::Parquet, &PathRow::write(&path_rows)?)?;
        work.publish("pairs", Media::Parquet, &PairRow::write(&pair_rows)?)?;
        Ok(())
    }
}
