//! Decoders as transformers has them: GPT-2 (Radford et al. 2019), GPT-NeoX and with it Pythia (Black et al. 2022),
//! Llama (Touvron et al. 2023) and OLMo 2 (OLMo team 2024). They predict each next token, or classify a sequence by its
//! last one; where they differ is in [`Variant`].
//!
//! Sequences are packed, so that nothing is computed for padding, and every token attends to itself and what comes
//! before it in its sequence. Behind its attention, the last layer computes only the rows that the head looks at.

mod config;
mod layout;
mod read;
mod rotations;
#[cfg(test)]
pub(crate) mod tests;
mod variant;
mod written;

pub use config::{Activation, Config};
pub use rotations::Scaling;
pub use variant::Variant;

pub(crate) use layout::{build, ends};
pub(crate) use variant::Names;

/// Raised whenever the family's results change. It began at 0, so that the sum over the families, which keys hold, was
/// the same with it as without.
pub const VERSION: u32 = 1;
