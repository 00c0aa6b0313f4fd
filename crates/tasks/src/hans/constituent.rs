//! Constituent: hypotheses that are whole clauses of the premise.

use super::Pair;
use super::cast::{Cast, sentence};

/// What is said after these is so.
const SURE: [&str; 8] = [
    "certainly",
    "clearly",
    "eventually",
    "obviously",
    "of course",
    "suddenly",
    "without a doubt",
    "yesterday",
];
/// What is said after these may not be so.
const DOUBTFUL: [&str; 6] = ["allegedly", "hopefully", "maybe", "perhaps", "probably", "supposedly"];
/// Both clauses are so.
const FACTUAL: [&str; 6] = ["after", "although", "because", "since", "though", "while"];
/// The clause may not be so.
const CONDITIONS: [&str; 4] = ["if", "in case", "unless", "whether or not"];
/// Neither clause may be so.
const BOTH_OPEN: [&str; 2] = ["if", "unless"];
/// What is known is so.
const FACTIVE: [&str; 6] = ["discovered", "forgot", "knew", "learned", "realized", "remembered"];
/// What is believed may not be so.
const NON_FACTIVE: [&str; 7] = ["assumed", "believed", "claimed", "feared", "said", "suspected", "thought"];

fn pair(premise: &str, hypothesis: &str) -> Pair {
    (sentence(premise), sentence(hypothesis))
}

/// Two clauses after a word that joins them, and both of them.
fn joined(cast: &mut Cast<'_>, words: &[&'static str]) -> (String, String, String) {
    let (word, first, second) = (cast.choose(words), cast.clause(), cast.clause());
    (format!("{word} {first} , {second}"), first, second)
}

/// A clause and another, and one of the two.
fn coordinated(cast: &mut Cast<'_>, word: &str) -> Pair {
    let (first, second) = (cast.clause(), cast.clause());
    pair(&format!("{first} , {word} {second}"), if cast.coin() { &first } else { &second })
}

fn after_adverb(cast: &mut Cast<'_>, adverbs: &[&'static str]) -> Pair {
    let clause = cast.clause();
    pair(&format!("{} {clause}", cast.choose(adverbs)), &clause)
}

fn embedded(cast: &mut Cast<'_>, verbs: &[&'static str]) -> Pair {
    let (who, clause) = (cast.people().the(), cast.clause());
    pair(&format!("{who} {} that {clause}", cast.choose(verbs)), &clause)
}

/// Obviously the judge waited . => The judge waited .
pub(super) fn after_sure_adverb(cast: &mut Cast<'_>) -> Pair {
    after_adverb(cast, &SURE)
}

/// Maybe the judge waited . => The judge waited .
pub(super) fn after_doubtful_adverb(cast: &mut Cast<'_>) -> Pair {
    after_adverb(cast, &DOUBTFUL)
}

/// Because the judge waited , the pilots smiled . => The pilots smiled .
pub(super) fn after_factual_clause(cast: &mut Cast<'_>) -> Pair {
    let (premise, _, second) = joined(cast, &FACTUAL);
    pair(&premise, &second)
}

/// Because the judge waited , the pilots smiled . => The judge waited .
pub(super) fn in_factual_clause(cast: &mut Cast<'_>) -> Pair {
    let (premise, first, _) = joined(cast, &FACTUAL);
    pair(&premise, &first)
}

/// If the judge waited , the pilots smiled . => The pilots smiled .
pub(super) fn after_condition(cast: &mut Cast<'_>) -> Pair {
    let (premise, _, second) = joined(cast, &BOTH_OPEN);
    pair(&premise, &second)
}

/// If the judge waited , the pilots smiled . => The judge waited .
pub(super) fn in_condition(cast: &mut Cast<'_>) -> Pair {
    let (premise, first, _) = joined(cast, &CONDITIONS);
    pair(&premise, &first)
}

/// The judge waited , and the pilots smiled . => The judge waited .
pub(super) fn of_both(cast: &mut Cast<'_>) -> Pair {
    coordinated(cast, "and")
}

/// The judge waited , or the pilots smiled . => The judge waited .
pub(super) fn of_either(cast: &mut Cast<'_>) -> Pair {
    coordinated(cast, "or")
}

/// The judge knew that the pilots smiled . => The pilots smiled .
pub(super) fn known(cast: &mut Cast<'_>) -> Pair {
    embedded(cast, &FACTIVE)
}

/// The judge claimed that the pilots smiled . => The pilots smiled .
pub(super) fn believed(cast: &mut Cast<'_>) -> Pair {
    embedded(cast, &NON_FACTIVE)
}
