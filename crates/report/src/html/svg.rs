//! A small builder of SVG: marks in, markup out.
//!
//! Marks that are not finite are left out, so that no `NaN` reaches a page; numbers have at most two decimals, so that
//! a page is small and the same everywhere. Colours are classes: the page's style sheet decides, for light and dark.

use std::fmt::Write;

/// A drawing of fixed coordinates that scales with its place on the page.
pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// The markup, with `label` for those who cannot see it.
    pub(crate) fn finish(self, label: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" style=\"max-width:{}px\">{}</svg>",
            number(self.width),
            number(self.height),
            escape(label),
            number(self.width * 1.35),
            self.body
        )
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        if [from.0, from.1, to.0, to.1].iter().all(|value| value.is_finite()) {
            let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
            self.push(format_args!(
                "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
            ));
        }
    }

    /// A line through points; it breaks where a point is not finite.
    pub(crate) fn curve(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        let mut drawing = false;
        for &(x, y) in points {
            if x.is_finite() && y.is_finite() {
                let _ = write!(path, "{}{} {}", if drawing { 'L' } else { 'M' }, number(x), number(y));
            }
            drawing = x.is_finite() && y.is_finite();
        }
        if !path.is_empty() {
            self.push(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    /// The area between two lines over the same places: `(x, lower, upper)`.
    pub(crate) fn band(&mut self, class: &str, edges: &[(f64, f64, f64)]) {
        let finite: Vec<_> =
            edges.iter().filter(|(x, a, b)| x.is_finite() && a.is_finite() && b.is_finite()).collect();
        if finite.len() < 2 {
            return;
        }
        let mut path = String::new();
        for (i, (x, _, upper)) in finite.iter().enumerate() {
            let _ = write!(path, "{}{} {}", if i > 0 { 'L' } else { 'M' }, number(*x), number(*upper));
        }
        for (x, lower, _) in finite.iter().rev() {
            let _ = write!(path, "L{} {}", number(*x), number(*lower));
        }
        self.push(format_args!("<path class=\"{class}\" d=\"{path}Z\"/>"));
    }

    /// A dot; `tip` is shown where a pointer rests on it.
    pub(crate) fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, tip: &str) {
        if at.0.is_finite() && at.1.is_finite() {
            let (x, y, r) = (number(at.0), number(at.1), number(radius));
            let title = title(tip);
            match title.is_empty() {
                true => {
                    self.push(format_args!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"))
                }
                false => self.push(format_args!(
                    "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\">{title}</circle>"
                )),
            }
        }
    }

    /// A filled box, more or less opaque.
    pub(crate) fn cell(&mut self, class: &str, at: (f64, f64), size: (f64, f64), opacity: f64, tip: &str) {
        if [at.0, at.1, size.0, size.1, opacity].iter().all(|value| value.is_finite()) {
            let [x, y, w, h, o] = [at.0, at.1, size.0, size.1, opacity].map(number);
            let title = title(tip);
            self.push(format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill-opacity=\"{o}\">{title}</rect>"
            ));
        }
    }

    pub(crate) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        if at.0.is_finite() && at.1.is_finite() {
            let (x, y) = (number(at.0), number(at.1));
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let text = escape(text);
            self.push(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>"));
        }
    }

    fn push(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(markup);
    }
}

fn title(tip: &str) -> String {
    if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(tip)) }
}

/// At most two decimals, without trailing zeros.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// Text as it must stand in markup and attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_left_out() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.line("a", (f64::NAN, 0.0), (1.0, 1.0));
        svg.dot("a", (0.0, f64::INFINITY), 1.0, "");
        svg.curve("a", &[(0.0, 0.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)]);
        svg.band("a", &[(0.0, f64::NAN, 1.0), (1.0, 0.0, 1.0)]);
        let markup = svg.finish("x < \"y\"");
        assert!(!markup.contains("NaN") && !markup.contains("inf"), "{markup}");
        assert!(markup.contains("d=\"M0 0M2 2L3 3\"") && markup.contains("x &lt; &quot;y&quot;"), "{markup}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([1.0, 0.125, -0.001, 12.30, 100.0].map(number), ["1", "0.12", "0", "12.3", "100"]);
    }
}
