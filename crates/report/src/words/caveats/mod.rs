//! What must be said with the answer. Each caveat looks at the data and speaks only where it applies.

mod accuracy;
mod course;
mod inputs;
mod seeds;
mod selection;
mod weights;

use super::verdict::{Direction, direction};
use crate::study::{DEFAULT_ARM, Study};
use crate::summarise::measure::Measure;

/// A caveat: what it is about, and what the data say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caveat {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// All caveats that apply, the weightiest first.
pub(crate) fn caveats(study: &Study) -> Vec<Caveat> {
    let all = [
        seeds::few,
        inputs::ladder_findings,
        course::hump,
        seeds::reversing,
        course::arms_turn,
        accuracy::unmatched_arms,
        accuracy::matched_pairs,
        accuracy::ceiling,
        accuracy::corrected_agreement,
        weights::soups,
        weights::greedy_keeps_one,
        weights::small_barriers,
        weights::distance,
        selection::best_of_seeds,
        inputs::failed_runs,
        inputs::missing,
    ];
    all.iter().filter_map(|caveat| caveat(study)).collect()
}

fn say(title: &str, text: String) -> Option<Caveat> {
    Some(Caveat { title: title.into(), text })
}

/// The mean of a measure over the early or the late rungs, or their difference.
fn value(study: &Study, kind: &str, id: &str) -> Option<f64> {
    study.estimate(DEFAULT_ARM, kind, None, id).map(|row| row.estimate)
}

/// Whether the primary contrast of a measure leaves out 0.
fn clear(study: &Study, measure: &Measure) -> bool {
    let row = study.estimate(DEFAULT_ARM, "late - early", None, &measure.id);
    row.is_some_and(|row| direction(measure, row) != Direction::Open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    fn titles(course: Course, size: Size) -> Vec<String> {
        caveats(&study(course, size)).into_iter().map(|caveat| caveat.title).collect()
    }

    #[test]
    fn each_caveat_speaks_where_it_applies() {
        let falls = titles(Course::Falls, Size::FULL);
        for title in [
            "Few pretraining seeds",
            "A hump, not a slope",
            "The sign depends on the setting",
            "Agreement beyond chance goes the other way",
            "At equal OOD accuracy",
            "Greedy soups that are no soups",
        ] {
            assert!(falls.iter().any(|known| known == title), "{title} is not among {falls:?}");
        }
        let bare =
            Size { pretraining: 6, soups: false, paths: false, ladder: false, arms: false, ..Size::FULL };
        let rises = titles(Course::Rises, bare);
        assert!(rises.contains(&"What this study lacks".to_owned()), "{rises:?}");
        for title in ["Few pretraining seeds", "One pretraining seed", "The sign depends on the setting"] {
            assert!(!rises.iter().any(|known| known == title), "{title} is among {rises:?}");
        }
    }
}
