//! Cross-entropy of a softmax: `-ln softmax(z)[label]`, summed, with its gradient in place of the logits.
//!
//! ```
//! let tally = kernels::cross_entropy::forward(&[0.0, 0.0, 3.0, -3.0], &[1, 0], 2);
//! assert_eq!((tally.n, tally.correct), (2, 1));
//! assert!((tally.loss_sum - (2.0_f64.ln() + (1.0 + (-6.0_f64).exp()).ln())).abs() < 1e-6);
//! ```

use crate::elementary::exp;
use crate::lanes::{Lanes, dispatched};

/// What a batch lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Sum of cross-entropies, in nats.
    pub loss_sum: f64,
    /// How many rows have their label as the (first) largest logit.
    pub correct: u64,
    /// How many rows.
    pub n: u64,
}

impl Tally {
    /// Mean cross-entropy in nats; 0 of no rows.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        self.loss_sum / self.n.max(1) as f64
    }

    /// Share of the rows that are right, 0 to 1; 0 of no rows.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.n.max(1) as f64
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.loss_sum += other.loss_sum;
        self.correct += other.correct;
        self.n += other.n;
    }
}

dispatched! {
    /// Losses of `logits`, of shape `[labels, classes]`.
    ///
    /// # Panics
    /// If `logits` has another length or a label is not a class.
    pub fn forward(logits: &[f32], labels: &[u32], classes: usize) -> Tally = forward_body
}
dispatched! {
    /// Losses as [`forward`], and `scale (softmax(z) - onehot(label))` in place of the logits.
    ///
    /// # Panics
    /// If `logits` has another length or a label is not a class.
    pub fn forward_backward(logits: &mut [f32], labels: &[u32], classes: usize, scale: f32) -> Tally =
        forward_backward_body
}

#[inline(always)]
fn forward_body<V: Lanes>(logits: &[f32], labels: &[u32], classes: usize) -> Tally {
    assert_eq!(logits.len(), labels.len() * classes, "length of the logits");
    let mut tally = Tally { n: labels.len() as u64, ..Tally::default() };
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let top = largest::<V>(row);
        let mut sum = 0.0;
        for block in row.chunks(BLOCK) {
            let mut vectors = block.chunks_exact(V::WIDTH);
            let mut part = V::splat(0.0);
            for x in vectors.by_ref() {
                // SAFETY: a chunk of `WIDTH`.
                part = part + exp(unsafe { V::load(x.as_ptr()) } - V::splat(top));
            }
            let rest: f32 = vectors.remainder().iter().map(|&x| exp(x - top)).sum();
            sum += f64::from(part.sum()) + f64::from(rest);
        }
        count(&mut tally, row, label as usize, top, sum);
    }
    tally
}

#[inline(always)]
fn forward_backward_body<V: Lanes>(logits: &mut [f32], labels: &[u32], classes: usize, scale: f32) -> Tally {
    assert_eq!(logits.len(), labels.len() * classes, "length of the logits");
    let mut tally = Tally { n: labels.len() as u64, ..Tally::default() };
    for (row, &label) in logits.chunks_exact_mut(classes).zip(labels) {
        let top = largest::<V>(row);
        let at_label = row[label as usize];
        let first = is_first_largest(row, label as usize, top);
        let mut sum = 0.0;
        for block in row.chunks_mut(BLOCK) {
            let mut vectors = block.chunks_exact_mut(V::WIDTH);
            let mut part = V::splat(0.0);
            for x in vectors.by_ref() {
                // SAFETY: a chunk of `WIDTH`.
                unsafe {
                    let e = exp(V::load(x.as_ptr()) - V::splat(top));
                    e.store(x.as_mut_ptr());
                    part = part + e;
                }
            }
            let mut rest = 0.0;
            for x in vectors.into_remainder() {
                *x = exp(*x - top);
                rest += *x;
            }
            sum += f64::from(part.sum()) + f64::from(rest);
        }
        let factor = (f64::from(scale) / sum) as f32;
        for x in row.iter_mut() {
            *x *= factor;
        }
        row[label as usize] -= scale;
        tally.loss_sum += sum.ln() + f64::from(top) - f64::from(at_label);
        tally.correct += u64::from(first);
    }
    tally
}

