//! The report of a study: tables in, estimates and a page out.
//!
//! Three steps, each a module: [`rows`] holds the tables that describe a study, `summarise` turns them into estimates
//! with intervals, `html` and `terminal` say what those mean in the words of `words`.
//!
//! ```
//! // Every table documents itself: these sentences travel in the files, too.
//! let pairs = report::rows::PairSplit::TABLE;
//! assert_eq!(pairs.name, "pairs");
//! assert!(pairs.fields.iter().any(|field| field.name == "agreement" && field.doc.contains("same label")));
//! ```
//!
//! **Nothing here knows a store, a model or a task**: a study is the tables of [`rows`], whoever wrote them. Nothing
//! else names Polars.

mod error;
mod html;
mod observed;
mod pilot;
pub mod rows;
mod study;
mod summarise;
mod terminal;
mod words;

#[cfg(test)]
mod synthetic;

pub use error::Error;
pub use html::Edition;
pub use observed::Observed;
pub use pilot::Pilot;
pub use study::{DEFAULT_ARM, LINEAR, Plan, Study};
pub use words::answer::Answer;

use rows::{
    Correlation, Fact, InterventionEffect, ItemCount, MeasureCell, PairSplit, PathPoint, Prediction,
    RunScore, Rung, SelectionGain, SoupScore, Spread, Summary,
};
use tables::Schema;

/// All tables of a study, in the order of the page.
pub const TABLES: [&Schema; 14] = [
    Summary::TABLE,
    MeasureCell::TABLE,
    RunScore::TABLE,
    Spread::TABLE,
    Correlation::TABLE,
    PairSplit::TABLE,
    PathPoint::TABLE,
    SoupScore::TABLE,
    SelectionGain::TABLE,
    InterventionEffect::TABLE,
    Rung::TABLE,
    ItemCount::TABLE,
    Fact::TABLE,
    Prediction::TABLE,
];
