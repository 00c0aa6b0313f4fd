//! What a stack reads of a batch, and which of its rows a head does.

use crate::{Targets, Tokens};

/// Where a text is classified, and what the last stack reads of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    /// At its first token.
    First,
    /// At its last, or the last that is not this one.
    Last { padding: Option<u32> },
    /// At the last `end` of the same text, or of the text to be predicted, one place later and behind `start`.
    Later { start: u32, end: u32 },
}

/// The decoder's input where it is not the batch's, and the row of each sequence that a classifier looks at.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) ids: Vec<u32>,
    /// Where each sequence of `ids` starts, with the end as a last entry.
    pub(crate) starts: Vec<u32>,
    pub(crate) ends: Vec<u32>,
}

impl Chosen {
    pub(crate) fn fill(
        &mut self,
        reading: Reading,
        is_classifier: bool,
        tokens: &Tokens<'_>,
        targets: Option<&Targets<'_>>,
    ) {
        match reading {
            Reading::First => {
                self.ends.clear();
                self.ends.extend_from_slice(tokens.firsts());
            }
            Reading::Last { padding } => {
                ends(padding.filter(|_| is_classifier), tokens, &mut self.ends);
            }
            Reading::Later { start, end } => self.shift([start, end], is_classifier, tokens, targets),
        }
    }

    /// For each sequence the token that begins one, and then what is to be predicted or, of a classifier, what the encoder
    /// reads, all but the last token; without targets the first token alone.
    fn shift(
        &mut self,
        [start, end]: [u32; 2],
        is_classifier: bool,
        tokens: &Tokens<'_>,
        targets: Option<&Targets<'_>>,
    ) {
        let Self { ids, starts, ends } = self;
        for list in [&mut *ids, &mut *starts, &mut *ends] {
            list.clear();
        }
        let (told, told_starts) = match targets {
            _ if is_classifier => (tokens.ids, tokens.starts),
            Some(Targets::Sequences { ids, starts }) => (*ids, *starts),
            _ => {
                starts.extend(0..=tokens.len() as u32);
                ids.resize(tokens.len(), start);
                return;
            }
        };
        starts.extend_from_slice(told_starts);
        for span in told_starts.windows(2) {
            let told = &told[span[0] as usize..span[1] as usize];
            ids.push(start);
            ids.extend_from_slice(&told[..told.len() - 1]);
        }
        if is_classifier {
            ends.extend(tokens.starts.windows(2).map(|span| {
                let told = &told[span[0] as usize..span[1] as usize];
                let place = told.iter().rposition(|&id| id == end);
                span[0] + place.expect("the model's check refuses sequences without an end") as u32
            }));
        }
    }
}

/// The row that stands for each sequence: its last token that is not padding, or its first if all are.
pub(crate) fn ends(padding: Option<u32>, tokens: &Tokens<'_>, ends: &mut Vec<u32>) {
    ends.clear();
    ends.extend(tokens.starts.windows(2).map(|span| {
        let ids = &tokens.ids[span[0] as usize..span[1] as usize];
        let last = ids.iter().rposition(|&id| Some(id) != padding).unwrap_or(0);
        span[0] + last as u32
    }));
}
