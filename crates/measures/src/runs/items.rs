//! What runs have in common, from the number of runs that are right on each example.
//!
//! With `r_i` of `n` runs right on example `i` of `E`: the mean disagreement of a pair is
//! `sum_i 2 r_i (n - r_i) / (n (n-1) E)`, the share of examples on which exactly one of two runs is right.

/// Changes whenever a figure changes.
pub const VERSION: u32 = 1;

/// What the counts say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Items {
    /// Examples.
    pub examples: usize,
    /// Examples on which every run is right.
    pub right_in_all: usize,
    /// Examples on which no run is right.
    pub right_in_none: usize,
    /// Mean disagreement of a pair of runs, 0 to 1; twice the path variance.
    pub disagreement: f64,
    /// Mean accuracy.
    pub accuracy: f64,
}

/// Reads `counts` of right runs of `runs`; `None` without an example, with fewer than two runs, or where a
/// count is above their number.
#[must_use]
pub fn items(counts: &[usize], runs: usize) -> Option<Items> {
    if counts.is_empty() || runs < 2 || counts.iter().any(|&count| count > runs) {
        return None;
    }
    let (n, examples) = (runs as f64, counts.len());
    let split: f64 = counts.iter().map(|&count| 2.0 * count as f64 * (n - count as f64)).sum();
    Some(Items {
        examples,
        right_in_all: counts.iter().filter(|&&count| count == runs).count(),
        right_in_none: counts.iter().filter(|&&count| count == 0).count(),
        disagreement: split / (n * (n - 1.0) * examples as f64),
        accuracy: counts.iter().sum::<usize>() as f64 / (n * examples as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = items(&[3, 0, 1, 2], 3).unwrap();
        assert_eq!((found.right_in_all, found.right_in_none, found.accuracy), (1, 1, 0.5));
        assert!((found.disagreement - (4.0 + 4.0) / (3.0 * 2.0 * 4.0)).abs() < 1e-15);
        assert_eq!(items(&[4], 3), None);
        assert_eq!(items(&[], 3), None);
    }
}
