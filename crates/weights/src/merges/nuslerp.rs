//! NuSLERP (mergekit): the great arc between two models, or between their task vectors where a base is given, at
//! `t = w_1 / (w_0 + w_1)`.
//!
//! Unlike [`super::slerp`], only tensors that lie on one line within 1e-8 take the straight line. Two passes.

use super::WEIGHT;
use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;

/// The great arc by weights.
pub static METHOD: Method = Method {
    name: "nuslerp",
    about: "The great arc between two models, or their differences from the base, by weights (mergekit)",
    version: 1,
    parameters: &[WEIGHT],
    base: Base::Optional,
    random: false,
    members: (2, 2),
    how: How::Tensors(merge),
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, out: &mut [f32]) -> Result<(), Error> {
    let weights = settings.each("weight", 2);
    let total = weights[0] + weights[1];
    let t = if total.abs() < 1e-6 { 0.5 } else { weights[1] / total };
    let products = tensor.products()?;
    let lengths = [products[0][0].sqrt().max(1e-7), products[1][1].sqrt().max(1e-7)];
    let cosine = (products[0][1] / lengths[0] / lengths[1]).clamp(-1.0, 1.0);
    let omega = cosine.acos();
    let factors = if 1.0 - cosine * cosine <= 1e-16 {
        [1.0 - t, t]
    } else {
        [((1.0 - t) * omega).sin() / omega.sin(), (t * omega).sin() / omega.sin()]
    };
    tensor.combine(&factors, 0, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;
    use crate::methods::tests::over;
    use crate::parameters::{Plan, Value};
    use crate::tests::weights;

    /// Weights are shares of the arc, and differences from a base turn around it.
    #[test]
    fn is_slerp_by_weights() {
        let (a, b) = (weights(1), weights(2));
        let mut plan = Plan::default();
        plan.values.insert("weight".into(), vec![Value::Number(3.0), Value::Number(1.0)]);
        let found = METHOD.merge(&Members::of(&[&a, &b]).unwrap(), &plan).unwrap();
        let mut arc = a.clone();
        crate::paths::spherical::PATH.at(&a, &b, 0.25, &mut arc).unwrap();
        assert!(found.values.iter().zip(&arc.values).all(|(a, b)| (a - b).abs() < 1e-5));
        let mut zero = a.clone();
        zero.values.fill(0.0);
        let around_zero = over(&METHOD, &zero, &[&a, &b], &plan);
        assert!(found.values.iter().zip(&around_zero.values).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_ne!(found.values, over(&METHOD, &weights(3), &[&a, &b], &plan).values);
    }
}
