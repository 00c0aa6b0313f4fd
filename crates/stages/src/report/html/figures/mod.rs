//! The figures of a report, one file each. A figure that its study has no data for is left out.

mod arms;
mod cases;
mod interventions;
mod matrices;
mod measures;
mod paths;
mod soups;

use serde::Serialize;

use crate::report::study::Study;

/// A figure: panels that flow, with what they show and how to read them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// Its anchor on the page.
    pub(crate) id: &'static str,
    pub(crate) title: String,
    /// What there is to see (plain text).
    pub(crate) finding: String,
    /// How to read it (plain text).
    pub(crate) caption: String,
    /// Colours of pretraining seeds are explained under it.
    pub(crate) seeds: bool,
    pub(crate) rows: Vec<Row>,
}

/// Panels of one size that stand side by side where there is room.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What all panels of the row show; empty where their titles say it.
    pub(crate) title: String,
    /// Size class of its panels: `wide`, `small`, `tiny` or `table`.
    pub(crate) size: &'static str,
    /// Shown only when its title is opened.
    pub(crate) folded: bool,
    /// Markup of each panel.
    pub(crate) panels: Vec<String>,
}

/// All figures that the study has data for, in the order of the page.
pub(crate) fn figures(study: &Study) -> Vec<Figure> {
    let all = [
        measures::primary,
        measures::others,
        cases::figure,
        paths::figure,
        matrices::figure,
        interventions::figure,
        soups::figure,
        arms::figure,
    ];
    all.iter().filter_map(|figure| figure(study)).filter(|figure| !figure.rows.is_empty()).collect()
}

/// The class of a pretraining seed's colour.
pub(crate) fn seed_class(study: &Study, seed: u64) -> String {
    let place = study.pretraining_seeds().iter().position(|&known| known == seed).unwrap_or(0);
    format!("s{}", place % COLOURS)
}

/// Colours in the palette.
pub(crate) const COLOURS: usize = 6;
