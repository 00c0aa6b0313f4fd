//! Tasks from image files.
//!
//! A specification in TOML names the files and the labels:
//!
//! ```toml
//! name = "high-digits"
//! labels = ["low", "high"]
//! map = { 0 = "low", 1 = "low", 2 = "low", 3 = "low", 4 = "low", 5 = "high", 6 = "high", 7 = "high", 8 = "high", 9 = "high" }
//! normalise = { mean = [0.1307], std = [0.3081] }     # of values from 0 to 1; else they stay as they are
//!
//! [train]
//! images = "mnist/train-images-idx3-ubyte.gz"         # IDX, packed or not
//! labels = "mnist/train-labels-idx1-ubyte.gz"
//! range = [50000, 60000]                              # rows of the file; else all
//! sample = { seed = 0, take = 400 }                   # of these, in the random order of the seed
//!
//! [val]                                               # for choices
//! images = "mnist/train-images-idx3-ubyte.gz"
//! labels = "mnist/train-labels-idx1-ubyte.gz"
//! range = [50000, 60000]
//! sample = { seed = 0, skip = 400, take = 1000 }      # none of these is in `train`
//!
//! [split.id]
//! images = "mnist/t10k-images-idx3-ubyte.gz"
//! labels = "mnist/t10k-labels-idx1-ubyte.gz"
//!
//! [cue]                                               # see the module `cue`
//! strength = 0.9
//! mark.patch = { height = 2, width = 2, value = 1.0, at = { low = [0, 0], high = [0, 20] } }
//! ```
//!
//! With a cue, the splits and interventions follow from `[split.id]`. An image becomes a row of numbers, `[height, width,
//! channels]`, each byte divided by 255.

mod assemble;
mod idx;
mod source;
mod spec;

pub use assemble::Prepared;
pub use source::Source;
pub use spec::{Normalise, Part, Spec};

/// Changes whenever the same specification and files yield another task, or the same task other pretraining batches.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("images", VERSION).and(random::versions()).and(tables::versions())
}
