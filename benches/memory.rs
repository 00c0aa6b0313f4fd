//! The largest memory of a whole process that trains: ours, and the rival's.

use serde_json::json;

use crate::rival::Rival;
use crate::step;

/// Prints both for one shape. Run it alone: what a process did before counts as well.
pub(crate) fn run(rival: &mut Rival) -> Result<(), String> {
    let (hidden, layers, heads, batch, length) = (512, 4, 8, 32, 128);
    step::train_once(hidden, layers, heads, length);
    let ours = peak_kilobytes("self");
    rival.prepare(&json!({
        "work": "train", "hidden": hidden, "layers": layers, "heads": heads, "vocab": 30_522, "batch": batch,
        "length": length, "threads": 1, "precision": "eager",
    }))?;
    rival.run(2)?;
    let theirs = peak_kilobytes(&rival.process().to_string());
    println!(
        "memory of training H{hidden} L{layers}, {batch} x {length}: samebasin {} MB, PyTorch {} MB",
        ours / 1024,
        theirs / 1024
    );
    Ok(())
}

/// Forgets this process's largest memory so far, where the system can.
pub(crate) fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The largest resident memory of a process, in kB; 0 where the system does not tell.
pub(crate) fn peak_kilobytes(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
