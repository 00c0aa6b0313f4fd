//! Sentence pairs on which three heuristics of entailment give themselves away, after HANS (McCoy, Pavlick and Linzen
//! 2019, "Right for the Wrong Reasons").
//!
//! A heuristic answers "entailment" whenever the hypothesis has only words of the premise (lexical overlap), is a
//! contiguous part of it (subsequence) or one of its clauses (constituent). Each has five sub-cases in which that
//! answer is right and five in which it is wrong, under their published names. Templates, words and order are our own:
//! the same distribution in spirit, none of the published rows. A label is right by construction, for a template knows
//! what its premise states.

mod cast;
mod constituent;
mod lexical;
mod subsequence;

use std::collections::BTreeSet;

use cast::Cast;
use random::Stream;
use serde::{Deserialize, Serialize};

use crate::{Content, Error, Examples};

/// Changes whenever the same parameters yield other pairs.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("hans", VERSION).and(random::versions())
}

/// Pairs of a sub-case at most: no sub-case runs out of different ones before.
pub const MOST_PER_CASE: usize = 1_000;

/// Names of the labels, in order of their class index.
pub const LABELS: [&str; 2] = ["entailment", "non-entailment"];

/// What decides the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Pairs of each sub-case, 1 to [`MOST_PER_CASE`].
    pub per_case: usize,
    /// Seed of the pairs.
    pub seed: u64,
}

/// A heuristic that answers many questions of entailment rightly, for the wrong reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heuristic {
    /// A premise entails whatever is made of its words.
    LexicalOverlap,
    /// A premise entails its contiguous parts.
    Subsequence,
    /// A premise entails its clauses.
    Constituent,
}

/// A premise and a hypothesis.
type Pair = (String, String);

/// One of the thirty kinds of pairs.
#[derive(Clone, Copy, Debug)]
pub struct SubCase {
    /// Its published name.
    pub name: &'static str,
    /// The heuristic that it puts to the test.
    pub heuristic: Heuristic,
    /// Whether its premises entail their hypotheses: whether the heuristic is right.
    pub entailed: bool,
    make: fn(&mut Cast<'_>) -> Pair,
}

const fn case(
    name: &'static str,
    heuristic: Heuristic,
    entailed: bool,
    make: fn(&mut Cast<'_>) -> Pair,
) -> SubCase {
    SubCase { name, heuristic, entailed, make }
}

use Heuristic::{Constituent, LexicalOverlap, Subsequence};

/// All sub-cases.
pub const SUB_CASES: [SubCase; 30] = [
    case("le_around_prepositional_phrase", LexicalOverlap, true, lexical::around_preposition),
    case("le_around_relative_clause", LexicalOverlap, true, lexical::around_relative_clause),
    case("le_conjunction", LexicalOverlap, true, lexical::conjunct),
    case("le_passive", LexicalOverlap, true, lexical::active_of_passive),
    case("le_relative_clause", LexicalOverlap, true, lexical::relative_clause),
    case("ln_conjunction", LexicalOverlap, false, lexical::across_conjuncts),
    case("ln_passive", LexicalOverlap, false, lexical::passive_read_as_active),
    case("ln_preposition", LexicalOverlap, false, lexical::across_preposition),
    case("ln_relative_clause", LexicalOverlap, false, lexical::across_relative_clause),
    case("ln_subject/object_swap", LexicalOverlap, false, lexical::swap),
    case("se_adjective", Subsequence, true, subsequence::without_adjective),
    case("se_conjunction", Subsequence, true, subsequence::near_conjunct),
    case("se_PP_on_obj", Subsequence, true, subsequence::object_without_preposition),
    case("se_relative_clause_on_obj", Subsequence, true, subsequence::object_without_relative_clause),
    case("se_understood_object", Subsequence, true, subsequence::understood_object),
    case("sn_NP/S", Subsequence, false, subsequence::object_that_is_a_subject),
    case("sn_NP/Z", Subsequence, false, subsequence::object_of_nothing),
    case("sn_past_participle", Subsequence, false, subsequence::participle_read_as_verb),
    case("sn_PP_on_subject", Subsequence, false, subsequence::noun_before_verb),
    case("sn_relative_clause_on_subject", Subsequence, false, subsequence::object_before_verb),
    case("ce_adverb", Constituent, true, constituent::after_sure_adverb),
    case("ce_after_since_clause", Constituent, true, constituent::after_factual_clause),
    case("ce_conjunction", Constituent, true, constituent::of_both),
    case("ce_embedded_under_since", Constituent, true, constituent::in_factual_clause),
    case("ce_embedded_under_verb", Constituent, true, constituent::known),
    case("cn_adverb", Constituent, false, constituent::after_doubtful_adverb),
    case("cn_after_if_clause", Constituent, false, constituent::after_condition),
    case("cn_disjunction", Constituent, false, constituent::of_either),
    case("cn_embedded_under_if", Constituent, false, constituent::in_condition),
    case("cn_embedded_under_verb", Constituent, false, constituent::believed),
];

/// `per_case` different pairs of each sub-case, in the order of [`SUB_CASES`]; the case of an example is the sub-case's
/// name. More pairs of a seed begin with the fewer.
///
/// # Errors
/// [`Error::Parameter`] for a `per_case` that is 0 or above [`MOST_PER_CASE`].
pub fn examples(params: &Params) -> Result<Examples, Error> {
    if !(1..=MOST_PER_CASE).contains(&params.per_case) {
        let value = params.per_case.to_string();
        return Err(Error::Parameter { name: "per_case", value, expected: "1 to 1000" });
    }
    let (mut ids, mut labels, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for sub_case in SUB_CASES {
        let mut stream = Stream::new(params.seed, &format!("hans/{}", sub_case.name));
        let mut seen = BTreeSet::new();
        while seen.len() < params.per_case {
            let pair = (sub_case.make)(&mut Cast::new(&mut stream));
            if !seen.insert(pair.clone()) {
                continue;
            }
            ids.push(format!("{}-{}", sub_case.name, seen.len() - 1));
            first.push(pair.0);
            second.push(pair.1);
            labels.push(u32::from(!sub_case.entailed));
            cases.push(sub_case.name.to_owned());
        }
    }
    Ok(Examples { ids, content: Content::Text { first, second: Some(second) }, labels, cases })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    /// If this changes, `VERSION` must rise.
    #[test]
    fn golden_pairs() {
        let examples = examples(&Params { per_case: 20, seed: 7 }).unwrap();
        let Content::Text { first, second } = &examples.content else { panic!("texts") };
        let all =
            format!("{first:?} {second:?} {:?} {:?} {:?}", examples.ids, examples.labels, examples.cases);
        assert_eq!(golden::hash(all.as_bytes()), 3_291_239_719_715_973_811);
    }

    #[test]
    fn parameters_are_checked() {
        for per_case in [0, MOST_PER_CASE + 1] {
            let message = examples(&Params { per_case, seed: 0 }).unwrap_err().to_string();
            assert!(message.contains("`per_case`") && message.contains("1 to 1000"), "{message}");
        }
    }
}
