//! Spread of accuracy without a ceiling: the sd over runs of the empirical logit.
//!
//! ```text
//! logit_spread = sd_k ln((r_k + 1/2) / (N - r_k + 1/2))       r_k right answers of run k of N
//! ```
//!
//! Near accuracy 1 an sd of accuracies is small whatever the runs do; the logit has no such bound (the added
//! halves are Haldane's and Anscombe's). The number of examples sets a floor: compare rungs at equal `N`.

use super::Figure;

/// Changes whenever a spread changes.
pub const VERSION: u32 = 1;

/// Sd (divisor `K - 1`) over runs of the logits of `right` answers of `n`; `None` with fewer than two runs.
#[must_use]
pub fn logit_spread(right: &[f64], n: f64) -> Option<Figure> {
    let logits: Vec<f64> = right.iter().map(|r| ((r + 0.5) / (n - r + 0.5)).ln()).collect();
    Figure::jackknifed(logits.len(), |left_out| {
        let kept: Vec<f64> =
            logits.iter().enumerate().filter(|(run, _)| left_out != Some(*run)).map(|(_, x)| *x).collect();
        crate::runs::spread::sd(&kept)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // ln(1.5/9.5 ...) of 1, 5, 9 of 10: -L, 0, L with L = ln(9.5/1.5).
        let found = logit_spread(&[1.0, 5.0, 9.0], 10.0).unwrap();
        assert!((found.value - (9.5_f64 / 1.5).ln()).abs() < 1e-12);
        // Always right: finite, and equal runs have no spread.
        assert_eq!(logit_spread(&[10.0, 10.0], 10.0).unwrap().value, 0.0);
        assert_eq!(logit_spread(&[10.0], 10.0), None);
    }
}
