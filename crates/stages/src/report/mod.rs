//! `samebasin report`: everything joined into tables, estimates and a page to read.

pub(crate) mod collate;
pub(crate) mod html;
pub(crate) mod study;
pub(crate) mod summarise;
#[cfg(test)]
mod synthetic;
pub(crate) mod words;
