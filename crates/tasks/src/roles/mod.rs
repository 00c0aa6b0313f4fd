//! "roles": a language whose latents are known. Who is the agent of this sentence?
//!
//! A sentence is a marker and the words of one of twelve [`Template`]s. The task is the label group of the agent. In
//! training three things predict it: the agent (the rule), the first noun (right in about `1 - disambiguating / 2`) and
//! the marker (right with probability `cue`). Only an evaluation out of distribution, or an intervention, tells them
//! apart.
//!
//! ```text
//! agent first                         agent not first
//! act   A V B                         pas     B was V by A
//! ppS   A P C V B                     fpp     P C , A V B
//! ppO   A V B P C                     top     B , A V
//! srel  A that W C V B                pasppP  B P C was V by A
//! orel  A that C W V B                pasppA  B was V by A P C
//! conj  A V B and C                   pasrel  B that W C was V by A
//! ```

mod interventions;
mod language;
mod latents;
mod pretraining;
mod task;

pub use interventions::{Change, interventions};
pub(crate) use language::CLS;
pub use language::{Marker, Noun, Preposition, VOCABULARY, Verb, text, tokenizer_json};
pub use latents::{Kind, Latents, Template};
pub use pretraining::{HELD_OUT, Source};
pub use task::{Params, task};

/// Changes whenever the same parameters and seed yield other sentences.
pub const VERSION: u32 = 2;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("roles", VERSION).and(random::versions()).and(tables::versions())
}
