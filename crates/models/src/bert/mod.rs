//! BERT (Devlin et al. 2019) as transformers has it: LayerNorm after the residual, erf GELU, learned positions, and
//! either a masked-language head whose decoder is tied to the word embeddings or a pooler with a classifier. RoBERTa and
//! DistilBERT are the same encoder under other names: see [`Variant`].
//!
//! Sequences are packed, so that nothing is computed for padding. The last layer computes only the rows that the head
//! looks at (masked tokens, or the first of each sequence): keys and values still come from all tokens, so nothing
//! changes but the time.

mod config;
mod layout;
mod read;
mod variant;
mod written;

pub use config::Config;
pub use variant::Variant;

pub(crate) use crate::blocks::dropout::{mask, site};
pub(crate) use layout::build;
pub(crate) use variant::Names;

/// Raised whenever the family's results change.
pub const VERSION: u32 = 1;
