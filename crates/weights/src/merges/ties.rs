//! TIES (Yadav et al. 2023, "Resolving interference when merging models"): trim, elect sign, merge.
//!
//! Each task vector keeps its `density` share of values of largest magnitude: over the whole model as in the paper, or
//! over each tensor as in mergekit. The sign of a value is that of the weighed sum of what was kept, the values of that
//! sign are averaged over the models that have one, and the result is `theta_0 + lambda mean`. Where the kept values
//! cancel exactly the base stays.
//!
//! A selection for each model; over whole models three passes more.

use super::{ANY, DENSITY, SCALE, WEIGHT, thin};
use crate::Error;
use crate::members::{Members, Tensor};
use crate::methods::{Base, How, Method};
use crate::parameters::{Kind, Parameter, Plan, Settings};

/// Trim, elect signs, average those that agree.
pub static METHOD: Method = Method {
    name: "ties",
    about: "The same of what is largest and of one sign (Yadav et al. 2023)",
    version: 2,
    parameters: &[DENSITY, SCALE, WEIGHT, TRIM],
    base: Base::Required,
    random: false,
    members: ANY,
    how: How::Surveyed(survey, merge),
};

const TRIM: Parameter = Parameter {
    name: "trim",
    about: "What the share of a task vector is taken of",
    kind: Kind::Choice(&[("model", "Of the whole model: the paper"), ("tensor", "Of each tensor: mergekit")]),
};

fn survey(members: &Members<'_>, plan: &Plan) -> Result<thin::Cuts, Error> {
    if plan.choice(&TRIM) == "tensor" {
        return Ok(thin::Cuts::default());
    }
    let set = plan.values.get("density").map_or(&[][..], Vec::as_slice);
    if let Some(value) = set.iter().find(|value| !matches!(value, crate::parameters::Value::Number(_))) {
        let expected = "a number where whole models are trimmed (trim = tensor takes others)".into();
        return Err(Error::Choice { name: "density", expected, found: value.to_string() });
    }
    let settings = plan.settings(METHOD.parameters, members.layout(), 0);
    thin::survey(members, |member| settings.of("density", member))
}

fn merge(tensor: &Tensor<'_>, settings: &Settings, cuts: &thin::Cuts, out: &mut [f32]) -> Result<(), Error> {
    let trim = |vector: &thin::Vector<'_>, factors: &mut [f32]| {
        let cut = cuts.of(tensor, vector.member).unwrap_or_else(|| {
            let density = settings.of("density", vector.member);
            thin::cut(vector.values, thin::kept(density, vector.values.len()))
        });
        thin::apply(cut, vector.values, factors);
        Ok(())
    };
    thin::merge(tensor, settings, thin::Rule { elect: true, mean: true }, trim, out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::methods::tests::over;
    use crate::{Layout, Weights};

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
        // Task vectors (4, -1, 0.5, 2) and (-1, -3, 0.1, -2); half of each is kept: (4, 0, 0, 2) and (0, -3, 0, -2).
        let (a, b) = (of(&[5.0, 0.0, 1.5, 3.0]), of(&[0.0, -2.0, 1.1, -1.0]));
        let found = over(&METHOD, &base, &[&a, &b], &Plan::default().with("density", 0.5));
        assert_eq!(found.values, [5.0, -2.0, 1.0, 1.0]);
        // All is kept: signs +, -, +, 0.
        let found = over(&METHOD, &base, &[&a, &b], &Plan::default().with("density", 1.0));
        assert_eq!(found.values, [5.0, -1.0, 1.3, 1.0]);
    }

    /// The paper's three steps by sorting, with signs as numbers.
    fn naive(tasks: &[Vec<f64>], density: f64) -> Vec<f64> {
        let n = tasks[0].len();
        let keep = ((density * n as f64) as usize).max(1);
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
            let models: Vec<&Weights> = models.iter().collect();
            let found = over(&METHOD, &base, &models, &Plan::default().with("density", density));
            for (found, expected) in found.values.iter().zip(naive(&tasks, density)) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-6);
            }
        }
    }
}
