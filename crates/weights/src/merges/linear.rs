//! The weighed mean `sum_i w_i theta_i / sum_i w_i`, formed in `f64`. One pass.

use super::ANY;
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::{Parameter, Settings};

/// The weighed mean.
pub static METHOD: Method = Method {
    name: "linear",
    about: "The mean with a weight for each model",
    version: 1,
    parameters: &[Parameter::number("weight", "Weight of a model", 1.0)],
    base: Base::Unused,
    random: false,
    members: ANY,
    how: How::Values(merge),
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, start: usize, out: &mut [f32]) -> Result<(), Error> {
    let weights = settings.each("weight", tensor.models());
    let total: f64 = weights.iter().sum();
    if total.abs() < 1e-8 {
        return Err(Error::Parameter { name: "weight", expected: "of a sum other than 0", value: total });
    }
    let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
    tensor.combine(&shares, start, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;
    use crate::parameters::{Plan, Value};
    use crate::tests::weights;

    #[test]
    fn by_hand() {
        let (a, b) = (weights(1), weights(2));
        let members = Members::of(&[&a, &b]).unwrap();
        let mut plan = Plan::default();
        plan.values.insert("weight".into(), vec![Value::Number(3.0), Value::Number(1.0)]);
        let found = METHOD.merge(&members, &plan).unwrap();
        for ((found, a), b) in found.values.iter().zip(&a.values).zip(&b.values) {
            assert!((found - (0.75 * a + 0.25 * b)).abs() < 1e-6);
        }
        let error = METHOD.merge(&members, &Plan::default().with("weight", 0.0)).unwrap_err().to_string();
        assert_eq!(error, "weight must be of a sum other than 0, not 0");
    }
}
