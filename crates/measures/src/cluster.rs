//! Which models belong together: spectral bipartition of a matrix of pairwise distances (barriers, convexity
//! gaps, ...).
//!
//! With affinities `w_ij = exp(-d_ij^2 / (2 delta^2))`, `w_ii = 0` and degrees `D_i = sum_j w_ij`, a model's
//! coordinate is its entry in `D^-1/2 u`, where `u` is the eigenvector of the second largest eigenvalue of
//! `D^-1/2 W D^-1/2` (the relaxed normalised cut of Shi and Malik 2000). The sign of the coordinate is the
//! cluster. The eigenvectors come from Jacobi rotations, O(n^3) a sweep: meant for up to a few hundred
//! models.
//!
//! A bipartition always finds two clusters. Whether they are there is told by [`Bipartition::gap`].

use crate::Error;

/// Changes whenever a coordinate or a cluster changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("cluster", VERSION)
}

/// Two clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Bipartition {
    /// One-dimensional spectral embedding. Model 0 is never on the negative side.
    pub coordinates: Vec<f64>,
    /// Whether a model is in the other cluster than model 0's side: its coordinate is negative.
    pub negative: Vec<bool>,
    /// Second less third largest eigenvalue: near 0 if a split in two is no better than another, up to 1 for
    /// two tight clusters far apart. For two models, which have no third, NaN.
    pub gap: f64,
    /// The width of the kernel (delta) that was used.
    pub width: f64,
}

/// Splits models by their distances `[n, n]`, row-major, symmetric, with zeros on the diagonal. Without a
/// `width` it is the median distance between two models.
///
/// # Errors
/// [`Error::TooFew`] below two models; [`Error::Parameter`] for a distance that is negative or not finite, a
/// matrix that is not symmetric, or a width that is not positive; [`Error::NoFigure`] if a model is so far
/// from all that its affinities vanish.
///
/// # Panics
/// If there are not `n * n` distances.
pub fn bipartition(distances: &[f64], n: usize, width: Option<f64>) -> Result<Bipartition, Error> {
    assert_eq!(distances.len(), n * n, "{} distances between {n} models", distances.len());
    if n < 2 {
        return Err(Error::TooFew { what: "models to cluster", found: n, needed: 2 });
    }
    check(distances, n)?;
    let width = width.unwrap_or_else(|| median_distance(distances, n));
    if !(width > 0.0 && width.is_finite()) {
        return Err(Error::Parameter {
            name: "the kernel's width",
            expected: "a positive number",
            value: width,
        });
    }
    let affinity = |i: usize, j: usize| {
        if i == j { 0.0 } else { (-0.5 * (distances[i * n + j] / width).powi(2)).exp() }
    };
    let degrees: Vec<f64> = (0..n).map(|i| (0..n).map(|j| affinity(i, j)).sum()).collect();
    if degrees.contains(&0.0) {
        return Err(Error::NoFigure);
    }
    let normalised = |i: usize, j: usize| affinity(i, j) / (degrees[i] * degrees[j]).sqrt();
    let matrix = (0..n * n).map(|at| normalised(at / n, at % n)).collect();
    let (values, vectors) = eigen(matrix, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let second = order[1];
    let mut coordinates: Vec<f64> = (0..n).map(|i| vectors[i * n + second] / degrees[i].sqrt()).collect();
    if coordinates[0] < 0.0 {
        coordinates.iter_mut().for_each(|x| *x = -*x);
    }
    let negative = coordinates.iter().map(|&x| x < 0.0).collect();
    let gap = order.get(2).map_or(f64::NAN, |&third| values[second] - values[third]);
    Ok(Bipartition { coordinates, negative, gap, width })
}

/// Share of the triples of models that violate the triangle inequality, 0 to 1: barriers are no metric, and
/// this says how far they are from one. 0 below three models.
///
/// # Errors
/// [`Error::Parameter`] as [`bipartition`].
///
/// # Panics
/// If there are not `n * n` distances.
pub fn triangle_violations(distances: &[f64], n: usize) -> Result<f64, Error> {
    assert_eq!(distances.len(), n * n, "{} distances between {n} models", distances.len());
    check(distances, n)?;
    let (mut violated, mut triples) = (0.0, 0.0);
    for i in 0..n {
        for j in i + 1..n {
            for k in j + 1..n {
                let (a, b, c) = (distances[i * n + j], distances[j * n + k], distances[i * n + k]);
                triples += 1.0;
                violated += f64::from(u8::from(2.0 * a.max(b).max(c) > a + b + c));
            }
        }
    }
    Ok(if triples > 0.0 { violated / triples } else { 0.0 })
}

fn check(distances: &[f64], n: usize) -> Result<(), Error> {
    for i in 0..n {
        for j in 0..n {
            let value = distances[i * n + j];
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::Parameter {
                    name: "a distance",
                    expected: "a number of at least 0",
                    value,
                });
            }
            if value != distances[j * n + i] {
                return Err(Error::Parameter { name: "a distance", expected: "the same both ways", value });
            }
        }
    }
    Ok(())
}