/// Values that are summed in `f32` before they join the `f64` sum.
const BLOCK: usize = 1024;

#[inline(always)]
fn largest<V: Lanes>(row: &[f32]) -> f32 {
    let mut vectors = row.chunks_exact(V::WIDTH);
    let mut top = V::splat(f32::NEG_INFINITY);
    for x in vectors.by_ref() {
        // SAFETY: a chunk of `WIDTH`.
        top = top.max(unsafe { V::load(x.as_ptr()) });
    }
    vectors.remainder().iter().fold(top.largest(), |top, &x| f32::max(top, x))
}

#[inline(always)]
fn is_first_largest(row: &[f32], label: usize, top: f32) -> bool {
    row[label] == top && !row[..label].contains(&top)
}

#[inline(always)]
fn count(tally: &mut Tally, row: &[f32], label: usize, top: f32, sum: f64) {
    tally.loss_sum += sum.ln() + f64::from(top) - f64::from(row[label]);
    tally.correct += u64::from(is_first_largest(row, label, top));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, differences, normals, wide};
    use proptest::prelude::*;

    fn naive(logits: &[f64], labels: &[u32], classes: usize) -> f64 {
        let rows = logits.chunks_exact(classes).zip(labels);
        rows.map(|(row, &label)| row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[label as usize]).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn loss_and_gradient(classes in 1_usize..60, rows in 1_usize..5) {
            let logits = normals(2, "logits", classes * rows, 3.0);
            let labels: Vec<u32> = (0..rows).map(|i| (i * 7 % classes) as u32).collect();
            let scale = 0.3;
            let truth = naive(&wide(&logits), &labels, classes);
            let differences = differences(&wide(&logits), |x| f64::from(scale) * naive(x, &labels, classes));
            for run in [forward_backward, forward_backward_body::<f32>] {
                let mut gradient = logits.clone();
                let tally = run(&mut gradient, &labels, classes, scale);
                prop_assert!((tally.loss_sum - truth).abs() < 2e-6 * truth.max(1.0), "{} {truth}", tally.loss_sum);
                assert_close(&gradient, &differences, if classes == 1 { f64::INFINITY } else { 2e-6 });
                let evaluated = forward(&logits, &labels, classes);
                prop_assert!((evaluated.loss_sum - tally.loss_sum).abs() < 1e-6 * truth.max(1.0));
                prop_assert_eq!((evaluated.correct, evaluated.n), (tally.correct, tally.n));
            }
        }
    }

    #[test]
    fn large_vocabularies_and_logits() {
        let mut logits = normals(2, "logits", 30_000, 3.0);
        logits[17] = 500.0;
        let tally = forward(&logits, &[17], 30_000);
        assert!(tally.loss_sum.abs() < 1e-12 && tally.correct == 1, "{tally:?}");
        let tally = forward(&[0.0; 30_000], &[5], 30_000);
        assert!((tally.loss_sum - 30_000_f64.ln()).abs() < 1e-6, "{tally:?}");
    }

    #[test]
    fn nan_is_not_hidden() {
        for place in [0, 7, 9] {
            let mut logits = [1.0; 10];
            logits[place] = f32::NAN;
            assert!(forward(&logits, &[3], 10).loss_sum.is_nan());
            assert!(forward_backward(&mut logits, &[3], 10, 1.0).loss_sum.is_nan());
            assert!(logits.iter().all(|x| x.is_nan()));
        }
    }

    #[test]
    fn the_first_of_equals_counts() {
        let logits = [1.0, 2.0, 2.0, 0.0];
        assert_eq!(forward(&logits, &[1], 4).correct, 1);
        assert_eq!(forward(&logits, &[2], 4).correct, 0);
    }
}
