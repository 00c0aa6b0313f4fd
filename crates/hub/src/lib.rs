//! Files of the Hugging Face hub, of its mirrors and of its cache, verified before anybody sees them.
//!
//! A revision is resolved to a commit first ([`Hub::commit`]), the commit's files are listed with their sizes and
//! digests ([`Hub::files`]), and each is downloaded with resumption and checked against both ([`Hub::download`]).
//! A cache that other programs filled ([`Cache`]) gives the same: files whose digest is known, or nothing.
//!
//! ```
//! use hub::{Kind, Repository};
//!
//! assert_eq!(Repository::new(Kind::Model, "google-bert/bert-base-uncased")?.id(), "google-bert/bert-base-uncased");
//! assert!(Repository::new(Kind::Model, "../elsewhere").is_err());
//! # Ok::<(), hub::Error>(())
//! ```
//!
//! What a server says is not trusted: not a name (it stays inside one folder or is refused), not a length, not a
//! digest that its bytes do not have.
//!
//! **This crate knows no artifact store and no model, and is the only one that uses the network.**

mod cache;
mod client;
mod digest;
mod download;
mod error;
mod names;
mod settings;
mod tree;

pub use cache::{Cache, CachedFile};
pub use client::{GitRef, Hub};
pub use digest::{Check, Digest};
pub use error::Error;
pub use names::{Commit, Kind, Repository};
pub use settings::{Settings, Token};
pub use tree::{Listing, RemoteFile};
