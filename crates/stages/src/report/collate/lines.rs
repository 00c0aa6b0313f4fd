//! The paths between runs, as one or several interpolations walked them.

use std::collections::BTreeMap;

use report::LINEAR;
use store::Store;

use super::Manifests;
use crate::rows::{PairRow, PathRow};
use crate::stage::Failure;
use crate::walk::barriers;

/// One path between two runs on one split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Walk {
    /// The interpolation that walked it, as people name it.
    by: String,
    pub(crate) summary: PairRow,
    /// From `run_a` to `run_b`, of which the first is the smaller key.
    pub(crate) points: Vec<PathRow>,
}

/// The keys of two runs, the smaller first.
type Ends = (String, String);

/// The place of a walk: straight lines first, then paths and splits by name.
type Place = (bool, String, String);

/// All walks of a study.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    walks: BTreeMap<Ends, Vec<Walk>>,
    /// Walks that were left out, and why.
    pub(crate) warnings: Vec<String>,
}

impl Lines {
    /// Reads what the interpolations among the manifests found. Several walks of one path on one split are one.
    ///
    /// # Errors
    /// [`Failure::Input`] naming the interpolation and the column if a table is not of its schema; [`Failure::Store`] if
    /// it is not there.
    pub(crate) fn read(store: &Store, manifests: &Manifests) -> Result<Self, Failure> {
        let mut found: BTreeMap<(Ends, Place), Vec<Walk>> = BTreeMap::new();
        for manifest in manifests.values().filter(|manifest| manifest.stage == "interpolate") {
            let by = format!("interpolate {}", manifest.key.short());
            let bytes = |role: &str| -> Result<_, Failure> { Ok(store.map(&manifest.output(role)?.object)?) };
            let about = |error: tables::Error| Failure::Input(format!("{by}: {error}"));
            let mut points: BTreeMap<(Ends, Place), Vec<PathRow>> = BTreeMap::new();
            for row in PathRow::read(&bytes("paths")?).map_err(about)? {
                let row = forward(row);
                let key = ((row.run_a.clone(), row.run_b.clone()), place(&row.path, &row.split));
                points.entry(key).or_default().push(row);
            }
            for summary in PairRow::read(&bytes("pairs")?).map_err(about)? {
                let summary = ordered(summary);
                let ends = (summary.run_a.clone(), summary.run_b.clone());
                let key = (ends, place(&summary.path, &summary.split));
                let mut points = points.remove(&key).unwrap_or_default();
                points.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
                found.entry(key).or_default().push(Walk { by: by.clone(), summary, points });
            }
        }
        let mut lines = Self::default();
        for ((ends, _), walks) in found {
            let walk = join(walks, &mut lines.warnings);
            lines.walks.entry(ends).or_default().extend(walk);
        }
        Ok(lines)
    }

    /// The walks between two runs, whichever is named first: straight lines first, then by path and split.
    pub(crate) fn between(&self, a: &str, b: &str) -> &[Walk] {
        let ends = if a <= b { (a, b) } else { (b, a) };
        self.walks.get(&(ends.0.to_owned(), ends.1.to_owned())).map_or(&[], Vec::as_slice)
    }
}

fn place(path: &str, split: &str) -> Place {
    (path != LINEAR, path.to_owned(), split.to_owned())
}

/// The point as of the path that begins at the run with the smaller key.
fn forward(row: PathRow) -> PathRow {
    if row.run_a <= row.run_b {
        return row;
    }
    PathRow { run_a: row.run_b, run_b: row.run_a, alpha: 1.0 - row.alpha, ..row }
}

/// The same of a summary, which is alike both ways.
fn ordered(row: PairRow) -> PairRow {
    if row.run_a <= row.run_b {
        return row;
    }
    PairRow { run_a: row.run_b, run_b: row.run_a, ..row }
}

/// Several walks of one path on one split as one: the points of all, or, where they contradict each other, of the finest
/// (the first by key, if several are) and of those that agree with it.
fn join(mut walks: Vec<Walk>, warnings: &mut Vec<String>) -> Option<Walk> {
    walks.sort_by_key(|walk| std::cmp::Reverse(walk.summary.points));
    let mut walks = walks.into_iter();
    let mut whole = walks.next()?;
    let known = whole.points.len();
    for walk in walks {
        match merged(&whole.points, &walk.points) {
            Some(points) => whole.points = points,
            None => warnings.push(format!(
                "{} and {} disagree about the {} path between {} and {} on {}: the points of {} are left out",
                whole.by,
                walk.by,
                whole.summary.path,
                short(&whole.summary.run_a),
                short(&whole.summary.run_b),
                whole.summary.split,
                walk.by
            )),
        }
    }
    if whole.points.len() > known
        && let Some(summary) = barriers(&whole.points, whole.summary.weight_distance)
    {
        whole.summary = summary;
    }
    Some(whole)
}

