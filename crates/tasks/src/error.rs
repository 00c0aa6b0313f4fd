//! What can go wrong with a task.

/// Why a task could not be made, read or encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is out of its range.
    #[error("`{name}` is {value}, but must be {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The range.
        expected: &'static str,
    },
    /// Examples do not hold together.
    #[error("{part}: {reason}")]
    Examples {
        /// The part of the task.
        part: String,
        /// What is wrong.
        reason: String,
    },
    /// A tokenizer cannot be used.
    #[error("the tokenizer cannot be used: {reason}")]
    Tokenizer {
        /// What is wrong with it.
        reason: String,
    },
    /// An example cannot be encoded.
    #[error("example {index} (`{text}`) cannot be encoded: {reason}")]
    Encode {
        /// Position of the example.
        index: usize,
        /// Its text, or the beginning of it.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// An encoder was given content of another kind.
    #[error("the model reads {expected}, but the examples are {found}")]
    Content {
        /// What the encoder encodes.
        expected: &'static str,
        /// What it was given.
        found: &'static str,
    },
    /// What a split pools its task's labels by cannot be used.
    #[error("pool: {reason}")]
    Pool {
        /// What is wrong with it.
        reason: String,
    },
    /// The specification of a task cannot be used.
    #[error("task specification: {reason}")]
    Specification {
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read as the specification says.
    #[error("{file}{}: {reason}", line.map_or(String::new(), |line| format!(", line {line}")))]
    File {
        /// The file.
        file: String,
        /// The line, counted from 1, where there is one.
        line: Option<u64>,
        /// What is wrong.
        reason: String,
    },
    /// A table of examples cannot be written or read.
    #[error(transparent)]
    Table(#[from] tables::Error),
}

impl Error {
    /// A parameter that is not a probability.
    pub(crate) fn check_probability(name: &'static str, value: f64) -> Result<(), Self> {
        // NaN is in no range.
        if (0.0..=1.0).contains(&value) {
            Ok(())
        } else {
            Err(Self::Parameter { name, value: value.to_string(), expected: "between 0 and 1" })
        }
    }

    /// A count that is not positive.
    pub(crate) fn check_positive(name: &'static str, value: usize) -> Result<(), Self> {
        if value > 0 {
            Ok(())
        } else {
            Err(Self::Parameter { name, value: value.to_string(), expected: "at least 1" })
        }
    }
}
