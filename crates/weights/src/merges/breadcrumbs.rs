//! Breadcrumbs (Davari and Belilovsky 2024, "Model breadcrumbs"): of each task vector the `gamma` share of largest
//! magnitudes is dropped as outliers, and of the rest the smallest, so that a `density` share is kept; then the sum
//! `theta_0 + lambda sum_i w_i tau_i`, or with an election of signs as in TIES the sum of what agrees.
//!
//! Where gamma and density add up to more than 1 fewer outliers are dropped. A sort for each model.

use super::{ANY, DENSITY, SCALE, WEIGHT, thin};
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::{Kind, Parameter, Settings};

/// Outliers and small values dropped, then the sum.
pub static METHOD: Method = Method {
    name: "breadcrumbs",
    about: "The same without outliers and small values (Davari and Belilovsky 2024)",
    version: 1,
    parameters: PARAMETERS,
    base: Base::Required,
    random: false,
    members: ANY,
    how: How::Tensors(|tensor, settings, out| merge(tensor, settings, false, out)),
};

/// Outliers and small values dropped, then the sum of what agrees in sign.
pub static TIES: Method = Method {
    name: "breadcrumbs-ties",
    about: "The same, of the values of one sign",
    version: 1,
    parameters: PARAMETERS,
    base: Base::Required,
    random: false,
    members: ANY,
    how: How::Tensors(|tensor, settings, out| merge(tensor, settings, true, out)),
};

const PARAMETERS: &[Parameter] = &[DENSITY, GAMMA, SCALE.or(0.4), WEIGHT];

const GAMMA: Parameter = Parameter {
    name: "gamma",
    about: "Share of each task vector that is dropped as outliers",
    kind: Kind::Number {
        default: 0.01,
        expected: "at least 0 and below 1",
        valid: |x| (0.0..1.0).contains(&x),
    },
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, elect: bool, out: &mut [f32]) -> Result<(), Error> {
    let keep = |vector: &thin::Vector<'_>, factors: &mut [f32]| {
        let (density, gamma) = (settings.of("density", vector.member), settings.of("gamma", vector.member));
        middle(vector.values, density, gamma, factors);
        Ok(())
    };
    thin::merge(tensor, settings, thin::Rule { elect, mean: false }, keep, out)
}

/// Writes 1 for what is kept and 0 for the rest; of equal magnitudes the first count as smaller.
fn middle(values: &[f32], density: f64, gamma: f64, factors: &mut [f32]) {
    factors.fill(1.0);
    if density >= 1.0 {
        return;
    }
    let n = values.len();
    let (keep, outliers) = ((density * n as f64) as usize, (gamma * n as f64) as usize);
    let small = (n - keep).saturating_sub(outliers);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    for &dropped in order[..small].iter().chain(&order[(small + keep).min(n)..]) {
        factors[dropped] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::middle;

    #[test]
    fn largest_and_smallest_are_dropped() {
        let values = [5.0, -4.0, 3.0, -2.0, 1.0, 0.5, -0.25, 0.125, 0.1, 0.05];
        let kept = |density, gamma| {
            let mut factors = [9.0; 10];
            middle(&values, density, gamma, &mut factors);
            factors.iter().map(|factor| u8::from(*factor == 1.0)).collect::<Vec<_>>()
        };
        assert_eq!(kept(0.3, 0.2), [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(kept(0.3, 0.0), [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
        // No room for so many outliers: the smallest are kept first.
        assert_eq!(kept(0.9, 0.2), [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(kept(1.0, 0.2), [1; 10]);
    }
}
