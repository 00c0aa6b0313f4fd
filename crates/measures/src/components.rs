//! Variance components of crossed seeds: heads x orders (x dropout x data draws).
//!
//! A full grid with one run in each cell. For a set `S` of factors with `L_f` levels, `MS_S` is the mean square
//! of their interaction in the n-way analysis of variance, and with all factors random (Searle et al. 1992)
//!
//! ```text
//! E[MS_S] = sum_(T >= S) (prod_(f not in T) L_f) sigma^2_T
//! sigma^2_S = sum_(T >= S) (-1)^(|T|-|S|) MS_T / prod_(f not in S) L_f
//! ```
//!
//! The interaction of all factors includes what is left over. Estimates may be negative, and are kept: cut at 0
//! their mean over examples or pretraining seeds would be biased. Cost `O(2^n cells)` for `n` factors.

use crate::Error;

/// Changes whenever a component changes.
pub const VERSION: u32 = 1;

/// Most factors.
const MOST_FACTORS: usize = 6;

/// A variance component.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its factors, by position: one for a main effect, several for an interaction.
    pub factors: Vec<usize>,
    /// Estimated variance; may be negative.
    pub variance: f64,
    /// Mean square.
    pub mean_square: f64,
    /// Degrees of freedom of the mean square.
    pub df: usize,
}

/// Components of `values`, a grid `[levels_0, levels_1, ...]`, row-major: main effects first, then interactions
/// by the order of their bits.
///
/// # Errors
/// [`Error::TooFew`] without a factor or with a factor of one level, [`Error::Parameter`] beyond six factors,
/// [`Error::NoFigure`] for a value that is not finite.
///
/// # Panics
/// If the values do not fill the grid.
pub fn components(values: &[f64], levels: &[usize]) -> Result<Vec<Component>, Error> {
    check(levels)?;
    let cells: usize = levels.iter().product();
    assert_eq!(values.len(), cells, "{} values in a grid of {cells}", values.len());
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::NoFigure);
    }
    let sets = 1_usize << levels.len();
    // Centred, so that the sums of squares below do not cancel.
    let centre = values.iter().sum::<f64>() / cells as f64;
    let raw: Vec<f64> = (0..sets).map(|set| squares_of_means(values, centre, levels, set)).collect();
    let sign =
        |set: usize, subset: usize| if (set ^ subset).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let of_set = |set: usize, f: &dyn Fn(usize) -> usize| -> usize {
        (0..levels.len()).filter(|factor| set >> factor & 1 == 1).map(f).product()
    };
    let degrees = |set: usize| of_set(set, &|factor| levels[factor] - 1);
    let mean_square = |set: usize| {
        let sum: f64 = (0..sets).filter(|t| t & !set == 0).map(|t| sign(set, t) * raw[t]).sum();
        sum / degrees(set) as f64
    };
    let mean_squares: Vec<f64> = (0..sets).map(|set| if set == 0 { 0.0 } else { mean_square(set) }).collect();
    let component = |set: usize| {
        let sum: f64 = (1..sets).filter(|t| t & set == set).map(|t| sign(t, set) * mean_squares[t]).sum();
        Component {
            factors: (0..levels.len()).filter(|factor| set >> factor & 1 == 1).collect(),
            variance: sum / of_set(!set, &|factor| levels[factor]) as f64,
            mean_square: mean_squares[set],
            df: degrees(set),
        }
    };
    let mut found: Vec<Component> = (1..sets).map(component).collect();
    found.sort_by_key(|component| component.factors.len());
    Ok(found)
}

/// Mean over examples of the components of each: `values` `[cells, examples]`, cells row-major in the grid.
///
/// # Errors
/// As [`components`]; [`Error::TooFew`] without an example.
///
/// # Panics
/// If the values do not fill the grid.
pub fn of_examples(values: &[f64], levels: &[usize], examples: usize) -> Result<Vec<Component>, Error> {
    if examples == 0 {
        return Err(Error::TooFew { what: "examples", found: 0, needed: 1 });
    }
    let mut sum: Option<Vec<Component>> = None;
    for example in 0..examples {
        let grid: Vec<f64> = values.iter().skip(example).step_by(examples).copied().collect();
        let one = components(&grid, levels)?;
        match &mut sum {
            None => sum = Some(one),
            Some(sum) => sum.iter_mut().zip(one).for_each(|(sum, one)| {
                sum.variance += one.variance;
                sum.mean_square += one.mean_square;
            }),
        }
    }
    let mut mean = sum.expect("there is an example");
    for component in &mut mean {
        component.variance /= examples as f64;
        component.mean_square /= examples as f64;
    }
    Ok(mean)
}

