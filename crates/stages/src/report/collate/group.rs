//! The runs from one checkpoint in one arm, and everything that is measured among them.

use std::collections::{BTreeMap, BTreeSet};

use super::behaviour::{Answers, Behaviour, Ensemble, alike, counterfactual_agreement, profile_distance};
use super::lines::{Lines, Walk};
use super::{Collated, Run};
use crate::rows::{PathRow, ScoreRow};
use crate::stage::Failure;
use report::LINEAR;
use report::rows::{InterventionEffect, PairSplit, PathPoint, Prediction, RunScore, SoupScore};

/// A soup as its stage and its evaluation left it.
#[derive(Clone, Debug)]
pub(crate) struct Soup {
    pub(crate) key: String,
    pub(crate) method: String,
    /// Keys of the models that were offered, in order.
    pub(crate) members: Vec<String>,
    pub(crate) kept: u64,
    pub(crate) scores: Vec<ScoreRow>,
}

/// Runs from one checkpoint in one arm.
pub(crate) struct Group<'a> {
    runs: &'a [Run],
    held_out_loss: Option<f64>,
    /// What each run did, by its key, where it was evaluated.
    pub(crate) behaviours: BTreeMap<&'a str, Behaviour>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(runs: &'a [Run], held_out_loss: Option<f64>) -> Self {
        Self { runs, held_out_loss, behaviours: BTreeMap::new() }
    }

    /// All rows about the group.
    ///
    /// # Errors
    /// [`Failure::Table`] if the predictions cannot be written.
    pub(crate) fn collate(&self, lines: &Lines, soups: &[Soup]) -> Result<Collated, Failure> {
        let mut collated = Collated::default();
        let mut predictions: Vec<Prediction> = Vec::new();
        for (run, behaviour) in self.evaluated() {
            collated
                .observed
                .runs
                .extend(behaviour.scores.iter().map(|score| self.run_score(run, behaviour, score)));
            collated.observed.interventions.extend(self.effects(run, behaviour));
            predictions.extend(behaviour.predictions(run));
        }
        for (i, a) in self.runs.iter().enumerate() {
            for b in &self.runs[i + 1..] {
                let (a, b) = if a.key <= b.key { (a, b) } else { (b, a) };
                collated.observed.pairs.extend(self.pair(a, b, lines));
                collated.observed.paths.extend(path(a, b, lines));
            }
        }
        collated.observed.soups = self.soups(soups);
        if !predictions.is_empty() {
            collated.predictions.insert(self.name(), Prediction::write(&predictions)?);
        }
        Ok(collated)
    }

    /// The name of the group's part of the predictions.
    fn name(&self) -> String {
        let run = &self.runs[0];
        let arm: String =
            run.arm.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        // Names of arms can be long and, once made safe, alike: a digest keeps them short and apart.
        let arm = match arm == run.arm && arm.len() <= 40 {
            true => arm,
            false => {
                format!("{}-{}", &arm[..arm.len().min(40)], &blake3::hash(run.arm.as_bytes()).to_hex()[..8])
            }
        };
        format!("{arm}.seed-{}.step-{}", run.pretraining_seed, run.step)
    }

    fn evaluated(&self) -> impl Iterator<Item = (&Run, &Behaviour)> {
        self.runs.iter().filter_map(|run| Some((run, self.behaviours.get(run.key.as_str())?)))
    }

    fn run_score(&self, run: &Run, behaviour: &Behaviour, score: &ScoreRow) -> RunScore {
        RunScore {
            run: run.key.clone(),
            arm: run.arm.clone(),
            pretraining_seed: run.pretraining_seed,
            step: run.step,
            held_out_loss: self.held_out_loss,
            finetuning_seed: run.finetuning_seed,
            head_seed: Some(run.head_seed),
            order_seed: Some(run.order_seed),
            learning_rate: Some(run.learning_rate),
            steps: Some(run.steps),
            task: run.task.clone(),
            data_arm: run.data_arm,
            split: score.split.clone(),
            case: score.case.clone(),
            n: score.n,
            loss: Some(score.loss),
            accuracy: score.accuracy,
            majority: Some(score.majority),
            expected_error: Some(score.expected_error),
            calibration_error: Some(score.calibration_error),
            mcc: Some(score.mcc),
            f1: Some(score.f1),
            metric: behaviour.metric(&score.split).name().into(),
            score: behaviour.score(&score.split, &score.case),
            failed: run.failed,
        }
    }

    fn effects<'b>(
        &'b self,
        run: &'b Run,
        behaviour: &'b Behaviour,
    ) -> impl Iterator<Item = InterventionEffect> + 'b {
        behaviour.effects.iter().chain(&behaviour.further_effects).map(|effect| InterventionEffect {
            run: run.key.clone(),
            arm: run.arm.clone(),
            pretraining_seed: run.pretraining_seed,
            step: run.step,
            held_out_loss: self.held_out_loss,
            finetuning_seed: run.finetuning_seed,
            intervention: effect.intervention.clone(),
            n: effect.n,
            effect: effect.effect,
            flips: effect.flips,
            rule_flips: effect.rule_flips,
            accuracy: effect.accuracy,
        })
    }

    /// A row for each split on which the two were walked between or both evaluated, and one for each further path.
    fn pair(&self, a: &Run, b: &Run, lines: &Lines) -> Vec<PairSplit> {
        let behaviours = self.behaviours.get(a.key.as_str()).zip(self.behaviours.get(b.key.as_str()));
        let walked = lines.between(&a.key, &b.key);
        let mut splits: BTreeSet<&str> = walked.iter().map(|walk| walk.summary.split.as_str()).collect();
        if let Some((one, other)) = behaviours {
            let known = one.splits().filter(|(split, _)| other.answers.contains_key(*split));
            splits.extend(known.map(|(split, _)| split.as_str()));
        }
        let profile = behaviours.and_then(|(a, b)| profile_distance(a, b));
        let counterfactual = behaviours.and_then(|(a, b)| counterfactual_agreement(a, b));
        let distance = walked.first().map(|walk| walk.summary.weight_distance);
        let row = |split: &str, path: &str| {
            let here = |walk: &&Walk| walk.summary.split == split && walk.summary.path == path;
            let line = walked.iter().find(here).map(|walk| &walk.summary);
            // What no path changes stands once: whoever averages over rows counts each pair once.
            let once = path == LINEAR;
            let answers = behaviours.filter(|_| once);
            let both = answers.and_then(|(a, b)| alike(a.answers.get(split)?, b.answers.get(split)?));
            PairSplit {
                run_a: a.key.clone(),
                run_b: b.key.clone(),
                arm: a.arm.clone(),
                pretraining_seed: a.pretraining_seed,
                step: a.step,
                held_out_loss: self.held_out_loss,
                seed_a: a.finetuning_seed,
                seed_b: b.finetuning_seed,
                path: path.to_owned(),
                split: split.to_owned(),
                accuracy_a: both.map(|alike| alike.accuracies[0]),
                accuracy_b: both.map(|alike| alike.accuracies[1]),
                consistency: both.map(|alike| alike.consistency),
                path_variance: both.map(|alike| (1.0 - alike.consistency) / 2.0),
                barrier: line.map(|line| line.barrier),
                barrier_over_mean: line.map(|line| line.barrier_over_mean),
                barrier_over_max: line.map(|line| line.barrier_over_max),
                convexity_gap: line.map(|line| line.convexity_gap),
                error_barrier: line.map(|line| line.error_barrier),
                expected_error_barrier: line.map(|line| line.expected_error_barrier),
                weight_distance: distance.filter(|_| once),
                agreement: both.map(|alike| alike.agreement),
                chance_corrected_agreement: both.and_then(|alike| alike.chance_corrected),
                jensen_shannon: both.map(|alike| alike.jensen_shannon),
                profile_distance: profile.filter(|_| once),
                counterfactual_agreement: counterfactual.filter(|_| once),
            }
        };
        let further = |split: &str| -> BTreeSet<&str> {
            let here = walked.iter().map(|walk| &walk.summary).filter(|summary| summary.split == split);
            here.map(|summary| summary.path.as_str()).filter(|&path| path != LINEAR).collect()
        };
        let paths = |split| std::iter::once(LINEAR).chain(further(split)).map(move |path| (split, path));
        splits.into_iter().flat_map(paths).map(|(split, path)| row(split, path)).collect()
    }

    /// Soups whose members are all of this group, and the ensembles that they are compared with.
    fn soups(&self, soups: &[Soup]) -> Vec<SoupScore> {
        let here: BTreeSet<&str> = self.runs.iter().map(|run| run.key.as_str()).collect();
        let mut rows = Vec::new();
        for soup in
            soups.iter().filter(|soup| soup.members.iter().all(|member| here.contains(member.as_str())))
        {
            let members: Vec<&str> = soup.members.iter().map(String::as_str).collect();
            for score in soup.scores.iter().filter(|score| score.case.is_empty()) {
                let about =
                    (soup.key.as_str(), soup.method.as_str(), soup.kept, score.split.as_str(), score.n);
                rows.extend(self.soup_score(about, &members, score.loss, score.accuracy));
            }
        }
        let members: Vec<&str> =
            self.evaluated().filter(|(run, _)| !run.failed).map(|(run, _)| run.key.as_str()).collect();
        if members.len() >= 2 {
            let splits: BTreeSet<&str> =
                self.behaviours[members[0]].splits().map(|(split, _)| split.as_str()).collect();
            for ensemble in [Ensemble::Probabilities, Ensemble::Logits] {
                for split in &splits {
                    let answers: Option<Vec<&Answers>> =
                        members.iter().map(|member| self.behaviours[*member].answers.get(*split)).collect();
                    let Some(scores) = answers.as_deref().and_then(|answers| ensemble.scores(answers)) else {
                        continue;
                    };
                    let n = answers.map_or(0, |answers| answers[0].labels.len() as u64);
                    let about = ("", ensemble.name(), members.len() as u64, *split, n);
                    rows.extend(self.soup_score(about, &members, scores.loss, scores.accuracy));
                }
            }
        }
        rows.sort_by(|a, b| (&a.method, &a.soup, &a.split).cmp(&(&b.method, &b.soup, &b.split)));
        rows
    }

    /// `about`: key, method, models kept, split, examples. Nothing if a member was not evaluated on the split.
    fn soup_score(
        &self,
        about: (&str, &str, u64, &str, u64),
        members: &[&str],
        loss: f64,
        accuracy: f64,
    ) -> Option<SoupScore> {
        let (soup, method, kept, split, n) = about;
        let singles: Option<Vec<f64>> =
            members.iter().map(|member| self.behaviours.get(member)?.accuracy(split)).collect();
        let singles = singles.filter(|singles| !singles.is_empty())?;
        let mean = singles.iter().sum::<f64>() / singles.len() as f64;
        let best = singles.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let run = &self.runs[0];
        Some(SoupScore {
            soup: soup.to_owned(),
            arm: run.arm.clone(),
            pretraining_seed: run.pretraining_seed,
            step: run.step,
            held_out_loss: self.held_out_loss,
            method: method.to_owned(),
            members: members.join(" "),
            offered: members.len() as u64,
            kept,
            split: split.to_owned(),
            n,
            loss,
            accuracy,
            gain_over_mean: accuracy - mean,
            gain_over_best: accuracy - best,
        })
    }
}

/// The points of all paths between two runs.
fn path(a: &Run, b: &Run, lines: &Lines) -> Vec<PathPoint> {
    let point = |row: &PathRow| PathPoint {
        run_a: a.key.clone(),
        run_b: b.key.clone(),
        arm: a.arm.clone(),
        pretraining_seed: a.pretraining_seed,
        step: a.step,
        seed_a: a.finetuning_seed,
        seed_b: b.finetuning_seed,
        path: row.path.clone(),
        split: row.split.clone(),
        alpha: row.alpha,
        n: row.n,
        loss: row.loss,
        accuracy: row.accuracy,
        expected_error: row.expected_error,
    };
    lines.between(&a.key, &b.key).iter().flat_map(|walk| &walk.points).map(point).collect()
}
