//! Distances and angles between models in weight space.
//!
//! Differences are taken and summed in `f64`, over eight running sums that are added in a fixed order, so
//! that the compiler may use vectors and the result stays the same on every machine.

use crate::{Error, Weights};

/// Changes whenever a distance changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("distance", VERSION)
}

/// Running sums of [`sum`].
const LANES: usize = 8;

/// Euclidean distance `|a - b|`.
///
/// # Errors
/// [`Error::Missing`], [`Error::Shape`] or [`Error::Structure`] if the two do not hold the same tensors.
pub fn l2(a: &Weights, b: &Weights) -> Result<f64, Error> {
    a.layout().same(b.layout())?;
    Ok(squared(&a.values, &b.values).sqrt())
}

/// Euclidean distance of each tensor, in layout order; their squares add up to that of [`l2`].
///
/// # Errors
/// As [`l2`].
pub fn per_tensor(a: &Weights, b: &Weights) -> Result<Vec<(String, f64)>, Error> {
    a.layout().same(b.layout())?;
    let distance = |entry: &crate::Entry| {
        let range = entry.range();
        (entry.name.clone(), squared(&a.values[range.clone()], &b.values[range]).sqrt())
    };
    Ok(a.layout().entries().iter().map(distance).collect())
}

/// Cosine of two task vectors, `<a - base, b - base> / (|a - base| |b - base|)`, -1 to 1; `None` if either
/// model is the base itself.
///
/// # Errors
/// As [`l2`], for all three.
pub fn cosine(base: &Weights, a: &Weights, b: &Weights) -> Result<Option<f64>, Error> {
    base.layout().same(a.layout())?;
    base.layout().same(b.layout())?;
    let product = dot(&base.values, &a.values, &b.values);
    let lengths = squared(&a.values, &base.values).sqrt() * squared(&b.values, &base.values).sqrt();
    Ok((lengths > 0.0).then(|| (product / lengths).clamp(-1.0, 1.0)))
}

/// `sum (a - b)^2`.
pub(crate) fn squared(a: &[f32], b: &[f32]) -> f64 {
    sum(a.len(), |i| {
        let difference = f64::from(a[i]) - f64::from(b[i]);
        difference * difference
    })
}

/// `sum (a - base) (b - base)`.
pub(crate) fn dot(base: &[f32], a: &[f32], b: &[f32]) -> f64 {
    sum(base.len(), |i| {
        let base = f64::from(base[i]);
        (f64::from(a[i]) - base) * (f64::from(b[i]) - base)
    })
}

/// `sum a b`.
pub(crate) fn product(a: &[f32], b: &[f32]) -> f64 {
    sum(a.len(), |i| f64::from(a[i]) * f64::from(b[i]))
}

fn sum(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let whole = n - n % LANES;
    for block in (0..whole).step_by(LANES) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(block + lane);
        }
    }
    for i in whole..n {
        lanes[i - whole] += term(i);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::Layout;
    use crate::tests::weights;

    fn naive(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn by_hand() {
        let mut layout = Layout::default();
        layout.push("w", &[2]);
        let layout = Arc::new(layout);
        let of = |x: f32, y: f32| {
            let mut weights = Weights::zeros(Arc::clone(&layout));
            weights.values.copy_from_slice(&[x, y]);
            weights
        };
        assert_eq!(l2(&of(1.0, 1.0), &of(4.0, 5.0)).unwrap(), 5.0);
        let cosine = |a, b| cosine(&of(1.0, 1.0), &a, &b).unwrap();
        assert_eq!(cosine(of(2.0, 1.0), of(1.0, 3.0)), Some(0.0));
        assert_eq!(cosine(of(2.0, 1.0), of(-5.0, 1.0)), Some(-1.0));
        assert!((cosine(of(2.0, 2.0), of(1.0, 3.0)).unwrap() - 0.5_f64.sqrt()).abs() < 1e-15);
        assert_eq!(cosine(of(1.0, 1.0), of(1.0, 3.0)), None);
    }

    /// An f32 sum of a million ones and small changes would stop growing.
    #[test]
    fn sums_do_not_saturate() {
        let n = 3_000_001;
        let mut layout = Layout::default();
        layout.push("w", &[n]);
        let zero = Weights::zeros(Arc::new(layout));
        let mut other = zero.clone();
        other.values.fill(1e-3);
        let expected = f64::from(1e-3_f32) * (n as f64).sqrt();
        assert!((l2(&zero, &other).unwrap() / expected - 1.0).abs() < 1e-10);
    }

    proptest! {
        #[test]
        fn as_the_reference(seed in 0..500_u64) {
            let (a, b, c) = (weights(seed), weights(seed + 1), weights(seed + 2));
            let distance = l2(&a, &b).unwrap();
            prop_assert!((distance - naive(&a.values, &b.values)).abs() < 1e-12);
            prop_assert_eq!(distance, l2(&b, &a).unwrap());
            prop_assert_eq!(l2(&a, &a).unwrap(), 0.0);
            prop_assert!(distance <= l2(&a, &c).unwrap() + l2(&c, &b).unwrap() + 1e-12);
            let parts: f64 = per_tensor(&a, &b).unwrap().iter().map(|(_, d)| d * d).sum();
            prop_assert!((parts.sqrt() - distance).abs() < 1e-12);
        }
    }
}
