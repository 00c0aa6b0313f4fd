//! Named streams of random numbers: the only source of randomness in samebasin.
//!
//! Every draw comes from a stream that is named by a seed, a purpose and, where something repeats, an index: the
//! batch of step 400 is `Stream::at(seed, "order", 400)`. Streams of different names are independent, a stream is
//! the same on every machine, and nothing has to be replayed to reach the middle of a run, so that resuming is
//! free. The generator is ChaCha8 (Bernstein 2008), keyed by BLAKE3 of the name.
//!
//! **Nothing else makes randomness.** No clock, no operating-system entropy, no thread-local generator.
//!
//! ```
//! use random::Stream;
//! let mut order: Vec<u32> = (0..8).collect();
//! Stream::new(7, "order").shuffle(&mut order);
//! assert_eq!(Stream::new(7, "head").u64(), Stream::new(7, "head").u64());
//! ```

mod stream;

pub use stream::{Stream, counter_u32};

/// Changes whenever the numbers that a named stream yields change.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("random", VERSION)
}
