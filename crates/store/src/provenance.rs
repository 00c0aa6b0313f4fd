//! Who made something, where and with what: written beside the bytes, never part of a key.

use serde::{Deserialize, Serialize};

/// How, where and with what a manifest's outputs were made. None of it enters a key; it says which of two machines
/// wrote the bytes that a key has, since instruction sets may round differently.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Git commit of the code, if it is known.
    pub commit: Option<String>,
    /// Version of samebasin.
    pub samebasin: String,
    /// Version of the compiler, if it is known.
    pub rustc: Option<String>,
    /// Name of the machine.
    pub host: String,
    /// Target triple, such as `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// What computed it: `cpu`, or an accelerator; empty in manifests from before this was said.
    #[serde(default)]
    pub device: String,
    /// Instruction set that the kernels used, such as `avx2+fma`.
    pub instruction_set: String,
    /// Number of threads.
    pub threads: u32,
    /// Wall-clock time of the run in seconds.
    pub seconds: f64,
    /// Greatest resident memory of the process in bytes, 0 if it is not known.
    pub peak_memory_bytes: u64,
    /// When the run began, as RFC 3339 in UTC.
    pub started: Option<String>,
    /// When the run ended, as RFC 3339 in UTC.
    pub finished: Option<String>,
}
