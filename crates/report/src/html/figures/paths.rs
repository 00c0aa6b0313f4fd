//! The straight lines between runs: loss and error from one end to the other.

use super::{Figure, Row, seed_class, seed_legend};
use crate::html::panel::{Area, Panel};
use crate::html::scale::{Scale, roomy};
use crate::rows::PathPoint;
use crate::study::{DEFAULT_ARM, LINEAR, Study, steps_text};
use crate::summarise::measure::shown;
use crate::words::capitalised;

const SIZE: (f64, f64) = (144.0, 172.0);
const MARGIN: Area = Area { left: 30.0, top: 40.0, right: 4.0, bottom: 20.0 };

/// What is drawn along a line.
struct Quantity {
    name: &'static str,
    value: fn(&PathPoint) -> f64,
}

const LOSS: Quantity = Quantity { name: "cross-entropy (nats)", value: |point| point.loss };
const ERROR: Quantity = Quantity { name: "error", value: |point| 1.0 - point.accuracy };

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let on_line = |point: &&PathPoint| {
        point.arm == DEFAULT_ARM && point.path == LINEAR && (0.0..=1.0).contains(&point.alpha)
    };
    let points: Vec<&PathPoint> = study.paths.iter().filter(on_line).collect();
    if points.is_empty() {
        return None;
    }
    let ood = crate::study::primary_ood(points.iter().map(|point| point.split.as_str()));
    let has_id = points.iter().any(|point| point.split == "id");
    let mut rows = Vec::new();
    if let Some(ood) = ood {
        rows.extend(row(study, &points, ood, &ERROR));
    }
    if has_id {
        rows.extend(row(study, &points, "id", &LOSS));
    }
    if let Some(ood) = ood {
        rows.extend(row(study, &points, ood, &LOSS));
    }
    Some(Figure {
        id: "lines",
        title: "The straight line between two fine-tuning runs".into(),
        finding: String::new(),
        caption: "A panel for each rung. Left and right end of each thin line are two runs from the same checkpoint; between \
                  them their weights are mixed in proportion. A bump is a barrier: the two lie in different basins. Heavy: \
                  the mean over all pairs. One scale for each row."
            .into(),
        legend: seed_legend(study),
        rows,
    })
}

fn row(study: &Study, points: &[&PathPoint], split: &str, quantity: &Quantity) -> Option<Row> {
    let here: Vec<&PathPoint> = points.iter().copied().filter(|point| point.split == split).collect();
    if here.is_empty() {
        return None;
    }
    let values: Vec<f64> = here.iter().map(|point| (quantity.value)(point)).collect();
    let (_, high) = roomy(&values);
    let steps = study.steps(DEFAULT_ARM);
    let panels = steps.iter().filter_map(|&step| panel(study, &here, step, quantity, (0.0, high))).collect();
    Some(Row {
        title: format!("{} on {split}", capitalised(quantity.name)),
        size: "small",
        folded: false,
        panels,
    })
}

fn panel(
    study: &Study,
    points: &[&PathPoint],
    step: u64,
    quantity: &Quantity,
    domain: (f64, f64),
) -> Option<String> {
    let mut here: Vec<&PathPoint> = points.iter().copied().filter(|point| point.step == step).collect();
    if here.is_empty() {
        return None;
    }
    here.sort_by(|a, b| {
        (a.pretraining_seed, &a.run_a, &a.run_b)
            .cmp(&(b.pretraining_seed, &b.run_a, &b.run_b))
            .then(a.alpha.total_cmp(&b.alpha))
    });
    let subtitle =
        study.loss_at(step).map_or(String::new(), |loss| format!("held-out loss {}", shown(loss, 2)));
    let mut panel = Panel::new(SIZE, MARGIN, &format!("{} steps", steps_text(step)), &subtitle);
    let y = panel.y_scale(domain, 3);
    let x = Scale::linear((0.0, 1.0), panel.area.across());
    panel.y_axis(&y, 3);
    panel.names_axis(&[(x.at(0.0), "a".into()), (x.at(0.5), "½".into()), (x.at(1.0) - 2.0, "b".into())], "");
    let mut sums: Vec<(f64, f64, f64)> = Vec::new();
    for line in here.chunk_by(|a, b| (&a.run_a, &a.run_b) == (&b.run_a, &b.run_b)) {
        let curve: Vec<(f64, f64)> =
            line.iter().map(|point| (x.at(point.alpha), y.at((quantity.value)(point)))).collect();
        panel.svg.curve(&format!("thin {}", seed_class(study, line[0].pretraining_seed)), &curve);
        for point in line {
            match sums.iter_mut().find(|(alpha, _, _)| (*alpha - point.alpha).abs() < 1e-9) {
                Some(sum) => {
                    sum.1 += (quantity.value)(point);
                    sum.2 += 1.0;
                }
                None => sums.push((point.alpha, (quantity.value)(point), 1.0)),
            }
        }
    }
    sums.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mean: Vec<(f64, f64)> = sums.iter().map(|(alpha, sum, n)| (x.at(*alpha), y.at(sum / n))).collect();
    panel.svg.curve("mean", &mean);
    let middle = sums.get(sums.len() / 2).map_or(f64::NAN, |(_, sum, n)| sum / n);
    let ends = sums.first().map_or(f64::NAN, |(_, sum, n)| sum / n);
    Some(panel.finish(&format!(
        "Mean {} at {} steps: {} at the ends, {} in the middle of the line",
        quantity.name,
        steps_text(step),
        shown(ends, 3),
        shown(middle, 3)
    )))
}
