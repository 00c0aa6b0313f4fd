//! Ranges of parameters, checked while the command line is parsed: what is out of range is a usage error that names the
//! range, before anything is read or allocated.

use std::ops::RangeInclusive;

use learn::Schedule;

/// Parses a count within `range`.
pub(crate) fn count(range: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| within(text.parse().ok(), &range)
}

/// Parses a number of steps or examples within `range`.
pub(crate) fn steps(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| within(text.parse().ok(), &range)
}

/// Parses a number within `range`. NaN is within none.
pub(crate) fn number(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| within(text.parse().ok(), &range)
}

fn within<T: PartialOrd + std::fmt::Display>(
    value: Option<T>,
    range: &RangeInclusive<T>,
) -> Result<T, String> {
    value
        .filter(|value| range.contains(value))
        .ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
}

/// Parses the name of a learning-rate schedule as it stands in recipes.
///
/// # Errors
/// A sentence with the names that exist.
pub fn schedule(name: &str) -> Result<Schedule, String> {
    serde_json::from_value(name.into())
        .map_err(|_unknown| "expected constant, linear, inverse-sqrt or cosine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_told_the_range() {
        assert_eq!(count(1..=8)("8"), Ok(8));
        for text in ["0", "9", "-1", "1.5", "", "99999999999999999999999"] {
            assert_eq!(count(1..=8)(text), Err("expected a number from 1 to 8".to_owned()), "{text}");
        }
        assert_eq!(number(0.0..=1.0)("1e-3"), Ok(1e-3));
        for text in ["nan", "inf", "-0.1", "1.01", "x"] {
            assert!(number(0.0..=1.0)(text).is_err(), "{text}");
        }
        assert_eq!(schedule("inverse-sqrt"), Ok(Schedule::InverseSqrt));
        assert!(schedule("InverseSqrt").unwrap_err().contains("inverse-sqrt"));
    }
}
