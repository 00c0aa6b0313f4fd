//! `samebasin interpolate`: the paths between all pairs of several models, straight lines by default.
//!
//! Each pair is a result of its own, so that a seventh model costs six new pairs and nothing else. The ends of the
//! lines are scored once for each model, not once for each pair.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use learn::Scorer;
use measures::{path, scores};
use rayon::prelude::*;
use serde::Serialize;
use store::{Manifest, Media, Recipe};
use weights::paths::{PATHS, Path, linear};
use weights::{Weights, distance};

use crate::checkpoint;
use crate::compute::Compute;
use crate::group::{self, Group};
use crate::rows::{PairRow, PathRow};
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use crate::task_inputs::{self, EncodedExamples, TaskInputs};
use crate::walk;

/// Walk a path between every pair of models: the straight line, or another
///
/// Writes loss, accuracy and expected error at each point (`paths`) and the barriers of each pair (`pairs`). Points beyond
/// the ends (--alphas -0.5 .. 1.5) stand in `paths` only: barriers are those of what lies between the models.
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
    /// Kind of path
    #[arg(long, value_name = "PATH", default_value = linear::PATH.name, value_parser = path_names())]
    #[serde(skip_serializing_if = "is_linear")]
    pub path: String,
    /// Points on each path, both ends included, at equal distances
    #[arg(long, default_value_t = 11, conflicts_with = "alphas")]
    pub points: usize,
    /// Positions on each path instead of --points, 0 and 1 among them; those below 0 or above 1 extrapolate
    #[arg(long, value_name = "ALPHA", num_args = 1.., allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alphas: Vec<f64>,
    /// In what and where products of matrices are computed
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
}

impl Stage for Interpolate {
    const NAME: &'static str = "interpolate";
    const VERSION: u32 = 2;
    const OUTPUTS: &'static [&'static str] = &["paths", "pairs"];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        self.resolve_positions()?;
        self.splits.sort();
        self.splits.dedup();
        let mut inputs = Inputs::default();
        let (_, config) = group::add(&mut inputs, session, &self.models, 2)?;
        let parts: Vec<String> = self.splits.iter().map(|split| format!("split.{split}")).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        task_inputs::add(&mut inputs, &self.task.manifest(session)?, &parts)?;
        inputs.rest_on(learn::scoring_versions(&config).and(scores::versions()).and(path::versions()));
        inputs.rest_on(self.path().versions().and(distance::versions()).and(self.compute.versions()));
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let session = work.session;
        let mut task = TaskInputs::load(work)?;
        let group = Group::load(work, &mut task, self.compute)?;
        let encoder = checkpoint::encoder(session, work.optional("tokenizer"), &group.config)?;
        let max_length = group.config.max_length(None);
        let splits: Result<Vec<EncodedExamples>, Failure> = self
            .splits
            .iter()
            .map(|split| task.encoded(&encoder, &format!("split.{split}"), max_length))
            .collect();
        let line = Lines {
            names: &self.splits,
            splits: splits?,
            group: &group,
            path: self.path(),
            alphas: self.positions(),
        };

        let pairs = line.pairs(work.recipe);
        let mut missing = vec![false; group.weights.len()];
        for pair in &pairs {
            if session.find(&pair.recipe)?.is_none() {
                missing[pair.a] = true;
                missing[pair.b] = true;
            }
        }
        let meter = session.meter("interpolate", pairs.len() as u64);
        let on_pair = |pair: &Pair, ends: &[Option<Vec<Point>>]| {
            let manifest = session.keyed(pair.recipe.clone(), |work| line.walk(pair, ends, work))?;
            meter.tick();
            let read = |role: &str| session.bytes(&manifest.input_of(role)?);
            Ok((PathRow::read(&read("paths")?)?, PairRow::read(&read("pairs")?)?, manifest))
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
        let (mut paths, mut summaries) = (Vec::new(), Vec::new());
        for (path, summary, pair) in session.with_threads(compute)? {
            paths.extend(path);
            summaries.extend(summary);
            // The pair's own result is listed, so that it stays as long as this one.
            work.part(format!("pair.{}", pair.key), &pair, "pairs")?;
        }
        work.publish("paths", Media::Parquet, &PathRow::write(&paths)?)?;
        work.publish("pairs", Media::Parquet, &PairRow::write(&summaries)?)?;
        Ok(())
    }
}

/// The values of `--path`, with their help.
fn path_names() -> PossibleValuesParser {
    PATHS.map(|path| PossibleValue::new(path.name).help(path.about)).into()
}

/// The default is left out of recipes, so that lines keep their keys.
fn is_linear(path: &str) -> bool {
    path == linear::PATH.name
}

