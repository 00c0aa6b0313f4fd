//! Versions of methods, composed from what each rests on.
//!
//! Every method has a version of its own, a number beside it that is raised by hand when the method gives other
//! results. What a result depends on is the version of the method *and* of every method below it. Nobody lists
//! those by hand: each method has a function `versions()` that returns its own version merged with those of the
//! methods that it calls, and a stage merges what its parameters and inputs select.
//!
//! ```
//! use versions::Versions;
//!
//! fn kernels() -> Versions {
//!     Versions::of("kernels", 2)
//! }
//! fn scoring() -> Versions {
//!     Versions::of("scoring", 1).and(kernels())
//! }
//!
//! let all: Vec<_> = scoring().and(kernels()).iter().collect();
//! assert_eq!(all, [("kernels", 2), ("scoring", 1)]);
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

/// Versions by the names of their methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Versions(BTreeMap<&'static str, u32>);

impl Versions {
    /// The version of a method that rests on no other.
    #[must_use]
    pub fn of(method: &'static str, version: u32) -> Self {
        Self(BTreeMap::from([(method, version)]))
    }

    /// These versions and those of what the method rests on.
    ///
    /// # Panics
    /// If two methods share a name and differ in their versions, which no input can cause.
    #[must_use]
    pub fn and(mut self, below: Self) -> Self {
        self.add(below);
        self
    }

    /// Adds the versions of a further method.
    ///
    /// # Panics
    /// As [`Versions::and`].
    pub fn add(&mut self, other: Self) {
        for (method, version) in other.0 {
            let known = *self.0.entry(method).or_insert(version);
            assert_eq!(known, version, "two methods are called `{method}`");
        }
    }

    /// Names and versions, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        self.0.iter().map(|(&method, &version)| (method, version))
    }
}

impl FromIterator<Versions> for Versions {
    fn from_iter<I: IntoIterator<Item = Self>>(iter: I) -> Self {
        iter.into_iter().fold(Self::default(), Self::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composition_is_a_union() {
        let kernels = || Versions::of("kernels", 2);
        let both: Versions =
            [Versions::of("training", 1).and(kernels()), Versions::of("scoring", 3).and(kernels())]
                .into_iter()
                .collect();
        let listed: Vec<_> = both.iter().collect();
        assert_eq!(listed, [("kernels", 2), ("scoring", 3), ("training", 1)]);
    }

    #[test]
    #[should_panic(expected = "two methods are called `a`")]
    fn a_name_has_one_version() {
        drop(Versions::of("a", 1).and(Versions::of("a", 2)));
    }
}
