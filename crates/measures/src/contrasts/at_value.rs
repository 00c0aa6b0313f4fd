//! Contrasts at fixed accuracies: each side of a data axis interpolated at .5, .55 ... .95.
//!
//! A pretraining seed has, on each side, points `(accuracy, value)`, one for each arm. Between neighbouring
//! points the value is linear; outside of them there is none. The contrast at an accuracy is over the
//! pretraining seeds whose sides both reach it.

use super::{Contrast, SeedFigure, over_seeds};

/// Changes whenever an interpolated contrast changes.
pub const VERSION: u32 = 1;

/// The accuracies that are looked at.
pub const ACCURACIES: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// Both sides of one pretraining seed: points `(accuracy, value)` in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sides {
    /// Pretraining seed.
    pub seed: u64,
    /// Late points.
    pub late: Vec<(f64, f64)>,
    /// Early points.
    pub early: Vec<(f64, f64)>,
}

/// Linear interpolation of `points` at `x`; points at the same place count by their mean. `None` outside of
/// them, or where a coordinate is not finite.
#[must_use]
pub fn interpolated(points: &[(f64, f64)], x: f64) -> Option<f64> {
    if points.iter().any(|(at, value)| !at.is_finite() || !value.is_finite()) {
        return None;
    }
    let mean_at = |place: f64| {
        let here: Vec<f64> = points.iter().filter(|(at, _)| *at == place).map(|(_, value)| *value).collect();
        here.iter().sum::<f64>() / here.len() as f64
    };
    let below = points.iter().map(|point| point.0).filter(|at| *at <= x).max_by(f64::total_cmp)?;
    let above = points.iter().map(|point| point.0).filter(|at| *at >= x).min_by(f64::total_cmp)?;
    if below == above {
        return Some(mean_at(below));
    }
    let share = (x - below) / (above - below);
    Some((1.0 - share) * mean_at(below) + share * mean_at(above))
}

/// The contrast late less early at `x`; `None` where fewer than two pretraining seeds reach it on both sides.
#[must_use]
pub fn contrast(seeds: &[Sides], x: f64, level: f64) -> Option<Contrast> {
    let figure = |sides: &Sides| {
        let value = interpolated(&sides.late, x)? - interpolated(&sides.early, x)?;
        Some(SeedFigure { seed: sides.seed, value, within: None, n_pairs: 0 })
    };
    over_seeds(&seeds.iter().filter_map(figure).collect::<Vec<_>>(), level).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_beyond_the_points() {
        let points = [(0.9, 3.0), (0.5, 1.0), (0.9, 5.0)];
        assert_eq!(interpolated(&points, 0.5), Some(1.0));
        assert!((interpolated(&points, 0.7).unwrap() - 2.5).abs() < 1e-12);
        assert_eq!(interpolated(&points, 0.9), Some(4.0));
        assert_eq!(interpolated(&points, 0.91), None);
        assert_eq!(interpolated(&[(f64::NAN, 1.0)], 0.5), None);
    }

    #[test]
    fn only_seeds_that_reach_it() {
        let sides = |seed, late: f64| Sides {
            seed,
            late: vec![(0.4, 0.0), (0.9, late)],
            early: vec![(0.5, 0.0), (0.8, 0.3)],
        };
        let found = contrast(&[sides(0, 1.0), sides(1, 2.0)], 0.8, 0.95).unwrap();
        assert!((found.estimate - (1.2 - 0.3)).abs() < 1e-12 && found.n_seeds == 2);
        assert!(contrast(&[sides(0, 1.0), sides(1, 2.0)], 0.85, 0.95).is_none());
    }
}