/// Sum over all cells of the squared marginal mean of `set`.
fn squares_of_means(values: &[f64], centre: f64, levels: &[usize], set: usize) -> f64 {
    let mut sums: Vec<f64> = Vec::new();
    let kept: usize = (0..levels.len()).filter(|f| set >> f & 1 == 1).map(|f| levels[f]).product();
    sums.resize(kept, 0.0);
    for (cell, value) in values.iter().enumerate() {
        let (mut rest, mut index, mut stride) = (cell, 0, 1);
        for factor in (0..levels.len()).rev() {
            let level = rest % levels[factor];
            rest /= levels[factor];
            if set >> factor & 1 == 1 {
                index += level * stride;
                stride *= levels[factor];
            }
        }
        sums[index] += value - centre;
    }
    let each = (values.len() / kept) as f64;
    sums.iter().map(|sum| sum * sum / each).sum()
}

fn check(levels: &[usize]) -> Result<(), Error> {
    if levels.is_empty() {
        return Err(Error::TooFew { what: "factors", found: 0, needed: 1 });
    }
    if levels.len() > MOST_FACTORS {
        let value = levels.len() as f64;
        return Err(Error::Parameter { name: "the number of factors", expected: "at most 6", value });
    }
    match levels.iter().find(|&&levels| levels < 2) {
        Some(&found) => Err(Error::TooFew { what: "levels of a factor", found, needed: 2 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;

    /// The textbook two-way layout.
    #[test]
    fn two_way_by_hand() {
        let values = [1.0, 2.0, 3.0, 3.0, 4.0, 8.0];
        let found = components(&values, &[2, 3]).unwrap();
        // Row means 2, 5; column means 2, 3, 5.5; grand 3.5.
        let (rows, columns, total) = (3.0 * 4.5, 2.0 * (2.25 + 0.25 + 4.0), 29.5);
        let rest = (total - rows - columns) / 2.0;
        let expected = [(rows - rest) / 3.0, (columns / 2.0 - rest) / 2.0, rest];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.variance - expected).abs() < 1e-12, "{found:?} {expected}");
        }
        assert_eq!(found[2].factors, [0, 1]);
    }

    #[test]
    fn unbiased_and_negative_values_kept() {
        let mut stream = Stream::new(2, "components test");
        let levels = [4, 3, 2];
        let (mut sums, mut negative) = ([0.0; 7], 0);
        for _ in 0..4_000 {
            let head: Vec<f64> = (0..4).map(|_| 2.0 * stream.normal()).collect();
            let both: Vec<f64> = (0..8).map(|_| stream.normal()).collect();
            let cell = |i: usize, noise: f64| head[i / 6] + both[i / 6 * 2 + i % 2] + 0.5 * noise;
            let values: Vec<f64> = (0..24).map(|i| cell(i, stream.normal())).collect();
            for (sum, one) in sums.iter_mut().zip(components(&values, &levels).unwrap()) {
                *sum += one.variance / 4_000.0;
                negative += usize::from(one.variance < 0.0);
            }
        }
        // [0], [1], [2], [0,1], [0,2], [1,2], [0,1,2]
        for (found, expected) in sums.iter().zip([4.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.25]) {
            assert!((found - expected).abs() < 0.12, "{sums:?}");
        }
        assert!(negative > 1_000);
    }

    #[test]
    fn refusals() {
        assert!(components(&[], &[]).is_err() && components(&[1.0, 2.0], &[1, 2]).is_err());
        assert_eq!(components(&[1.0, f64::NAN], &[2]), Err(Error::NoFigure));
        let mean = of_examples(&[1.0, 0.0, 3.0, 0.0], &[2], 2).unwrap();
        assert_eq!(mean[0].variance, 1.0);
    }
}
