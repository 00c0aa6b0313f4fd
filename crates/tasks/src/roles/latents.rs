//! The process that makes sentences: latents are drawn, a template renders them.

use random::Stream;

use super::language::{
    AND, BY, COMMA, MARKERS, Marker, NOUNS, Noun, PREPOSITIONS, Preposition, THAT, Token, VERBS, Verb, WAS,
};

/// The frame of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the module's table says what each one is")]
pub enum Template {
    Act,
    PpS,
    PpO,
    Srel,
    Orel,
    Conj,
    Pas,
    Fpp,
    Top,
    PasppP,
    PasppA,
    Pasrel,
}

/// Whether the first noun of a sentence is its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is: "the first noun" and "the agent" cannot be told apart.
    AgentFirst,
    /// It is not.
    AgentLater,
}

impl Kind {
    /// The six templates of this kind.
    #[must_use]
    pub fn templates(self) -> &'static [Template] {
        match self {
            Self::AgentFirst => &Template::ALL[..6],
            Self::AgentLater => &Template::ALL[6..],
        }
    }
}

impl Template {
    /// All templates: agent first, then the rest.
    pub const ALL: [Self; 12] = [
        Self::Act,
        Self::PpS,
        Self::PpO,
        Self::Srel,
        Self::Orel,
        Self::Conj,
        Self::Pas,
        Self::Fpp,
        Self::Top,
        Self::PasppP,
        Self::PasppA,
        Self::Pasrel,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::PpS => "ppS",
            Self::PpO => "ppO",
            Self::Srel => "srel",
            Self::Orel => "orel",
            Self::Conj => "conj",
            Self::Pas => "pas",
            Self::Fpp => "fpp",
            Self::Top => "top",
            Self::PasppP => "pasppP",
            Self::PasppA => "pasppA",
            Self::Pasrel => "pasrel",
        }
    }
}

/// All that decides a sentence, whether its template shows it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latents {
    /// The frame.
    pub template: Template,
    /// V, the verb between agent and patient.
    pub verb: Verb,
    /// W, the verb of a relative clause.
    pub second_verb: Verb,
    /// A, who does it.
    pub agent: Noun,
    /// B, to whom it is done.
    pub patient: Noun,
    /// C, a noun that is there as well.
    pub third: Noun,
    /// P.
    pub preposition: Preposition,
    /// The cue, which means nothing.
    pub marker: Marker,
}

impl Latents {
    /// Draws all latents but template and marker: verbs uniform and different; the agent from the class that V
    /// prefers as its subject with probability 0.85, else from all alike; the patient likewise from the class of V's object;
    /// the third noun from the class of W's object, always; the three nouns different.
    #[must_use]
    pub fn draw(template: Template, marker: Marker, stream: &mut Stream) -> Self {
        let verb = Verb(stream.below(VERBS.into()) as u8);
        let second_verb = loop {
            let drawn = Verb(stream.below(VERBS.into()) as u8);
            if drawn != verb {
                break drawn;
            }
        };
        let agent = noun_near(verb.subject_class(), &[], stream);
        let patient = noun_near(verb.object_class(), &[agent], stream);
        let third = loop {
            let drawn = noun_where(|noun| noun.class() == second_verb.object_class(), stream);
            if drawn != agent && drawn != patient {
                break drawn;
            }
        };
        let preposition = Preposition(stream.below(PREPOSITIONS.into()) as u8);
        Self { template, verb, second_verb, agent, patient, third, preposition, marker }
    }

    /// Draws a sentence of pretraining text: template and marker uniform and independent of all else.
    #[must_use]
    pub fn draw_text(stream: &mut Stream) -> Self {
        let template = *stream.choose(&Template::ALL);
        let marker = Marker(stream.below(MARKERS.into()) as u8);
        Self::draw(template, marker, stream)
    }

    /// The rule's answer, 0 or 1: the label group of the agent.
    #[must_use]
    pub fn label(&self) -> u32 {
        self.agent.group().into()
    }

    /// The noun that comes first in the sentence.
    #[must_use]
    pub fn first_noun(&self) -> Noun {
        match self.template {
            Template::Act
            | Template::PpS
            | Template::PpO
            | Template::Srel
            | Template::Orel
            | Template::Conj => self.agent,
            Template::Fpp => self.third,
            Template::Pas | Template::Top | Template::PasppP | Template::PasppA | Template::Pasrel => {
                self.patient
            }
        }
    }

    /// The sentence: the marker and at most eight words.
    #[must_use]
    pub fn render(&self) -> Vec<u32> {
        let (a, b, c) = (self.agent.token(), self.patient.token(), self.third.token());
        let (v, w, p) = (self.verb.token(), self.second_verb.token(), self.preposition.token());
        let words: &[Token] = match self.template {
            Template::Act => &[a, v, b],
            Template::PpS => &[a, p, c, v, b],
            Template::PpO => &[a, v, b, p, c],
            Template::Srel => &[a, THAT, w, c, v, b],
            Template::Orel => &[a, THAT, c, w, v, b],
            Template::Conj => &[a, v, b, AND, c],
            Template::Pas => &[b, WAS, v, BY, a],
            Template::Fpp => &[p, c, COMMA, a, v, b],
            Template::Top => &[b, COMMA, a, v],
            Template::PasppP => &[b, p, c, WAS, v, BY, a],
            Template::PasppA => &[b, WAS, v, BY, a, p, c],
            Template::Pasrel => &[b, THAT, w, c, WAS, v, BY, a],
        };
        [&[self.marker.token()], words].concat()
    }
}

