//! Scores of one model's logits against labels.
//!
//! Logits are `[n, c]` row-major `f32`, labels `[n]` class indices. Probabilities are formed in `f64` with
//! the row's largest logit taken out, so that no logit overflows.

/// Changes whenever a score changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("scores", VERSION)
}

/// Equal-width confidence bins of the calibration error.
pub const CALIBRATION_BINS: usize = 10;

/// Scores of one model on one set of examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Mean cross-entropy (nats).
    pub loss: f64,
    /// Share of right predictions, 0 to 1.
    pub accuracy: f64,
    /// Mean of `1 - p(label)`, 0 to 1.
    pub expected_error: f64,
    /// Expected calibration error over [`CALIBRATION_BINS`] bins, 0 to 1.
    pub calibration_error: f64,
    /// Matthews correlation coefficient, -1 to 1.
    pub mcc: f64,
    /// F1, macro-averaged over the labels that occur, 0 to 1.
    pub f1: f64,
    /// Accuracy of always answering the commonest label, 0 to 1.
    pub majority: f64,
}

/// All scores of logits `[n, c]` against labels `[n]`.
///
/// A row whose logits are not numbers makes `loss`, `expected_error` and `calibration_error` NaN.
///
/// # Panics
/// If there are no labels, the logits do not divide into as many rows, or a label is not below `c`.
#[must_use]
pub fn scores(logits: &[f32], labels: &[u32]) -> Scores {
    let c = classes(logits, labels);
    let n = labels.len() as f64;
    let mut row = vec![0.0; c];
    let (mut loss, mut expected_error) = (0.0, 0.0);
    let mut predictions = Vec::with_capacity(labels.len());
    let mut confidences = Vec::with_capacity(labels.len());
    for (logits, &label) in logits.chunks_exact(c).zip(labels) {
        log_softmax(logits, &mut row);
        let prediction = argmax(logits);
        loss -= row[label as usize];
        // Sums the other classes, so that an error of 1e-20 is not rounded away by 1 - p.
        let others = row.iter().enumerate().filter(|&(class, _)| class != label as usize);
        expected_error += others.map(|(_, log_p)| log_p.exp()).sum::<f64>();
        predictions.push(prediction);
        confidences.push(row[prediction as usize].exp());
    }
    let table = Confusion::new(&predictions, labels, c);
    Scores {
        loss: loss / n,
        accuracy: table.accuracy(),
        expected_error: expected_error / n,
        calibration_error: calibration_error(&confidences, &predictions, labels),
        mcc: table.mcc(),
        f1: table.macro_f1(),
        majority: majority(labels),
    }
}

/// Index of the largest logit; the first of several, and 0 if none is a number.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    let mut value = f32::NEG_INFINITY;
    for (class, &logit) in logits.iter().enumerate() {
        if logit > value {
            (best, value) = (class, logit);
        }
    }
    best as u32
}

/// The predicted class of each row of logits `[n, c]`.
///
/// # Panics
/// If `c` is 0 or does not divide the number of logits.
#[must_use]
pub fn predictions(logits: &[f32], c: usize) -> Vec<u32> {
    assert!(c > 0 && logits.len().is_multiple_of(c), "{} logits are not rows of {c}", logits.len());
    logits.chunks_exact(c).map(argmax).collect()
}

/// `log p_k = z_k - m - ln sum_j exp(z_j - m)` with `m = max z`, written to `out`.
///
/// # Panics
/// If `out` has another length than `logits`.
pub fn log_softmax(logits: &[f32], out: &mut [f64]) {
    assert_eq!(logits.len(), out.len(), "{} logits but room for {}", logits.len(), out.len());
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - f64::from(max)).exp()).sum();
    let log_sum = f64::from(max) + sum.ln();
    for (log_p, &logit) in out.iter_mut().zip(logits) {
        *log_p = f64::from(logit) - log_sum;
    }
}

/// Probabilities `[n, c]` of logits `[n, c]`.
///
/// # Panics
/// If `c` is 0 or does not divide the number of logits.
#[must_use]
pub fn probabilities(logits: &[f32], c: usize) -> Vec<f64> {
    assert!(c > 0 && logits.len().is_multiple_of(c), "{} logits are not rows of {c}", logits.len());
    let mut out = vec![0.0; logits.len()];
    for (logits, row) in logits.chunks_exact(c).zip(out.chunks_exact_mut(c)) {
        log_softmax(logits, row);
        for value in row {
            *value = value.exp();
        }
    }
    out
}

/// The expectation of `values` `[c]` under the probabilities of each row of logits `[n, c]`.
///
/// # Panics
/// If there are no values or their number does not divide that of the logits.
#[must_use]
pub fn expectations(logits: &[f32], values: &[f64]) -> Vec<f64> {
    let probabilities = probabilities(logits, values.len());
    let rows = probabilities.chunks_exact(values.len());
    rows.map(|row| row.iter().zip(values).map(|(p, value)| p * value).sum()).collect()
}

