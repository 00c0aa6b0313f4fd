//! Latent correlation of runs, and the path variance that accuracy alone predicts.
//!
//! Suppose run `k` is right on example `i` where a normal variable exceeds a threshold, and those of two runs
//! correlate by `rho` (Pearson 1900: the tetrachoric correlation). Then both are right with probability
//! `Phi2(h_a, h_b; rho)`, `h = Phi^-1(accuracy)`. Pooled over pairs, `rho` solves
//!
//! ```text
//! sum_pairs Phi2(h_a, h_b; rho) = sum_pairs (share of examples on which both are right)
//! ```
//!
//! With `rho` held as it is early, the accuracies of late runs predict a late path variance; observed less
//! predicted is the change *beyond accuracy* ([`beyond_accuracy`]), in units of path variance. It needs no
//! pair of equal accuracy, but it does need the model: where pairs can be matched, the matched contrast decides.
//!
//! `Phi2` is `Phi(h) Phi(k) + 1/(2 pi) int_0^(asin rho) exp(-(h^2 + k^2 - 2 h k sin t)/(2 cos^2 t)) dt`
//! (Drezner and Wesolowsky 1990).

use super::rows;
use crate::quantiles;

/// Changes whenever a correlation or a prediction changes.
pub const VERSION: u32 = 1;

/// Correlations that are looked at: beyond this the integral loses digits and the data say no more.
const MOST: f64 = 0.9995;

/// Positive abscissae and weights of Gauss-Legendre quadrature of order 10 on [-1, 1].
const NODES: [(f64, f64); 5] = [
    (0.148_874_338_981_631_22, 0.295_524_224_714_752_87),
    (0.433_395_394_129_247_2, 0.269_266_719_309_996_35),
    (0.679_409_568_299_024_4, 0.219_086_362_515_982_04),
    (0.865_063_366_688_984_5, 0.149_451_349_150_580_6),
    (0.973_906_528_517_171_7, 0.066_671_344_308_688_14),
];

/// Probability that two standard normal variables of correlation `rho` lie below `h` and `k`.
#[must_use]
pub fn bivariate_normal(h: f64, k: f64, rho: f64) -> f64 {
    // Panels of the angle: the integrand bends the more, the nearer the angle comes to a right one.
    let panels = if rho.abs() < 0.8 { 2 } else { 8 };
    let end = rho.asin();
    let half = end / f64::from(panels) / 2.0;
    let density = |angle: f64| {
        let (sine, cosine) = angle.sin_cos();
        (-(h * h + k * k - 2.0 * h * k * sine) / (2.0 * cosine * cosine)).exp()
    };
    let mut integral = 0.0;
    for panel in 0..panels {
        let centre = half * (2.0 * f64::from(panel) + 1.0);
        for (x, weight) in NODES {
            integral += weight * (density(centre - half * x) + density(centre + half * x));
        }
    }
    quantiles::normal_cdf(h) * quantiles::normal_cdf(k) + half * integral / std::f64::consts::TAU
}

/// How often two runs are right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Share of right answers of each, 0 to 1.
    pub accuracies: [f64; 2],
    /// Share of examples on which both are right, 0 to 1.
    pub both: f64,
    /// Examples.
    pub examples: f64,
}

impl From<&Rates> for Pair {
    fn from(rates: &Rates) -> Self {
        let [h, k] = rates.accuracies.map(|accuracy| threshold(accuracy * rates.examples, rates.examples));
        Self { h, k, both: rates.both }
    }
}

/// An always-right run has an infinite threshold; half an answer keeps it finite.
fn threshold(right: f64, n: f64) -> f64 {
    quantiles::normal(right.clamp(0.5, n - 0.5) / n)
}

/// What two runs have in common: their thresholds and the share of examples on which both are right.
struct Pair {
    h: f64,
    k: f64,
    both: f64,
}

fn pairs(right: &[f64], examples: usize) -> Vec<Pair> {
    let runs = rows(right, examples);
    let n = examples as f64;
    let row = |run: usize| &right[run * examples..][..examples];
    let thresholds: Vec<f64> = (0..runs).map(|run| threshold(row(run).iter().sum(), n)).collect();
    let mut pairs = Vec::new();
    for a in 0..runs {
        for b in a + 1..runs {
            let both = row(a).iter().zip(row(b)).map(|(a, b)| a * b).sum::<f64>() / n;
            pairs.push(Pair { h: thresholds[a], k: thresholds[b], both });
        }
    }
    pairs
}

