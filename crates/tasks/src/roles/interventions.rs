//! Interventions: the do-operator on the process that makes sentences.
//!
//! A base sentence is drawn, one latent is set to another value, and both are rendered: nothing else can differ. Only
//! `shuffle` works on words, since no latent puts them in order.

use random::Stream;

use super::language::{Marker, Noun, Verb, text};
use super::latents::{Kind, Latents, Template, noun_where};
use crate::{Content, Examples, Intervention};

/// Pairs of an intervention.
const PAIRS: usize = 400;

/// One change to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The marker M1 becomes M2.
    Cue,
    /// The agent becomes a noun of the other group: the only one that always changes the answer.
    Agent,
    /// The patient becomes a noun of the other group.
    Patient,
    /// The verb becomes one that prefers a subject of the other group.
    Verb,
    /// The noun that describes the agent becomes one of the other group (ppS).
    Attribute,
    /// The agent becomes another noun of its class.
    Synonym,
    /// Active becomes passive (act to pas).
    Voice,
    /// The phrase of place moves to the front (ppS to fpp).
    Fronting,
    /// Agent and patient swap (act): changes the answer where they are of different groups.
    Role,
    /// The words are put in another order; the answer is left as it was.
    Shuffle,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Cue,
        Self::Agent,
        Self::Patient,
        Self::Verb,
        Self::Attribute,
        Self::Synonym,
        Self::Voice,
        Self::Fronting,
        Self::Role,
        Self::Shuffle,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cue => "cue",
            Self::Agent => "agent",
            Self::Patient => "patient",
            Self::Verb => "verb",
            Self::Attribute => "attribute",
            Self::Synonym => "synonym",
            Self::Voice => "voice",
            Self::Fronting => "fronting",
            Self::Role => "role",
            Self::Shuffle => "shuffle",
        }
    }

    /// The one template that it applies to; all if there is none.
    fn template(self) -> Option<Template> {
        match self {
            Self::Attribute | Self::Fronting => Some(Template::PpS),
            Self::Voice | Self::Role => Some(Template::Act),
            Self::Cue | Self::Agent | Self::Patient | Self::Verb | Self::Synonym | Self::Shuffle => None,
        }
    }

    /// The marker of the base sentences: absent, unless it is what changes.
    fn marker(self) -> Marker {
        if self == Self::Cue { Marker(1) } else { Marker(0) }
    }

    /// do(x): the latents after the change.
    #[must_use]
    pub fn apply(self, x: &Latents, stream: &mut Stream) -> Latents {
        let mut other_group = |noun: Noun, taken: [Noun; 2]| {
            noun_where(|drawn| drawn.group() != noun.group() && !taken.contains(&drawn), stream)
        };
        match self {
            Self::Cue => Latents { marker: Marker(2), ..*x },
            Self::Agent => Latents { agent: other_group(x.agent, [x.patient, x.third]), ..*x },
            Self::Patient => Latents { patient: other_group(x.patient, [x.agent, x.third]), ..*x },
            Self::Attribute => Latents { third: other_group(x.third, [x.agent, x.patient]), ..*x },
            Self::Verb => {
                let prefers = |verb: Verb| verb.subject_class() / 2;
                let fits = |&verb: &Verb| prefers(verb) != prefers(x.verb) && verb != x.second_verb;
                let verbs: Vec<Verb> = Verb::all().filter(fits).collect();
                Latents { verb: *stream.choose(&verbs), ..*x }
            }
            Self::Synonym => {
                let fits = |noun: Noun| {
                    noun.class() == x.agent.class() && ![x.agent, x.patient, x.third].contains(&noun)
                };
                Latents { agent: noun_where(fits, stream), ..*x }
            }
            Self::Voice => Latents { template: Template::Pas, ..*x },
            Self::Fronting => Latents { template: Template::Fpp, ..*x },
            Self::Role => Latents { agent: x.patient, patient: x.agent, ..*x },
            Self::Shuffle => *x,
        }
    }

    /// The sentence of the latents after the change.
    fn render(self, done: &Latents, stream: &mut Stream) -> Vec<u32> {
        let base = done.render();
        let mut tokens = base.clone();
        if self == Self::Shuffle {
            while tokens == base {
                // The marker keeps its place.
                stream.shuffle(&mut tokens[1..]);
            }
        }
        tokens
    }
}

