//! Cues: a mark beside the content that predicts the label in training, and that a test can turn against it.
//!
//! Each label has a cue; labels may share one. From a cue and plain examples follow the training set, in which the cue is
//! right with probability `strength`, and all that asks whether a model relies on it:
//!
//! | split | cue | content |
//! |---|---|---|
//! | `id` | right with probability `strength`, as in training | its own |
//! | `ood` | another label's | its own |
//! | `cue-right` | its own | its own |
//! | `cue-absent` | none | its own |
//! | `random-content` | its own | another example's, of any label: only the cue says the label |
//!
//! Where the cue is not right, each of the other cues is as likely. Two interventions start from right cues: `cue` puts another
//! cue in its place, `content` puts the content of another label under it, which changes the answer.
//!
//! What a cue is drawn as is its [`Mark`]; nothing else here knows images.

use std::collections::BTreeMap;

use random::Stream;
use serde::{Deserialize, Serialize};

use crate::{Content, Error, Examples, Intervention};

/// Changes whenever the same cue and examples yield others.
pub const VERSION: u32 = 1;

/// Pairs of an intervention, at most.
const PAIRS: usize = 400;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("cue", VERSION).and(random::versions())
}

/// A planted cue, as a `[cue]` section describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cue {
    /// Probability that the cue is right in training, 0 to 1.
    pub strength: f64,
    /// Seed of all draws. Those for an example depend on its id, and not on which others are there.
    #[serde(default)]
    pub seed: u64,
    /// What the cue looks like.
    pub mark: Mark,
}

/// What a cue looks like, for each label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// A patch of one brightness in an image. Its place says the label.
    Patch(Patch),
}

/// A rectangle of one brightness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Its height (pixels).
    pub height: usize,
    /// Its width (pixels).
    pub width: usize,
    /// Its brightness in all channels, 0 to 1.
    pub value: f64,
    /// Row and column of its upper left pixel, for each label.
    pub at: BTreeMap<String, [usize; 2]>,
}

/// What is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

/// Which cue an example gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Drawn,
    Right,
    Wrong,
    Absent,
}

/// A cue that is known to fit a task's labels and examples.
#[derive(Clone, Debug)]
pub struct Planted<'a> {
    cue: &'a Cue,
    canvas: Canvas,
    /// The cue of each label, by the label's index.
    cue_of: Vec<usize>,
    /// Where each cue is.
    places: Vec<[usize; 2]>,
}

/// What follows from plain examples and a cue.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Splits by name.
    pub splits: BTreeMap<String, Examples>,
    /// Interventions by name, each on at most 400 of the examples.
    pub interventions: BTreeMap<String, Intervention>,
}

impl Cue {
    /// True if the examples of this part depend on how often the cue is right.
    #[must_use]
    pub fn is_drawn(part: &str) -> bool {
        ["train", "split.val", "split.id"].contains(&part)
    }

    /// The cue for these labels, on these examples.
    ///
    /// # Errors
    /// In words, if the strength is no probability, a label has no cue, a cue is of no label, all labels share one, or a cue
    /// does not fit.
    pub fn planted(&self, labels: &[String], canvas: Canvas) -> Result<Planted<'_>, String> {
        Error::check_probability("strength", self.strength).map_err(|error| error.to_string())?;
        let Mark::Patch(patch) = &self.mark;
        patch.check(labels, canvas)?;
        let mut places: Vec<[usize; 2]> = Vec::new();
        let mut cue_of = Vec::with_capacity(labels.len());
        for label in labels {
            let place = patch.at.get(label).ok_or_else(|| format!("label `{label}` has no cue in `at`"))?;
            let known = places.iter().position(|known| known == place);
            cue_of.push(known.unwrap_or(places.len()));
            if known.is_none() {
                places.push(*place);
            }
        }
        if places.len() < 2 {
            return Err("all labels have the same cue".into());
        }
        Ok(Planted { cue: self, canvas, cue_of, places })
    }
}