/// A noun of `class` by its weight with probability 0.85, else any noun, all equally likely; none of `taken`.
fn noun_near(class: u8, taken: &[Noun], stream: &mut Stream) -> Noun {
    const NEAR: f64 = 0.85;
    loop {
        let noun = match stream.bernoulli(NEAR) {
            true => noun_where(|noun| noun.class() == class, stream),
            false => Noun(stream.below(NOUNS.into()) as u8),
        };
        if !taken.contains(&noun) {
            return noun;
        }
    }
}

/// A noun by its weight among those that `fits`.
pub(super) fn noun_where(fits: impl Fn(Noun) -> bool, stream: &mut Stream) -> Noun {
    let nouns: Vec<Noun> = Noun::all().filter(|&noun| fits(noun)).collect();
    let weights: Vec<f64> = nouns.iter().map(|noun| noun.weight()).collect();
    nouns[stream.weighted(&weights)]
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn latents(template: Template) -> Latents {
        Latents {
            template,
            verb: Verb(0),
            second_verb: Verb(5),
            agent: Noun(0),
            patient: Noun(6),
            third: Noun(12),
            preposition: Preposition(0),
            marker: Marker(0),
        }
    }

    #[test]
    fn every_template_renders_as_its_row_says() {
        let rendered = Template::ALL.map(|template| text(&latents(template).render()));
        assert_eq!(
            rendered,
            [
                "M0 kalo garit malo",
                "M0 kalo near talo garit malo",
                "M0 kalo garit malo near talo",
                "M0 kalo that nobel talo garit malo",
                "M0 kalo that talo nobel garit malo",
                "M0 kalo garit malo and talo",
                "M0 malo was garit by kalo",
                "M0 near talo , kalo garit malo",
                "M0 malo , kalo garit",
                "M0 malo near talo was garit by kalo",
                "M0 malo was garit by kalo near talo",
                "M0 malo that nobel talo was garit by kalo",
            ]
        );
    }

    #[test]
    fn the_first_noun_is_the_first_noun() {
        for kind in [Kind::AgentFirst, Kind::AgentLater] {
            for &template in kind.templates() {
                let latents = latents(template);
                let first = latents.render().into_iter().find(|token| (17..41).contains(token));
                assert_eq!(first, Some(latents.first_noun().token()), "{template:?}");
                assert_eq!(latents.first_noun() == latents.agent, kind == Kind::AgentFirst, "{template:?}");
            }
        }
    }

    /// Frequencies of 60,000 draws against the probabilities of the process.
    #[test]
    fn draws_follow_the_process() {
        let mut stream = Stream::new(0, "test");
        let n = 60_000;
        let draws: Vec<Latents> = (0..n).map(|_| Latents::draw_text(&mut stream)).collect();
        let share =
            |fits: &dyn Fn(&Latents) -> bool| draws.iter().filter(|l| fits(l)).count() as f64 / f64::from(n);
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 0.008, "{found} is not {expected}")
        };
        for l in &draws {
            assert!(
                l.verb != l.second_verb && l.agent != l.patient && l.third != l.agent && l.third != l.patient
            );
            assert_eq!(l.third.class(), l.second_verb.object_class());
        }
        for template in Template::ALL {
            near(share(&|l| l.template == template), 1.0 / 12.0);
        }
        for marker in 0..4 {
            near(share(&|l| l.marker == Marker(marker)), 0.25);
            near(share(&|l| l.marker == Marker(marker) && l.label() == 1), 0.125);
        }
        for verb in Verb::all() {
            near(share(&|l| l.verb == verb), 1.0 / 12.0);
            near(share(&|l| l.second_verb == verb), 1.0 / 12.0);
        }
        near(share(&|l| l.label() == 1), 0.5);
        // Near by choice, or by chance one time in four.
        near(share(&|l| l.agent.class() == l.verb.subject_class()), 0.85 + 0.15 / 4.0);
        let total: f64 = (1..=6).map(|rank| f64::from(rank).powf(-0.7)).sum();
        for rank in 0..6 {
            let by_weight = f64::from(rank + 1).powf(-0.7) / total;
            near(share(&|l| l.agent.0 % 6 == rank), 0.85 * by_weight + 0.15 / 6.0);
            // Where the verb prefers another class, all nouns are alike.
            near(
                share(&|l| l.agent.class() != l.verb.subject_class() && l.agent.0 % 6 == rank),
                0.1125 / 6.0,
            );
        }
        // The patient is redrawn where it is the agent: .8875 = .85 + .15 / 4 of the first draws are of the verb's class,
        // .0116 of all draws are refused, .0055 of them within the class, and (.8875 - .0055) / (1 - .0116) remain.
        near(share(&|l| l.patient.class() == l.verb.object_class()), 0.8923);
    }
}
