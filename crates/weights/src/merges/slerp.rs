//! A point of the great arc between two models: [`crate::paths::spherical`].

use crate::paths::spherical;
use crate::{Error, Weights};

/// Changes whenever the merge changes.
pub const VERSION: u32 = 1;

/// The point at `alpha`, 0 to 1, of the arc from `a` to `b`.
///
/// # Errors
/// As [`crate::paths::Path::at`], and [`Error::Parameter`] if `alpha` is not in 0 to 1.
pub fn merge(a: &Weights, b: &Weights, alpha: f64) -> Result<Weights, Error> {
    if !(0.0..=1.0).contains(&alpha) {
        return Err(Error::Parameter { name: "alpha", expected: "between 0 and 1", value: alpha });
    }
    let mut out = a.clone();
    spherical::PATH.at(a, b, alpha, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::weights;

    #[test]
    fn stays_between_the_models() {
        let (a, b) = (weights(1), weights(2));
        assert_eq!(merge(&a, &b, 1.0).unwrap().values, b.values);
        assert!(merge(&a, &b, 1.5).is_err());
    }
}
