//! Each measure along the ladder: against how far pretraining has converged, and against its steps.

use super::{Figure, Row, Swatch, reading, seed_class, seed_legend};
use crate::html::panel::{Area, Panel};
use crate::html::scale::{Scale, roomy};
use crate::html::svg::Anchor;
use crate::rows::{MeasureCell, Summary};
use crate::study::{DEFAULT_ARM, Study, steps_short, steps_text};
use crate::summarise::measure::{MEASURES, Measure, PRIMARY};

const SIZE: (f64, f64) = (330.0, 242.0);
const MARGIN: Area = Area { left: 42.0, top: 58.0, right: 14.0, bottom: 36.0 };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Loss,
    Steps,
}

/// The primary measures, by loss and by steps.
pub(crate) fn primary(study: &Study) -> Option<Figure> {
    let wanted = |measure: &Measure| PRIMARY.contains(&measure.id.as_ref());
    let rows = [
        row(study, "By held-out loss: pretraining converges to the right", Against::Loss, wanted),
        row(study, "By steps", Against::Steps, wanted),
    ];
    Some(Figure {
        id: "primary",
        title: "The primary measures along the ladder".into(),
        finding: String::new(),
        caption: format!(
            "{} The loss is that on held-out pretraining text, on a logarithmic axis that falls to the right, with the \
             steps above. Steps are logarithmic too, with 0 set apart at the left; shaded are the early (at most {}) and late (at least {}) rungs \
             that the primary contrast compares.",
            marks(study),
            steps_text(study.early_until),
            steps_text(study.late_from)
        ),
        legend: legend(study),
        rows: rows.into_iter().flatten().collect(),
    })
}

/// All other measures, by loss where it is known, and by steps to unfold.
pub(crate) fn others(study: &Study) -> Option<Figure> {
    let wanted = |measure: &Measure| !PRIMARY.contains(&measure.id.as_ref());
    let by_loss = row(study, "", Against::Loss, wanted);
    let by_steps = row(study, "The same by steps of pretraining", Against::Steps, wanted);
    let by_steps = by_steps.map(|row| Row { folded: by_loss.is_some(), ..row });
    Some(Figure {
        id: "measures",
        title: "All other measures".into(),
        finding: String::new(),
        caption: marks(study).into(),
        legend: legend(study),
        rows: [by_loss, by_steps].into_iter().flatten().collect(),
    })
}

/// What is drawn. One pretraining run is its own mean: its line needs no dots and no colour.
fn marks(study: &Study) -> &'static str {
    match study.pretraining_seeds().len() {
        0 | 1 => "Line: the pretraining run; band: 95 % interval over its fine-tuning seeds.",
        _ => {
            "Line: mean over pretraining seeds; band: 95 % interval over them; coloured dots: single pretraining runs."
        }
    }
}

fn legend(study: &Study) -> Vec<Swatch> {
    let legend = seed_legend(study);
    if legend.len() > 1 { legend } else { Vec::new() }
}

fn row(study: &Study, title: &str, against: Against, wanted: impl Fn(&Measure) -> bool) -> Option<Row> {
    let measures = MEASURES.iter().filter(|measure| wanted(measure));
    let panels: Vec<String> = measures.filter_map(|measure| panel(study, measure, against)).collect();
    (!panels.is_empty()).then(|| Row { title: title.into(), size: "wide", folded: false, panels })
}

