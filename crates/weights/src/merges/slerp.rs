//! A point of the great arc between two models, tensor by tensor: [`crate::paths::spherical`] for models in files.
//! Two passes.

use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::{Kind, Parameter, Settings};
use crate::paths::spherical;

/// A point of the great arc.
pub static METHOD: Method = Method {
    name: "slerp",
    about: "A point of the great arc between two models (Shoemake 1985)",
    version: spherical::VERSION,
    parameters: &[ALPHA],
    base: Base::Unused,
    random: false,
    members: (2, 2),
    how: How::Tensors(merge),
};

/// `alpha` of all merges of two models.
pub(crate) const ALPHA: Parameter = Parameter {
    name: "alpha",
    about: "Position between two models: 0 is the first (or the base), 1 the second",
    kind: Kind::Number { default: 0.5, expected: "between 0 and 1", valid: |x| (0.0..=1.0).contains(&x) },
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, out: &mut [f32]) -> Result<(), Error> {
    let alpha = settings.get("alpha");
    if alpha == 0.0 || alpha == 1.0 {
        return tensor.read(alpha as usize, 0, out);
    }
    let products = tensor.products()?;
    let shares = spherical::shares([products[0][0], products[0][1], products[1][1]], alpha);
    tensor.combine(&shares.unwrap_or([1.0 - alpha, alpha]), 0, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;
    use crate::parameters::Plan;
    use crate::tests::weights;

    #[test]
    fn is_the_path() {
        let (a, b) = (weights(1), weights(2));
        let members = Members::of(&[&a, &b]).unwrap();
        for alpha in [0.0, 0.3, 1.0] {
            let found = METHOD.merge(&members, &Plan::default().with("alpha", alpha)).unwrap();
            let mut path = a.clone();
            spherical::PATH.at(&a, &b, alpha, &mut path).unwrap();
            assert_eq!(found.values, path.values);
        }
        assert!(METHOD.merge(&members, &Plan::default().with("alpha", 1.5)).is_err());
    }
}
