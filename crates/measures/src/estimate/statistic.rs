//! The statistics of one cell: the runs, or the pairs of runs, that start from one checkpoint.

/// A statistic of one cell.
///
/// Under resampling seed `i` counts `m_i` times. Pairs of a seed with its own copy are dropped: a copy agrees
/// with itself and has no barrier, which would make the pairs look better, and the sd smaller, than they are.
/// An sd is a pair measure too, since `s^2` is the mean over pairs of `(x_i - x_j)^2 / 2`: treated as one,
/// the resampled `s^2` has mean `s^2`, where the usual bootstrap has `(K-1)/K s^2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean over runs, `sum m_i x_i / sum m_i`.
    Mean,
    /// Sample standard deviation over runs (divisor `K - 1`),
    /// `sqrt(sum_{i<j} m_i m_j (x_i - x_j)^2 / 2 / sum_{i<j} m_i m_j)`.
    Sd,
    /// Natural logarithm of [`Statistic::Sd`]: its contrasts are ratios of sds, and its intervals keep to
    /// positive sds.
    LogSd,
    /// Mean over pairs, `sum_{i<j} m_i m_j d_ij / sum_{i<j} m_i m_j`.
    PairMean,
}

impl Statistic {
    /// True if it needs two different seeds.
    pub(super) fn is_of_pairs(self) -> bool {
        !matches!(self, Self::Mean)
    }

    /// The statistic of `runs` `(seed index, value)` and `pairs` `(seed index, seed index, value)` when seed
    /// `i` counts `counts[i]` times; `None` if that leaves nothing to count.
    pub(super) fn value(
        self,
        runs: &[(usize, f64)],
        pairs: &[(usize, usize, f64)],
        counts: &[f64],
    ) -> Option<f64> {
        match self {
            Self::Mean => {
                let (mut total, mut sum) = (0.0, 0.0);
                for &(seed, value) in runs {
                    total += counts[seed];
                    sum += counts[seed] * value;
                }
                (total > 0.0).then(|| sum / total)
            }
            Self::Sd => sd(runs, counts),
            Self::LogSd => sd(runs, counts).filter(|&sd| sd > 0.0).map(f64::ln),
            Self::PairMean => {
                let (mut total, mut sum) = (0.0, 0.0);
                for &(a, b, value) in pairs {
                    let count = counts[a] * counts[b];
                    total += count;
                    sum += count * value;
                }
                (total > 0.0).then(|| sum / total)
            }
        }
    }
}

/// The pair form in linear time: `sum_{i<j} m_i m_j (x_i - x_j)^2 = M sum m_i (x_i - mean)^2` with
/// `M = sum m_i`, and `sum_{i<j} m_i m_j = (M^2 - sum m_i^2) / 2`.
fn sd(runs: &[(usize, f64)], counts: &[f64]) -> Option<f64> {
    let (mut total, mut squares, mut sum) = (0.0, 0.0, 0.0);
    for &(seed, value) in runs {
        total += counts[seed];
        squares += counts[seed] * counts[seed];
        sum += counts[seed] * value;
    }
    let pairs = total * total - squares;
    let mean = sum / total;
    let spread: f64 = runs.iter().map(|&(seed, value)| counts[seed] * (value - mean).powi(2)).sum();
    (pairs > 0.0).then(|| (total * spread / pairs).sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition of the sd, pair by pair.
    fn naive_sd(values: &[f64], counts: &[f64]) -> Option<f64> {
        let (mut total, mut sum) = (0.0, 0.0);
        for i in 0..values.len() {
            for j in i + 1..values.len() {
                total += counts[i] * counts[j];
                sum += counts[i] * counts[j] * (values[i] - values[j]).powi(2) / 2.0;
            }
        }
        (total > 0.0).then(|| (sum / total).sqrt())
    }

    fn runs(values: &[f64]) -> Vec<(usize, f64)> {
        values.iter().copied().enumerate().collect()
    }

    #[test]
    fn by_hand() {
        let values = runs(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        let ones = [1.0; 8];
        assert_eq!(Statistic::Mean.value(&values, &[], &ones), Some(5.0));
        assert!((Statistic::Sd.value(&values, &[], &ones).unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        let pairs = [(0, 1, 1.0), (0, 2, 2.0), (1, 2, 6.0)];
        assert_eq!(Statistic::PairMean.value(&[], &pairs, &[1.0; 3]), Some(3.0));
        assert_eq!(Statistic::PairMean.value(&[], &pairs, &[2.0, 1.0, 0.0]), Some(1.0));
    }

    #[test]
    fn one_seed_has_no_pairs() {
        for statistic in [Statistic::Sd, Statistic::LogSd, Statistic::PairMean] {
            assert_eq!(statistic.value(&runs(&[1.0, 2.0]), &[(0, 1, 3.0)], &[2.0, 0.0]), None);
        }
    }

    /// Over all 4^4 resamples of four seeds that hold two different ones, s^2 and the pair mean keep their
    /// values.
    #[test]
    fn resampling_is_unbiased() {
        let values = [0.3, 1.9, -0.4, 5.0];
        let pairs = [(0, 1, 1.0), (0, 2, 4.0), (0, 3, -2.0), (1, 2, 0.5), (1, 3, 9.0), (2, 3, 3.0)];
        let (mut variance, mut pair_mean, mut n) = (0.0, 0.0, 0.0);
        for draw in 0..256_usize {
            let mut counts = [0.0; 4];
            (0..4).for_each(|place| counts[draw >> (2 * place) & 3] += 1.0);
            let Some(sd) = Statistic::Sd.value(&runs(&values), &[], &counts) else { continue };
            variance += sd * sd;
            pair_mean += Statistic::PairMean.value(&[], &pairs, &counts).unwrap();
            n += 1.0;
        }
        assert_eq!(n, 252.0);
        let sd = Statistic::Sd.value(&runs(&values), &[], &[1.0; 4]).unwrap();
        assert!((variance / n - sd * sd).abs() < 1e-9);
        assert!((pair_mean / n - 15.5 / 6.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn sd_is_its_definition(rows in prop::collection::vec((-5.0..5.0_f64, 0..4_u32), 1..9)) {
            let values: Vec<f64> = rows.iter().map(|row| row.0).collect();
            let counts: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            match (sd(&runs(&values), &counts), naive_sd(&values, &counts)) {
                (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-9),
                (found, expected) => prop_assert_eq!(found, expected),
            }
        }
    }
}
