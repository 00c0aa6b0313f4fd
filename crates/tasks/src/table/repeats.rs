//! Texts that are there more than once: within a part, and in a split and the training set.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Content, Examples};

/// What repeats within a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Repeats {
    /// Examples whose text, or both texts, an earlier one has.
    pub(super) duplicates: u64,
    /// Texts that have different labels.
    pub(super) contradictions: u64,
}

impl Repeats {
    /// Those of these examples.
    pub(super) fn of(examples: &Examples) -> Self {
        let mut labels: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let mut n = 0;
        for (text, &label) in fingerprints(examples).zip(&examples.labels) {
            labels.entry(text).or_default().insert(label);
            n += 1;
        }
        let contradictions = labels.values().filter(|labels| labels.len() > 1).count() as u64;
        Self { duplicates: n - labels.len() as u64, contradictions }
    }
}

/// What two examples share if their texts are the same but for case and white space.
pub(super) fn fingerprints(examples: &Examples) -> impl Iterator<Item = String> {
    let normal = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    let (first, second) = match &examples.content {
        Content::Text { first, second } => (first.as_slice(), second.as_deref()),
        Content::Dense { .. } => (&[][..], None),
    };
    // No normal text holds a tab.
    first.iter().enumerate().map(move |(index, text)| match second {
        Some(second) => format!("{}\t{}", normal(text), normal(&second[index])),
        None => normal(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted() {
        let texts = ["The cat", "the  cat", "a dog", "a dog", "a bird", "the cat"];
        let examples = Examples {
            ids: (0..6).map(|id| id.to_string()).collect(),
            content: Content::Text { first: texts.map(str::to_owned).to_vec(), second: None },
            labels: vec![0, 1, 0, 0, 1, 0],
            cases: vec![String::new(); 6],
        };
        assert_eq!(Repeats::of(&examples), Repeats { duplicates: 3, contradictions: 1 });
        let pairs = Content::Text {
            first: vec!["a".into(), "a".into(), "b".into()],
            second: Some(vec!["b".into(), "c".into(), "a".into()]),
        };
        let pairs = Examples {
            content: pairs,
            labels: vec![0, 1, 0],
            ids: vec![String::new(); 3],
            cases: vec![String::new(); 3],
        };
        assert_eq!(Repeats::of(&pairs), Repeats::default());
    }
}
