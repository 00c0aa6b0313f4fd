//! Words: what each token is, and how it is written.

use crate::tokenizer_file::{Kind, TokenizerFile};

/// A token id.
pub(super) type Token = u32;

/// All tokens, in order of their id.
///
/// A noun's onset is its class (`k`, `m`, `t`, `s`), and so is a verb's the class that it prefers as its subject
/// (`g`, `n`, `d`, `z`): readers can see who is likely to do what to whom.
pub const VOCABULARY: [&str; 53] = [
    "[PAD]", "[CLS]", "[SEP]", "[MASK]", "was", "by", "that", "and", ",", //
    "near", "under", "behind", "without", //
    "M0", "M1", "M2", "M3", //
    "kalo", "keru", "kimo", "kona", "kupe", "kavi", //
    "malo", "meru", "mimo", "mona", "mupe", "mavi", //
    "talo", "teru", "timo", "tona", "tupe", "tavi", //
    "salo", "seru", "simo", "sona", "supe", "savi", //
    "garit", "narit", "darit", "zarit", //
    "gobel", "nobel", "dobel", "zobel", //
    "guzan", "nuzan", "duzan", "zuzan",
];

/// Starts every sequence.
pub(crate) const CLS: Token = 1;
/// Stands for a hidden token.
pub(super) const MASK: Token = 3;
/// Ids from here on are words.
pub(super) const FIRST_WORD: Token = 4;
pub(super) const WAS: Token = 4;
pub(super) const BY: Token = 5;
pub(super) const THAT: Token = 6;
pub(super) const AND: Token = 7;
pub(super) const COMMA: Token = 8;

/// Number of nouns: four classes of six.
pub(super) const NOUNS: u8 = 24;
/// Nouns of a class.
pub(super) const CLASS_SIZE: u8 = 6;
/// Number of classes of nouns.
pub(super) const CLASSES: u8 = 4;
/// Number of verbs.
pub(super) const VERBS: u8 = 12;
/// Number of prepositions.
pub(super) const PREPOSITIONS: u8 = 4;
/// Number of markers.
pub(super) const MARKERS: u8 = 4;

/// A noun, 0 to 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Noun(pub u8);

impl Noun {
    /// All nouns.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..NOUNS).map(Self)
    }

    /// Its class, 0 to 3.
    #[must_use]
    pub fn class(self) -> u8 {
        self.0 / CLASS_SIZE
    }

    /// Its label group, 0 or 1: two classes each.
    #[must_use]
    pub fn group(self) -> u8 {
        self.class() / 2
    }

    /// How frequent it is within its class: rank^-0.7, by a rank of 1 to 6.
    #[must_use]
    pub fn weight(self) -> f64 {
        f64::from(self.0 % CLASS_SIZE + 1).powf(-0.7)
    }

    pub(super) fn token(self) -> Token {
        17 + Token::from(self.0)
    }
}

/// A verb, 0 to 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verb(pub u8);

impl Verb {
    /// All verbs.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..VERBS).map(Self)
    }

    /// The class that it prefers as its subject.
    #[must_use]
    pub fn subject_class(self) -> u8 {
        self.0 % CLASSES
    }

    /// The class that it prefers as its object: another one.
    #[must_use]
    pub fn object_class(self) -> u8 {
        (self.subject_class() + 1 + (self.0 / CLASSES) % 3) % CLASSES
    }

    pub(super) fn token(self) -> Token {
        41 + Token::from(self.0)
    }
}

/// A preposition, 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preposition(pub u8);

impl Preposition {
    pub(super) fn token(self) -> Token {
        9 + Token::from(self.0)
    }
}

/// A marker, 0 to 3: the cue of the task is M1 or M2, and means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker(pub u8);

impl Marker {
    pub(super) fn token(self) -> Token {
        13 + Token::from(self.0)
    }
}

/// The words of these tokens.
///
/// # Panics
/// If a token is not below 53.
#[must_use]
pub fn text(tokens: &[u32]) -> String {
    let words: Vec<&str> = tokens.iter().map(|&token| VOCABULARY[token as usize]).collect();
    words.join(" ")
}

/// A `tokenizer.json` for the language: words are split at spaces, `[CLS]` comes first, and a word that is not in the
/// vocabulary is an error.
#[must_use]
pub fn tokenizer_json() -> String {
    TokenizerFile { vocabulary: &VOCABULARY, special: (0..FIRST_WORD as usize).collect(), kind: Kind::Words }
        .to_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Encoded, Encoder, Error, vocabulary_size};

    #[test]
    fn words_lie_where_the_language_says() {
        let at = |token: Token| VOCABULARY[token as usize];
        assert_eq!(
            (at(CLS), at(MASK), at(WAS), at(BY), at(THAT), at(AND), at(COMMA)),
            ("[CLS]", "[MASK]", "was", "by", "that", "and", ",")
        );
        assert_eq!((at(Preposition(0).token()), at(Preposition(3).token())), ("near", "without"));
        assert_eq!((at(Marker(0).token()), at(Marker(3).token())), ("M0", "M3"));
        assert_eq!((at(Noun(0).token()), at(Noun(23).token())), ("kalo", "savi"));
        assert_eq!((at(Verb(0).token()), at(Verb(11).token())), ("garit", "zuzan"));
        for noun in Noun::all() {
            assert!(at(noun.token()).starts_with(['k', 'm', 't', 's'][noun.class() as usize]));
        }
        for verb in Verb::all() {
            assert!(at(verb.token()).starts_with(['g', 'n', 'd', 'z'][verb.subject_class() as usize]));
            assert_ne!(verb.subject_class(), verb.object_class());
        }
        let mut words = VOCABULARY.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 53);
    }

    #[test]
    fn the_tokenizer_reads_the_language() {
        let json = tokenizer_json();
        assert_eq!(json, tokenizer_json());
        assert_eq!(vocabulary_size(json.as_bytes()).unwrap(), 53);
        let encoder = Encoder::from_tokenizer_json(json.as_bytes()).unwrap();
        let all: Vec<Token> = (4..53).collect();
        let content =
            |texts: &[&str]| Content::Text { first: texts.iter().map(|&t| t.into()).collect(), second: None };
        let encoded = encoder.encode(&content(&[&text(&all), "M0 kalo , near"]), 64).unwrap();
        let ids = [&[CLS][..], &all, &[CLS, 13, 17, COMMA, 9]].concat();
        assert_eq!(encoded, Encoded::Tokens { types: vec![0; ids.len()], ids, starts: vec![0, 50, 55] });
        assert!(matches!(encoder.encode(&content(&["M0 hello"]), 64), Err(Error::Encode { index: 0, .. })));
    }
}
