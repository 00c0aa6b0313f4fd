//! The tables of a study: what single stages wrote, joined with where it came from.
//!
//! One row is one observation, and each row carries its seeds, its rung and its arm, so that any of these tables can
//! be analysed alone.

mod scores;

pub use scores::{Correlation, Fact, ItemCount, Spread};

tables::rows! {
    /// A row for each checkpoint of each pretraining run.
    pub struct Rung in "ladder" {
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Optimiser steps of pretraining.
        pub step: u64,
        /// Tokens (or dense examples) seen.
        pub tokens: u64,
        /// Loss on text that is never trained on (nats).
        pub held_out_loss: f64,
        /// Accuracy on the same text, 0 to 1.
        pub held_out_accuracy: f64,
        /// Object id of the checkpoint's weights.
        pub checkpoint: String,
        /// Key of the pretraining run.
        pub ladder: String,
        /// Learning rate of the last step of pretraining, where the ladder says it.
        pub learning_rate: Option<f64>,
        /// Where in its schedule the learning rate is: `start` (no step taken), `warm-up`, `constant`, `decay` or `end`.
        pub phase: Option<String>,
        /// Loss above the floor of a fitted power law (nats), where `gauge` could fit one.
        pub to_go: Option<f64>,
        /// Lower end of its 95 % interval.
        pub to_go_lower: Option<f64>,
        /// Upper end of that interval.
        pub to_go_upper: Option<f64>,
    }
}

tables::rows! {
    /// A row for each fine-tuned model, split and case.
    pub struct RunScore in "runs" {
        /// Key of the fine-tuning run.
        pub run: String,
        /// Arm of the study: `default`, or the parameters in which the runs differ from it.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint; 0 also where nobody knows them.
        pub step: u64,
        /// Held-out pretraining loss of the checkpoint (nats), where its ladder is known.
        pub held_out_loss: Option<f64>,
        /// Seed of the fine-tuning run.
        pub finetuning_seed: u64,
        /// Seed of the classification head's weights.
        pub head_seed: Option<u64>,
        /// Seed of the order of the training examples.
        pub order_seed: Option<u64>,
        /// Peak learning rate of fine-tuning.
        pub learning_rate: Option<f64>,
        /// Optimiser steps of fine-tuning.
        pub steps: Option<u64>,
        /// Key of the prepared task; empty for runs that others trained.
        pub task: String,
        /// True if the arm is the default one, or differs from it in the task alone: such arms are pooled where pairs of equal
        /// accuracy are compared.
        pub data_arm: bool,
        /// The split.
        pub split: String,
        /// The case within the split; empty for the whole split.
        pub case: String,
        /// Examples.
        pub n: u64,
        /// Mean cross-entropy (nats).
        pub loss: Option<f64>,
        /// Share of right predictions, 0 to 1.
        pub accuracy: f64,
        /// Share of the most frequent label, 0 to 1: what always giving it scores; absent where nobody knows it.
        pub majority: Option<f64>,
        /// Mean of 1 - p(label), 0 to 1.
        pub expected_error: Option<f64>,
        /// Expected calibration error over 10 equal bins, 0 to 1.
        pub calibration_error: Option<f64>,
        /// Matthews correlation coefficient, -1 to 1.
        pub mcc: Option<f64>,
        /// F1, macro-averaged over the labels, 0 to 1.
        pub f1: Option<f64>,
        /// What the task is scored by: `accuracy`, `mcc`, `f1` (of the second of two labels) or `macro-f1`.
        pub metric: String,
        /// Its value; absent for `f1` where the second label is neither asked for nor given, and where there are no
        /// predictions to take it from.
        pub score: Option<f64>,
        /// True if the run does no better than always giving the commonest answer; false where `majority` is absent.
        pub failed: bool,
    }
}

tables::rows! {
    /// A row for each checkpoint, split and number of seeds to choose from: what keeping the run with the best score on `val`
    /// buys, exactly, over all sets of so many of the runs.
    pub struct SelectionGain in "selection" {
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint.
        pub step: u64,
        /// The split that the kept run is scored on.
        pub split: String,
        /// What runs are chosen and scored by: `accuracy` or the task's own metric.
        pub metric: String,
        /// Fine-tuning runs there are.
        pub seeds: u64,
        /// Runs to choose from.
        pub best_of: u64,
        /// Expected score of the kept run.
        pub expected: f64,
        /// Mean score of all runs.
        pub mean: f64,
        /// Standard deviation of the score over all runs (divisor n - 1).
        pub sd: f64,
    }
}

