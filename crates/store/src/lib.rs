//! Bytes and recipes: content-addressed, write-once objects, and the manifests that say how each was made.
//!
//! | type | is |
//! |---|---|
//! | [`ObjectId`] | BLAKE3 of some bytes: the name of the *bytes* |
//! | [`Recipe`] | stage, version, parameters, inputs by role: all that decides the bytes |
//! | [`StageKey`] | BLAKE3 (`derive_key`) of the canonical recipe: the name of the *recipe*, known before running |
//! | [`Input`] | `{from: StageKey, object: ObjectId}`: these bytes, made by that recipe |
//! | [`Manifest`] | key, recipe, outputs by role, facts, provenance: the last thing that a stage writes |
//!
//! A store is a folder:
//!
//! ```text
//! store-format                    "samebasin store 1"
//! objects/<id>                    bytes, read-only, named by their digest
//! manifests/<stage>/<key>.json    written once: the first commit of a key wins
//! refs/<name>.json                human names: copies of manifests, the targets of Make
//! locks/<stage>-<key>             who is computing this key now, and what that run reads and has stored
//! scratch/<stage>-<key>/          state of an unfinished run, to resume from
//! ```
//!
//! ```
//! use std::collections::BTreeMap;
//! use store::{Recipe, Store};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! let store = Store::open(folder)?;
//! let id = store.put(b"some bytes")?;
//! assert_eq!(store.read(&id)?, b"some bytes");
//!
//! // A key is known before anything runs: it is the hash of all that decides the result.
//! let parameters = serde_json::json!({ "seed": 3 }).as_object().cloned().unwrap();
//! let recipe = Recipe { stage: "finetune".into(), version: 1, parameters, inputs: BTreeMap::new() };
//! assert_eq!(recipe.key()?, recipe.clone().key()?);
//! # Ok::<(), store::Error>(())
//! ```
//!
//! What the store promises, and its tests try to break:
//!
//! - **Nothing partial is ever visible.** Everything is written to a temporary file beside its target, synced, and
//!   renamed or linked into place; a kill at any instant leaves at most a `.tmp-*` file that `gc` removes.
//! - **Bytes are never trusted.** Every read hashes what it read and compares it with the name before returning it.
//! - **A manifest exists only if every object that it names exists**, and the first commit of a key wins.
//! - **This crate knows no machine learning**: it sees bytes, JSON and names.

mod canonical;
mod catalog;
mod clock;
mod commit;
mod difference;
mod error;
mod explain;
mod files;
mod gc;
mod id;
mod lineage;
mod lock;
mod manifest;
mod names;
mod objects;
mod provenance;
mod recipe;
mod refs;
mod repair;
mod resolve;
mod roots;
mod scratch;
mod store;
mod usage;
mod verify;

#[cfg(test)]
mod sample;

pub use clock::{host, rfc3339};
pub use commit::{Committed, Damage, Lookup};
pub use difference::{Change, Difference, Hop};
pub use error::Error;
pub use gc::{Collection, Freed, Kind, Mode, Sweep};
pub use id::{ObjectId, StageKey};
pub use lineage::{Branch, Lineage, Upstream, Use};
pub use lock::{Holder, KeyLock};
pub use manifest::{Manifest, ManifestFormat, Media, Output};
pub use objects::{MappedObject, Sink};
pub use provenance::Provenance;
pub use recipe::{Input, Recipe};
pub use repair::Repair;
pub use scratch::Scratch;
pub use store::{NoSweep, Store, StoreFormat};
pub use usage::{StageUsage, Usage};
pub use verify::{Problem, Verification};
