//! What goes into a model, and the door at which it is checked.

use crate::{Config, Error, Head};

/// A batch.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Packed sequences of tokens.
    Tokens(Tokens<'a>),
    /// Vectors.
    Dense {
        /// `[rows, width]`.
        values: &'a [f32],
        /// Values per row.
        width: usize,
    },
}

/// Sequences back to back, without padding.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// Segment of each token.
    pub types: &'a [u32],
    /// Where each sequence begins, with the number of tokens as a last entry: `starts[0] = 0`.
    pub starts: &'a [u32],
}

/// What a batch should be mapped to.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// A class per row or sequence. For a head with one output: which of several sequences in a row is right, their scores
    /// being the logits (with two, `-log sigmoid(s_right - s_wrong)`, the loss of a reward model: Stiennon et al. 2020).
    Classes(&'a [u32]),
    /// Tokens to be recovered, or next ones to be predicted: see [`Tokens::next`]. Logits are computed at these places
    /// only.
    MaskedTokens {
        /// Indices of packed tokens, increasing.
        rows: &'a [u32],
        /// The token that belongs at each, or behind each.
        labels: &'a [u32],
    },
    /// For each sequence another one, to be predicted token by token from the first and from its own tokens before.
    Sequences {
        /// Token ids, back to back.
        ids: &'a [u32],
        /// Where each sequence begins, with the number of tokens as a last entry: `starts[0] = 0`.
        starts: &'a [u32],
    },
}

/// Dropout with the probabilities of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropout {
    /// Names the masks: the same key drops the same units. Draw a new one for each step.
    pub key: u64,
}

impl Dropout {
    /// Key of one place in the model where units are dropped.
    pub(crate) fn site(self, site: usize) -> u64 {
        let half = |i: u64| u64::from(random::counter_u32(self.key, 2 * site as u64 + i));
        half(0) << 32 | half(1)
    }
}

impl Inputs<'_> {
    /// Number of sequences or vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Dense { values, width } => values.len().checked_div(*width).unwrap_or(0),
        }
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Targets<'_> {
    /// Whether there is nothing to predict.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Classes(labels)
            | Self::MaskedTokens { labels, .. }
            | Self::Sequences { ids: labels, .. } => labels.is_empty(),
        }
    }
}

impl<'a> Tokens<'a> {
    /// Number of sequences.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The targets of a causal language model: the row of every token but the last of each sequence, and the token
    /// that follows it there.
    #[must_use]
    pub fn next(&self) -> (Vec<u32>, Vec<u32>) {
        let rows = self.starts.windows(2).flat_map(|span| span[0]..span[1].saturating_sub(1));
        rows.map(|row| (row, self.ids[row as usize + 1])).unzip()
    }

    /// Row of the first token of each sequence.
    pub(crate) fn firsts(&self) -> &'a [u32] {
        &self.starts[..self.len()]
    }
}

/// How many inputs in a row belong to one label: one, but for a head with a single output, whose scores of several inputs
/// are compared.
pub(crate) fn choices(labels: usize, inputs: usize, outputs: usize) -> usize {
    match inputs.checked_div(labels) {
        Some(choices) if outputs == 1 => choices.max(1),
        _ => 1,
    }
}

