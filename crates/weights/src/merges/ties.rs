//! TIES (Yadav et al. 2023, "Resolving interference when merging models"): trim, elect sign, merge.
//!
//! Each task vector keeps its `density` share of values of largest magnitude, over the whole model as in the
//! paper. The sign of a value is that of the sum of what was kept, the values of that sign are averaged over
//! the models that have one, and the result is `theta_0 + lambda mean`. Where the kept values cancel exactly
//! the base stays.
//!
//! Costs a selection and `8 n` bytes per model for n values.

use crate::{Error, Weights};

/// Changes whenever the merge changes.
pub const VERSION: u32 = 1;

/// Merges `models`, keeping a `density` share of each task vector and scaling the merged one by `scale`.
///
/// # Errors
/// As [`super::Method::merge`].
pub fn merge(base: &Weights, models: &[&Weights], density: f64, scale: f64) -> Result<Weights, Error> {
    super::check(base, models)?;
    super::check_density(density)?;
    crate::check_finite("scale", scale)?;
    let trimmed: Vec<Vec<f64>> = models.iter().map(|model| trim(base, model, density)).collect();
    let mut out = base.clone();
    for (i, value) in out.values.iter_mut().enumerate() {
        let sign = trimmed.iter().map(|task| task[i]).sum::<f64>();
        let (mut sum, mut count) = (0.0, 0.0);
        for task in trimmed.iter().filter(|task| task[i] * sign > 0.0) {
            sum += task[i];
            count += 1.0;
        }
        if count > 0.0 {
            *value = (f64::from(*value) + scale * sum / count) as f32;
        }
    }
    Ok(out)
}

/// The task vector with all but its `ceil(density n)` largest magnitudes set to 0; of equal ones the first
/// are kept.
fn trim(base: &Weights, model: &Weights, density: f64) -> Vec<f64> {
    let pairs = base.values.iter().zip(&model.values);
    let mut task: Vec<f64> = pairs.map(|(&base, &model)| f64::from(model) - f64::from(base)).collect();
    let keep = (density * task.len() as f64).ceil() as usize;
    if keep >= task.len() {
        return task;
    }
    let mut magnitudes: Vec<f64> = task.iter().map(|value| value.abs()).collect();
    let (larger, &mut threshold, _) = magnitudes.select_nth_unstable_by(keep - 1, |a, b| b.total_cmp(a));
    let mut ties = keep - larger.iter().filter(|&&magnitude| magnitude > threshold).count();
    for value in &mut task {
        let magnitude = value.abs();
        if magnitude == threshold && ties > 0 {
            ties -= 1;
        } else if magnitude <= threshold {
            *value = 0.0;
        }
    }
    task
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::Layout;

    fn of(values: &[f32]) -> Weights {
        let mut layout = Layout::default();
        layout.push("w", &[values.len()]);
        let mut weights = Weights::zeros(Arc::new(layout));
        weights.values.copy_from_slice(values);
        weights
    }

    #[test]
    fn by_hand() {
        let base = of(&[1.0; 4]);
        // Task vectors (4, -1, 0.5, 2) and (-1, -3, 0.1, -2); half of each is kept: (4, 0, 0, 2) and (0, -3,
        // 0, -2).
        let (a, b) = (of(&[5.0, 0.0, 1.5, 3.0]), of(&[0.0, -2.0, 1.1, -1.0]));
        assert_eq!(merge(&base, &[&a, &b], 0.5, 1.0).unwrap().values, [5.0, -2.0, 1.0, 1.0]);
        // All is kept: signs +, -, +, 0.
        assert_eq!(merge(&base, &[&a, &b], 1.0, 1.0).unwrap().values, [5.0, -1.0, 1.3, 1.0]);
    }

    #[test]
    fn exactly_the_share_is_kept() {
        let (base, model) = (of(&[0.0; 5]), of(&[1.0, -1.0, 1.0, 2.0, 1.0]));
        assert_eq!(trim(&base, &model, 0.6), [1.0, -1.0, 0.0, 2.0, 0.0]);
        assert_eq!(trim(&base, &model, 0.01), [0.0, 0.0, 0.0, 2.0, 0.0]);
    }

    /// The paper's three steps by sorting, with signs as numbers.
    fn naive(tasks: &[Vec<f64>], density: f64) -> Vec<f64> {
        let n = tasks[0].len();
        let keep = (density * n as f64).ceil() as usize;
        let trimmed: Vec<Vec<f64>> = tasks
            .iter()
            .map(|task| {
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by(|&a, &b| task[b].abs().total_cmp(&task[a].abs()));
                (0..n).map(|i| if order[..keep].contains(&i) { task[i] } else { 0.0 }).collect()
            })
            .collect();
        let merged = |i: usize| {
            let elected = trimmed.iter().map(|task| task[i]).sum::<f64>().signum();
            let agreeing: Vec<f64> =
                trimmed.iter().map(|task| task[i]).filter(|&v| v != 0.0 && v.signum() == elected).collect();
            if agreeing.is_empty() { 0.0 } else { agreeing.iter().sum::<f64>() / agreeing.len() as f64 }
        };
        (0..n).map(merged).collect()
    }

    proptest! {
        #[test]
        fn as_the_reference(
            rows in prop::collection::vec(prop::collection::vec(-3.0..3.0_f32, 12), 1..5),
            density in 0.05..1.0_f64,
        ) {
            let base = of(&[0.0; 12]);
            let models: Vec<Weights> = rows.iter().map(|row| of(row)).collect();
            let wide = |row: &Vec<f32>| row.iter().map(|&x| f64::from(x)).collect();
            let tasks: Vec<Vec<f64>> = rows.iter().map(wide).collect();
            let found = merge(&base, &models.iter().collect::<Vec<_>>(), density, 1.0).unwrap();
            for (found, expected) in found.values.iter().zip(naive(&tasks, density)) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-6);
            }
        }
    }
}