tables::rows! {
    /// A row for each fine-tuned model and example of a split (interventions are summarised in `interventions`).
    pub struct Prediction in "predictions" {
        /// Key of the fine-tuning run.
        pub run: String,
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint.
        pub step: u64,
        /// Seed of the fine-tuning run.
        pub finetuning_seed: u64,
        /// The split.
        pub split: String,
        /// The example's id within its split.
        pub example: String,
        /// The case within the split.
        pub case: String,
        /// Index of the right label in `label_order`.
        pub label: u32,
        /// Index of the predicted label in `label_order`.
        pub prediction: u32,
        /// One logit for each label, in `label_order`.
        pub logits: Vec<f32>,
        /// Names of the labels in order of their index, separated by `|`.
        pub label_order: String,
    }
}

tables::rows! {
    /// A row for each pair of runs, path between them, split and point of the path.
    pub struct PathPoint in "paths" {
        /// Key of the run at alpha 0.
        pub run_a: String,
        /// Key of the run at alpha 1.
        pub run_b: String,
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint.
        pub step: u64,
        /// Fine-tuning seed of `run_a`.
        pub seed_a: u64,
        /// Fine-tuning seed of `run_b`.
        pub seed_b: u64,
        /// The path: `linear` (a straight line), or another value of `interpolate --path`.
        pub path: String,
        /// The split.
        pub split: String,
        /// Position on the path: 0 is `run_a`, 1 is `run_b`; on a line, weights are (1 - alpha) a + alpha b.
        pub alpha: f64,
        /// Examples.
        pub n: u64,
        /// Mean cross-entropy (nats).
        pub loss: f64,
        /// Share of right predictions, 0 to 1.
        pub accuracy: f64,
        /// Mean of 1 - p(label), 0 to 1.
        pub expected_error: f64,
    }
}

tables::rows! {
    /// A row for each pair of runs from one checkpoint, split and path between them. Pairs that share a run are not
    /// independent. What does not depend on a path stands on the row of `linear` alone.
    pub struct PairSplit in "pairs" {
        /// Key of the one run.
        pub run_a: String,
        /// Key of the other run.
        pub run_b: String,
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint.
        pub step: u64,
        /// Held-out pretraining loss of the checkpoint (nats), where its ladder is known.
        pub held_out_loss: Option<f64>,
        /// Fine-tuning seed of `run_a`.
        pub seed_a: u64,
        /// Fine-tuning seed of `run_b`.
        pub seed_b: u64,
        /// The path that the barriers are of: `linear` (a straight line), or another value of `interpolate --path`.
        pub path: String,
        /// The split.
        pub split: String,
        /// Share of right predictions of `run_a`, 0 to 1.
        pub accuracy_a: Option<f64>,
        /// Share of right predictions of `run_b`, 0 to 1.
        pub accuracy_b: Option<f64>,
        /// Share of examples on which both are right or both are wrong, 0 to 1 (the observed overlap of Geirhos et al. 2020).
        pub consistency: Option<f64>,
        /// (1 - `consistency`) / 2: the variance, over two runs, of being right, averaged over examples, 0 to 0.5.
        pub path_variance: Option<f64>,
        /// Cross-entropy on the path: largest height above the chord (nats).
        pub barrier: Option<f64>,
        /// Cross-entropy on the path: supremum less the mean of the ends (nats).
        pub barrier_over_mean: Option<f64>,
        /// Cross-entropy on the path: supremum less the higher end (nats).
        pub barrier_over_max: Option<f64>,
        /// Cross-entropy on the path: largest chord barrier over all its stretches (nats).
        pub convexity_gap: Option<f64>,
        /// Error on the path: largest height above the chord, 0 to 1.
        pub error_barrier: Option<f64>,
        /// 1 - p(label) on the path: largest height above the chord, 0 to 1.
        pub expected_error_barrier: Option<f64>,
        /// Euclidean distance between the weights.
        pub weight_distance: Option<f64>,
        /// Share of examples on which both predict the same label, 0 to 1.
        pub agreement: Option<f64>,
        /// Agreement beyond that of independent models of the same accuracies: 1 is full, 0 is chance; absent where both
        /// are always right.
        pub chance_corrected_agreement: Option<f64>,
        /// Mean Jensen-Shannon distance between the predicted distributions (base 2), 0 to 1.
        pub jensen_shannon: Option<f64>,
        /// Root mean square difference of the effects of the interventions, 0 to 1 (the same for every split).
        pub profile_distance: Option<f64>,
        /// Mean over the interventions of the share of examples to which both respond alike: both change their predicted
        /// label, or neither does (the same for every split).
        pub counterfactual_agreement: Option<f64>,
    }
}