fn panel(study: &Study, measure: &Measure, against: Against) -> Option<String> {
    let rungs = study.rungs_of(DEFAULT_ARM, &measure.id);
    let cells: Vec<&MeasureCell> = study.cells_of(DEFAULT_ARM, &measure.id).collect();
    if rungs.is_empty() {
        return None;
    }
    let mut panel = Panel::new(SIZE, MARGIN, &measure.label, reading(measure));
    let values: Vec<f64> = rungs
        .iter()
        .flat_map(|row| [Some(row.estimate), row.lower, row.upper])
        .flatten()
        .chain(cells.iter().map(|cell| cell.value))
        .collect();
    let y = panel.y_scale(roomy(&values), 4);
    let steps: Vec<u64> = rungs.iter().filter_map(|row| row.step).collect();
    let x = match against {
        Against::Loss => {
            let losses: Vec<f64> = cells
                .iter()
                .filter_map(|cell| cell.held_out_loss)
                .chain(rungs.iter().filter_map(|row| row.held_out_loss))
                .collect();
            if losses.is_empty() {
                return None;
            }
            let (left, right) = panel.area.across();
            Scale::falling(&losses, (left + 8.0, right - 4.0))
        }
        Against::Steps => {
            let steps: Vec<f64> = steps.iter().map(|&step| step as f64).collect();
            let (left, right) = panel.area.across();
            Scale::steps(&steps, (left + 10.0, right - 10.0))
        }
    };
    let at = |step: u64, loss: Option<f64>| match against {
        Against::Loss => loss.map_or(f64::NAN, |loss| x.at(loss)),
        Against::Steps => x.at(step as f64),
    };
    let at_row = |row: &Summary| at(row.step.unwrap_or(0), row.held_out_loss);

    if against == Against::Steps {
        zones(&mut panel, study, &steps, &x);
    }
    panel.y_axis(&y, 4);
    match against {
        Against::Loss => {
            let named = |row: &&Summary| (at_row(row), steps_short(row.step.unwrap_or(0)));
            panel.top_axis(
                &rungs.iter().map(named).filter(|(x, _)| x.is_finite()).collect::<Vec<_>>(),
                "steps",
            );
            panel.x_axis(&x, 4, "held-out loss (nats) →");
        }
        Against::Steps => panel.step_axis(&x, &steps, "steps of pretraining →"),
    }
    let band: Vec<(f64, f64, f64)> = rungs
        .iter()
        .map(|row| (at_row(row), y.at(row.lower.unwrap_or(f64::NAN)), y.at(row.upper.unwrap_or(f64::NAN))))
        .collect();
    panel.svg.band("band", &band);
    let several = study.pretraining_seeds().len() > 1;
    for cell in cells.iter().filter(|_| several) {
        let tip = format!(
            "pretraining seed {}, {} steps: {}",
            cell.pretraining_seed,
            steps_text(cell.step),
            measure.show(cell.value)
        );
        let class = format!("dot {}", seed_class(study, cell.pretraining_seed));
        panel.svg.dot(&class, (at(cell.step, cell.held_out_loss), y.at(cell.value)), 2.6, &tip);
    }
    let mean: Vec<(f64, f64)> = rungs.iter().map(|row| (at_row(row), y.at(row.estimate))).collect();
    panel.svg.curve("mean", &mean);
    for (row, &point) in rungs.iter().zip(&mean) {
        let interval = match (row.lower, row.upper) {
            (Some(lower), Some(upper)) => format!(" [{}, {}]", measure.show(lower), measure.show(upper)),
            _ => String::new(),
        };
        let tip =
            format!("{} steps: {}{interval}", steps_text(row.step.unwrap_or(0)), measure.show(row.estimate));
        panel.svg.dot("node", point, 2.2, &tip);
    }
    Some(panel.finish(&described(measure, &rungs)))
}

/// The early and the late rungs, as faint zones.
fn zones(panel: &mut Panel, study: &Study, steps: &[u64], x: &Scale) {
    let (left, right) = panel.area.across();
    let height = panel.area.bottom - panel.area.top;
    let early = steps.iter().rfind(|&&step| step <= study.early_until);
    let late = steps.iter().find(|&&step| step >= study.late_from);
    if let (Some(&early), Some(&late)) = (early, late)
        && early < late
    {
        let (early, late) = (x.at(early as f64) + 7.0, x.at(late as f64) - 7.0);
        panel.svg.cell("zone", (left, panel.area.top), (early - left, height), 1.0, "");
        panel.svg.cell("zone", (late, panel.area.top), (right - late, height), 1.0, "");
        panel.svg.text("zone-name", (left, panel.area.top - 6.0), Anchor::Start, "early");
        panel.svg.text("zone-name", (right, panel.area.top - 6.0), Anchor::End, "late");
    }
}

/// The panel in words.
fn described(measure: &Measure, rungs: &[&Summary]) -> String {
    let points: Vec<String> = rungs
        .iter()
        .map(|row| format!("{} at {} steps", measure.show(row.estimate), steps_text(row.step.unwrap_or(0))))
        .collect();
    format!("{}: {}", measure.label, points.join(", "))
}
