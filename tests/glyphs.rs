//! The visual world's known direction: early checkpoints lead to different models, late ones to the same.

use crate::harness::{Bench, succeed};

/// The bands are those of an independent implementation of this world, for any one pretraining seed.
#[test]
fn path_dependence_falls_as_pretraining_converges() {
    let bench = Bench::new();
    succeed(&bench.make("glyphs", "smoke", 2).output().expect("make starts"));
    let summary = bench.summary();
    let at = |measure: &str, step: u64| -> f64 {
        let mut rows = summary.iter();
        let row = rows.find(|row| row.measure == measure && row.kind == "rung" && row.step == Some(step));
        row.unwrap_or_else(|| panic!("no `{measure}` at step {step}")).estimate
    };
    let within = |measure: &str, step: u64, low: f64, high: f64| {
        let value = at(measure, step);
        assert!((low..=high).contains(&value), "{measure} at step {step} is {value}, not in [{low}, {high}]");
    };
    within("id_barrier", 0, 0.012, 0.05);
    within("id_barrier", 3_000, 0.0, 0.004);
    assert!(at("id_barrier", 0) > 5.0 * at("id_barrier", 3_000));
    within("ood_agreement", 0, 0.80, 0.90);
    within("ood_agreement", 3_000, 0.95, 1.0);
    within("ood_accuracy", 0, 0.2, 0.4);
    within("ood_accuracy", 3_000, 0.88, 1.0);
    within("effect.cue", 0, 0.55, 1.0);
    within("effect.cue", 3_000, 0.0, 0.2);
}
