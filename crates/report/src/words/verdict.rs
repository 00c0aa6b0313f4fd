//! Which way single contrasts go. The verdict itself is read in [`crate::summarise::evidence`].

use crate::rows::Summary;
use crate::study::{DEFAULT_ARM, Study};
use crate::summarise::measure::{self, Measure, Sign};

/// Which way one contrast goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards less path dependence, with an interval that leaves out 0.
    Less,
    /// Towards more, likewise.
    More,
    /// The interval includes 0, or there is none.
    Open,
}

/// The direction of an estimated difference of a measure.
pub(crate) fn direction(measure: &Measure, row: &Summary) -> Direction {
    let (Some(lower), Some(upper)) = (row.lower, row.upper) else { return Direction::Open };
    let clear = match (lower > 0.0, upper < 0.0) {
        (true, _) => 1.0,
        (_, true) => -1.0,
        _ => return Direction::Open,
    };
    match clear * measure.toward_one_basin() {
        toward if toward > 0.0 => Direction::Less,
        toward if toward < 0.0 => Direction::More,
        _ => Direction::Open,
    }
}

/// A measure whose path dependence is clearly largest at a rung between the first and the last.
pub(crate) struct Hump<'a> {
    pub(crate) measure: Measure,
    /// How far the peak lies beyond the nearer end, with its interval.
    pub(crate) height: &'a Summary,
    pub(crate) peak: &'a Summary,
    pub(crate) first: &'a Summary,
    pub(crate) last: &'a Summary,
}

/// Measures whose path dependence is clearly largest inside the ladder.
pub(crate) fn humps(study: &Study) -> Vec<Hump<'_>> {
    let hump = |measure: &Measure| {
        let height = study.estimate(DEFAULT_ARM, "hump", None, &measure.id)?;
        let rungs = study.rungs_of(DEFAULT_ARM, &measure.id);
        let (first, last) = (*rungs.first()?, *rungs.last()?);
        let peak = *rungs.iter().find(|row| row.step == height.step)?;
        let is_clear = height.lower.is_some_and(|lower| lower > 0.0);
        is_clear.then(|| Hump { measure: measure.clone(), height, peak, first, last })
    };
    measure::MEASURES.iter().filter(|measure| measure.sign != Sign::Neither).filter_map(hump).collect()
}
