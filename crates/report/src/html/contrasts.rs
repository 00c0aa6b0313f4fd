//! The table of the primary contrast: each measure early, late, and the difference with its interval.

use serde::Serialize;

use super::scale::Scale;
use super::svg::Svg;
use crate::study::{DEFAULT_ARM, Study};
use crate::summarise::measure::{MEASURES, Measure, PRIMARY, shown};
use crate::words::verdict::{Direction, direction};

/// One line of the table, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Contrast {
    pub(crate) label: String,
    pub(crate) primary: bool,
    pub(crate) early: String,
    pub(crate) late: String,
    pub(crate) change: String,
    /// The interval, or nothing.
    pub(crate) interval: String,
    /// p, adjusted by Holm for primary measures and by Benjamini and Hochberg for the others.
    pub(crate) p: String,
    /// The interval leaves the values that the measure can take.
    pub(crate) beyond: bool,
    /// The interval against 0, drawn.
    pub(crate) glyph: String,
    /// Secondary: slope per nat of held-out loss removed, with its interval.
    pub(crate) trend: String,
    /// `less`, `more`, `open`, or empty where the measure takes no side.
    pub(crate) reading: &'static str,
}

/// The contrast of every measure that has one.
pub(crate) fn contrasts(study: &Study) -> Vec<Contrast> {
    let primary_first =
        MEASURES.iter().filter(|m| is_primary(m)).chain(MEASURES.iter().filter(|m| !is_primary(m)));
    primary_first.filter_map(|measure| contrast(study, measure)).collect()
}

fn is_primary(measure: &Measure) -> bool {
    PRIMARY.contains(&measure.id.as_ref())
}

fn contrast(study: &Study, measure: &Measure) -> Option<Contrast> {
    let of = |kind| study.estimate(DEFAULT_ARM, kind, None, &measure.id);
    let row = of("late - early")?;
    let value = |kind| of(kind).map_or(String::new(), |row| measure.show(row.estimate));
    let interval = |row: &crate::rows::Summary| match (row.lower, row.upper) {
        (Some(lower), Some(upper)) => {
            format!("[{}, {}]", measure.show_change(lower), measure.show_change(upper))
        }
        _ => String::new(),
    };
    let reading = match (measure.toward_one_basin() == 0.0, direction(measure, row)) {
        (true, _) => "",
        (false, Direction::Less) => "less",
        (false, Direction::More) => "more",
        (false, Direction::Open) => "open",
    };
    let trend = of("trend")
        .map_or(String::new(), |row| format!("{} {}", measure.show_change(row.estimate), interval(row)));
    Some(Contrast {
        label: measure.label.to_string(),
        primary: is_primary(measure),
        early: value("early"),
        late: value("late"),
        change: measure.show_change(row.estimate),
        interval: interval(row),
        p: row.p_adjusted.or(row.p_bh).map_or(String::new(), p_text),
        beyond: row.beyond_range,
        glyph: glyph(row.estimate, row.lower, row.upper, reading),
        trend,
        reading,
    })
}

fn p_text(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { shown(p, 3) }
}

/// An interval against 0, on a scale of its own.
fn glyph(estimate: f64, lower: Option<f64>, upper: Option<f64>, reading: &str) -> String {
    let (lower, upper) = (lower.unwrap_or(f64::NAN), upper.unwrap_or(f64::NAN));
    let reach =
        [estimate, lower, upper].into_iter().filter(|v| v.is_finite()).map(f64::abs).fold(1e-9, f64::max);
    let x = Scale::linear((-reach, reach), (4.0, 116.0));
    let mut svg = Svg::new(120.0, 16.0);
    svg.line("axis", (x.at(0.0), 1.0), (x.at(0.0), 15.0));
    svg.line(&format!("interval r-{reading}"), (x.at(lower), 8.0), (x.at(upper), 8.0));
    svg.dot(&format!("dot r-{reading}"), (x.at(estimate), 8.0), 3.2, "");
    svg.finish("the interval, relative to no change")
}
