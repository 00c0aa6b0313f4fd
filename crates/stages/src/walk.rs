//! A walked path in numbers: the row of `pairs` that follows from the rows of `paths`.

use measures::path;

use crate::rows::{PairRow, PathRow};

/// The barriers of one path on one split, from the points between its ends, both included; points beyond the ends take no part.
///
/// `points` are of one pair, path and split, in order of `alpha`; `weight_distance` is that of the ends. `None` if there
/// are not two points from 0 to 1.
pub(crate) fn barriers(points: &[PathRow], weight_distance: f64) -> Option<PairRow> {
    let inside = points.iter().filter(|point| (0.0..=1.0).contains(&point.alpha));
    let inside: Vec<&PathRow> = inside.collect();
    let [first, _, ..] = inside[..] else { return None };
    let alphas: Vec<f64> = inside.iter().map(|point| point.alpha).collect();
    let along =
        |value: fn(&PathRow) -> f64| -> Vec<f64> { inside.iter().map(|point| value(point)).collect() };
    let loss = path::summarise(&alphas, &along(|point| point.loss));
    Some(PairRow {
        run_a: first.run_a.clone(),
        run_b: first.run_b.clone(),
        path: first.path.clone(),
        split: first.split.clone(),
        points: alphas.len() as u64,
        barrier: loss.barrier,
        barrier_over_mean: loss.over_mean,
        barrier_over_max: loss.over_max,
        convexity_gap: loss.convexity_gap,
        error_barrier: path::barrier(&alphas, &along(|point| 1.0 - point.accuracy)),
        expected_error_barrier: path::barrier(&alphas, &along(|point| point.expected_error)),
        weight_distance,
    })
}
