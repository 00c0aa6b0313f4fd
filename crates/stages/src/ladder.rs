//! Ladders as stages pass them on: a manifest that lists its rungs, each a result of its own under the role
//! `step-<steps>`, with what describes the model and a table that says how far each rung is.

use std::collections::BTreeMap;

use learn::{Scorer, masked_tally, sequence_tally};
use models::{Model, Tally};
use store::Manifest;
use tasks::Batch;

use crate::stage::Failure;

/// The role of the rung at a step.
#[must_use]
pub fn rung_role(step: u64) -> String {
    format!("step-{step}")
}

/// The step of a rung's role; `None` for other roles.
#[must_use]
pub(crate) fn step_of(role: &str) -> Option<u64> {
    role.strip_prefix("step-")?.parse().ok()
}

/// The roles of a ladder's rungs, by step.
pub(crate) fn rungs(ladder: &Manifest) -> BTreeMap<u64, &str> {
    ladder.outputs.keys().filter_map(|role| Some((step_of(role)?, role.as_str()))).collect()
}

/// Held-out loss and accuracy under the model's own training objective.
///
/// # Errors
/// [`Failure::Learn`] if the model refuses the examples.
pub(crate) fn tally(model: &Model, values: &[f32], held_out: &Batch) -> Result<Tally, Failure> {
    match held_out {
        Batch::Masked(text) => Ok(masked_tally(model, values, text)?),
        Batch::Sequences(pairs) => Ok(sequence_tally(model, values, pairs)?),
        Batch::Labelled(examples) => {
            let logits = Scorer::default().logits(model, values, &examples.inputs)?;
            let labels = &examples.labels;
            let scores = measures::scores::scores(&logits, labels);
            Ok(Tally {
                loss_sum: scores.loss * labels.len() as f64,
                correct: (scores.accuracy * labels.len() as f64).round() as u64,
                n: labels.len() as u64,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_name_steps() {
        assert_eq!(step_of(&rung_role(143_000)), Some(143_000));
        for role in ["model", "step-", "step-x", "step--1"] {
            assert_eq!(step_of(role), None, "{role}");
        }
    }
}