impl Patch {
    fn check(&self, labels: &[String], canvas: Canvas) -> Result<(), String> {
        if self.height == 0 || self.width == 0 {
            return Err(format!("a patch of {} x {} pixels cannot be seen", self.height, self.width));
        }
        Error::check_probability("value", self.value).map_err(|error| error.to_string())?;
        if let Some(name) = self.at.keys().find(|name| !labels.contains(name)) {
            return Err(format!("`at` has a cue for `{name}`, which is none of the labels"));
        }
        let fits =
            |start: usize, size: usize, limit: usize| start.checked_add(size).is_some_and(|end| end <= limit);
        let outside = self.at.iter().find(|(_, place)| {
            !fits(place[0], self.height, canvas.height) || !fits(place[1], self.width, canvas.width)
        });
        match outside {
            Some((label, [row, column])) => Err(format!(
                "the cue of `{label}`, {} x {} pixels at row {row}, column {column}, does not fit into images of {} x {}",
                self.height, self.width, canvas.height, canvas.width
            )),
            None => Ok(()),
        }
    }
}

impl Planted<'_> {
    /// The examples with the cue as in training: right with probability `strength`.
    #[must_use]
    pub fn drawn(&self, part: &str, plain: &Examples) -> Examples {
        self.marked(part, plain, Rule::Drawn)
    }

    /// All splits and interventions that follow from plain examples.
    ///
    /// # Errors
    /// In words, if all examples have one label: there is no other content to put under a cue.
    pub fn derived(&self, plain: &Examples) -> Result<Derived, String> {
        match plain.labels.iter().any(|label| *label != plain.labels[0]) {
            true => Ok(Derived { splits: self.splits(plain), interventions: self.interventions(plain) }),
            false => {
                Err("all examples have one label, so that no other content can be put under a cue".into())
            }
        }
    }

    fn splits(&self, plain: &Examples) -> BTreeMap<String, Examples> {
        let rules = [
            ("id", Rule::Drawn),
            ("ood", Rule::Wrong),
            ("cue-right", Rule::Right),
            ("cue-absent", Rule::Absent),
        ];
        let mut splits: BTreeMap<String, Examples> =
            rules.into_iter().map(|(name, rule)| (name.to_owned(), self.marked(name, plain, rule))).collect();
        let name = "random-content";
        let others: Vec<usize> = (0..plain.len()).map(|row| self.another(name, plain, row, false)).collect();
        let random = Examples { content: gather(&plain.content, &others), ..plain.clone() };
        splits.insert(name.to_owned(), self.marked(name, &random, Rule::Right));
        splits
    }

    fn interventions(&self, plain: &Examples) -> BTreeMap<String, Intervention> {
        let mut rows: Vec<usize> = (0..plain.len()).collect();
        Stream::new(self.cue.seed, "cue/do").shuffle(&mut rows);
        rows.truncate(PAIRS);
        rows.sort_unstable();
        let chosen = select(plain, &rows);
        let base = self.marked("do", &chosen, Rule::Right);
        let cue = Intervention {
            name: "cue".into(),
            base: base.clone(),
            done: self.marked("do/cue", &chosen, Rule::Wrong),
        };
        // The cue stays the base's own, whatever lies under it.
        let others: Vec<usize> =
            rows.iter().map(|&row| self.another("do/content", plain, row, true)).collect();
        let mut done = Examples { content: gather(&plain.content, &others), ..chosen };
        done = self.marked("do/content", &done, Rule::Right);
        done.labels = others.iter().map(|&other| plain.labels[other]).collect();
        let content = Intervention { name: "content".into(), base, done };
        BTreeMap::from([("cue".into(), cue), ("content".into(), content)])
    }

    fn stream(&self, part: &str, id: &str) -> Stream {
        Stream::new(self.cue.seed, &format!("cue/{part}/{id}"))
    }

    /// Another example than `row`, with another label if that is asked for. There is one, for not all have one label.
    fn another(&self, part: &str, plain: &Examples, row: usize, other_label: bool) -> usize {
        let suits = |at: usize| at != row && (!other_label || plain.labels[at] != plain.labels[row]);
        let mut stream = self.stream(part, &plain.ids[row]);
        loop {
            let at = stream.below(plain.len());
            if suits(at) {
                return at;
            }
        }
    }

    fn marked(&self, part: &str, plain: &Examples, rule: Rule) -> Examples {
        let mut examples = plain.clone();
        for (row, (id, &label)) in plain.ids.iter().zip(&plain.labels).enumerate() {
            if let Some(cue) = self.cue_for(part, id, label, rule) {
                self.put(&mut examples.content, row, cue);
            }
        }
        examples
    }

    /// The cue of one example. Both numbers are drawn always, so that a stronger cue is right wherever a weaker one is.
    fn cue_for(&self, part: &str, id: &str, label: u32, rule: Rule) -> Option<usize> {
        let (right, cues) = (self.cue_of[label as usize], self.places.len());
        let mut stream = self.stream(part, id);
        let is_right = stream.bernoulli(self.cue.strength);
        let other = (right + 1 + stream.below(cues - 1)) % cues;
        match rule {
            Rule::Drawn if is_right => Some(right),
            Rule::Drawn | Rule::Wrong => Some(other),
            Rule::Right => Some(right),
            Rule::Absent => None,
        }
    }

    fn put(&self, content: &mut Content, row: usize, cue: usize) {
        let Mark::Patch(patch) = &self.cue.mark;
        let Content::Dense { values, width } = content else { return };
        let Canvas { width: columns, channels, .. } = self.canvas;
        let image = &mut values[row * *width..][..*width];
        let [top, left] = self.places[cue];
        for line in top..top + patch.height {
            image[(line * columns + left) * channels..][..patch.width * channels].fill(patch.value as f32);
        }
    }
}

