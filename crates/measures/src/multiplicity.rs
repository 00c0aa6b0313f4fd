//! Adjustment of p for the number of questions.
//!
//! - Holm 1979: `max_(j <= i) min(1, (m - j + 1) p_(j))`, the chance of *any* false claim among the primaries
//!   that decide a verdict;
//! - Benjamini and Hochberg 1995: `min_(j >= i) min(1, m p_(j) / j)`, the share of false claims in a table.

use crate::contrasts::Contrast;

/// Changes whenever an adjusted p changes.
pub const VERSION: u32 = 1;

/// Holm's adjusted p, in the order given.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let (mut adjusted, mut so_far) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, &i) in order.iter().enumerate() {
        so_far = so_far.max(((p.len() - rank) as f64 * p[i]).min(1.0));
        adjusted[i] = so_far;
    }
    adjusted
}

/// Benjamini and Hochberg's adjusted p, in the order given.
#[must_use]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let (mut adjusted, mut so_far) = (vec![0.0; p.len()], 1.0_f64);
    for (rank, &i) in order.iter().enumerate().rev() {
        so_far = so_far.min(p.len() as f64 / (rank + 1) as f64 * p[i]);
        adjusted[i] = so_far;
    }
    adjusted
}

/// Writes `p_adjusted` of a family of contrasts by [`holm`] or [`benjamini_hochberg`].
pub fn adjust(contrasts: &mut [&mut Contrast], by: fn(&[f64]) -> Vec<f64>) {
    let p: Vec<f64> = contrasts.iter().map(|contrast| contrast.p).collect();
    for (contrast, adjusted) in contrasts.iter_mut().zip(by(&p)) {
        contrast.p_adjusted = adjusted;
    }
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let p = [0.04, 0.01, 0.03];
        assert_eq!(holm(&p), [0.06, 0.03, 0.06]);
        let found = benjamini_hochberg(&p);
        for (found, expected) in found.iter().zip([0.04, 0.03, 0.04]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!(holm(&[]).is_empty());
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