/// The points of two walks, each in order, as one walk, each position once; `None` if the two differ at a position that both have.
fn merged(known: &[PathRow], further: &[PathRow]) -> Option<Vec<PathRow>> {
    let mut points = known.to_vec();
    for point in further {
        let at = known.partition_point(|other| other.alpha < point.alpha - SAME_POSITION);
        match known.get(at).filter(|other| (other.alpha - point.alpha).abs() < SAME_POSITION) {
            Some(other) if agree(other, point) => {}
            Some(_) => return None,
            None => points.push(point.clone()),
        }
    }
    points.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
    Some(points)
}

/// Positions closer than this are one: `1 - 0.7` is not `0.3` to the bit.
const SAME_POSITION: f64 = 1e-9;

/// Whether two rows say the same of one point, up to the rounding of a path that was walked the other way.
fn agree(a: &PathRow, b: &PathRow) -> bool {
    let close =
        |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-9 * x.abs().max(1.0);
    a.n == b.n
        && close(a.loss, b.loss)
        && close(a.accuracy, b.accuracy)
        && close(a.expected_error, b.expected_error)
}

fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(by: &str, points: &[(f64, f64)]) -> Walk {
        let point = |&(alpha, loss): &(f64, f64)| PathRow {
            run_a: "a".into(),
            run_b: "b".into(),
            path: LINEAR.into(),
            split: "id".into(),
            alpha,
            n: 20,
            loss,
            accuracy: 1.0 - loss,
            expected_error: loss,
        };
        let points: Vec<PathRow> = points.iter().map(point).collect();
        Walk { by: by.into(), summary: barriers(&points, 5.0).unwrap(), points }
    }

    #[test]
    fn grids_that_agree_are_one_path_with_the_barrier_of_all_points() {
        let coarse = walk("interpolate 1", &[(0.0, 0.1), (0.5, 0.2), (1.0, 0.1)]);
        let finer = walk("interpolate 2", &[(-0.5, 0.9), (0.0, 0.1), (0.25, 0.4), (0.75, 0.1), (1.0, 0.1)]);
        let mut warnings = Vec::new();
        let whole = join(vec![coarse.clone(), finer], &mut warnings).unwrap();
        let alphas: Vec<f64> = whole.points.iter().map(|point| point.alpha).collect();
        assert_eq!(alphas, [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0]);
        // Beyond the ends nothing counts: the highest is at a quarter.
        assert!((whole.summary.barrier - 0.3).abs() < 1e-12, "{:?}", whole.summary);
        assert_eq!((whole.summary.points, whole.summary.weight_distance), (5, 5.0));
        assert!(warnings.is_empty());
        // The same walk twice is the walk.
        assert_eq!(join(vec![coarse.clone(), coarse.clone()], &mut warnings), Some(coarse));
        assert!(warnings.is_empty());
    }

    #[test]
    fn of_grids_that_disagree_the_finer_stands_and_the_other_is_named() {
        let coarse = walk("interpolate 1", &[(0.0, 0.1), (0.5, 0.2), (1.0, 0.1)]);
        let finer = walk("interpolate 2", &[(0.0, 0.1), (0.25, 0.2), (0.5, 0.21), (1.0, 0.1)]);
        let mut warnings = Vec::new();
        assert_eq!(join(vec![coarse, finer.clone()], &mut warnings), Some(finer));
        let expected = "interpolate 2 and interpolate 1 disagree about the linear path between a and b on id: the points of \
                        interpolate 1 are left out";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn a_path_that_was_walked_the_other_way_is_turned_around() {
        let mut row = walk("", &[(0.0, 0.1), (0.7, 0.3), (1.0, 0.2)]).points.swap_remove(1);
        (row.run_a, row.run_b) = ("b".into(), "a".into());
        let turned = forward(row);
        assert_eq!((turned.run_a.as_str(), turned.run_b.as_str()), ("a", "b"));
        assert!((turned.alpha - 0.3).abs() < SAME_POSITION);
    }

    #[test]
    fn the_name_of_lines_is_that_of_their_path() {
        assert_eq!(LINEAR, weights::paths::linear::PATH.name);
    }
}