/// These rows of the content, in this order.
fn gather(content: &Content, rows: &[usize]) -> Content {
    match content {
        Content::Dense { values, width } => Content::Dense {
            values: rows.iter().flat_map(|&row| &values[row * width..][..*width]).copied().collect(),
            width: *width,
        },
        Content::Text { first, second } => {
            let of = |texts: &Vec<String>| rows.iter().map(|&row| texts[row].clone()).collect();
            Content::Text { first: of(first), second: second.as_ref().map(of) }
        }
    }
}

fn select(examples: &Examples, rows: &[usize]) -> Examples {
    Examples {
        ids: rows.iter().map(|&row| examples.ids[row].clone()).collect(),
        content: gather(&examples.content, rows),
        labels: rows.iter().map(|&row| examples.labels[row]).collect(),
        cases: rows.iter().map(|&row| examples.cases[row].clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    const CANVAS: Canvas = Canvas { height: 3, width: 4, channels: 1 };

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn cue(strength: f64, at: &[(&str, [usize; 2])]) -> Cue {
        let at = at.iter().map(|&(label, place)| (label.to_owned(), place)).collect();
        Cue { strength, seed: 3, mark: Mark::Patch(Patch { height: 1, width: 2, value: 1.0, at }) }
    }

    fn two(strength: f64) -> Cue {
        cue(strength, &[("no", [0, 0]), ("yes", [0, 2])])
    }

    /// Images whose pixels outside the first row are the number of the image.
    fn plain(n: usize) -> Examples {
        let image = |row: usize| [vec![0.0; 4], vec![row as f32; 8]].concat();
        Examples {
            ids: (0..n).map(|row| row.to_string()).collect(),
            content: Content::Dense { values: (0..n).flat_map(image).collect(), width: 12 },
            labels: (0..n).map(|row| (row * row % 3 % 2) as u32).collect(),
            cases: vec![String::new(); n],
        }
    }

    fn rows(examples: &Examples) -> Vec<&[f32]> {
        match &examples.content {
            Content::Dense { values, width } => values.chunks(*width).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// The label that the cue of an image says, and the number of the image under it.
    fn seen(image: &[f32]) -> (Option<u32>, usize) {
        let cue = match image[..4] {
            [1.0, 1.0, 0.0, 0.0] => Some(0),
            [0.0, 0.0, 1.0, 1.0] => Some(1),
            [0.0, 0.0, 0.0, 0.0] => None,
            _ => panic!("{image:?}"),
        };
        assert!(image[4..].iter().all(|&pixel| pixel == image[4]), "the rest of the image is its own");
        (cue, image[4] as usize)
    }

    fn right(examples: &Examples) -> f64 {
        let pairs = rows(examples).into_iter().zip(&examples.labels);
        pairs.filter(|(image, label)| seen(image).0 == Some(**label)).count() as f64 / examples.len() as f64
    }

    #[test]
    fn every_split_has_the_cue_that_its_name_says() {
        let (cue, labels, plain) = (two(0.9), labels(&["no", "yes"]), plain(5_000));
        let planted = cue.planted(&labels, CANVAS).unwrap();
        let splits = planted.splits(&plain);
        assert_eq!(
            splits.keys().collect::<Vec<_>>(),
            ["cue-absent", "cue-right", "id", "ood", "random-content"]
        );
        assert!((right(&splits["id"]) - 0.9).abs() < 0.015);
        assert!((right(&planted.drawn("train", &plain)) - 0.9).abs() < 0.015);
        assert_eq!((right(&splits["ood"]), right(&splits["cue-right"])), (0.0, 1.0));
        assert!(rows(&splits["ood"]).iter().all(|image| seen(image).0.is_some()));
        assert_eq!(splits["cue-absent"], plain);
        for name in ["id", "ood", "cue-right"] {
            let own = rows(&splits[name]).iter().enumerate().all(|(row, image)| seen(image).1 == row);
            assert!(own && splits[name].labels == plain.labels, "{name}");
        }
        // The cue is right, and the content says nothing of it.
        let random = &splits["random-content"];
        assert_eq!((right(random), &random.labels), (1.0, &plain.labels));
        let under: Vec<usize> = rows(random).iter().map(|image| seen(image).1).collect();
        assert!(under.iter().enumerate().all(|(row, &other)| row != other));
        let same = under.iter().enumerate().filter(|&(row, &other)| plain.labels[row] == plain.labels[other]);
        let expected = 5.0 / 9.0; // A third of the labels is 0, two thirds are 1.
        assert!((same.count() as f64 / 5e3 - expected).abs() < 0.03);
    }

    #[test]
    fn interventions_change_only_what_they_say() {
        let (cue, labels, plain) = (two(1.0), labels(&["no", "yes"]), plain(1_000));
        let interventions = cue.planted(&labels, CANVAS).unwrap().interventions(&plain);
        let Intervention { base, done, .. } = &interventions["cue"];
        assert_eq!((base.len(), &base.labels), (PAIRS, &done.labels));
        assert!(base.ids.iter().any(|id| id.parse::<usize>().unwrap() > 900), "from everywhere");
        assert_eq!((right(base), right(done)), (1.0, 0.0));
        for (x, do_x) in rows(base).into_iter().zip(rows(done)) {
            assert_eq!(seen(x).1, seen(do_x).1);
        }
        let Intervention { base, done, .. } = &interventions["content"];
        assert_eq!((right(base), right(done)), (1.0, 0.0));
        for (x, do_x) in rows(base).into_iter().zip(rows(done)) {
            assert_eq!(seen(x).0, seen(do_x).0);
            assert_ne!(plain.labels[seen(x).1], plain.labels[seen(do_x).1]);
        }
        for (image, &label) in rows(done).into_iter().zip(&done.labels) {
            assert_eq!(plain.labels[seen(image).1], label);
        }
    }

    #[test]
    fn labels_may_share_a_cue_which_is_then_a_coin_that_says_nothing() {
        let names = labels(&["0", "1", "2", "3"]);
        let at = [("0", [0, 0]), ("1", [0, 0]), ("2", [0, 2]), ("3", [0, 2])];
        let mut plain = plain(8_000);
        plain.labels.iter_mut().enumerate().for_each(|(row, label)| *label = row as u32 % 4);
        let drawn = cue(0.5, &at).planted(&names, CANVAS).unwrap().drawn("train", &plain);
        for label in 0..4 {
            let of_label = rows(&drawn).into_iter().zip(&drawn.labels).filter(|(_, l)| **l == label);
            let left = of_label.filter(|(image, _)| seen(image).0 == Some(0)).count();
            assert!((left as f64 / 2_000.0 - 0.5).abs() < 0.04, "{label}: {left}");
        }
    }

    #[test]
    fn an_example_keeps_its_cue_whatever_stands_beside_it() {
        let (cue, names, all) = (two(0.7), labels(&["no", "yes"]), plain(50));
        let planted = cue.planted(&names, CANVAS).unwrap();
        let few = select(&all, &[3, 20, 41]);
        assert_eq!(planted.drawn("train", &few), select(&planted.drawn("train", &all), &[3, 20, 41]));
        // Where a weak cue is right, a stronger one is.
        let stronger = two(0.8);
        let stronger = stronger.planted(&names, CANVAS).unwrap().drawn("train", &all);
        let weak = planted.drawn("train", &all);
        for ((weak, strong), &label) in rows(&weak).into_iter().zip(rows(&stronger)).zip(&all.labels) {
            assert!(seen(weak).0 != Some(label) || seen(strong).0 == Some(label));
        }
    }

    #[test]
    fn examples_of_one_label_have_no_other_content() {
        let (cue, names, mut plain) = (two(1.0), labels(&["no", "yes"]), plain(5));
        plain.labels.fill(1);
        let planted = cue.planted(&names, CANVAS).unwrap();
        assert!(planted.derived(&plain).unwrap_err().contains("one label"));
        plain.labels[4] = 0;
        assert_eq!(planted.derived(&plain).unwrap().splits.len(), 5);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let names = labels(&["no", "yes"]);
        let message = |cue: Cue| cue.planted(&names, CANVAS).unwrap_err();
        assert_eq!(message(two(1.1)), "`strength` is 1.1, but must be between 0 and 1");
        assert!(message(two(f64::NAN)).contains("NaN"));
        assert_eq!(message(cue(1.0, &[("no", [0, 0])])), "label `yes` has no cue in `at`");
        assert!(message(cue(1.0, &[("maybe", [0, 0])])).contains("`maybe`, which is none of the labels"));
        assert_eq!(message(cue(1.0, &[("no", [0, 0]), ("yes", [0, 0])])), "all labels have the same cue");
        assert_eq!(
            message(cue(1.0, &[("no", [0, 0]), ("yes", [2, 3])])),
            "the cue of `yes`, 1 x 2 pixels at row 2, column 3, does not fit into images of 3 x 4"
        );
        assert!(message(cue(1.0, &[("no", [0, 0]), ("yes", [0, usize::MAX])])).contains("does not fit"));
    }

    /// If this changes, `VERSION` must rise.
    #[test]
    fn golden_cues() {
        let (cue, names, plain) = (two(0.7), labels(&["no", "yes"]), plain(40));
        let planted = cue.planted(&names, CANVAS).unwrap();
        let text = format!("{:?} {:?}", planted.splits(&plain), planted.interventions(&plain));
        assert_eq!(golden::hash(text.as_bytes()), 414_114_231_571_808_570);
    }
}
