//! One small multiple: a title, two quiet axes, and a place for marks.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use crate::study::steps_short;

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
        svg.text("title", (0.0, 13.0), Anchor::Start, &shortened(title, width));
        svg.text("subtitle", (0.0, 28.0), Anchor::Start, subtitle);
        Self { svg, area, height }
    }

    /// The scale of a vertical axis with about `count` values, for whose names room is made at the left.
    pub(crate) fn y_scale(&mut self, domain: (f64, f64), count: usize) -> Scale {
        let scale = Scale::linear(domain, self.area.up());
        let ticks = scale.ticks(count);
        let widest = ticks.iter().map(|&tick| text_width(&tick_text(tick, &ticks))).fold(0.0, f64::max);
        self.area.left = self.area.left.max(widest + TICK_GAP);
        scale
    }

    /// Horizontal hairlines with their values at the left.
    pub(crate) fn y_axis(&mut self, scale: &Scale, count: usize) {
        let ticks = scale.ticks(count);
        for &tick in &ticks {
            let y = scale.at(tick);
            self.svg.line("grid", (self.area.left, y), (self.area.right, y));
            let at = (self.area.left - TICK_GAP, y + 3.5);
            self.svg.text("tick", at, Anchor::End, &tick_text(tick, &ticks));
        }
    }

    /// The base line, and values of a continuous quantity below it.
    pub(crate) fn x_axis(&mut self, scale: &Scale, count: usize, name: &str) {
        let ticks = scale.ticks(count);
        let names: Vec<(f64, String)> =
            ticks.iter().map(|&tick| (scale.at(tick), tick_text(tick, &ticks))).collect();
        self.ticks(&names);
        self.names_axis(&names, name);
    }

    /// The base line, and the steps of the rungs where there is room for them.
    pub(crate) fn step_axis(&mut self, scale: &Scale, steps: &[u64], name: &str) {
        let names: Vec<(f64, String)> =
            steps.iter().map(|&step| (scale.at(step as f64), steps_short(step))).collect();
        self.ticks(&names);
        self.names_axis(&names, name);
    }

    /// The base line, and names under it where there is room for them.
    pub(crate) fn names_axis(&mut self, names: &[(f64, String)], name: &str) {
        let Area { left, right, bottom, .. } = self.area;
        self.svg.line("axis", (left, bottom), (right, bottom));
        self.names("tick", names, bottom + 15.0);
        if !name.is_empty() {
            self.svg.text("axis-name", (right, self.height - 3.0), Anchor::End, name);
        }
    }

    /// Hairlines that stand where a second quantity has these values, named above the area where there is room.
    pub(crate) fn top_axis(&mut self, names: &[(f64, String)], name: &str) {
        let Area { top, bottom, .. } = self.area;
        for &(x, _) in names {
            self.svg.line("grid", (x, top - 5.0), (x, bottom));
        }
        self.names("step", names, top - 9.0);
        self.svg.text("step", (0.0, top - 9.0), Anchor::Start, name);
    }

    fn names(&mut self, class: &str, names: &[(f64, String)], y: f64) {
        let spans: Vec<(f64, f64)> = names.iter().map(|(x, text)| (*x, text_width(text))).collect();
        for i in has_room(&spans) {
            let (x, text) = &names[i];
            self.svg.text(class, (*x, y), Anchor::Middle, text);
        }
    }

    fn ticks(&mut self, names: &[(f64, String)]) {
        for &(x, _) in names {
            self.svg.line("axis", (x, self.area.bottom), (x, self.area.bottom + 3.0));
        }
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
    crate::summarise::measure::shown(tick, decimals.unwrap_or(6) as usize)
}

/// Between the names of the vertical axis and the area.
const TICK_GAP: f64 = 5.0;

/// The width of a name on an axis in the widest of the fonts that a page may get (DejaVu Sans).
fn text_width(text: &str) -> f64 {
    let ems = |letter: char| match letter {
        '.' | ',' | ' ' => 0.32,
        'k' | '0'..='9' => 0.64,
        _ => 0.86,
    };
    10.5 * text.chars().map(ems).sum::<f64>()
}

/// Which names can stand side by side, of those centred at `(place, width)`: the first, the last, and what fits between.
fn has_room(spans: &[(f64, f64)]) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    let ends = [0, spans.len().saturating_sub(1)];
    for i in ends.into_iter().chain(0..spans.len()).filter(|&i| i < spans.len()) {
        let free =
            |&other: &usize| (spans[i].0 - spans[other].0).abs() >= (spans[i].1 + spans[other].1) / 2.0 + 4.0;
        if kept.iter().all(free) {
            kept.push(i);
        }
    }
    kept
}

/// A title as its panel has room for it.
fn shortened(title: &str, width: f64) -> String {
    let most = (width / 7.9) as usize;
    match title.char_indices().nth(most) {
        None => title.to_owned(),
        Some(_) => title.chars().take(most - 1).chain(['…']).collect(),
    }
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
    fn names_that_would_collide_are_left_out() {
        let spans = [(0.0, 10.0), (50.0, 20.0), (60.0, 20.0), (92.0, 10.0), (100.0, 10.0)];
        assert_eq!(has_room(&spans), [0, 4, 1]);
        assert_eq!(has_room(&[(5.0, 10.0)]), [0]);
        assert!(has_room(&[]).is_empty());
    }

    #[test]
    fn long_names_make_room_and_long_titles_end() {
        let margin = Area { left: 42.0, top: 42.0, right: 8.0, bottom: 34.0 };
        let mut panel = Panel::new((330.0, 210.0), margin, &"a long name ".repeat(9), "");
        panel.y_scale((0.0, 1.0), 4);
        assert_eq!(panel.area.left, 42.0);
        panel.y_scale((-0.0005, 0.0005), 4);
        assert!(panel.area.left > 50.0, "{}", panel.area.left);
        let markup = panel.finish("");
        assert!(markup.contains("…") && !markup.contains(&"a long name ".repeat(4)), "{markup}");
    }
}
