//! NearSwap (mergekit): the base moves to one model where the two are near. With `w = min(1, t / |theta - theta_0|)` each
//! value becomes `w theta + (1-w) theta_0`: no value moves further than `t`. One pass.

use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::{Kind, Parameter, Settings};

/// The base, moved to a model by a bounded step.
pub static METHOD: Method = Method {
    name: "nearswap",
    about: "The base, each value moved towards one model by a bounded step (mergekit)",
    version: 1,
    parameters: &[STEP],
    base: Base::Required,
    random: false,
    members: (1, 1),
    how: How::Values(merge),
};

const STEP: Parameter = Parameter {
    name: "step",
    about: "Furthest that a value moves (t)",
    kind: Kind::Number { default: 0.001, expected: "at least 0", valid: |x| x >= 0.0 && x.is_finite() },
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, start: usize, out: &mut [f32]) -> Result<(), Error> {
    let step = settings.get("step");
    Tensor::in_blocks(start, out, |start, out| {
        let mut model = vec![0.0; out.len()];
        tensor.read(0, start, &mut model)?;
        tensor.read_base(start, out)?;
        for (out, model) in out.iter_mut().zip(model) {
            let (base, model) = (f64::from(*out), f64::from(model));
            let weight = (step / (model - base).abs().max(1e-6)).min(1.0);
            *out = (weight * model + (1.0 - weight) * base) as f32;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::tests::weights;

    #[test]
    fn no_value_moves_further_than_the_step() {
        let (base, model) = (weights(0), weights(1));
        let found = over(&METHOD, &base, &[&model], &Plan::default().with("step", 0.5));
        for ((found, base), model) in found.values.iter().zip(&base.values).zip(&model.values) {
            let expected = base + (model - base).clamp(-0.5, 0.5);
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
