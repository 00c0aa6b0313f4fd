//! The beam soup: subsets of members grow by one at a time, and of all that one more member makes the `width` with the
//! best held-out scores go on, until none is better than the best so far. The greedy soup with a wider view: it may leave
//! the best member out, and does not fix an order.
//!
//! At most `n + width n (n-1) / 2` scorings for n members, each subset once, and the memory of one model.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::greedy::{self, Considered, Soup};
use super::{RULE, Rule, uniform};
use crate::members::Members;
use crate::merges::ANY;
use crate::methods::{Base, How, Method, Score};
use crate::parameters::{Kind, Parameter, Plan, Value};
use crate::{Error, Weights};

/// Several soups grown side by side, the best is taken.
pub static METHOD: Method = Method {
    name: "beam",
    about: "Several soups grown side by side by held-out accuracy, the best of all",
    version: 1,
    parameters: &[RULE, WIDTH],
    base: Base::Unused,
    random: false,
    members: ANY,
    how: How::Selection(soup),
};

const WIDTH: Parameter = Parameter {
    name: "width",
    about: "Soups that are grown side by side",
    kind: Kind::Number {
        default: 4.0,
        expected: "a whole number from 1 to 1000",
        valid: |x| (1.0..=1000.0).contains(&x) && x.fract() == 0.0,
    },
};

/// A subset of the members, ascending, and its score.
type Scored = (Vec<usize>, f64);

fn soup(members: &Members<'_>, plan: &Plan, score: &mut Score<'_>) -> Result<Soup, Error> {
    let width = match plan.values.get(WIDTH.name).and_then(|values| values.first()) {
        Some(Value::Number(width)) => *width as usize,
        _ => 4,
    };
    let rule = Rule::of(plan);
    let alone = greedy::scores(members, score)?;
    let order = greedy::best_first(&alone);
    let mut beam: Vec<Scored> =
        order.iter().take(width).map(|&member| (vec![member], alone[member])).collect();
    let mut best = beam.first().cloned().ok_or(Error::Empty)?;
    // The best score of a soup with each member in it.
    let mut with_member: Vec<f64> = alone.clone();
    let mut trial = Weights::zeros(Arc::clone(members.layout()));
    loop {
        let mut grown: BTreeMap<Vec<usize>, f64> = BTreeMap::new();
        for (subset, _) in &beam {
            for member in (0..members.len()).filter(|member| !subset.contains(member)) {
                let mut with = subset.clone();
                with.insert(with.partition_point(|&other| other < member), member);
                if grown.contains_key(&with) {
                    continue;
                }
                uniform::mean_of(members, &with, &mut trial)?;
                let found = score(&trial).map_err(Error::Score)?;
                with.iter().for_each(|&member| with_member[member] = with_member[member].max(found));
                grown.insert(with, found);
            }
        }
        let mut grown: Vec<Scored> = grown.into_iter().filter(|(_, score)| !score.is_nan()).collect();
        grown.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        grown.truncate(width);
        match grown.first() {
            Some(first) if rule.keeps(first.1, best.1) => best = first.clone(),
            _ => break,
        }
        beam = grown;
    }
    uniform::mean_of(members, &best.0, &mut trial)?;
    let considered = |&member: &usize| Considered {
        member,
        score: alone[member],
        soup_score: with_member[member],
        kept: best.0.contains(&member),
    };
    Ok(Soup { soup: trial, trace: order.iter().map(considered).collect(), kept: best.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::weights;

    fn cook(method: &'static Method, values: &[f32], width: f64) -> Soup {
        let point = |&value: &f32| {
            let mut weights = weights(0);
            weights.values[0] = value;
            weights
        };
        let members: Vec<Weights> = values.iter().map(point).collect();
        let members: Vec<&Weights> = members.iter().collect();
        let mut plan = Plan::default();
        if method.parameter("width").is_some() {
            plan = plan.with("width", width);
        }
        let mut score = |weights: &Weights| Ok(-f64::from(weights.values[0]).abs());
        method.select(&Members::of(&members).unwrap(), &plan, &mut score).unwrap()
    }

    /// Target 0: the best single member is 1, the best pair -3 and 3, which greedy cannot find.
    #[test]
    fn finds_what_greedy_cannot() {
        let values = [1.0, -3.0, 3.0];
        assert_eq!(cook(&greedy::METHOD, &values, 0.0).kept, [0, 1, 2]);
        let found = cook(&METHOD, &values, 3.0);
        assert_eq!((found.kept, found.soup.values[0]), (vec![1, 2], 0.0));
        let kept: Vec<(usize, bool)> = found.trace.iter().map(|step| (step.member, step.kept)).collect();
        assert_eq!(kept, [(0, false), (1, true), (2, true)]);
    }

    /// With room for all subsets it is the best of all.
    #[test]
    fn a_wide_beam_is_exhaustive_while_it_improves() {
        for seed in 0..20 {
            let mut stream = random::Stream::new(seed, "beam test");
            let values: Vec<f32> = (0..5).map(|_| stream.normal() as f32).collect();
            let wide = cook(&METHOD, &values, 1000.0).soup.values[0].abs();
            let pairs = (0..5).flat_map(|i| (i..5).map(move |j| (i, j)));
            let best_pair =
                pairs.map(|(i, j)| f32::midpoint(values[i], values[j]).abs()).fold(f32::INFINITY, f32::min);
            assert!(wide <= best_pair + 1e-6, "{seed}: {wide} {best_pair}");
            assert!(wide <= cook(&greedy::METHOD, &values, 0.0).soup.values[0].abs() + 1e-6);
        }
    }
}
