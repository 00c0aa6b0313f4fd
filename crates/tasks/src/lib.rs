//! What models learn and are tested on.
//!
//! Two embedded worlds whose latents are known ([`roles`], a language; [`glyphs`], images), real text for pretraining
//! ([`corpus`]), tasks from anyone's files ([`table`], [`images`], with a planted [`cue`]) and English pairs that tell heuristics of entailment apart ([`hans`]). A [`Task`] is a training set, evaluation splits in and out
//! of distribution, and [`Intervention`]s: pairs of examples before and after one change to the process that made
//! them. An [`Encoder`] turns examples into what models read, a [`Source`] yields pretraining batches for ever.
//!
//! ```
//! use tasks::roles::{Params, task};
//!
//! let params = Params { disambiguating: 0.05, cue: 0.9, train: 100, seed: 0 };
//! let task = task(&params)?;
//! assert_eq!((task.train.labels.len(), task.labels.len()), (100, 2));
//! assert!(task.splits.contains_key("ood") && task.interventions.contains_key("cue"));
//! # Ok::<(), tasks::Error>(())
//! ```
//!
//! **This crate knows no model.** Everything here is a function of parameters, a seed and, for [`table`] and
//! [`corpus`], the bytes of files.

pub mod corpus;
mod corruption;
pub mod cue;
mod encode;
mod error;
mod examples;
mod form;
pub mod glyphs;
pub mod hans;
pub mod images;
mod masking;
mod metric;
mod pool;
mod published;
pub mod roles;
mod source;
mod special_tokens;
pub mod table;
mod task;
mod tokenizer_file;

pub use corruption::{Corruption, SequencePairs};
pub use encode::{
    ENCODING_VERSION, Encoded, Encoder, TextEncoder, check_vocabulary, encoding_versions, vocabulary_size,
};
pub use error::Error;
pub use examples::{Content, Examples};
pub use form::Form;
pub use masking::{MaskedBatch, Masking};
pub use metric::{Metric, ratings};
pub use pool::{Pool, PoolBy};
pub use published::{
    Model as PublishedModel, SENTENCEPIECE_FILES, TOKENIZER_FILES, published_tokenizer, published_versions,
};
pub use source::{Batch, LabelledBatch, Source};
pub use special_tokens::{PADDING, token_id, tokenizer_config};
pub use task::{Intervention, Task};

/// Golden tests: outputs as hashes that stand in the tests, so that a change without a new version turns them red.
#[cfg(test)]
mod golden {
    /// FNV-1a, 64 bits (Fowler, Noll and Vo).
    pub(crate) fn hash(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
