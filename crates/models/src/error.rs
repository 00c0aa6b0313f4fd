//! What can be wrong with a configuration or an input.

/// What can be wrong with a configuration or an input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is not JSON of the expected form.
    #[error("configuration: {reason}")]
    Json {
        /// What the parser objected to.
        reason: String,
    },
    /// The configuration asks for something that this crate does not compute.
    #[error("configuration: `{field}` is {found}, this program computes {supported} only")]
    Unsupported {
        /// Field of `config.json`.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
    /// A size or probability that no model can have.
    #[error("configuration: `{field}` is {found}, it must be {range}")]
    Range {
        /// Field of `config.json`.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        range: &'static str,
    },
    /// A head that the family does not have.
    #[error("a model of type `{model_type}` has no {head} head")]
    Head {
        /// The family.
        model_type: &'static str,
        /// The head.
        head: &'static str,
    },
    /// A family without dropout was asked to drop units.
    #[error("a model of type `{model_type}` drops no units")]
    NoDropout {
        /// The family.
        model_type: &'static str,
    },
    /// A precision in which something does not compute.
    #[error("{what} is computed in f32 only")]
    Precision {
        /// A family, or a device's operations.
        what: String,
    },
    /// A device that is not here.
    #[error("device `{device}`: {reason}")]
    Device {
        /// The device.
        device: String,
        /// Why not.
        reason: String,
    },
    /// Inputs or targets of another kind than the model's.
    #[error("a model of type `{model_type}` with a {head} head does not take {found}")]
    Kind {
        /// The family.
        model_type: &'static str,
        /// The head.
        head: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// A batch without rows.
    #[error("the batch is empty")]
    Empty,
    /// Two parts of a batch that must be equally long.
    #[error("{what}: {found}, expected {expected}")]
    Length {
        /// Which part.
        what: &'static str,
        /// Its length.
        found: usize,
        /// What it should be.
        expected: usize,
    },
    /// A value outside its table.
    #[error("{what} {found} at index {index} is not below {limit}")]
    OutOfRange {
        /// Token, segment, label or row.
        what: &'static str,
        /// The value.
        found: u32,
        /// Where it stands.
        index: usize,
        /// Number of values allowed.
        limit: usize,
    },
    /// Offsets or rows that do not increase.
    #[error("{what} do not increase at index {index}")]
    Order {
        /// Starts or rows.
        what: &'static str,
        /// Where.
        index: usize,
    },
    /// A sequence with more tokens than the model has positions.
    #[error("sequence {index} has {found} tokens, the model has {limit} positions")]
    TooLong {
        /// Which sequence of the batch.
        index: usize,
        /// Its tokens.
        found: usize,
        /// The model's positions.
        limit: usize,
    },
    /// A sequence without the token at which it is classified.
    #[error(
        "sequence {index} has no token {end}, at which it is classified: its tokenizer should end each text with it"
    )]
    NoEnd {
        /// Which sequence of the batch.
        index: usize,
        /// The end-of-sequence token.
        end: u32,
    },
    /// A dense input that is NaN or infinite.
    #[error("input {value} at index {index} is not finite")]
    NotFinite {
        /// The value.
        value: f32,
        /// Where it stands.
        index: usize,
    },
    /// Weights that are not those of this model.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// An error of candle, in its operations.
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}
