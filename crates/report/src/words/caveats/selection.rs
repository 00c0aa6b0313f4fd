//! What choosing among seeds would have bought.

use super::{Caveat, say};
use crate::rows::SelectionGain;
use crate::study::{DEFAULT_ARM, Study, steps_text};

/// Choosing by the held-out score at the last rung: what it is expected to do (out of
/// distribution where that was tested), over all pretraining seeds.
pub(super) fn best_of_seeds(study: &Study) -> Option<Caveat> {
    let split = study.ood().unwrap_or("id");
    let place = if split == "id" { "in distribution" } else { "out of distribution" };
    let step = *study.steps(DEFAULT_ARM).last()?;
    let here = |row: &&SelectionGain| row.arm == DEFAULT_ARM && row.step == step && row.split == split;
    let rows: Vec<&SelectionGain> = study.selections.iter().filter(here).collect();
    let mean_of = |rows: &[&SelectionGain], value: fn(&SelectionGain) -> f64| {
        rows.iter().map(|row| value(row)).sum::<f64>() / rows.len() as f64
    };
    let alone: Vec<&SelectionGain> = rows.iter().copied().filter(|row| row.best_of == 1).collect();
    let most = rows.iter().filter(|row| row.best_of >= 3).map(|row| row.best_of).max()?;
    let choices: Vec<String> = [3, most]
        .into_iter()
        .filter_map(|k| {
            let of_k: Vec<&SelectionGain> = rows.iter().copied().filter(|row| row.best_of == k).collect();
            (!of_k.is_empty())
                .then(|| format!("{:.3} for the best of {k}", mean_of(&of_k, |row| row.expected)))
        })
        .collect();
    let choices = if most == 3 { choices[..1].join("") } else { choices.join(" and ") };
    say(
        "Choosing among seeds",
        format!(
            "{} {:.3} {place} on average ({}, standard deviation over seeds {:.3}); keeping the \
             run with the best held-out score is expected to give {choices}.",
            match study.knows_steps() {
                true => format!("At {} steps a run scores", steps_text(step)),
                false => "A run scores".into(),
            },
            mean_of(&alone, |row| row.mean),
            alone.first()?.metric,
            mean_of(&alone, |row| row.sd),
        ),
    )
}
