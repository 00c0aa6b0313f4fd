//! What the number of pretraining seeds allows, and whether they say the same.

use std::collections::BTreeMap;

use super::super::listed;
use super::{Caveat, say};
use crate::study::{DEFAULT_ARM, Study};
use crate::summarise::measure::{self, PRIMARY};

/// What few pretraining seeds mean for the intervals.
pub(super) fn few(study: &Study) -> Option<Caveat> {
    match study.pretraining_seeds().len() {
        0 => None,
        1 => say(
            "One pretraining seed",
            "Every rung comes from one pretraining run. The intervals cover fine-tuning seeds only; another run may \
             well behave differently, and nothing here measures by how much."
                .into(),
        ),
        n @ 2..=4 => {
            let bootstrapped = study.summary.iter().any(|row| row.method == "percentile" || row.method == "bca");
            let so = match bootstrapped {
                true => "Bootstrap intervals from so few are too narrow.",
                false => "The intervals pay for that with their width, and assume that seeds scatter normally.",
            };
            say(
                "Few pretraining seeds",
                format!("Pretraining seeds are a random effect, often as large as the one looked for, and there are only {n}. {so}"),
            )
        }
        _ => None,
    }
}

/// Each pretraining seed's own late less early.
fn contrasts_by_seed(study: &Study, id: &str) -> BTreeMap<u64, f64> {
    let mean = |seed: u64, inside: &dyn Fn(u64) -> bool| {
        let values: Vec<f64> = study
            .cells_of(DEFAULT_ARM, id)
            .filter(|cell| cell.pretraining_seed == seed && inside(cell.step))
            .map(|cell| cell.value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let contrast = |seed: u64| {
        let late = mean(seed, &|step| step >= study.late_from)?;
        let early = mean(seed, &|step| step <= study.early_until)?;
        Some((seed, late - early))
    };
    study.pretraining_seeds().into_iter().filter_map(contrast).collect()
}

/// Pretraining seeds whose own late less early has the opposite sign.
pub(super) fn reversing(study: &Study) -> Option<Caveat> {
    let mut told = Vec::new();
    for measure in PRIMARY.iter().map(|id| measure::named(id)) {
        let contrasts = contrasts_by_seed(study, &measure.id);
        let mean = contrasts.values().sum::<f64>() / contrasts.len().max(1) as f64;
        let against: Vec<String> = contrasts
            .iter()
            .filter(|(_, change)| **change * mean < 0.0)
            .map(|(seed, change)| format!("seed {seed} by {}", measure.show_change(*change)))
            .collect();
        if contrasts.len() > 1 && !against.is_empty() {
            told.push(format!(
                "{} (mean {}; {})",
                measure.label,
                measure.show_change(mean),
                listed(&against)
            ));
        }
    }
    match told.is_empty() {
        true => None,
        false => say(
            "Some pretraining seeds go the other way",
            format!("Late less early has the opposite sign in single pretraining runs: {}.", listed(&told)),
        ),
    }
}
