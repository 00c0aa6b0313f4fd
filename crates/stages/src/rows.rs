//! The tables that single stages write, a row type for each.
//!
//! They hold what the stage alone knows. `report` joins them with their provenance into the tables of a study
//! ([`crate::report`]), which are the ones to analyse.

tables::rows! {
    /// A row for each checkpoint of a pretraining run.
    pub struct LadderRow in "ladder" {
        /// Optimiser steps taken.
        pub step: u64,
        /// Tokens (or dense examples) seen.
        pub tokens: u64,
        /// Loss on text that is never trained on (nats; masked-token or class cross-entropy).
        pub held_out_loss: f64,
        /// Accuracy on the same text, 0 to 1.
        pub held_out_accuracy: f64,
        /// Learning rate of the last step (0 before the first).
        pub learning_rate: f64,
        /// Object id of the checkpoint's safetensors file.
        pub checkpoint: String,
    }
}

tables::rows! {
    /// What the tables of all ladders have in common.
    pub struct LadderPoint in "ladder" {
        /// Optimiser steps taken.
        pub step: u64,
        /// Tokens (or dense examples) seen; 0 where nothing tells.
        pub tokens: u64,
    }
}

tables::rows! {
    /// What the tables of all ladders with losses have in common.
    pub struct LossPoint in "ladder" {
        /// Optimiser steps taken.
        pub step: u64,
        /// Tokens (or dense examples) seen; 0 where nothing tells.
        pub tokens: u64,
        /// Loss on text that is never trained on (nats).
        pub held_out_loss: f64,
        /// Accuracy on the same text, 0 to 1.
        pub held_out_accuracy: f64,
        /// Object id of the checkpoint's safetensors file.
        pub checkpoint: String,
    }
}

tables::rows! {
    /// A row for each checkpoint of a ladder that was measured on a text.
    pub struct GaugedRow in "ladder" {
        /// Optimiser steps taken (tokens seen, where names do not count steps).
        pub step: u64,
        /// Tokens seen; 0 where nothing tells.
        pub tokens: u64,
        /// Loss of the model's own objective on the text (nats).
        pub held_out_loss: f64,
        /// Accuracy of the same predictions, 0 to 1.
        pub held_out_accuracy: f64,
        /// Loss above the floor of the fitted power law (nats); none where no law could be fitted.
        pub to_go: Option<f64>,
        /// Lower end of its 95 % interval.
        pub to_go_lower: Option<f64>,
        /// Upper end of its 95 % interval.
        pub to_go_upper: Option<f64>,
        /// Object id of the checkpoint's safetensors file.
        pub checkpoint: String,
    }
}

tables::rows! {
    /// A row for each checkpoint of a fetched ladder.
    pub struct RungRow in "rungs" {
        /// Optimiser steps taken (tokens seen, where names do not count steps).
        pub step: u64,
        /// Tokens seen; 0 where nothing tells.
        pub tokens: u64,
        /// Branch, tag or repository.
        pub name: String,
        /// Repository.
        pub repository: String,
        /// Commit.
        pub commit: String,
        /// BLAKE3 of the tensors' names, shapes and values.
        pub contents: String,
        /// Euclidean distance of the weights from the rung before; none for the first.
        pub distance_from_last: Option<f64>,
        /// Object id of the checkpoint's safetensors file.
        pub checkpoint: String,
    }
}

tables::rows! {
    /// A row for each logged step of a fine-tuning run.
    pub struct CurveRow in "curve" {
        /// Optimiser steps taken.
        pub step: u64,
        /// Mean training loss since the row before (nats).
        pub loss: f64,
        /// Training accuracy since the row before, 0 to 1.
        pub accuracy: f64,
        /// Learning rate of the step.
        pub learning_rate: f64,
        /// Euclidean norm of the gradient, before clipping.
        pub gradient_norm: f64,
    }
}

tables::rows! {
    /// A row for each split and case that a model was evaluated on.
    pub struct ScoreRow in "scores" {
        /// The split.
        pub split: String,
        /// The case within the split; empty for the whole split.
        pub case: String,
        /// Examples.
        pub n: u64,
        /// Mean cross-entropy (nats).
        pub loss: f64,
        /// Share of right predictions, 0 to 1.
        pub accuracy: f64,
        /// Mean of 1 - p(label), 0 to 1.
        pub expected_error: f64,
        /// Expected calibration error over 10 equal bins, 0 to 1.
        pub calibration_error: f64,
        /// Matthews correlation coefficient, -1 to 1.
        pub mcc: f64,
        /// F1, macro-averaged over the labels, 0 to 1.
        pub f1: f64,
        /// Accuracy of always answering the commonest label, 0 to 1.
        pub majority: f64,
    }
}

tables::rows! {
    /// A row for each example that a model was evaluated on.
    pub struct PredictionRow in "predictions" {
        /// The split; `do.<intervention>.base` and `do.<intervention>.done` before and after an intervention.
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
    /// A row for each intervention on the data-generating process.
    pub struct EffectRow in "effects" {
        /// The intervention.
        pub intervention: String,
        /// Examples.
        pub n: u64,
        /// Mean total variation distance between the predictions before and after, 0 to 1 (two labels: mean
        /// |p(x) - p(do x)|).
        pub effect: f64,
        /// Share of examples whose predicted label changes, 0 to 1.
        pub flips: f64,
        /// Share of examples whose right label changes, 0 to 1: what a model that follows the rule shows as `flips`.
        pub rule_flips: f64,
        /// Accuracy after the intervention, 0 to 1.
        pub accuracy: f64,
    }
}

tables::rows! {
    /// A row for each pair of models, split and point of the path between them.
    pub struct PathRow in "paths" {
        /// Key of the run at alpha 0.
        pub run_a: String,
        /// Key of the run at alpha 1.
        pub run_b: String,
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
    /// A row for each pair of models and split: the path between them in numbers.
    pub struct PairRow in "pairs" {
        /// Key of the run at alpha 0.
        pub run_a: String,
        /// Key of the run at alpha 1.
        pub run_b: String,
        /// The path: `linear` (a straight line), or another value of `interpolate --path`.
        pub path: String,
        /// The split.
        pub split: String,
        /// Points on the path, both ends included.
        pub points: u64,
        /// Cross-entropy: largest height above the chord (nats, never negative).
        pub barrier: f64,
        /// Cross-entropy: supremum less the mean of the ends (nats; Frankle et al. 2020).
        pub barrier_over_mean: f64,
        /// Cross-entropy: supremum less the higher end (nats).
        pub barrier_over_max: f64,
        /// Cross-entropy: largest chord barrier over all stretches of the path (nats; Juneja et al. 2023).
        pub convexity_gap: f64,
        /// Error: largest height above the chord, 0 to 1.
        pub error_barrier: f64,
        /// 1 - p(label): largest height above the chord, 0 to 1.
        pub expected_error_barrier: f64,
        /// Euclidean distance between the weights.
        pub weight_distance: f64,
    }
}

tables::rows! {
    /// A row for each model that a soup was offered, in the order in which it was considered.
    pub struct MemberRow in "members" {
        /// Key of the run.
        pub run: String,
        /// Score on the held-out split that selects (accuracy, 0 to 1), where the method selects.
        pub score: Option<f64>,
        /// Score of the soup after this model was considered, where the method selects.
        pub soup_score: Option<f64>,
        /// Whether the model is in the soup.
        pub kept: bool,
    }
}
