//! When a grid is fine enough, and what the examples leave open of a barrier.
//!
//! A coarse grid misses the top: the barrier is biased low, and by more where the top is sharp. So the grid is halved
//! until the barrier hardly moves beside its own standard error:
//!
//! ```text
//! refine while b(2n-1) - b(n) >= se/2,     se = sd_i [l_i(a) - (1-a) l_i(0) - a l_i(1)] / sqrt(N)
//! ```
//!
//! `l_i` is the loss (or error) of example `i`, `a` the position of the maximum, sd with divisor `N - 1`. The
//! choice of `a` adds a little that this leaves out.

/// Changes whenever a standard error or a decision changes.
pub const VERSION: u32 = 1;

/// Standard error over examples of the height above the chord at `alpha`, from each example's value there and
/// at both ends; `None` with fewer than two examples.
///
/// # Panics
/// If the lists differ in length.
#[must_use]
pub fn standard_error(at: &[f64], start: &[f64], end: &[f64], alpha: f64) -> Option<f64> {
    assert!(at.len() == start.len() && at.len() == end.len(), "values of different examples");
    let height = |i: usize| at[i] - (1.0 - alpha) * start[i] - alpha * end[i];
    let heights: Vec<f64> = (0..at.len()).map(height).collect();
    crate::runs::spread::sd(&heights).map(|sd| sd / (heights.len() as f64).sqrt())
}

/// What to do with a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Halve the steps: this many points.
    Refine {
        /// Points of the next grid, `2n - 1`.
        points: usize,
    },
    /// Stop: the last halving moved the barrier by less than half a standard error.
    Enough,
    /// Stop at the most points allowed, though the barrier still moved.
    AtLimit,
}

/// Decides on a grid of `points`, of barrier `fine`, whose every second point had barrier `coarse` (`None` for
/// the first grid, which is always refined). A barrier that is not finite will not settle.
#[must_use]
pub fn decide(points: usize, coarse: Option<f64>, fine: f64, standard_error: f64, most: usize) -> Decision {
    if coarse.is_some_and(|coarse| fine - coarse < 0.5 * standard_error) {
        return Decision::Enough;
    }
    // A constant difference over examples has no standard error; what does not move at all is fine.
    if coarse.is_some_and(|coarse| fine == coarse) {
        return Decision::Enough;
    }
    let next = 2 * points - 1;
    if next > most || !fine.is_finite() { Decision::AtLimit } else { Decision::Refine { points: next } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let se = standard_error(&[1.0, 2.0, 6.0], &[0.0; 3], &[2.0, 0.0, 0.0], 0.5).unwrap();
        // Heights 0, 2, 6: sd sqrt(28/3)
        assert!((se - (28.0_f64 / 3.0 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(standard_error(&[1.0], &[0.0], &[0.0], 0.5), None);
    }

    #[test]
    fn stops_when_it_settles() {
        assert_eq!(decide(11, None, 0.1, 0.02, 81), Decision::Refine { points: 21 });
        assert_eq!(decide(21, Some(0.1), 0.109, 0.02, 81), Decision::Enough);
        assert_eq!(decide(21, Some(0.1), 0.111, 0.02, 81), Decision::Refine { points: 41 });
        assert_eq!(decide(81, Some(0.1), 0.2, 0.02, 81), Decision::AtLimit);
        assert_eq!(decide(21, Some(0.0), 0.0, 0.0, 81), Decision::Enough);
        assert_eq!(decide(21, Some(0.0), f64::NAN, 0.1, 81), Decision::AtLimit);
    }
}
