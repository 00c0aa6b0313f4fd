//! Words, and who and what is drawn from them.
//!
//! Verbs are regular and in the past tense, so that a form fits both numbers and serves as participle; none means the
//! same with subject and object exchanged.

use random::Stream;

/// People; a plural has an `s`.
const NOUNS: [&str; 24] = [
    "actor",
    "artist",
    "baker",
    "banker",
    "carpenter",
    "dancer",
    "doctor",
    "driver",
    "farmer",
    "gardener",
    "judge",
    "lawyer",
    "librarian",
    "manager",
    "painter",
    "pilot",
    "plumber",
    "professor",
    "sailor",
    "scientist",
    "senator",
    "singer",
    "student",
    "teacher",
];
const TRANSITIVE: [&str; 16] = [
    "admired",
    "advised",
    "blamed",
    "called",
    "encouraged",
    "followed",
    "helped",
    "ignored",
    "noticed",
    "praised",
    "questioned",
    "recommended",
    "supported",
    "thanked",
    "visited",
    "warned",
];
const INTRANSITIVE: [&str; 8] =
    ["arrived", "complained", "danced", "laughed", "relaxed", "resigned", "smiled", "waited"];
const PREPOSITIONS: [&str; 6] = ["behind", "beside", "by", "in front of", "near", "next to"];
const RELATIVE: [&str; 2] = ["that", "who"];

/// One person or several of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct People {
    noun: &'static str,
    plural: bool,
}

impl People {
    /// `the doctor`, `the doctors`.
    pub(super) fn the(self) -> String {
        format!("the {}", self.bare())
    }

    /// `doctors` of `the doctors`.
    pub(super) fn bare(self) -> String {
        format!("{}{}", self.noun, if self.plural { "s" } else { "" })
    }

    /// `was` or `were`.
    pub(super) fn was(self) -> &'static str {
        if self.plural { "were" } else { "was" }
    }
}

/// Who did what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deed(pub(super) People, pub(super) &'static str, pub(super) People);

impl Deed {
    pub(super) fn text(self) -> String {
        format!("{} {} {}", self.0.the(), self.1, self.2.the())
    }
}

/// What one pair of sentences is drawn from: no kind of people comes twice, and no transitive verb.
pub(super) struct Cast<'a> {
    stream: &'a mut Stream,
    people: Vec<&'static str>,
    verbs: Vec<&'static str>,
}

impl<'a> Cast<'a> {
    pub(super) fn new(stream: &'a mut Stream) -> Self {
        Self { stream, people: NOUNS.to_vec(), verbs: TRANSITIVE.to_vec() }
    }

    /// One of `items`.
    pub(super) fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        *self.stream.choose(items)
    }

    /// True as often as not.
    pub(super) fn coin(&mut self) -> bool {
        self.stream.bernoulli(0.5)
    }

    pub(super) fn people(&mut self) -> People {
        let noun = self.people.swap_remove(self.stream.below(self.people.len()));
        People { noun, plural: self.coin() }
    }

    pub(super) fn many(&mut self) -> People {
        People { plural: true, ..self.people() }
    }

    pub(super) fn verb(&mut self) -> &'static str {
        self.verbs.swap_remove(self.stream.below(self.verbs.len()))
    }

    pub(super) fn intransitive(&mut self) -> &'static str {
        self.choose(&INTRANSITIVE)
    }

    pub(super) fn preposition(&mut self) -> &'static str {
        self.choose(&PREPOSITIONS)
    }

    pub(super) fn relative(&mut self) -> &'static str {
        self.choose(&RELATIVE)
    }

    pub(super) fn deed(&mut self) -> Deed {
        Deed(self.people(), self.verb(), self.people())
    }

    /// What someone did, `danced` or `helped the judge`.
    pub(super) fn predicate(&mut self) -> String {
        match self.coin() {
            true => self.intransitive().into(),
            false => format!("{} {}", self.verb(), self.people().the()),
        }
    }

    /// `the doctor danced` or `the doctor helped the judge`.
    pub(super) fn clause(&mut self) -> String {
        format!("{} {}", self.people().the(), self.predicate())
    }
}

/// Words as a sentence: `The doctor danced .`
pub(super) fn sentence(words: &str) -> String {
    let (first, rest) = words.split_at(words.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest} .", first.to_uppercase())
}
