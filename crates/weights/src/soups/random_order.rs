//! The greedy soup in random order: members are considered in an order drawn
//! from a seed instead of best first. It tells how much of a greedy soup is owed to starting from the best.
//! `2n - 1` scorings for n members.

use random::Stream;

use super::greedy::{self, Soup};
use super::{RULE, Rule};
use crate::Error;
use crate::members::Members;
use crate::merges::ANY;
use crate::methods::{Base, How, Method, Score};
use crate::parameters::Plan;

/// In random order, each kept if the soup's score allows it.
pub static METHOD: Method = Method {
    name: "random-order",
    about: "In random order, each kept if the soup's held-out accuracy allows it",
    version: 1,
    parameters: &[RULE],
    base: Base::Unused,
    random: true,
    members: ANY,
    how: How::Selection(soup),
};

/// Greedy soup of `members` in the order of stream `soup order` of the seed.
fn soup(members: &Members<'_>, plan: &Plan, score: &mut Score<'_>) -> Result<Soup, Error> {
    let scores = greedy::scores(members, score)?;
    let mut order: Vec<usize> = (0..members.len()).collect();
    Stream::new(plan.seed, "soup order").shuffle(&mut order);
    greedy::in_order(members, &order, &scores, Rule::of(plan), score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Weights;
    use crate::tests::weights;

    #[test]
    fn the_seed_decides_the_order() {
        let members: Vec<Weights> = (0..6).map(weights).collect();
        let members: Vec<&Weights> = members.iter().collect();
        let order = |seed: u64| -> Vec<usize> {
            let mut score = |weights: &Weights| Ok(f64::from(weights.values[0]));
            let members = Members::of(&members).unwrap();
            let soup = METHOD.select(&members, &Plan::default().seeded(seed), &mut score).unwrap();
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
