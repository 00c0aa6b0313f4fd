//! What a model responds to: its answers before and after an intervention on the process that made the data.
//!
//! An intervention changes one latent of each base `x` and gives `do(x)`. A model's **invariance profile** is
//! the vector of its effects over the interventions (Lubana et al. 2023, "Mechanistic Mode Connectivity"): a
//! model that relies on the agent alone has effect 1 under the agent's and 0 under every other intervention.
//! That two models lie in one basin does not imply that their profiles agree; this module measures whether
//! they do.

use crate::scores;

/// Changes whenever an effect, a distance or an agreement changes.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("mechanism", VERSION).and(scores::versions())
}

/// How a model responds to one intervention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Mean total variation distance `1/2 sum_k |p_k(x) - p_k(do x)|`, 0 to 1. With two labels this is the
    /// mean of `|p(x) - p(do x)|`.
    pub mean_distance: f64,
    /// Share of bases whose predicted label changes, 0 to 1.
    pub flips: f64,
}

/// Effect of an intervention from logits `[n, c]` before and after it.
///
/// # Panics
/// If the two differ in length, are empty, or are not rows of `c`.
#[must_use]
pub fn effect(before: &[f32], after: &[f32], c: usize) -> Effect {
    assert_eq!(before.len(), after.len(), "{} logits before, {} after", before.len(), after.len());
    assert!(!before.is_empty(), "effect on no examples");
    let n = (before.len() / c) as f64;
    let [p, q] = [before, after].map(|logits| scores::probabilities(logits, c));
    let distance: f64 = p.iter().zip(&q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0;
    let changed = changed(&scores::predictions(before, c), &scores::predictions(after, c));
    let flips = changed.iter().filter(|&&changed| changed).count() as f64;
    Effect { mean_distance: distance / n, flips: flips / n }
}

/// Which bases' predicted label an intervention changes.
///
/// # Panics
/// If the two differ in length.
#[must_use]
pub fn changed(before: &[u32], after: &[u32]) -> Vec<bool> {
    assert_eq!(before.len(), after.len(), "{} predictions before, {} after", before.len(), after.len());
    before.iter().zip(after).map(|(before, after)| before != after).collect()
}

/// Distance of two invariance profiles, the root mean square difference
/// `sqrt(1/m sum_k (e_k - f_k)^2)` over `m` interventions.
///
/// # Panics
/// If they differ in length or are empty.
#[must_use]
pub fn profile_distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "profiles of {} and {} interventions", a.len(), b.len());
    assert!(!a.is_empty(), "profiles of no intervention");
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (squares / a.len() as f64).sqrt()
}

/// Counterfactual agreement of two models under one intervention: the share of bases to which both respond
/// alike, that is, both change their predicted label or both keep it. 0 to 1.
///
/// It asks whether the same change moves both, not whether they answer the same: two models that contradict
/// each other everywhere agree counterfactually if the same bases flip.
///
/// # Panics
/// If they differ in length or are empty.
#[must_use]
pub fn counterfactual_agreement(a: &[bool], b: &[bool]) -> f64 {
    assert_eq!(a.len(), b.len(), "responses to {} and {} bases", a.len(), b.len());
    assert!(!a.is_empty(), "responses to no bases");
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

/// Mean of [`counterfactual_agreement`] over interventions, each with the same weight however many bases it
/// has.
///
/// # Panics
/// If the two list different numbers of interventions, or none.
#[must_use]
pub fn mean_counterfactual_agreement(a: &[Vec<bool>], b: &[Vec<bool>]) -> f64 {
    assert_eq!(a.len(), b.len(), "responses to {} and {} interventions", a.len(), b.len());
    assert!(!a.is_empty(), "responses to no intervention");
    a.iter().zip(b).map(|(a, b)| counterfactual_agreement(a, b)).sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_by_hand() {
        // p(class 1): 1/4 -> 3/4 flips; 1/2 -> 3/4 does too, since a tie is class 0.
        let third = 3f32.ln();
        let found = effect(&[third, 0.0, 0.0, 0.0], &[0.0, third, 0.0, third], 2);
        assert!((found.mean_distance - (0.5 + 0.25) / 2.0).abs() < 1e-7);
        assert_eq!(found.flips, 1.0);
    }

    #[test]
    fn a_sure_model_that_flips_has_effect_one() {
        let found = effect(&[50.0, 0.0, 0.0], &[0.0, 0.0, 50.0], 3);
        assert!((found.mean_distance - 1.0).abs() < 1e-9);
        assert_eq!(effect(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 3), Effect { mean_distance: 0.0, flips: 0.0 });
    }

    #[test]
    fn agreement_is_about_the_change() {
        // These two never answer the same, and respond alike to three of four.
        let a = changed(&[0, 0, 1, 1], &[1, 0, 1, 1]);
        let b = changed(&[1, 1, 0, 0], &[0, 1, 0, 1]);
        assert_eq!(counterfactual_agreement(&a, &b), 0.75);
        let all = vec![true; 3];
        assert_eq!(mean_counterfactual_agreement(&[a, all.clone()], &[b, all]), 0.875);
    }

    #[test]
    fn profiles_by_hand() {
        assert_eq!(profile_distance(&[1.0, 0.0], &[0.0, 0.0]), 0.5_f64.sqrt());
        assert_eq!(profile_distance(&[0.3, 0.6], &[0.3, 0.6]), 0.0);
    }
}
