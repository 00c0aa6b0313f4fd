//! What one pretraining seed does to a contrast: exact sign-flip p and leave-one-seed-out range.
//!
//! Under "no change" and symmetry each seed's figure might as well have had the other sign (Fisher 1935): the
//! exact p is the share of the `2^P` sign patterns whose absolute mean is at least the observed one. With
//! `P` seeds it is never below `2^(1-P)`. Shown where one seed dominates, that is, holds more than half of the
//! sum of squared deviations.

/// Changes whenever a figure changes.
pub const VERSION: u32 = 1;

/// Most pretraining seeds whose sign patterns are enumerated.
pub const MOST_SEEDS: usize = 20;

/// What depends on single seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensitivity {
    /// Exact two-sided sign-flip p; `None` beyond [`MOST_SEEDS`].
    pub sign_flip_p: Option<f64>,
    /// Smallest mean without one seed.
    pub lowest: f64,
    /// Largest mean without one seed.
    pub highest: f64,
    /// One seed holds more than half of the sum of squared deviations.
    pub dominated: bool,
}

/// Sensitivity of the mean of `values`, one for each pretraining seed; `None` with fewer than two.
#[must_use]
pub fn sensitivity(values: &[f64]) -> Option<Sensitivity> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let sum: f64 = values.iter().sum();
    let mean = sum / n as f64;
    let left_out = values.iter().map(|value| (sum - value) / (n - 1) as f64);
    let squares: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
    let largest = squares.iter().copied().fold(0.0, f64::max);
    Some(Sensitivity {
        sign_flip_p: (n <= MOST_SEEDS).then(|| sign_flip(values)),
        lowest: left_out.clone().fold(f64::INFINITY, f64::min),
        highest: left_out.fold(f64::NEG_INFINITY, f64::max),
        // With two seeds each holds half.
        dominated: n > 2 && largest > 0.5 * squares.iter().sum::<f64>(),
    })
}

/// By Gray code, so that each pattern changes one sign.
fn sign_flip(values: &[f64]) -> f64 {
    let observed = values.iter().sum::<f64>().abs();
    let slack = 1e-12 * values.iter().map(|value| value.abs()).sum::<f64>();
    let mut signed = values.to_vec();
    let mut as_extreme = 0_u64;
    let patterns = 1_u64 << values.len();
    for pattern in 1..=patterns {
        let sum: f64 = signed.iter().sum();
        as_extreme += u64::from(sum.abs() >= observed - slack);
        if pattern < patterns {
            let flip = pattern.trailing_zeros() as usize;
            signed[flip] = -signed[flip];
        }
    }
    as_extreme as f64 / patterns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = sensitivity(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(found.sign_flip_p, Some(2.0 / 8.0));
        assert_eq!((found.lowest, found.highest, found.dominated), (1.5, 2.5, false));
        let outlier = sensitivity(&[0.0, 0.1, -0.1, 5.0]).unwrap();
        assert!(outlier.dominated && outlier.lowest.abs() < 1e-12);
        assert_eq!(sensitivity(&[0.0, 0.0]).unwrap().sign_flip_p, Some(1.0));
        assert_eq!(sensitivity(&[1.0]), None);
        assert_eq!(sensitivity(&[1.0; 21]).unwrap().sign_flip_p, None);
    }
}
