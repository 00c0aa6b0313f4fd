//! What can go wrong with a table.

use crate::Kind;

/// Why a table could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Parquet writer refused the rows.
    #[error("table `{table}` cannot be written: {reason}")]
    Write {
        /// The table.
        table: &'static str,
        /// The writer's words.
        reason: String,
    },
    /// The bytes are not Parquet, or damaged.
    #[error("no readable parquet file: {reason}")]
    Corrupt {
        /// What was found.
        reason: String,
    },
    /// The file declares more than a reader should have to hold.
    #[error("parquet file refused: {what} is {found}, above the limit of {limit}")]
    TooLarge {
        /// The quantity.
        what: &'static str,
        /// What the file declares.
        found: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A column is not in the file.
    #[error("column `{column}`{} is missing; the file has {}", kind(*.expected), list(.present))]
    MissingColumn {
        /// The column.
        column: String,
        /// The type that was asked for; none where any would do.
        expected: Option<Kind>,
        /// The columns that are there.
        present: Vec<String>,
    },
    /// A column has another type.
    #[error("column `{column}` is {found}, not {expected}")]
    WrongType {
        /// The column.
        column: String,
        /// The type in the file, in Arrow's words.
        found: String,
        /// The type that was asked for.
        expected: Kind,
    },
    /// A column that is read as text holds something that has no text form.
    #[error("column `{column}` is {found}, which cannot be read as text")]
    NoText {
        /// The column.
        column: String,
        /// The type in the file, in Arrow's words.
        found: String,
    },
    /// A column that is read as text holds values with parts of their own.
    #[error("column `{column}` is {found}: name one value of it by its path, as in `messages[-1].content`")]
    Nested {
        /// The column, or the path that was followed.
        column: String,
        /// The type that was found there, in Arrow's words.
        found: String,
    },
    /// Bytes that are read as text are none.
    #[error("column `{column}`, row {row}: the bytes are not UTF-8")]
    NotUtf8 {
        /// The column.
        column: String,
        /// The row, from 1.
        row: usize,
    },
    /// A column has nulls where none are allowed.
    #[error("column `{column}` has {nulls} null(s), and none are allowed")]
    Nulls {
        /// The column.
        column: String,
        /// How many.
        nulls: usize,
    },
}

fn kind(expected: Option<Kind>) -> String {
    expected.map_or_else(String::new, |kind| format!(" ({kind})"))
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "no columns".into() } else { quoted.join(", ") }
}
