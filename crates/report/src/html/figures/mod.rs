//! The figures of a report, one file each. A figure that its study has no data for is left out.

mod arms;
mod cases;
mod interventions;
mod matrices;
mod measures;
mod paths;
mod scores;
mod soups;

use serde::Serialize;

use crate::study::Study;
use crate::summarise::measure::{Measure, Sign};

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
    /// Its colours, explained under it.
    pub(crate) legend: Vec<Swatch>,
    pub(crate) rows: Vec<Row>,
}

/// A colour and what it stands for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Swatch {
    pub(crate) class: String,
    pub(crate) label: String,
}

/// Panels of one size that stand side by side where there is room.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What all panels of the row show; empty where their titles say it.
    pub(crate) title: String,
    /// Size class of its panels: `wide`, `half`, `small`, `tiny` or `table`.
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
        scores::figure,
        cases::figure,
        paths::figure,
        matrices::figure,
        interventions::figure,
        soups::figure,
        arms::figure,
    ];
    all.iter().filter_map(|figure| figure(study)).filter(|figure| !figure.rows.is_empty()).collect()
}

/// How to read a measure, under its title.
fn reading(measure: &Measure) -> &'static str {
    match measure.sign {
        Sign::Higher => "higher: the path matters less",
        Sign::Lower => "lower: the path matters less",
        Sign::Neither => "for comparison",
    }
}

/// The class of a pretraining seed's colour.
pub(crate) fn seed_class(study: &Study, seed: u64) -> String {
    let place = study.pretraining_seeds().iter().position(|&known| known == seed).unwrap_or(0);
    class('s', place)
}

/// The colours of the pretraining seeds.
fn seed_legend(study: &Study) -> Vec<Swatch> {
    let swatch = |seed| Swatch { class: seed_class(study, seed), label: format!("pretraining seed {seed}") };
    study.pretraining_seeds().into_iter().map(swatch).collect()
}

/// The class of a place in a palette: each colour comes a second time hollow and dashed.
fn class(palette: char, place: usize) -> String {
    let again = if (place / COLOURS).is_multiple_of(2) { "" } else { " again" };
    format!("{palette}{}{again}", place % COLOURS)
}

/// Colours in the palette.
const COLOURS: usize = 6;
