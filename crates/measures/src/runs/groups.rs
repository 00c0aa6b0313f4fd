//! How well a score separates two groups of runs: means and the area under the ROC curve.
//!
//! `AUC = (U)/(n_1 n_0)`, the chance that a member's score is above a non-member's, ties counted half (Mann
//! and Whitney 1947).

use super::correlation::ranks;

/// Changes whenever a figure changes.
pub const VERSION: u32 = 1;

/// Two groups compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups {
    /// Mean score of members, and of the others.
    pub means: [f64; 2],
    /// Members, and others.
    pub n: [usize; 2],
    /// Area under the ROC curve, 0 to 1; 1/2 where the score says nothing.
    pub auc: f64,
}

/// Compares `scores` of members and others; `None` if a group is empty or a score not finite.
///
/// # Panics
/// If the lists differ in length.
#[must_use]
pub fn groups(scores: &[f64], member: &[bool]) -> Option<Groups> {
    assert_eq!(scores.len(), member.len(), "{} scores, {} members", scores.len(), member.len());
    if scores.iter().any(|score| !score.is_finite()) {
        return None;
    }
    let ranks = ranks(scores);
    let (mut sums, mut n, mut rank_sum) = ([0.0; 2], [0; 2], 0.0);
    for ((score, rank), &member) in scores.iter().zip(&ranks).zip(member) {
        let group = usize::from(!member);
        sums[group] += score;
        n[group] += 1;
        rank_sum += if member { *rank } else { 0.0 };
    }
    if n.contains(&0) {
        return None;
    }
    let [members, others] = n.map(|n: usize| n as f64);
    let u = rank_sum - members * (members + 1.0) / 2.0;
    Some(Groups { means: [sums[0] / members, sums[1] / others], n, auc: u / (members * others) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = groups(&[0.9, 0.4, 0.4, 0.1], &[true, true, false, false]).unwrap();
        // Pairs: .9 > .4, .9 > .1, .4 = .4, .4 > .1.
        assert_eq!((found.auc, found.means), (3.5 / 4.0, [0.65, 0.25]));
        assert_eq!(groups(&[1.0, 2.0], &[true, true]), None);
    }
}
