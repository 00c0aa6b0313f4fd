//! Distance of invariance profiles on the arcsine scale.
//!
//! ```text
//! d(e, f) = sqrt(1/m sum_j (asin sqrt(e_j) - asin sqrt(f_j))^2)
//! ```
//!
//! Effects are shares, and a share's standard deviation shrinks towards 0 and 1; on this scale it does not
//! (Anscombe 1948), so that profiles do not come closer merely by becoming extreme. Interventions with no right answer
//! ([`WITHOUT_ANSWER`]) are left out. 0 to pi/2.

/// Changes whenever a distance changes.
pub const VERSION: u32 = 1;

/// Interventions after which there is no right answer, and which say nothing about the mechanism.
pub const WITHOUT_ANSWER: &[&str] = &["shuffle"];

/// Root mean square difference of `asin sqrt(effect)` over the named interventions, without those of
/// [`WITHOUT_ANSWER`]; `None` if none is left.
///
/// # Panics
/// If the lists differ in length.
#[must_use]
pub fn arcsine_distance(names: &[&str], a: &[f64], b: &[f64]) -> Option<f64> {
    assert!(names.len() == a.len() && a.len() == b.len(), "profiles of different interventions");
    let angle = |effect: f64| effect.clamp(0.0, 1.0).sqrt().asin();
    let kept = (0..names.len()).filter(|&j| !WITHOUT_ANSWER.contains(&names[j]));
    let squares: Vec<f64> = kept.map(|j| (angle(a[j]) - angle(b[j])).powi(2)).collect();
    (!squares.is_empty()).then(|| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let quarter = std::f64::consts::FRAC_PI_2;
        let found = arcsine_distance(&["cue", "shuffle"], &[1.0, 0.3], &[0.0, 0.9]).unwrap();
        assert!((found - quarter).abs() < 1e-12);
        assert_eq!(arcsine_distance(&["shuffle"], &[1.0], &[0.0]), None);
    }
}
