//! What one model answered, and how far two models answer and respond alike.

use std::collections::BTreeMap;

use measures::{agreement, ensemble, mechanism, scores};
use report::rows::Prediction;
use tasks::Metric;

use crate::rows::{EffectRow, PredictionRow, ScoreRow};
use crate::stage::Failure;
use crate::task_inputs;

/// One model's evaluation, in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// What its task is scored by.
    pub(crate) metric: Metric,
    /// What splits of other tasks are scored by.
    pub(crate) metrics: BTreeMap<String, Metric>,
    pub(crate) scores: Vec<ScoreRow>,
    /// Effects of its own task's interventions, which make its profile.
    pub(crate) effects: Vec<EffectRow>,
    /// Effects of other tasks' interventions.
    pub(crate) further_effects: Vec<EffectRow>,
    /// Its answers by split, the two sides of interventions among them.
    pub(crate) answers: BTreeMap<String, Answers>,
}

/// Answers on one split.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) examples: Vec<String>,
    pub(crate) cases: Vec<String>,
    pub(crate) labels: Vec<u32>,
    pub(crate) predictions: Vec<u32>,
    /// `[examples, classes]`, row-major.
    pub(crate) logits: Vec<f32>,
    pub(crate) classes: usize,
    pub(crate) label_order: String,
}

impl Behaviour {
    /// Arranges the tables of an evaluation.
    ///
    /// # Errors
    /// [`Failure::Input`] if rows of one split have different numbers of logits.
    pub(crate) fn new(
        scores: Vec<ScoreRow>,
        effects: Vec<EffectRow>,
        predictions: Vec<PredictionRow>,
    ) -> Result<Self, Failure> {
        let mut answers: BTreeMap<String, Answers> = BTreeMap::new();
        for row in predictions {
            let split = answers.entry(row.split).or_default();
            if split.examples.is_empty() {
                split.classes = row.logits.len();
                split.label_order = row.label_order;
            }
            if row.logits.len() != split.classes || split.classes < 2 {
                return Err(Failure::Input(format!(
                    "predictions: example `{}` has {} logits, others have {}; at least 2 are needed",
                    row.example,
                    row.logits.len(),
                    split.classes
                )));
            }
            split.examples.push(row.example);
            split.cases.push(row.case);
            split.labels.push(row.label);
            split.predictions.push(row.prediction);
            split.logits.extend(row.logits);
        }
        Ok(Self { scores, effects, answers, ..Self::default() })
    }

    /// Accuracy on a whole split.
    pub(crate) fn accuracy(&self, split: &str) -> Option<f64> {
        self.scores.iter().find(|row| row.split == split && row.case.is_empty()).map(|row| row.accuracy)
    }

    /// What a split is scored by.
    pub(crate) fn metric(&self, split: &str) -> Metric {
        self.metrics.get(split).copied().unwrap_or(self.metric)
    }

    /// The task's metric on a split and, where `case` is not empty, a case of it.
    pub(crate) fn score(&self, split: &str, case: &str) -> Option<f64> {
        let answers = self.answers.get(split)?;
        let rows: Vec<usize> =
            (0..answers.labels.len()).filter(|&i| case.is_empty() || answers.cases[i] == case).collect();
        let labels: Vec<u32> = rows.iter().map(|&i| answers.labels[i]).collect();
        let logits_of = |&i: &usize| &answers.logits[i * answers.classes..][..answers.classes];
        let logits: Vec<f32> = rows.iter().flat_map(logits_of).copied().collect();
        let names: Vec<String> = answers.label_order.split('|').map(str::to_owned).collect();
        (!labels.is_empty() && names.len() == answers.classes)
            .then(|| task_inputs::value(self.metric(split), &logits, &labels, &names))
            .flatten()
    }

    /// Splits that are no side of an intervention.
    pub(crate) fn splits(&self) -> impl Iterator<Item = (&String, &Answers)> {
        self.answers.iter().filter(|(split, _)| !split.starts_with("do."))
    }

    /// For each intervention, which predictions it changes.
    fn responses(&self) -> BTreeMap<&str, Vec<bool>> {
        let sides = |name: &str| {
            let base = self.answers.get(&format!("do.{name}.base"))?;
            let done = self.answers.get(&format!("do.{name}.done"))?;
            let fits = base.predictions.len() == done.predictions.len() && !base.predictions.is_empty();
            fits.then(|| mechanism::changed(&base.predictions, &done.predictions))
        };
        self.effects
            .iter()
            .filter_map(|row| Some((row.intervention.as_str(), sides(&row.intervention)?)))
            .collect()
    }