fn median_distance(distances: &[f64], n: usize) -> f64 {
    let mut between: Vec<f64> = (0..n).flat_map(|i| (i + 1..n).map(move |j| distances[i * n + j])).collect();
    between.sort_by(f64::total_cmp);
    crate::quantiles::of_sorted(&between, 0.5)
}

/// Eigenvalues and eigenvectors (column k belongs to value k) of a symmetric matrix by cyclic Jacobi
/// rotations.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    const SWEEPS: usize = 64;
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _ in 0..SWEEPS {
        let off: f64 =
            (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        if off < 1e-28 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                    let (x, y) = (vectors[k * n + p], vectors[k * n + q]);
                    vectors[k * n + p] = c * x - s * y;
                    vectors[k * n + q] = s * x + c * y;
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;

    fn on_a_line(points: &[f64]) -> Vec<f64> {
        points.iter().flat_map(|a| points.iter().map(move |b| (a - b).abs())).collect()
    }

    #[test]
    fn two_groups_are_found() {
        let found = bipartition(&on_a_line(&[0.0, 5.0, 0.1, 5.2, 0.2, 4.9, 0.15]), 7, Some(1.0)).unwrap();
        assert_eq!(found.negative, [false, true, false, true, false, true, false]);
        assert!(found.gap > 0.5, "{found:?}");
    }

    #[test]
    fn one_group_has_no_gap() {
        let equal: Vec<f64> = (0..36).map(|at| if at / 6 == at % 6 { 0.0 } else { 1.0 }).collect();
        let found = bipartition(&equal, 6, None).unwrap();
        assert!(found.gap < 1e-9 && found.width == 1.0, "{found:?}");
    }

    /// A v = lambda v, and the eigenvectors are orthonormal.
    #[test]
    fn eigen_is_the_definition() {
        let n = 9;
        let mut stream = Stream::new(0, "cluster test");
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            for j in i..n {
                matrix[i * n + j] = stream.normal();
                matrix[j * n + i] = matrix[i * n + j];
            }
        }
        let (values, vectors) = eigen(matrix.clone(), n);
        for k in 0..n {
            for i in 0..n {
                let product: f64 = (0..n).map(|j| matrix[i * n + j] * vectors[j * n + k]).sum();
                assert!((product - values[k] * vectors[i * n + k]).abs() < 1e-10);
                let inner: f64 = (0..n).map(|j| vectors[j * n + i] * vectors[j * n + k]).sum();
                assert!((inner - f64::from(u8::from(i == k))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn triangles_and_refusals() {
        assert_eq!(triangle_violations(&on_a_line(&[0.0, 1.0, 5.0]), 3).unwrap(), 0.0);
        let squares: Vec<f64> = on_a_line(&[0.0, 1.0, 5.0]).iter().map(|d| d * d).collect();
        assert_eq!(triangle_violations(&squares, 3).unwrap(), 1.0);
        let message = bipartition(&[0.0, 1.0, 2.0, 0.0], 2, None).unwrap_err().to_string();
        assert_eq!(message, "a distance must be the same both ways, not 1");
        assert!(bipartition(&[0.0, 0.0, 0.0, 0.0], 2, None).is_err(), "no scale in equal models");
        assert_eq!(bipartition(&on_a_line(&[0.0, 1.0, 1e4]), 3, Some(1.0)), Err(Error::NoFigure));
    }
}
