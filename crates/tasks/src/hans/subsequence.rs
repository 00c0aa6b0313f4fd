//! Subsequence: hypotheses that are contiguous parts of the premise.

use super::Pair;
use super::cast::{Cast, sentence};

const ADJECTIVES: [&str; 8] = ["clever", "famous", "helpful", "polite", "quiet", "tired", "wealthy", "young"];
/// Verbs whose object need not be said, each with objects of its own.
const UNDERSTOOD: [(&str, [&str; 5]); 10] = [
    ("ate", ["apple", "cake", "fish", "pie", "soup"]),
    ("cleaned", ["garage", "hall", "kitchen", "office", "stairs"]),
    ("cooked", ["beans", "dinner", "meat", "rice", "stew"]),
    ("drank", ["coffee", "juice", "milk", "tea", "water"]),
    ("explored", ["castle", "cave", "forest", "island", "town"]),
    ("left", ["building", "city", "party", "room", "station"]),
    ("painted", ["bridge", "door", "fence", "picture", "wall"]),
    ("read", ["book", "column", "letter", "poem", "report"]),
    ("sang", ["anthem", "chorus", "hymn", "melody", "song"]),
    ("wrote", ["essay", "letter", "novel", "report", "song"]),
];
/// Verbs that take a thing or a sentence.
const NOUN_OR_SENTENCE: [&str; 6] = ["believed", "doubted", "feared", "forgot", "heard", "knew"];
/// Verbs that take an object or none.
const OBJECT_OR_NONE: [&str; 8] =
    ["attacked", "fought", "hid", "left", "moved", "painted", "studied", "watched"];
const SUBORDINATING: [&str; 6] = ["after", "although", "because", "since", "though", "while"];
/// Verbs whose past tense is their participle, with or without an object.
const PARTICIPLES: [&str; 6] = ["investigated", "moved", "paid", "studied", "taught", "watched"];
const PLACES: [&str; 6] = ["garden", "harbor", "laboratory", "library", "museum", "theater"];

fn pair(premise: &str, hypothesis: &str) -> Pair {
    (sentence(premise), sentence(hypothesis))
}

/// Famous judges helped the baker . => Judges helped the baker .
pub(super) fn without_adjective(cast: &mut Cast<'_>) -> Pair {
    let hypothesis = format!("{} {}", cast.many().bare(), cast.predicate());
    pair(&format!("{} {hypothesis}", cast.choose(&ADJECTIVES)), &hypothesis)
}

/// The judge and the pilots helped the baker . => The pilots helped the baker .
pub(super) fn near_conjunct(cast: &mut Cast<'_>) -> Pair {
    let (fact, also) = (cast.deed().text(), cast.people().the());
    let premise = match cast.coin() {
        true => format!("{also} and {fact}"),
        false => format!("{fact} and {also}"),
    };
    pair(&premise, &fact)
}

/// The judge helped the baker near the pilots . => The judge helped the baker .
pub(super) fn object_without_preposition(cast: &mut Cast<'_>) -> Pair {
    let fact = cast.deed().text();
    pair(&format!("{fact} {} {}", cast.preposition(), cast.people().the()), &fact)
}

/// The judge helped the baker who followed the pilots . => The judge helped the baker .
pub(super) fn object_without_relative_clause(cast: &mut Cast<'_>) -> Pair {
    let (fact, who, verb, other) = (cast.deed().text(), cast.relative(), cast.verb(), cast.people().the());
    let clause = if cast.coin() { format!("{verb} {other}") } else { format!("{other} {verb}") };
    pair(&format!("{fact} {who} {clause}"), &fact)
}

/// The judge read the letter . => The judge read .
pub(super) fn understood_object(cast: &mut Cast<'_>) -> Pair {
    let (verb, objects) = cast.choose(&UNDERSTOOD);
    let hypothesis = format!("{} {verb}", cast.people().the());
    pair(&format!("{hypothesis} the {}", cast.choose(&objects)), &hypothesis)
}

/// The judge knew the baker waited . => The judge knew the baker .
pub(super) fn object_that_is_a_subject(cast: &mut Cast<'_>) -> Pair {
    let hypothesis =
        format!("{} {} {}", cast.people().the(), cast.choose(&NOUN_OR_SENTENCE), cast.people().the());
    pair(&format!("{hypothesis} {}", cast.predicate()), &hypothesis)
}

/// After the judge hid the baker waited . => The judge hid the baker .
pub(super) fn object_of_nothing(cast: &mut Cast<'_>) -> Pair {
    let hypothesis =
        format!("{} {} {}", cast.people().the(), cast.choose(&OBJECT_OR_NONE), cast.people().the());
    pair(&format!("{} {hypothesis} {}", cast.choose(&SUBORDINATING), cast.predicate()), &hypothesis)
}

/// The judge paid in the garden waited . => The judge paid in the garden .
pub(super) fn participle_read_as_verb(cast: &mut Cast<'_>) -> Pair {
    let reduced =
        format!("{} {} in the {}", cast.people().the(), cast.choose(&PARTICIPLES), cast.choose(&PLACES));
    let premise = match cast.coin() {
        true => format!("{reduced} {}", cast.predicate()),
        false => format!("{} {} {reduced}", cast.people().the(), cast.verb()),
    };
    pair(&premise, &reduced)
}

/// The judge near the pilots waited . => The pilots waited .
pub(super) fn noun_before_verb(cast: &mut Cast<'_>) -> Pair {
    let hypothesis = cast.clause();
    pair(&format!("{} {} {hypothesis}", cast.people().the(), cast.preposition()), &hypothesis)
}

/// The judge who followed the pilots waited . => The pilots waited .
pub(super) fn object_before_verb(cast: &mut Cast<'_>) -> Pair {
    let hypothesis = cast.clause();
    let head = format!("{} {} {}", cast.people().the(), cast.relative(), cast.verb());
    pair(&format!("{head} {hypothesis}"), &hypothesis)
}
