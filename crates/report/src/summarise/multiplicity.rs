//! The columns of the summary that allow for the number of questions.

use std::collections::BTreeSet;

use measures::multiplicity::{benjamini_hochberg, holm};

use super::measure::PRIMARY;
use crate::rows::Summary;
use crate::study::DEFAULT_ARM;

/// The kind of the rows that the primary question is about.
const CONTRAST: &str = "late - early";

/// The primary contrast of a measure.
pub(super) fn of<'a>(summary: &'a [Summary], measure: &str) -> Option<&'a Summary> {
    summary.iter().find(|row| {
        (row.arm.as_str(), row.kind.as_str(), row.measure.as_str()) == (DEFAULT_ARM, CONTRAST, measure)
    })
}

/// Fills `p_adjusted` of the primary contrasts (Holm) and `p_bh` of all rows, kind by kind (Benjamini and Hochberg).
pub(crate) fn adjust(summary: &mut [Summary]) {
    let is_primary = |row: &Summary| {
        (row.arm.as_str(), row.kind.as_str()) == (DEFAULT_ARM, CONTRAST)
            && PRIMARY.contains(&row.measure.as_str())
    };
    fill(summary, is_primary, holm, |row| &mut row.p_adjusted);
    let kinds: BTreeSet<String> = summary.iter().map(|row| row.kind.clone()).collect();
    for kind in kinds {
        fill(summary, |row| row.kind == kind, benjamini_hochberg, |row| &mut row.p_bh);
    }
}

fn fill(
    summary: &mut [Summary],
    wanted: impl Fn(&Summary) -> bool,
    adjusted: fn(&[f64]) -> Vec<f64>,
    column: fn(&mut Summary) -> &mut Option<f64>,
) {
    let (places, p): (Vec<usize>, Vec<f64>) = summary
        .iter()
        .enumerate()
        .filter(|(_, row)| wanted(row))
        .filter_map(|(i, row)| Some((i, row.p?)))
        .unzip();
    for (i, adjusted) in places.into_iter().zip(adjusted(&p)) {
        *column(&mut summary[i]) = Some(adjusted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    #[test]
    fn every_p_is_adjusted_within_its_kind() {
        let study = study(Course::Falls, Size { pretraining: 6, ..Size::FULL });
        let primary: Vec<&Summary> =
            PRIMARY.iter().map(|measure| of(&study.summary, measure).unwrap()).collect();
        let p: Vec<f64> = primary.iter().map(|row| row.p.unwrap()).collect();
        let by_hand = holm(&p);
        assert_eq!(primary.iter().map(|row| row.p_adjusted.unwrap()).collect::<Vec<_>>(), by_hand);
        // The verdict is read from the same.
        assert_eq!(study.reading.evidence.path_variance.unwrap().p_adjusted, by_hand[0]);
        for row in &study.summary {
            let is_level = ["rung", "early", "late"].contains(&row.kind.as_str());
            assert!(!(is_level && row.p.is_some()), "{row:?}");
            assert_eq!(row.p.is_some(), row.p_bh.is_some());
            assert!(row.p.is_none_or(|p| row.p_bh.unwrap() >= p && row.df.is_some()), "{row:?}");
        }
    }
}