/// 400 pairs before and after `change`, half of each kind of template where it applies to all; marker M0 unless the
/// marker is what changes. The case is the template of the base sentence.
#[must_use]
pub fn interventions(change: Change, seed: u64) -> Intervention {
    let name = change.name();
    let mut stream = Stream::new(seed, &format!("roles/do/{name}"));
    let mut base = Vec::new();
    let mut done = Vec::new();
    for index in 0..PAIRS {
        let kind = if index < PAIRS / 2 { Kind::AgentFirst } else { Kind::AgentLater };
        let template = change.template().unwrap_or_else(|| *stream.choose(kind.templates()));
        let x = Latents::draw(template, change.marker(), &mut stream);
        let do_x = change.apply(&x, &mut stream);
        done.push((change.render(&do_x, &mut stream), do_x.label()));
        base.push((x.render(), x.label(), x.template.name()));
    }
    let cases: Vec<String> = base.iter().map(|(_, _, case)| (*case).into()).collect();
    let examples = |sentences: Vec<(Vec<u32>, u32)>| Examples {
        ids: (0..PAIRS).map(|index| format!("{name}-{index}")).collect(),
        content: Content::Text {
            first: sentences.iter().map(|(tokens, _)| text(tokens)).collect(),
            second: None,
        },
        labels: sentences.iter().map(|&(_, label)| label).collect(),
        cases: cases.clone(),
    };
    let base = examples(base.into_iter().map(|(tokens, label, _)| (tokens, label)).collect());
    Intervention { name: name.into(), base, done: examples(done) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(change: Change) -> Vec<(Latents, Latents)> {
        let mut stream = Stream::new(0, "test");
        let template =
            |stream: &mut Stream| change.template().unwrap_or_else(|| *stream.choose(&Template::ALL));
        (0..2_000)
            .map(|_| {
                let template = template(&mut stream);
                let x = Latents::draw(template, change.marker(), &mut stream);
                (x, change.apply(&x, &mut stream))
            })
            .collect()
    }

    /// Puts back what a change may touch: then nothing may differ.
    #[test]
    fn each_changes_only_what_it_says() {
        for change in Change::ALL {
            for (x, done) in pairs(change) {
                let restored = match change {
                    Change::Cue => Latents { marker: x.marker, ..done },
                    Change::Agent | Change::Synonym => Latents { agent: x.agent, ..done },
                    Change::Patient => Latents { patient: x.patient, ..done },
                    Change::Verb => Latents { verb: x.verb, ..done },
                    Change::Attribute => Latents { third: x.third, ..done },
                    Change::Voice | Change::Fronting => Latents { template: x.template, ..done },
                    Change::Role => Latents { agent: done.patient, patient: done.agent, ..done },
                    Change::Shuffle => done,
                };
                assert_eq!(restored, x, "{change:?}");
                assert_eq!(done == x, change == Change::Shuffle);
                let nouns = [done.agent, done.patient, done.third];
                assert!(
                    nouns[0] != nouns[1]
                        && nouns[1] != nouns[2]
                        && nouns[0] != nouns[2]
                        && done.verb != done.second_verb
                );
            }
        }
    }

    #[test]
    fn each_does_what_it_says() {
        for (x, done) in pairs(Change::Agent) {
            assert_ne!(x.label(), done.label());
        }
        for (x, done) in pairs(Change::Patient) {
            assert_ne!(x.patient.group(), done.patient.group());
        }
        for (x, done) in pairs(Change::Attribute) {
            assert_ne!(x.third.group(), done.third.group());
            assert_eq!(done.render().iter().filter(|&&token| token == done.third.token()).count(), 1);
        }
        for (x, done) in pairs(Change::Verb) {
            assert_ne!(x.verb.subject_class() / 2, done.verb.subject_class() / 2);
        }
        for (x, done) in pairs(Change::Synonym) {
            assert_eq!(x.agent.class(), done.agent.class());
        }
        for (x, done) in pairs(Change::Cue) {
            assert_eq!((x.marker, done.marker), (Marker(1), Marker(2)));
        }
    }

    #[test]
    fn answers_change_as_the_signatures_say() {
        for change in Change::ALL {
            let intervention = interventions(change, 0);
            let labels = intervention.base.labels.iter().zip(&intervention.done.labels);
            let changed = labels.filter(|(base, done)| base != done).count() as f64 / PAIRS as f64;
            match change {
                Change::Agent => assert_eq!(changed, 1.0),
                Change::Role => assert!((0.5..0.75).contains(&changed), "{changed}"),
                _ => assert_eq!(changed, 0.0, "{change:?}"),
            }
        }
    }

    #[test]
    fn bases_are_balanced_and_without_a_cue() {
        for change in Change::ALL {
            let Intervention { base, done, .. } = interventions(change, 3);
            let (Content::Text { first: base_texts, .. }, Content::Text { first: done_texts, .. }) =
                (&base.content, &done.content)
            else {
                panic!("texts")
            };
            let marker = if change == Change::Cue { "M1 " } else { "M0 " };
            assert!(base_texts.iter().all(|text| text.starts_with(marker)));
            assert!(base_texts.iter().zip(done_texts).all(|(base, done)| base != done));
            let first = Kind::AgentFirst.templates().iter().map(|template| template.name());
            let first = base.cases.iter().filter(|case| first.clone().any(|name| name == *case)).count();
            assert_eq!(first, if change.template().is_some() { PAIRS } else { PAIRS / 2 });
            if change == Change::Shuffle {
                for (base, done) in base_texts.iter().zip(done_texts) {
                    let sorted = |text: &str| {
                        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
                        words.sort();
                        words
                    };
                    assert_eq!(sorted(base), sorted(done));
                }
            }
        }
    }
}
