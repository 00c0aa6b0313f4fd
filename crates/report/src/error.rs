//! Reasons why tables make no report.

use std::path::PathBuf;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A table that is damaged, or lacks a column, or has one of another type.
    #[error("table `{table}`: {source}")]
    Table {
        /// Name of the table.
        table: &'static str,
        /// The column and its expected type, or the damage.
        source: tables::Error,
    },
    /// A folder without any table of a study.
    #[error("{folder} has no table of a study; expected at least `runs.parquet` or `pairs.parquet`")]
    NoTables {
        /// The folder.
        folder: PathBuf,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Bounds of the early and late rungs that overlap.
    #[error("--early-until {early_until} must be below --late-from {late_from}")]
    Overlap {
        /// Last step that counts as early.
        early_until: u64,
        /// First step that counts as late.
        late_from: u64,
    },
    /// A measure that nobody knows.
    #[error("there is no measure `{measure}`; there are {}", known.join(", "))]
    NoMeasure {
        /// What was asked for.
        measure: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A study that does not have a measure on both sides.
    #[error("the study has no `{measure}` at an early and at a late rung of the arm `default`")]
    NoChange {
        /// The measure.
        measure: String,
    },
    /// Polars refused a table that had just been written, which is a bug.
    #[error("polars cannot read a table that was just written: {0}")]
    Polars(#[from] polars::error::PolarsError),
    /// The page's template does not fit what it was given, which is a bug.
    #[error("the page's template: {0:#}")]
    Template(#[from] minijinja::Error),
}

impl Error {
    /// Whether the reader's tables are at fault, rather than this program.
    #[must_use]
    pub fn blames_input(&self) -> bool {
        matches!(self, Self::Table { .. } | Self::NoTables { .. } | Self::Read { .. } | Self::NoChange { .. })
    }
}
