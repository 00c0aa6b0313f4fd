//! Lexical overlap: hypotheses made of the premise's words, in another order.

use super::Pair;
use super::cast::{Cast, Deed, People, sentence};

fn pair(premise: &str, hypothesis: Deed) -> Pair {
    (sentence(premise), sentence(&hypothesis.text()))
}

/// A deed of `people` and `verbs` that `facts` do not state and that is no contiguous part of the premise.
fn unstated(
    cast: &mut Cast<'_>,
    premise: &str,
    people: &[People],
    verbs: &[&'static str],
    facts: &[Deed],
) -> Deed {
    let mut deeds = Vec::new();
    for &agent in people {
        for &patient in people.iter().filter(|&&patient| patient != agent) {
            deeds.extend(verbs.iter().map(|&verb| Deed(agent, verb, patient)));
        }
    }
    deeds.retain(|deed| !facts.contains(deed) && !premise.contains(&deed.text()));
    cast.choose(&deeds)
}

/// A premise with a preposition at its subject or its object, what it states, and who is in it.
fn preposition(cast: &mut Cast<'_>) -> (String, Deed, People) {
    let (fact, place, other) = (cast.deed(), cast.preposition(), cast.people());
    let Deed(agent, verb, patient) = fact;
    let premise = match cast.coin() {
        true => format!("{} {place} {} {verb} {}", agent.the(), other.the(), patient.the()),
        false => format!("{} {place} {}", fact.text(), other.the()),
    };
    (premise, fact, other)
}

/// A premise with a relative clause at its subject or its object, what its main clause and what the relative clause
/// state, and who is in it.
fn relative(cast: &mut Cast<'_>, at_subject: bool) -> (String, Deed, Deed, People) {
    let (fact, who, verb, other) = (cast.deed(), cast.relative(), cast.verb(), cast.people());
    let Deed(agent, main, patient) = fact;
    let head = if at_subject { agent } else { patient };
    let (clause, told) = match cast.coin() {
        true => (format!("{who} {verb} {}", other.the()), Deed(head, verb, other)),
        false => (format!("{who} {} {verb}", other.the()), Deed(other, verb, head)),
    };
    let premise = match at_subject {
        true => format!("{} {clause} {main} {}", agent.the(), patient.the()),
        false => format!("{} {clause}", fact.text()),
    };
    (premise, fact, told, other)
}

/// A premise with two at its subject or its object, and the two things that it states: the second of its own is apart
/// from its noun or its verb.
fn conjunction(cast: &mut Cast<'_>) -> (String, [Deed; 2], [People; 3]) {
    let (Deed(one, verb, other), also) = (cast.deed(), cast.people());
    let (premise, facts) = match cast.coin() {
        true => (
            format!("{} and {} {verb} {}", one.the(), also.the(), other.the()),
            [Deed(also, verb, other), Deed(one, verb, other)],
        ),
        false => (
            format!("{} {verb} {} and {}", one.the(), other.the(), also.the()),
            [Deed(one, verb, other), Deed(one, verb, also)],
        ),
    };
    (premise, facts, [one, other, also])
}

/// The judge near the pilots helped the baker . => The judge helped the baker .
pub(super) fn around_preposition(cast: &mut Cast<'_>) -> Pair {
    let (fact, place, other) = (cast.deed(), cast.preposition(), cast.people());
    let Deed(agent, verb, patient) = fact;
    pair(&format!("{} {place} {} {verb} {}", agent.the(), other.the(), patient.the()), fact)
}

/// The judge who waited helped the baker . => The judge helped the baker .
pub(super) fn around_relative_clause(cast: &mut Cast<'_>) -> Pair {
    if cast.choose(&[true, false, false]) {
        let (fact, who, verb) = (cast.deed(), cast.relative(), cast.intransitive());
        let Deed(agent, main, patient) = fact;
        return pair(&format!("{} {who} {verb} {main} {}", agent.the(), patient.the()), fact);
    }
    let (premise, fact, ..) = relative(cast, true);
    pair(&premise, fact)
}

/// The judge and the pilots helped the baker . => The judge helped the baker .
pub(super) fn conjunct(cast: &mut Cast<'_>) -> Pair {
    let (premise, facts, _) = conjunction(cast);
    pair(&premise, facts[1])
}

/// The judge was helped by the baker . => The baker helped the judge .
pub(super) fn active_of_passive(cast: &mut Cast<'_>) -> Pair {
    let (premise, fact) = passive(cast);
    pair(&premise, fact)
}

/// The judge who the pilots followed helped the baker . => The pilots followed the judge .
pub(super) fn relative_clause(cast: &mut Cast<'_>) -> Pair {
    let at_subject = cast.coin();
    let (premise, _, told, _) = relative(cast, at_subject);
    pair(&premise, told)
}

/// The judge and the pilots helped the baker . => The judge helped the pilots .
pub(super) fn across_conjuncts(cast: &mut Cast<'_>) -> Pair {
    let (premise, facts, people) = conjunction(cast);
    let hypothesis = unstated(cast, &premise, &people, &[facts[0].1], &facts);
    pair(&premise, hypothesis)
}

/// The judge was helped by the baker . => The judge helped the baker .
pub(super) fn passive_read_as_active(cast: &mut Cast<'_>) -> Pair {
    let (premise, Deed(agent, verb, patient)) = passive(cast);
    pair(&premise, Deed(patient, verb, agent))
}

/// The judge near the pilots helped the baker . => The baker helped the pilots .
pub(super) fn across_preposition(cast: &mut Cast<'_>) -> Pair {
    let (premise, fact, other) = preposition(cast);
    let hypothesis = unstated(cast, &premise, &[fact.0, fact.2, other], &[fact.1], &[fact]);
    pair(&premise, hypothesis)
}

/// The judge who the pilots followed helped the baker . => The baker helped the pilots .
pub(super) fn across_relative_clause(cast: &mut Cast<'_>) -> Pair {
    let at_subject = cast.coin();
    let (premise, fact, told, other) = relative(cast, at_subject);
    let hypothesis = unstated(cast, &premise, &[fact.0, fact.2, other], &[fact.1, told.1], &[fact, told]);
    pair(&premise, hypothesis)
}

/// The judge helped the baker . => The baker helped the judge .
pub(super) fn swap(cast: &mut Cast<'_>) -> Pair {
    let fact = cast.deed();
    pair(&fact.text(), Deed(fact.2, fact.1, fact.0))
}

fn passive(cast: &mut Cast<'_>) -> (String, Deed) {
    let fact = cast.deed();
    let Deed(agent, verb, patient) = fact;
    (format!("{} {} {verb} by {}", patient.the(), patient.was(), agent.the()), fact)
}