/// Expected calibration error (Guo et al. 2017): `sum_b n_b/n |accuracy_b - mean confidence_b|` over
/// [`CALIBRATION_BINS`] equal bins `(b/B, (b+1)/B]` of the predicted class's probability.
///
/// # Panics
/// If the three differ in length.
#[must_use]
pub fn calibration_error(confidences: &[f64], predictions: &[u32], labels: &[u32]) -> f64 {
    assert_eq!(predictions.len(), labels.len(), "{} predictions, {} labels", predictions.len(), labels.len());
    assert_eq!(confidences.len(), labels.len(), "{} confidences, {} labels", confidences.len(), labels.len());
    // Per bin: sum of (right - confidence); its absolute value is n_b |accuracy - confidence|.
    let mut bins = [0.0_f64; CALIBRATION_BINS];
    for ((&confidence, prediction), label) in confidences.iter().zip(predictions).zip(labels) {
        let bin = (confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let right = f64::from(u8::from(prediction == label));
        bins[bin.clamp(1, CALIBRATION_BINS) - 1] += right - confidence;
    }
    bins.iter().map(|bin| bin.abs()).sum::<f64>() / labels.len() as f64
}

/// Accuracy of always answering the commonest label: a run at or below it has failed.
#[must_use]
pub fn majority(labels: &[u32]) -> f64 {
    let mut counts = vec![0_u64; labels.iter().max().map_or(0, |&label| label as usize + 1)];
    for &label in labels {
        counts[label as usize] += 1;
    }
    counts.iter().max().map_or(f64::NAN, |&most| most as f64 / labels.len() as f64)
}

/// Pearson correlation of two lists, -1 to 1; `None` if either is constant or they hold fewer than two
/// values.
///
/// # Panics
/// If they differ in length.
#[must_use]
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "{} values against {}", x.len(), y.len());
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

/// How often each label met each prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// `counts[label * c + prediction]`.
    counts: Vec<u64>,
    c: usize,
}

impl Confusion {
    /// Counts `predictions` against `labels`, both below `c`.
    ///
    /// # Panics
    /// If they differ in length, are empty, or hold a class that is not below `c`.
    #[must_use]
    pub fn new(predictions: &[u32], labels: &[u32], c: usize) -> Self {
        assert_eq!(
            predictions.len(),
            labels.len(),
            "{} predictions, {} labels",
            predictions.len(),
            labels.len()
        );
        assert!(!labels.is_empty(), "scores of no examples");
        let mut counts = vec![0; c * c];
        for (&prediction, &label) in predictions.iter().zip(labels) {
            assert!((prediction.max(label) as usize) < c, "class {} is not below {c}", prediction.max(label));
            counts[label as usize * c + prediction as usize] += 1;
        }
        Self { counts, c }
    }

    fn of_label(&self, class: usize) -> f64 {
        self.counts[class * self.c..][..self.c].iter().sum::<u64>() as f64
    }

    fn of_prediction(&self, class: usize) -> f64 {
        (0..self.c).map(|label| self.counts[label * self.c + class]).sum::<u64>() as f64
    }

    fn right(&self, class: usize) -> f64 {
        self.counts[class * self.c + class] as f64
    }

    fn n(&self) -> f64 {
        self.counts.iter().sum::<u64>() as f64
    }

    /// Share of right predictions, 0 to 1.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        (0..self.c).map(|class| self.right(class)).sum::<f64>() / self.n()
    }

    /// Matthews correlation coefficient in its multi-class form (Gorodkin 2004), -1 to 1:
    /// `(n r - sum_k t_k p_k) / sqrt((n^2 - sum t_k^2) (n^2 - sum p_k^2))` with `r` right ones, `t_k` labels
    /// and `p_k` predictions of class `k`. 0 where labels or predictions are all of one class.
    #[must_use]
    pub fn mcc(&self) -> f64 {
        let n = self.n();
        let sum = |term: &dyn Fn(usize) -> f64| (0..self.c).map(term).sum::<f64>();
        let covariance = n * sum(&|k| self.right(k)) - sum(&|k| self.of_label(k) * self.of_prediction(k));
        let labels = n * n - sum(&|k| self.of_label(k).powi(2));
        let predictions = n * n - sum(&|k| self.of_prediction(k).powi(2));
        if labels > 0.0 && predictions > 0.0 {
            covariance / (labels.sqrt() * predictions.sqrt())
        } else {
            0.0
        }
    }

    /// F1 of one class, `2 r_k / (t_k + p_k)`, 0 to 1; `None` if it is neither a label nor a prediction.
    /// Class 1 of a binary task gives its binary F1.
    #[must_use]
    pub fn f1(&self, class: usize) -> Option<f64> {
        let total = self.of_label(class) + self.of_prediction(class);
        (total > 0.0).then(|| 2.0 * self.right(class) / total)
    }

    /// Mean F1 of the classes that occur among labels or predictions, 0 to 1.
    #[must_use]
    pub fn macro_f1(&self) -> f64 {
        let of_classes: Vec<f64> = (0..self.c).filter_map(|class| self.f1(class)).collect();
        of_classes.iter().sum::<f64>() / of_classes.len() as f64
    }
}