impl Interpolate {
    fn path(&self) -> &'static Path {
        Path::named(&self.path).unwrap_or(&linear::PATH)
    }

    /// Checks the positions, and brings them into order.
    fn resolve_positions(&mut self) -> Result<(), Failure> {
        let usage = |message: &str| Err(Failure::Usage(message.into()));
        if self.alphas.is_empty() {
            return match self.points {
                3..=MOST_POINTS => Ok(()),
                _ => usage("--points must be 3 to 100000: two ends and something between"),
            };
        }
        if !self.alphas.iter().all(|alpha| alpha.is_finite()) {
            return usage("--alphas must be finite numbers");
        }
        // -0 is 0 written otherwise.
        self.alphas.iter_mut().for_each(|alpha| *alpha += 0.0);
        self.alphas.sort_by(f64::total_cmp);
        self.alphas.dedup();
        let inside = self.alphas.iter().filter(|&&alpha| alpha > 0.0 && alpha < 1.0).count();
        if !self.alphas.contains(&0.0) || !self.alphas.contains(&1.0) || inside == 0 {
            return usage("--alphas must hold 0, 1 and a position between them");
        }
        self.points = inside + 2;
        Ok(())
    }

    /// The positions on each path, ascending; 0 and 1 are among them.
    fn positions(&self) -> Vec<f64> {
        match self.alphas.is_empty() {
            true => (0..self.points).map(|i| i as f64 / (self.points - 1) as f64).collect(),
            false => self.alphas.clone(),
        }
    }
}

/// More points than any curve shows.
const MOST_POINTS: usize = 100_000;

/// What is found on one line.
type Tables = (Vec<PathRow>, Vec<PairRow>, Manifest);

/// What every line of a group shares.
struct Lines<'a> {
    names: &'a [String],
    splits: Vec<EncodedExamples>,
    group: &'a Group,
    path: &'static Path,
    alphas: Vec<f64>,
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
                for role in ["config", "tokenizer"] {
                    if let Some(inputs) = recipe.inputs.get_mut(role) {
                        *inputs = vec![inputs[a]];
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

    /// Walks one path and publishes its tables. `ends` holds the scores of the models themselves.
    fn walk(&self, pair: &Pair, ends: &[Option<Vec<Point>>], work: &mut Work<'_>) -> Result<(), Failure> {
        let (a, b) = (&self.group.weights[pair.a], &self.group.weights[pair.b]);
        let end = |index: usize| match &ends[index] {
            Some(points) => Ok(points.clone()),
            // Its result was there a moment ago: another process's clean-up took it.
            None => self.score(&self.group.weights[index]),
        };
        let mut points = Vec::with_capacity(self.alphas.len());
        let mut between = Weights::zeros(std::sync::Arc::clone(a.layout()));
        let mut scorer = Scorer::default();
        for &alpha in &self.alphas {
            points.push(if alpha == 0.0 {
                end(pair.a)?
            } else if alpha == 1.0 {
                end(pair.b)?
            } else {
                self.path.at(a, b, alpha, &mut between)?;
                let score = |split| self.score_split(&mut scorer, &between, split);
                self.splits.iter().map(score).collect::<Result<Vec<Point>, Failure>>()?
            });
        }
        let weight_distance = distance::l2(a, b)?;
        let (mut path_rows, mut pair_rows) = (Vec::new(), Vec::new());
        for split in 0..self.splits.len() {
            let rows = self.path_rows(pair, split, &points);
            pair_rows.extend(walk::barriers(&rows, weight_distance));
            path_rows.extend(rows);
        }
        work.publish("paths", Media::Parquet, &PathRow::write(&path_rows)?)?;
        work.publish("pairs", Media::Parquet, &PairRow::write(&pair_rows)?)?;
        Ok(())
    }

    /// The names of the runs at the ends.
    fn runs(&self, pair: &Pair) -> [String; 2] {
        [pair.a, pair.b].map(|index| self.group.inputs[index].from.to_string())
    }

    /// What was found at each point, on one split.
    fn path_rows(&self, pair: &Pair, split: usize, points: &[Vec<Point>]) -> Vec<PathRow> {
        let [run_a, run_b] = self.runs(pair);
        let row = |(&alpha, point): (&f64, &Vec<Point>)| PathRow {
            run_a: run_a.clone(),
            run_b: run_b.clone(),
            path: self.path.name.to_owned(),
            split: self.names[split].clone(),
            alpha,
            n: self.splits[split].labels.len() as u64,
            loss: point[split].loss,
            accuracy: point[split].accuracy,
            expected_error: point[split].expected_error,
        };
        self.alphas.iter().zip(points).map(row).collect()
    }
}
