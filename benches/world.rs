//! The default study by its pipeline, and by the script in PyTorch: all arms of as many pretraining seeds as there are
//! threads, a core for each.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::pairs::Pairs;

/// Prints the ratio. A turn takes minutes.
pub(crate) fn run(python: &Path, threads: usize, turns: usize) -> Result<(), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let seeds: Vec<String> = (0..threads).map(|seed| seed.to_string()).collect();
    let ours = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = |name: &str| format!("{}={}", name.to_uppercase(), folder.path().join(name).display());
        let status = Command::new("make")
            .args(["study", "STUDY=world-bench", &place("store"), &place("out"), &format!("JOBS={threads}")])
            .arg(format!("PRETRAINING={}", seeds.join(" ")))
            .arg("--directory")
            .arg(root.join("pipelines/world"))
            .stdout(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the study failed");
    };
    let theirs = |n: usize| {
        let started = Instant::now();
        for _ in 0..n {
            let mut processes = Vec::new();
            for seed in &seeds {
                let process = Command::new(python)
                    .arg(root.join("benches/pytorch/world.py"))
                    .args(["--pretraining", seed])
                    .stdout(Stdio::null())
                    .spawn();
                processes.push(process.map_err(|error| error.to_string())?);
            }
            for mut process in processes {
                match process.wait() {
                    Ok(status) if status.success() => {}
                    other => return Err(format!("the script ended with {other:?}")),
                }
            }
        }
        Ok(1e3 * started.elapsed().as_secs_f64() / n as f64)
    };
    let pairs = Pairs::take(turns, 1, ours, theirs)?;
    println!("{}", pairs.line(&format!("world, {threads} pretraining seed(s) on {threads} core(s)")));
    Ok(())
}
