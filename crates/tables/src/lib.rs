//! Typed rows in Parquet.
//!
//! A table is a struct: its doc comment documents the table, the doc comments of its fields document the columns,
//! and both travel in the file. The bytes are a function of the rows alone.
//!
//! ```
//! tables::rows! {
//!     /// One point of the line between two runs.
//!     pub struct PointRow in "points" {
//!         /// Position on the line: 0 is the first run, 1 the second.
//!         pub alpha: f64,
//!         /// Mean cross-entropy (nats).
//!         pub loss: f64,
//!     }
//! }
//!
//! # fn main() -> Result<(), tables::Error> {
//! let rows = [PointRow { alpha: 0.5, loss: 0.7 }];
//! let bytes = PointRow::write(&rows)?;
//! assert_eq!(PointRow::read(&bytes)?, rows);
//! println!("{}", PointRow::TABLE);
//! # Ok(())
//! # }
//! ```
//!
//! **Nothing else names arrow or parquet**, this crate knows no file and no column of anyone's, and it never trusts
//! the bytes that it reads: sizes are checked before anything is decoded, and a parser's panic is an [`Error`].

mod cell;
mod error;
mod foreign;
mod guard;
mod path;
mod read;
mod rows;
mod schema;
mod thrift;
mod write;

pub use cell::Cell;
pub use error::Error;
pub use foreign::{column_names, read_text_columns};
pub use guard::guarded;
pub use path::{Path, Step};
pub use read::{Columns, read};
pub use rows::Row;
pub use schema::{Field, Kind, Schema};
pub use write::{Arrays, write};

/// Changes whenever the bytes of a written table change.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("tables", VERSION)
}
