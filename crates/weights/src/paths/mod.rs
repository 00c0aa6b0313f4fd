//! Paths between two models: where a walk in weight space goes.
//!
//! A path leads from `a` at `alpha = 0` to `b` at `alpha = 1`; both ends are copies to the bit, whichever path it is. To
//! add one: a file with its [`Path`], and a row in [`PATHS`].

pub mod layer_wise;
pub mod linear;
pub mod spherical;

use versions::Versions;

use crate::{Error, Weights};

/// All paths, in the order in which pages show them.
pub static PATHS: [&Path; 3] = [&linear::PATH, &spherical::PATH, &layer_wise::PATH];

/// One kind of path.
#[derive(Debug)]
pub struct Path {
    /// Its name in commands, recipes and tables.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Changes whenever a point of the path changes.
    pub version: u32,
    /// Writes the point at `alpha`, neither 0 nor 1, of three sets of weights that hold the same tensors.
    point: fn(&Weights, &Weights, f64, &mut Weights),
}

impl Path {
    /// The path of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PATHS.into_iter().find(|path| path.name == name)
    }

    /// Versions of the path.
    #[must_use]
    pub fn versions(&self) -> Versions {
        Versions::of(self.name, self.version)
    }

    /// Writes the point at `alpha` of the path from `a` to `b` to `out`.
    ///
    /// `alpha` 0 gives `a` and 1 gives `b` to the bit, negative zeros included. Beyond them the path goes on (`alpha`
    /// -0.5 or 1.5 extrapolates).
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Shape`] or [`Error::Structure`] if the three do not hold the same tensors,
    /// [`Error::Parameter`] if `alpha` is not finite.
    pub fn at(&self, a: &Weights, b: &Weights, alpha: f64, out: &mut Weights) -> Result<(), Error> {
        a.layout().same(b.layout())?;
        a.layout().same(out.layout())?;
        crate::check_finite("alpha", alpha)?;
        if alpha == 0.0 {
            out.values.copy_from_slice(&a.values);
        } else if alpha == 1.0 {
            out.values.copy_from_slice(&b.values);
        } else {
            (self.point)(a, b, alpha, out);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::Layout;
    use crate::tests::weights;

    /// The values at `alpha`.
    pub(crate) fn at(path: &Path, a: &Weights, b: &Weights, alpha: f64) -> Vec<f32> {
        let mut out = Weights::zeros(Arc::clone(a.layout()));
        path.at(a, b, alpha, &mut out).unwrap();
        out.values
    }

    #[test]
    fn names_are_unique() {
        for (i, path) in PATHS.iter().enumerate() {
            assert_eq!(PATHS.iter().position(|other| other.name == path.name), Some(i));
            assert_eq!(Path::named(path.name).map(|path| path.about), Some(path.about));
        }
    }

    #[test]
    fn ends_are_verbatim() {
        let mut a = weights(1);
        a.values[0] = -0.0;
        let b = weights(2);
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        for path in PATHS {
            assert_eq!(bits(at(path, &a, &b, 0.0)), bits(a.values.clone()), "{}", path.name);
            assert_eq!(bits(at(path, &a, &b, 1.0)), bits(b.values.clone()), "{}", path.name);
        }
    }

    #[test]
    fn other_structures_are_named() {
        let a = weights(1);
        let mut other = Layout::default();
        other.push("body.weight", &[3, 2]);
        other.push("body.bias", &[3]);
        let b = Weights::zeros(Arc::new(other));
        for path in PATHS {
            let error = path.at(&a, &b, 0.5, &mut a.clone()).unwrap_err().to_string();
            assert_eq!(error, "tensor `body.weight` has shape [3, 2], expected [2, 3]");
            let error = path.at(&a, &a, f64::NAN, &mut a.clone()).unwrap_err().to_string();
            assert_eq!(error, "alpha must be a finite number, not NaN");
        }
    }

    proptest! {
        /// What every path must do, whichever it is.
        #[test]
        fn both_ways_meet_and_copies_stay(seed in 0..1000_u64, sixteenth in -8..=24_i32) {
            let (a, b) = (weights(seed), weights(seed + 1));
            let alpha = f64::from(sixteenth) / 16.0;
            for path in PATHS {
                prop_assert_eq!(at(path, &a, &a, alpha), a.values.clone());
                // Layer by layer, the way there changes the last layers last, and the way back as well.
                if path.name != layer_wise::PATH.name {
                    prop_assert_eq!(at(path, &a, &b, alpha), at(path, &b, &a, 1.0 - alpha));
                }
            }
        }
    }
}