fn solve(pairs: &[Pair]) -> Option<f64> {
    if pairs.is_empty() {
        return None;
    }
    let excess =
        |rho: f64| pairs.iter().map(|pair| bivariate_normal(pair.h, pair.k, rho) - pair.both).sum::<f64>();
    let (mut low, mut high) = (-MOST, MOST);
    if excess(low) >= 0.0 {
        return Some(low);
    }
    if excess(high) <= 0.0 {
        return Some(high);
    }
    for _ in 0..34 {
        let middle = f64::midpoint(low, high);
        if excess(middle) < 0.0 { low = middle } else { high = middle }
    }
    Some(f64::midpoint(low, high))
}

/// Pooled tetrachoric correlation of `right` `[runs, examples]`, within +-0.9995; `None` with fewer than two
/// runs.
///
/// # Panics
/// If `right` is not rows of `examples`.
#[must_use]
pub fn correlation(right: &[f64], examples: usize) -> Option<f64> {
    solve(&pairs(right, examples))
}

/// Late path variance less the one that the late accuracies predict if the latent correlation stays as it is
/// early. Below 0: late runs differ less than their accuracy explains. `None` with fewer than two runs on a
/// side.
///
/// # Panics
/// If a matrix is not rows of its examples.
#[must_use]
pub fn beyond_accuracy(late: (&[f64], usize), early: (&[f64], usize)) -> Option<f64> {
    beyond(&pairs(late.0, late.1), &pairs(early.0, early.1))
}

/// [`beyond_accuracy`] of pairs whose rates are known, of one rung or of several. `None` with no pair on a side.
#[must_use]
pub fn beyond_accuracy_of(late: &[Rates], early: &[Rates]) -> Option<f64> {
    let pairs = |rates: &[Rates]| rates.iter().map(Pair::from).collect::<Vec<Pair>>();
    beyond(&pairs(late), &pairs(early))
}

fn beyond(late: &[Pair], early: &[Pair]) -> Option<f64> {
    let rho = solve(early)?;
    // Path variance of a pair is (p_a + p_b)/2 - both: the accuracies cancel.
    let sum: f64 = late.iter().map(|pair| bivariate_normal(pair.h, pair.k, rho) - pair.both).sum();
    (!late.is_empty()).then(|| sum / late.len() as f64)
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;

    #[test]
    fn orthants_have_a_closed_form() {
        for rho in [-0.95, -0.3, 0.0, 0.5, 0.876, 0.99, 0.999] {
            let expected = 0.25 + f64::asin(rho) / std::f64::consts::TAU;
            assert!((bivariate_normal(0.0, 0.0, rho) - expected).abs() < 1e-9, "{rho}");
        }
    }

    #[test]
    fn accuracy_alone_is_taken_out() {
        let mut stream = Stream::new(4, "latent test");
        let n = 20_000;
        let mut runs = |threshold: f64, rho: f64| -> Vec<f64> {
            let common: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            let mut right = Vec::new();
            for _ in 0..3 {
                for u in &common {
                    let z = rho.sqrt() * u + (1.0 - rho).sqrt() * stream.normal();
                    right.push(f64::from(u8::from(z < threshold)));
                }
            }
            right
        };
        let (early, same, more) = (runs(0.14, 0.876), runs(1.476, 0.876), runs(1.476, 0.95));
        assert!((correlation(&early, n).unwrap() - 0.876).abs() < 0.01);
        assert!(beyond_accuracy((&same, n), (&early, n)).unwrap().abs() < 0.002);
        assert!(beyond_accuracy((&more, n), (&early, n)).unwrap() < -0.006);
        let rates = |right: &[f64]| -> Vec<Rates> {
            let row = |run: usize| &right[run * n..][..n];
            let share = |values: f64| values / n as f64;
            let of = |(a, b): (usize, usize)| Rates {
                accuracies: [a, b].map(|run| share(row(run).iter().sum())),
                both: share(row(a).iter().zip(row(b)).map(|(a, b)| a * b).sum()),
                examples: n as f64,
            };
            [(0, 1), (0, 2), (1, 2)].map(of).to_vec()
        };
        let of_rates = beyond_accuracy_of(&rates(&more), &rates(&early)).unwrap();
        assert!((of_rates - beyond_accuracy((&more, n), (&early, n)).unwrap()).abs() < 1e-12);
    }
}
