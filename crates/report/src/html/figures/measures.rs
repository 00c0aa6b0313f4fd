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
    let zones = match study.has_split() {
        true => format!(
            "; shaded are the early (at most {}) and late (at least {}) rungs that the primary contrast compares",
            steps_text(study.early_until),
            steps_text(study.late_from)
        ),
        false => String::new(),
    };
    Some(Figure {
        id: "primary",
        title: "The primary measures along the ladder".into(),
        finding: String::new(),
        caption: format!(
            "{} The loss is that on held-out pretraining text, on a logarithmic axis that falls to the right, with the \
             steps above. Steps are logarithmic too, with 0 set apart at the left{zones}.",
            marks(study)
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

/// What a panel draws, and where.
struct Course<'a> {
    study: &'a Study,
    measure: &'a Measure,
    against: Against,
    rungs: Vec<&'a Summary>,
    cells: Vec<&'a MeasureCell>,
    x: Scale,
    y: Scale,
}

fn panel(study: &Study, measure: &Measure, against: Against) -> Option<String> {
    let rungs = study.rungs_of(DEFAULT_ARM, &measure.id);
    let cells: Vec<&MeasureCell> = study.cells_of(DEFAULT_ARM, &measure.id).collect();
    if rungs.is_empty() {
        return None;
    }
    let mut panel = Panel::new(SIZE, MARGIN, &measure.label, reading(measure));
    let ends = rungs.iter().flat_map(|row| [Some(row.estimate), row.lower, row.upper]).flatten();
    let values: Vec<f64> = ends.chain(cells.iter().map(|cell| cell.value)).collect();
    let y = panel.y_scale(roomy(&values), 4);
    let x = across(panel.area.across(), against, &rungs, &cells)?;
    let course = Course { study, measure, against, rungs, cells, x, y };
    course.axes(&mut panel);
    course.band(&mut panel);
    course.dots(&mut panel);
    course.mean(&mut panel);
    Some(panel.finish(&described(measure, &course.rungs)))
}

/// The scale from left to right; `None` if no loss is known.
fn across(
    (left, right): (f64, f64),
    against: Against,
    rungs: &[&Summary],
    cells: &[&MeasureCell],
) -> Option<Scale> {
    match against {
        Against::Loss => {
            let losses = cells.iter().filter_map(|cell| cell.held_out_loss);
            let losses: Vec<f64> = losses.chain(rungs.iter().filter_map(|row| row.held_out_loss)).collect();
            (!losses.is_empty()).then(|| Scale::falling(&losses, (left + 8.0, right - 4.0)))
        }
        Against::Steps => {
            let steps: Vec<f64> = rungs.iter().filter_map(|row| row.step).map(|step| step as f64).collect();
            Some(Scale::steps(&steps, (left + 10.0, right - 10.0)))
        }
    }
}

impl Course<'_> {
    fn at(&self, step: u64, loss: Option<f64>) -> f64 {
        match self.against {
            Against::Loss => loss.map_or(f64::NAN, |loss| self.x.at(loss)),
            Against::Steps => self.x.at(step as f64),
        }
    }

    fn at_row(&self, row: &Summary) -> f64 {
        self.at(row.step.unwrap_or(0), row.held_out_loss)
    }

    fn axes(&self, panel: &mut Panel) {
        let steps: Vec<u64> = self.rungs.iter().filter_map(|row| row.step).collect();
        if self.against == Against::Steps {
            zones(panel, self.study, &steps, &self.x);
        }
        panel.y_axis(&self.y, 4);
        match self.against {
            Against::Loss => {
                let named = |row: &&Summary| (self.at_row(row), steps_short(row.step.unwrap_or(0)));
                let names: Vec<_> = self.rungs.iter().map(named).filter(|(x, _)| x.is_finite()).collect();
                panel.top_axis(&names, "steps");
                panel.x_axis(&self.x, 4, "held-out loss (nats) →");
            }
            Against::Steps => panel.step_axis(&self.x, &steps, "steps of pretraining →"),
        }
    }

    fn band(&self, panel: &mut Panel) {
        let end = |end: Option<f64>| self.y.at(end.unwrap_or(f64::NAN));
        let band: Vec<(f64, f64, f64)> =
            self.rungs.iter().map(|row| (self.at_row(row), end(row.lower), end(row.upper))).collect();
        panel.svg.band("band", &band);
    }

    /// A dot for each pretraining run, where there are several.
    fn dots(&self, panel: &mut Panel) {
        let several = self.study.pretraining_seeds().len() > 1;
        for cell in self.cells.iter().filter(|_| several) {
            let tip = format!(
                "pretraining seed {}, {} steps: {}",
                cell.pretraining_seed,
                steps_text(cell.step),
                self.measure.show(cell.value)
            );
            let class = format!("dot {}", seed_class(self.study, cell.pretraining_seed));
            let place = (self.at(cell.step, cell.held_out_loss), self.y.at(cell.value));
            panel.svg.dot(&class, place, 2.6, &tip);
        }
    }

    fn mean(&self, panel: &mut Panel) {
        let mean: Vec<(f64, f64)> =
            self.rungs.iter().map(|row| (self.at_row(row), self.y.at(row.estimate))).collect();
        panel.svg.curve("mean", &mean);
        for (row, &point) in self.rungs.iter().zip(&mean) {
            let show = |value| self.measure.show(value);
            let interval = match (row.lower, row.upper) {
                (Some(lower), Some(upper)) => format!(" [{}, {}]", show(lower), show(upper)),
                _ => String::new(),
            };
            let steps = steps_text(row.step.unwrap_or(0));
            panel.svg.dot("node", point, 2.2, &format!("{steps} steps: {}{interval}", show(row.estimate)));
        }
    }
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
