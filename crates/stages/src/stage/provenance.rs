//! Who made a result, where and how: for people, never part of a key.

use std::time::{Instant, SystemTime};

use store::Provenance;

/// The provenance of work that began at `start` and ends now.
pub(super) fn provenance(start: Instant, threads: usize) -> Provenance {
    let finished = SystemTime::now();
    Provenance {
        commit: option_env!("SAMEBASIN_COMMIT").map(Into::into),
        samebasin: env!("CARGO_PKG_VERSION").into(),
        rustc: option_env!("SAMEBASIN_RUSTC").map(Into::into),
        host: store::host(),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        // The fused kernels know no other.
        device: "cpu".into(),
        instruction_set: instruction_set().into(),
        threads: threads as u32,
        seconds: start.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes().unwrap_or(0),
        started: finished.checked_sub(start.elapsed()).map(store::rfc3339),
        finished: Some(store::rfc3339(finished)),
    }
}

/// The widest vectors that the kernels use here: the one thing about a machine that may change rounding.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "avx512f";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "avx2+fma";
        }
    }
    std::env::consts::ARCH
}

/// The process's largest resident set so far, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
