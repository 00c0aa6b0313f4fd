//! What models learn and are tested on.
//!
//! Two embedded worlds whose latents are known ([`roles`], a language; [`glyphs`], images), real text for pretraining
//! ([`corpus`]) and tasks from anyone's files ([`table`]). A [`Task`] is a training set, evaluation splits in and out
//! of distribution, and [`Intervention`]s: pairs of examples before and after one change to the process that made
//! them. An [`Encoder`] turns examples into what models read, a [`Source`] yields pretraining batches for ever.
//!
//! **This crate knows no model.** Everything here is a function of parameters, a seed and, for [`table`] and
//! [`corpus`], the bytes of files.

mod error;
mod examples;
mod task;
mod encode;
mod tokenizer_file;
mod masking;
mod source;
pub mod roles;
pub mod glyphs;
pub mod corpus;
pub mod table;

pub use encode::{ENCODING_VERSION, Encoded, Encoder, TextEncoder, vocabulary_size};
pub use error::Error;
pub use examples::{Content, Examples};
pub use masking::{MaskedBatch, Masking};
pub use source::{Batch, LabelledBatch, Source};
pub use task::{Intervention, Task};