tables::rows! {
    /// A row for each soup or ensemble and split.
    pub struct SoupScore in "soups" {
        /// Key of the soup; empty for an ensemble.
        pub soup: String,
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint.
        pub step: u64,
        /// Held-out pretraining loss of the checkpoint (nats), where its ladder is known.
        pub held_out_loss: Option<f64>,
        /// `uniform` or `greedy` (mean of weights), `probability ensemble` or `logit ensemble` (mean of outputs).
        pub method: String,
        /// Models that it was made from, in the order in which they were offered: their keys, separated by spaces.
        pub members: String,
        /// Models that were offered.
        pub offered: u64,
        /// Models that it kept.
        pub kept: u64,
        /// The split.
        pub split: String,
        /// Examples.
        pub n: u64,
        /// Mean cross-entropy (nats).
        pub loss: f64,
        /// Share of right predictions, 0 to 1.
        pub accuracy: f64,
        /// Accuracy less the mean accuracy of the models that were offered.
        pub gain_over_mean: f64,
        /// Accuracy less the accuracy of the member that is best on this very split (an oracle's choice).
        pub gain_over_best: f64,
    }
}

tables::rows! {
    /// A row for each fine-tuned model and intervention on the data-generating process.
    pub struct InterventionEffect in "interventions" {
        /// Key of the fine-tuning run.
        pub run: String,
        /// Arm of the study.
        pub arm: String,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Pretraining steps of the checkpoint.
        pub step: u64,
        /// Held-out pretraining loss of the checkpoint (nats), where its ladder is known.
        pub held_out_loss: Option<f64>,
        /// Seed of the fine-tuning run.
        pub finetuning_seed: u64,
        /// The intervention.
        pub intervention: String,
        /// Examples.
        pub n: u64,
        /// Mean total variation distance between the predictions before and after, 0 to 1.
        pub effect: f64,
        /// Share of examples whose predicted label changes, 0 to 1.
        pub flips: f64,
        /// Share of examples whose right label changes, 0 to 1: `flips` of a model that follows the rule.
        pub rule_flips: f64,
        /// Accuracy after the intervention, 0 to 1.
        pub accuracy: f64,
    }
}

tables::rows! {
    /// A row for each measure, arm, rung and pretraining seed: the cells that the summary is made from.
    pub struct MeasureCell in "cells" {
        /// Arm of the study.
        pub arm: String,
        /// Pretraining steps of the checkpoint.
        pub step: u64,
        /// Seed of the pretraining run.
        pub pretraining_seed: u64,
        /// Held-out pretraining loss of the checkpoint (nats), where its ladder is known.
        pub held_out_loss: Option<f64>,
        /// The measure.
        pub measure: String,
        /// Its value over the fine-tuning seeds of this cell.
        pub value: f64,
        /// Fine-tuning runs behind it.
        pub n_finetuning: u64,
    }
}

tables::rows! {
    /// A row for each estimate: a measure at a rung of an arm, or a difference.
    pub struct Summary in "summary" {
        /// Arm of the study.
        pub arm: String,
        /// `rung`, `early`, `late`, `late - early`, `late - early, matched` (among pairs of equal OOD accuracy, within a
        /// pretraining seed), `late - early, equal accuracy` (the contrast that the verdict's second sentence rests on), `arm - default`, `last - first` (of an arm: its last rung less its first), `(last - first) - default` (the same, less that
        /// of the default arm between the same two rungs), `trend` (slope per nat by which the held-out loss falls), or `hump` (how far
        /// the rung with the most path dependence lies beyond the first and the last; each pretraining seed's rung is chosen
        /// by the others).
        pub kind: String,
        /// Pretraining steps of the checkpoint, where the estimate is of one rung; of a hump, where it is.
        pub step: Option<u64>,
        /// Mean held-out pretraining loss of the rung (nats), where its ladders are known.
        pub held_out_loss: Option<f64>,
        /// The measure.
        pub measure: String,
        /// The estimate, in the unit of the measure.
        pub estimate: f64,
        /// Lower end of the 95 % interval, where there are enough seeds for one.
        pub lower: Option<f64>,
        /// Upper end of the 95 % interval, where there are enough seeds for one.
        pub upper: Option<f64>,
        /// True if the interval reaches beyond the values that the measure can take: there are too few seeds for its scatter. At
        /// a rung, early and late it is then cut.
        pub beyond_range: bool,
        /// How the interval was made; empty where there is none.
        pub method: String,
        /// Standard error that the interval rests on.
        pub standard_error: Option<f64>,
        /// Degrees of freedom of its t; absent for intervals that have none.
        pub df: Option<f64>,
        /// Two-sided p of "no change", for differences, trends and humps.
        pub p: Option<f64>,
        /// The same after Holm's correction for the number of primary measures, for those alone.
        pub p_adjusted: Option<f64>,
        /// The same after Benjamini and Hochberg's correction for all rows of this kind.
        pub p_bh: Option<f64>,
        /// What sets the interval's width: `between` pretraining seeds, or `within` them (the fine-tuning seeds).
        pub width_from: Option<String>,
        /// Pairs of runs behind it.
        pub n_pairs: Option<u64>,
        /// Pretraining seeds.
        pub n_pretraining: u64,
        /// Fine-tuning runs, over all pretraining seeds and rungs.
        pub n_finetuning: u64,
    }
}
