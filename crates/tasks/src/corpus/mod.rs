//! Real text for pretraining.
//!
//! Files become one stream of tokens with marked document starts ([`Text`]), read by a WordPiece tokenizer that is
//! trained on them ([`train_tokenizer`]) or brought along. A [`Source`] cuts segments from the stream and hides some
//! of their tokens, drops spans of them, or leaves them as they are.

mod pieces;
mod segments;
mod text;
mod wordpiece;

pub use segments::{Objective, Source};
pub use text::{Text, tokenize};
pub use wordpiece::{train_tokenizer, train_tokenizer_with_sentinels};

/// Changes whenever the same files and parameters yield another tokenizer, other tokens or other batches.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("corpus", VERSION).and(random::versions()).and(tables::versions())
}