    /// Rows of the study's table of predictions.
    pub(crate) fn predictions(&self, run: &super::Run) -> Vec<Prediction> {
        let mut rows = Vec::new();
        for (split, answers) in self.splits() {
            for (i, logits) in answers.logits.chunks_exact(answers.classes).enumerate() {
                rows.push(Prediction {
                    run: run.key.clone(),
                    arm: run.arm.clone(),
                    pretraining_seed: run.pretraining_seed,
                    step: run.step,
                    finetuning_seed: run.finetuning_seed,
                    split: split.clone(),
                    example: answers.examples[i].clone(),
                    case: answers.cases[i].clone(),
                    label: answers.labels[i],
                    prediction: answers.predictions[i],
                    logits: logits.to_vec(),
                    label_order: answers.label_order.clone(),
                });
            }
        }
        rows
    }
}

impl Answers {
    /// Whether both are answers to the same questions.
    fn fits(&self, other: &Self) -> bool {
        !self.examples.is_empty()
            && self.classes == other.classes
            && self.labels == other.labels
            && self.examples == other.examples
    }
}

/// How far two models answer alike on a split.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alike {
    pub(crate) accuracies: [f64; 2],
    /// Share of examples on which both are right or both are wrong.
    pub(crate) consistency: f64,
    pub(crate) agreement: f64,
    pub(crate) chance_corrected: Option<f64>,
    pub(crate) jensen_shannon: f64,
}

/// `None` if they did not answer the same questions.
pub(crate) fn alike(a: &Answers, b: &Answers) -> Option<Alike> {
    let right = |answers: &Answers| -> Vec<bool> {
        answers
            .predictions
            .iter()
            .zip(&answers.labels)
            .map(|(prediction, label)| prediction == label)
            .collect()
    };
    let share = |hits: usize, of: usize| hits as f64 / of as f64;
    let (right_a, right_b) = (right(a), right(b));
    a.fits(b).then(|| Alike {
        accuracies: [&right_a, &right_b]
            .map(|right| share(right.iter().filter(|&&hit| hit).count(), right.len())),
        consistency: share(right_a.iter().zip(&right_b).filter(|(a, b)| a == b).count(), right_a.len()),
        agreement: agreement::agreement(&a.predictions, &b.predictions),
        chance_corrected: agreement::chance_corrected(&a.predictions, &b.predictions, &a.labels, a.classes),
        jensen_shannon: agreement::jensen_shannon_distance(
            &scores::probabilities(&a.logits, a.classes),
            &scores::probabilities(&b.logits, b.classes),
            a.classes,
        ),
    })
}

/// Distance of the invariance profiles of two models; `None` if they were not put to the same interventions.
pub(crate) fn profile_distance(a: &Behaviour, b: &Behaviour) -> Option<f64> {
    let profile = |behaviour: &Behaviour| -> BTreeMap<String, f64> {
        behaviour.effects.iter().map(|row| (row.intervention.clone(), row.effect)).collect()
    };
    let (a, b) = (profile(a), profile(b));
    let values = |profile: &BTreeMap<String, f64>| profile.values().copied().collect::<Vec<f64>>();
    (!a.is_empty() && a.keys().eq(b.keys())).then(|| mechanism::profile_distance(&values(&a), &values(&b)))
}

/// Mean counterfactual agreement of two models; `None` as above.
pub(crate) fn counterfactual_agreement(a: &Behaviour, b: &Behaviour) -> Option<f64> {
    let (a, b) = (a.responses(), b.responses());
    let same = a.len() == b.len() && a.iter().zip(&b).all(|((i, x), (j, y))| i == j && x.len() == y.len());
    let values = |responses: BTreeMap<&str, Vec<bool>>| responses.into_values().collect::<Vec<_>>();
    (same && !a.is_empty()).then(|| mechanism::mean_counterfactual_agreement(&values(a), &values(b)))
}

/// How predictions are averaged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ensemble {
    Probabilities,
    Logits,
}

