//! Equivalence within a margin: two one-sided tests (Schuirmann 1987).
//!
//! ```text
//! p = max( P(T > (estimate + margin)/se), P(T < (estimate - margin)/se) )
//! ```
//!
//! "No change" is shown, not assumed: it needs `p < alpha`, which is the same as a `1 - 2 alpha` interval
//! inside the margin. The margin is fixed before the results.

use super::Contrast;
use crate::quantiles::student_cdf;

/// Changes whenever a p changes.
pub const VERSION: u32 = 1;

/// p of the two one-sided tests that `contrast` lies within `margin` (positive) of 0.
#[must_use]
pub fn tost(contrast: &Contrast, margin: f64) -> f64 {
    let (estimate, se) = (contrast.estimate, contrast.standard_error);
    if se <= 0.0 {
        return if estimate.abs() < margin { 0.0 } else { 1.0 };
    }
    let above = student_cdf(-(estimate + margin) / se, contrast.df);
    let below = student_cdf((estimate - margin) / se, contrast.df);
    above.max(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contrasts::{SeedFigure, over_seeds};

    /// p < .05 exactly where the 90 % interval lies inside the margin.
    #[test]
    fn is_an_interval() {
        let values = [0.01, -0.004, 0.006, 0.012, -0.002];
        let figures: Vec<SeedFigure> =
            values.iter().map(|&value| SeedFigure { seed: 0, value, within: None, n_pairs: 0 }).collect();
        let interval = over_seeds(&figures, 0.9).unwrap();
        for margin in [interval.high * 1.001, interval.high * 0.999] {
            assert_eq!(tost(&interval, margin) < 0.05, margin > interval.high, "{margin}");
        }
    }
}
