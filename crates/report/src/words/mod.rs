//! What a study says, in sentences: the verdict, the answer, and what must be said with it.

pub(crate) mod answer;
pub(crate) mod caveats;
pub(crate) mod methods;
pub(crate) mod scores;
pub(crate) mod verdict;

use super::summarise::measure::Measure;
use crate::rows::Summary;

/// `+0.164 [+0.142, +0.184]`, or the difference alone where it has no interval.
pub(crate) fn change_text(measure: &Measure, row: &Summary) -> String {
    let change = |value| measure.show_change(value);
    match (row.lower, row.upper) {
        (Some(lower), Some(upper)) => {
            format!("{} [{}, {}]", change(row.estimate), change(lower), change(upper))
        }
        _ => format!("{} (no interval)", change(row.estimate)),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// `1 run`, `2 runs`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The text with a capital first letter.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
