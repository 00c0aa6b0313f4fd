//! Each measure along the ladder: against how far pretraining has converged, and against its steps.

use super::{Figure, Row, seed_class};
use crate::report::collate::rows::{MeasureCell, Summary};
use crate::report::html::panel::{Area, Panel};
use crate::report::html::scale::{Scale, roomy};
use crate::report::html::svg::Anchor;
use crate::report::study::{DEFAULT_ARM, Study, steps_short, steps_text};
use crate::report::summarise::measure::{MEASURES, Measure, PRIMARY, Sign};

const SIZE: (f64, f64) = (330.0, 226.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 14.0, bottom: 36.0 };

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
            "Line: mean over pretraining seeds; band: 95 % interval over seeds; dots: single pretraining runs. The loss is that \
             on held-out pretraining text, on a logarithmic axis that falls to the right; small numbers are steps. Steps are \
             logarithmic too, with 0 set apart at the left; shaded are the early (at most {}) and late (at least {}) rungs \
             that the primary contrast compares.",
            steps_text(study.early_until),
            steps_text(study.late_from)
        ),
        seeds: true,
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
        caption:
            "As above: line, mean over pretraining seeds; band, 95 % interval; dots, single pretraining runs."
                .into(),
        seeds: true,
        rows: [by_loss, by_steps].into_iter().flatten().collect(),
    })
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
    let reading = match measure.sign {
        Sign::Higher => "higher: the path matters less",
        Sign::Lower => "lower: the path matters less",
        Sign::Neither => "for comparison",
    };
    let mut panel = Panel::new(SIZE, MARGIN, &measure.label, reading);
    let values: Vec<f64> = rungs
        .iter()
        .flat_map(|row| [Some(row.estimate), row.lower, row.upper])
        .flatten()
        .chain(cells.iter().map(|cell| cell.value))
        .collect();
    let y = Scale::linear(roomy(&values), panel.area.up());
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
        Against::Loss => panel.x_axis(&x, 4, "held-out loss (nats) →"),
        Against::Steps => panel.step_axis(&x, &steps, "steps of pretraining →"),
    }
    let band: Vec<(f64, f64, f64)> = rungs
        .iter()
        .map(|row| (at_row(row), y.at(row.lower.unwrap_or(f64::NAN)), y.at(row.upper.unwrap_or(f64::NAN))))
        .collect();
    panel.svg.band("band", &band);
    for cell in &cells {
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
    if against == Against::Loss {
        label_steps(&mut panel, &rungs, &mean);
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
        panel.svg.text("zone-name", (left + 4.0, panel.area.top + 11.0), Anchor::Start, "early");
        panel.svg.text("zone-name", (right - 4.0, panel.area.top + 11.0), Anchor::End, "late");
    }
}

/// Steps beside the points of the mean, where there is room.
fn label_steps(panel: &mut Panel, rungs: &[&Summary], mean: &[(f64, f64)]) {
    let mut taken: Vec<f64> = Vec::new();
    let first_and_last = [0, rungs.len() - 1];
    let order = first_and_last.into_iter().chain(1..rungs.len().max(1) - 1);
    for i in order {
        let (x, y) = mean[i];
        if !x.is_finite() || taken.iter().any(|other| (other - x).abs() < 25.0) {
            continue;
        }
        taken.push(x);
        let above = y - 8.0 > panel.area.top + 8.0;
        let place =
            (x.clamp(panel.area.left + 6.0, panel.width() - 14.0), if above { y - 7.0 } else { y + 15.0 });
        panel.svg.text("step", place, Anchor::Middle, &steps_short(rungs[i].step.unwrap_or(0)));
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
