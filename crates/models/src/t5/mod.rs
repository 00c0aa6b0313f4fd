//! T5 as transformers has it (Raffel et al. 2020, and the 1.1 models that followed): an encoder that reads a text, and a
//! decoder that writes another one and looks at what the encoder made of the first. Positions are a bias of the scores
//! by distance, which all layers of a stack share; norms are RMSNorm before each block; scores are not scaled.
//!
//! It predicts a sequence from a sequence, or classifies one: then the decoder is given the same tokens, one place later,
//! and its state at the last end-of-sequence token is classified.
//!
//! Sequences are packed, so that nothing is computed for padding. Behind its first attention, the decoder's last layer
//! computes only the rows that the head looks at.

mod config;
mod layout;
mod names;
mod read;
mod sites;
#[cfg(test)]
pub(crate) mod tests;
mod written;

pub use config::{Config, FeedForward};

pub(crate) use crate::reading::Chosen as Given;
pub(crate) use layout::build;
pub(crate) use names::{DISTANCES, body, current_names, layers, stacks, stream_name};
pub(crate) use sites::{CLASSIFIER, Site, Sites};

/// Raised whenever the family's results change. It began at 0, as the decoders' did.
pub const VERSION: u32 = 1;