impl Ensemble {
    /// Its name among the methods of the `soups` table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Probabilities => "probability ensemble",
            Self::Logits => "logit ensemble",
        }
    }

    /// Scores of the ensemble of several models on a split; `None` if they did not answer the same questions.
    pub(crate) fn scores(self, members: &[&Answers]) -> Option<scores::Scores> {
        let first = *members.first()?;
        if !members.iter().all(|other| first.fits(other)) {
            return None;
        }
        let logits: Vec<&[f32]> = members.iter().map(|answers| answers.logits.as_slice()).collect();
        let mixed = match self {
            Self::Probabilities => ensemble::mean_of_probabilities(&logits, first.classes),
            Self::Logits => ensemble::mean_of_logits(&logits, first.classes),
        };
        Some(scores::scores(&mixed, &first.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(split: &str, example: &str, label: u32, logits: [f32; 2]) -> PredictionRow {
        PredictionRow {
            split: split.into(),
            example: example.into(),
            case: String::new(),
            label,
            prediction: u32::from(logits[1] > logits[0]),
            logits: logits.to_vec(),
            label_order: "no|yes".into(),
        }
    }

    fn effect(effect: f64) -> EffectRow {
        EffectRow { intervention: "cue".into(), n: 2, effect, flips: 0.0, rule_flips: 0.0, accuracy: 1.0 }
    }

    fn model(ood: [[f32; 2]; 2], done: [[f32; 2]; 2], cue: f64) -> Behaviour {
        let mut rows = Vec::new();
        for (i, example) in ["x", "y"].into_iter().enumerate() {
            rows.push(row("ood", example, i as u32, ood[i]));
            rows.push(row("do.cue.base", example, i as u32, ood[i]));
            rows.push(row("do.cue.done", example, i as u32, done[i]));
        }
        Behaviour::new(Vec::new(), vec![effect(cue)], rows).unwrap()
    }

    #[test]
    fn pairs_by_hand() {
        let right = [[2.0, 0.0], [0.0, 2.0]];
        let a = model(right, right, 0.1);
        let b = model([[2.0, 0.0], [2.0, 0.0]], [[0.0, 2.0], [2.0, 0.0]], 0.5);
        let ood = alike(&a.answers["ood"], &b.answers["ood"]).unwrap();
        // Accuracies 1 and .5: independent models would agree on half.
        assert_eq!((ood.agreement, ood.chance_corrected), (0.5, Some(0.0)));
        assert!((profile_distance(&a, &b).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(counterfactual_agreement(&a, &b), Some(0.5));
        let both = [&a.answers["ood"], &b.answers["ood"]];
        assert_eq!(Ensemble::Logits.scores(&both).unwrap().accuracy, 0.5);
    }

    #[test]
    fn a_task_has_a_metric_of_its_own() {
        let right = [[2.0, 0.0], [0.0, 2.0]];
        let mut behaviour = model([[2.0, 0.0], [2.0, 0.0]], right, 0.0);
        behaviour.answers.get_mut("ood").unwrap().cases[1] = "z".into();
        for (metric, whole, case) in [
            (Metric::Accuracy, Some(0.5), Some(0.0)),
            (Metric::Mcc, Some(0.0), Some(0.0)),
            (Metric::F1, Some(0.0), Some(0.0)),
            (Metric::MacroF1, Some(1.0 / 3.0), Some(0.0)),
        ] {
            behaviour.metric = metric;
            assert_eq!(
                (behaviour.score("ood", ""), behaviour.score("ood", "z")),
                (whole, case),
                "{metric:?}"
            );
        }
        assert_eq!(behaviour.score("id", ""), None);
        behaviour = model([[2.0, 0.0], [0.0, 2.0]], right, 0.0);
        behaviour.answers.get_mut("ood").unwrap().label_order = "1|5".into();
        behaviour.metric = Metric::Pearson;
        // Two expectations, the higher of them with the higher rating.
        assert!((behaviour.score("ood", "").unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn other_questions_are_not_compared() {
        let right = [[2.0, 0.0], [0.0, 2.0]];
        let (a, mut b) = (model(right, right, 0.0), model(right, right, 0.0));
        b.answers.get_mut("ood").unwrap().examples[1] = "z".into();
        b.effects[0].intervention = "other".into();
        assert!(alike(&a.answers["ood"], &b.answers["ood"]).is_none());
        assert!(Ensemble::Probabilities.scores(&[&a.answers["ood"], &b.answers["ood"]]).is_none());
        assert!(profile_distance(&a, &b).is_none() && counterfactual_agreement(&a, &b).is_none());
    }

    #[test]
    fn ragged_logits_are_refused() {
        let mut bad = row("ood", "y", 0, [0.0, 1.0]);
        bad.logits.push(3.0);
        let message =
            Behaviour::new(Vec::new(), Vec::new(), vec![row("ood", "x", 0, [0.0, 1.0]), bad]).unwrap_err();
        assert!(message.to_string().contains("example `y` has 3 logits, others have 2"), "{message}");
    }
}