/// Checks a batch against a model. What passes cannot make a pass panic.
pub(crate) fn check(
    config: &Config,
    head: Head,
    inputs: &Inputs<'_>,
    targets: Option<&Targets<'_>>,
) -> Result<(), Error> {
    let kind = |found| Error::Kind { model_type: config.model_type(), head: head.name(), found };
    match (config, inputs) {
        (Config::Bert(config), Inputs::Tokens(tokens)) => {
            check_tokens(tokens, config.vocab_size, config.segments(), config.longest())?;
        }
        (Config::Decoder(config), Inputs::Tokens(tokens)) => {
            check_tokens(tokens, config.vocab_size, u32::MAX as usize, config.max_position_embeddings)?;
        }
        (Config::T5(config), Inputs::Tokens(tokens)) => {
            check_tokens(tokens, config.vocab_size, u32::MAX as usize, usize::MAX)?;
            if let Head::Classification { .. } = head {
                check_ends(tokens, config.eos_token_id)?;
            }
        }
        (Config::Mlp(config), Inputs::Dense { values, width }) => {
            check_dense(values, *width, config.input_size)?;
        }
        (_, Inputs::Tokens(_)) => return Err(kind("tokens")),
        (_, Inputs::Dense { .. }) => return Err(kind("vectors")),
    }
    match (head, targets) {
        (_, None) => Ok(()),
        (Head::Classification { labels: outputs }, Some(Targets::Classes(labels))) => {
            let choices = match inputs {
                Inputs::Tokens(tokens) => choices(labels.len(), tokens.len(), outputs),
                Inputs::Dense { .. } => 1,
            };
            check_length("number of labels", labels.len() * choices, inputs.len())?;
            check_below("label", labels, outputs.max(choices))
        }
        (Head::MaskedLanguage | Head::CausalLanguage, Some(Targets::MaskedTokens { rows, labels })) => {
            let (words, tokens) = match (config, inputs) {
                (Config::Bert(config), Inputs::Tokens(tokens)) => (config.vocab_size, tokens),
                (Config::Decoder(config), Inputs::Tokens(tokens)) => (config.vocab_size, tokens),
                _ => return Err(kind("masked tokens")),
            };
            check_length("number of masked labels", labels.len(), rows.len())?;
            check_below("masked row", rows, tokens.ids.len())?;
            check_increasing("masked rows", rows)?;
            check_below("masked label", labels, words)
        }
        (Head::SequenceToSequence, Some(Targets::Sequences { ids, starts })) => {
            let Config::T5(config) = config else { return Err(kind("sequences")) };
            check_starts(starts, ids.len())?;
            check_length("number of target sequences", starts.len() - 1, inputs.len())?;
            check_below("target token", ids, config.vocab_size)
        }
        (_, Some(Targets::Sequences { .. })) => Err(kind("sequences")),
        (_, Some(Targets::Classes(_))) => Err(kind("classes")),
        (_, Some(Targets::MaskedTokens { .. })) => Err(kind("masked tokens")),
    }
}

fn check_tokens(tokens: &Tokens<'_>, words: usize, segments: usize, positions: usize) -> Result<(), Error> {
    if tokens.is_empty() {
        return Err(Error::Empty);
    }
    let n = tokens.ids.len();
    check_length("number of segments", tokens.types.len(), n)?;
    check_starts(tokens.starts, n)?;
    for (index, span) in tokens.starts.windows(2).enumerate() {
        let found = (span[1] - span[0]) as usize;
        if found > positions {
            return Err(Error::TooLong { index, found, limit: positions });
        }
    }
    check_below("token", tokens.ids, words)?;
    check_below("segment", tokens.types, segments)
}

fn check_starts(starts: &[u32], n: usize) -> Result<(), Error> {
    let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else { return Err(Error::Empty) };
    check_length("first start", first as usize, 0)?;
    check_increasing("starts", starts)?;
    check_length("last start", last as usize, n)
}

/// Checks that each sequence has the token at which it is classified.
fn check_ends(tokens: &Tokens<'_>, end: u32) -> Result<(), Error> {
    let lacks = |span: &[u32]| !tokens.ids[span[0] as usize..span[1] as usize].contains(&end);
    match tokens.starts.windows(2).position(lacks) {
        Some(index) => Err(Error::NoEnd { index, end }),
        None => Ok(()),
    }
}

fn check_dense(values: &[f32], width: usize, expected: usize) -> Result<(), Error> {
    check_length("width of the vectors", width, expected)?;
    if values.is_empty() {
        return Err(Error::Empty);
    }
    check_length("number of values", values.len(), values.len().next_multiple_of(width))?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { value: values[index], index }),
        None => Ok(()),
    }
}

fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Length { what, found, expected }) }
}

fn check_below(what: &'static str, values: &[u32], limit: usize) -> Result<(), Error> {
    match values.iter().position(|&value| value as usize >= limit) {
        Some(index) => Err(Error::OutOfRange { what, found: values[index], index, limit }),
        None => Ok(()),
    }
}

fn check_increasing(what: &'static str, values: &[u32]) -> Result<(), Error> {
    match values.windows(2).position(|pair| pair[0] >= pair[1]) {
        Some(index) => Err(Error::Order { what, index: index + 1 }),
        None => Ok(()),
    }
}