fn classes(logits: &[f32], labels: &[u32]) -> usize {
    assert!(!labels.is_empty(), "scores of no examples");
    let c = logits.len() / labels.len();
    assert!(c > 0 && c * labels.len() == logits.len(), "{} logits for {} labels", logits.len(), labels.len());
    c
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-7, "{found} is not {expected}");
    }

    #[test]
    fn by_hand() {
        // p = (1/4, 3/4), (1/2, 1/2), (3/4, 1/4), (1/4, 3/4).
        let third = 3f32.ln();
        let found = scores(&[0.0, third, 0.0, 0.0, third, 0.0, 0.0, third], &[1, 1, 0, 0]);
        let quarter = 0.25_f64;
        near(found.loss, -(0.75_f64.ln() * 2.0 + 0.5_f64.ln() + quarter.ln()) / 4.0);
        near(found.accuracy, 0.5);
        near(found.expected_error, (0.25 + 0.5 + 0.25 + 0.75) / 4.0);
        // Bin (0.4, 0.5]: one wrong at 0.5. Bin (0.7, 0.8]: two right of three at 0.75.
        assert!((found.calibration_error - (0.5 + (2.0_f64 - 2.25).abs()) / 4.0).abs() < 1e-7);
        near(found.majority, 0.5);
    }

    /// scikit-learn's documented examples: `matthews_corrcoef([1, 1, 1, -1], [1, -1, 1, 1]) = -0.33`,
    /// `f1_score([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], average="macro") = 0.26`.
    #[test]
    fn published_vectors() {
        near(Confusion::new(&[1, 0, 1, 1], &[1, 1, 1, 0], 2).mcc(), -1.0 / 3.0);
        let table = Confusion::new(&[0, 2, 1, 0, 0, 1], &[0, 1, 2, 0, 1, 2], 3);
        near(table.macro_f1(), 0.8 / 3.0);
        near(table.f1(0).unwrap(), 0.8);
        near(
            pearson(&[1.0, 2.0, 3.0, 4.0, 5.0], &[10.0, 9.0, 2.5, 6.0, 4.0]).unwrap(),
            -0.742_610_657_232_505_7,
        );
        assert_eq!(pearson(&[1.0, 1.0], &[0.0, 1.0]), None);
        near(expectations(&[0.0, 3f32.ln()], &[-1.0, 5.0])[0], 0.75 * 5.0 - 0.25);
    }

    #[test]
    fn huge_and_broken_logits() {
        let found = scores(&[1e30, -1e30, 0.0, 80.0], &[0, 1]);
        assert!(found.loss < 1e-30 && found.accuracy == 1.0 && found.expected_error > 0.0, "{found:?}");
        assert!(scores(&[f32::NAN, 0.0], &[0]).loss.is_nan());
        assert_eq!(argmax(&[f32::NAN, 1.0]), 1);
        assert_eq!(argmax(&[2.0, 2.0]), 0);
    }

    #[test]
    fn one_class_has_no_correlation() {
        let found = scores(&[1.0, 0.0, 1.0, 0.0], &[0, 0]);
        assert_eq!((found.mcc, found.f1, found.majority), (0.0, 1.0, 1.0));
    }

    proptest! {
        /// Binary MCC is the Pearson correlation of predictions and labels.
        #[test]
        fn mcc_is_pearson(pairs in prop::collection::vec((0..2_u32, 0..2_u32), 2..40)) {
            let (predictions, labels): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
            let [x, y] = [&predictions, &labels].map(|v| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
            let mcc = Confusion::new(&predictions, &labels, 2).mcc();
            prop_assert!((mcc - pearson(&x, &y).unwrap_or(0.0)).abs() < 1e-9);
        }

        #[test]
        fn a_constant_changes_nothing(logits in prop::collection::vec(-8.0..8.0_f32, 12), shift in -64..64_i32) {
            let labels = [0, 1, 2, 0];
            let moved: Vec<f32> = logits.iter().map(|logit| logit + shift as f32).collect();
            let (a, b) = (scores(&logits, &labels), scores(&moved, &labels));
            prop_assert!((a.loss - b.loss).abs() < 1e-4);
            prop_assert!((a.expected_error - b.expected_error).abs() < 1e-4);
        }
    }
}
