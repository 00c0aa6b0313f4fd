//! The greedy soup in random order: members are considered in an order drawn
//! from a seed instead of best first. It tells how much of a greedy soup is owed to starting from the best.
//! `2n - 1` scorings for n members.

use random::Stream;

use super::greedy::{self, Rule, Soup};
use crate::{Error, Weights};

/// Changes whenever a soup, or the order in which members are considered, changes.
pub const VERSION: u32 = 1;

/// Greedy soup of `members` in the order of stream `soup order` of `seed`.
///
/// # Errors
/// As [`greedy::soup`].
pub fn soup<E: From<Error>>(
    members: &[&Weights],
    rule: Rule,
    seed: u64,
    score: &mut impl FnMut(&Weights) -> Result<f64, E>,
) -> Result<Soup, E> {
    let scores = members.iter().map(|member| score(member)).collect::<Result<Vec<f64>, E>>()?;
    let mut order: Vec<usize> = (0..members.len()).collect();
    Stream::new(seed, "soup order").shuffle(&mut order);
    greedy::in_order(members, &order, &scores, rule, score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::weights;

    #[test]
    fn the_seed_decides_the_order() {
        let members: Vec<Weights> = (0..6).map(weights).collect();
        let members: Vec<&Weights> = members.iter().collect();
        let order = |seed: u64| -> Vec<usize> {
            let mut score = |weights: &Weights| -> Result<f64, Error> { Ok(f64::from(weights.values[0])) };
            let soup = soup(&members, Rule::NotWorse, seed, &mut score).unwrap();
            soup.trace.iter().map(|step| step.member).collect()
        };
        // A change of this order changes soups: raise `VERSION` with it.
        assert_eq!(order(1), [5, 2, 4, 1, 3, 0]);
        assert_ne!(order(1), order(2));
        let mut sorted = order(1);
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
    }
}
