//! One small multiple: a title, two quiet axes, and a place for marks.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use crate::report::study::steps_short;

/// Left, top, right and bottom of the plotting area within a panel.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    pub(crate) fn across(&self) -> (f64, f64) {
        (self.left, self.right)
    }

    pub(crate) fn up(&self) -> (f64, f64) {
        (self.bottom, self.top)
    }
}

/// A panel under construction.
pub(crate) struct Panel {
    pub(crate) svg: Svg,
    pub(crate) area: Area,
    width: f64,
    height: f64,
}

impl Panel {
    /// An empty panel with a title and, below it, how to read it.
    pub(crate) fn new(size: (f64, f64), margin: Area, title: &str, subtitle: &str) -> Self {
        let (width, height) = size;
        let area = Area {
            left: margin.left,
            top: margin.top,
            right: width - margin.right,
            bottom: height - margin.bottom,
        };
        let mut svg = Svg::new(width, height);
        svg.text("title", (0.0, 13.0), Anchor::Start, title);
        svg.text("subtitle", (0.0, 28.0), Anchor::Start, subtitle);
        Self { svg, area, width, height }
    }

    /// Horizontal hairlines with their values at the left.
    pub(crate) fn y_axis(&mut self, scale: &Scale, count: usize) {
        let ticks = scale.ticks(count);
        for &tick in &ticks {
            let y = scale.at(tick);
            self.svg.line("grid", (self.area.left, y), (self.area.right, y));
            self.svg.text("tick", (self.area.left - 5.0, y + 3.5), Anchor::End, &tick_text(tick, &ticks));
        }
    }

    /// The base line, and values of a continuous quantity below it.
    pub(crate) fn x_axis(&mut self, scale: &Scale, count: usize, name: &str) {
        let ticks = scale.ticks(count);
        self.base();
        for &tick in &ticks {
            self.x_tick(scale.at(tick), &tick_text(tick, &ticks));
        }
        self.x_name(name);
    }

    /// The base line, and the steps of the rungs where there is room for them.
    pub(crate) fn step_axis(&mut self, scale: &Scale, steps: &[u64], name: &str) {
        self.base();
        let mut free_from = f64::NEG_INFINITY;
        let last = steps.last().copied();
        for &step in steps {
            let (x, text) = (scale.at(step as f64), steps_short(step));
            let half = text.len() as f64 * 3.0;
            let last_at = last.filter(|&last| last != step).map_or(f64::INFINITY, |last| {
                scale.at(last as f64) - steps_short(last).len() as f64 * 3.0 - 5.0
            });
            self.svg.line("axis", (x, self.area.bottom), (x, self.area.bottom + 3.0));
            if x - half >= free_from && x + half <= last_at {
                self.svg.text("tick", (x, self.area.bottom + 15.0), Anchor::Middle, &text);
                free_from = x + half + 5.0;
            }
        }
        self.x_name(name);
    }

    /// The base line, and names under it.
    pub(crate) fn names_axis(&mut self, names: &[(f64, String)], name: &str) {
        self.base();
        for (x, text) in names {
            self.svg.text("tick", (*x, self.area.bottom + 15.0), Anchor::Middle, text);
        }
        self.x_name(name);
    }

    fn base(&mut self) {
        self.svg.line("axis", (self.area.left, self.area.bottom), (self.area.right, self.area.bottom));
    }

    fn x_tick(&mut self, x: f64, text: &str) {
        self.svg.line("axis", (x, self.area.bottom), (x, self.area.bottom + 3.0));
        self.svg.text("tick", (x, self.area.bottom + 15.0), Anchor::Middle, text);
    }

    fn x_name(&mut self, name: &str) {
        if !name.is_empty() {
            self.svg.text("axis-name", (self.area.right, self.height - 3.0), Anchor::End, name);
        }
    }

    /// Width of the whole panel.
    pub(crate) fn width(&self) -> f64 {
        self.width
    }

    pub(crate) fn finish(self, label: &str) -> String {
        self.svg.finish(label)
    }
}

/// Ticks with as many decimals as tell them apart.
fn tick_text(tick: f64, ticks: &[f64]) -> String {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let step = if step.is_finite() { step } else { tick.abs().max(1e-9) };
    let decimals = (0..6).find(|&places| {
        let scaled = step * 10_f64.powi(places);
        (scaled - scaled.round()).abs() < 1e-6
    });
    crate::report::summarise::measure::shown(tick, decimals.unwrap_or(6) as usize)
}

/// Places for labels beside values, moved apart so that they do not overlap. Order is kept.
pub(crate) fn spread(places: &[f64], gap: f64, bounds: (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| places[a].total_cmp(&places[b]).then(a.cmp(&b)));
    let mut spread = places.to_vec();
    let mut least = bounds.0;
    for &i in &order {
        spread[i] = spread[i].max(least);
        least = spread[i] + gap;
    }
    let mut most = bounds.1;
    for &i in order.iter().rev() {
        spread[i] = spread[i].min(most);
        most = spread[i] - gap;
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_say_what_is_needed() {
        assert_eq!(tick_text(0.5, &[0.25, 0.5]), "0.50");
        assert_eq!(tick_text(2.0, &[1.0, 2.0]), "2");
        assert_eq!(tick_text(0.04, &[0.04]), "0.04");
    }

    #[test]
    fn labels_move_apart_in_order() {
        let places = spread(&[10.0, 11.0, 50.0, 10.5], 12.0, (0.0, 60.0));
        assert_eq!(places, [10.0, 34.0, 50.0, 22.0]);
    }
}
