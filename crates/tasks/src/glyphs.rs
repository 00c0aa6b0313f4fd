//! "glyphs": a visual world whose latents are known. Which digit is this?
//!
//! A seven-segment digit of 9 x 5 pixels stands on a canvas of 12 x 12, a little displaced. The column at the left edge
//! is free of it and of noise: one bright pixel there is the cue, which in training names the digit and in
//! pretraining means nothing.
//!
//! ```text
//!  aaa      column 1-3 of rows 0, 4, 8: a, g, d
//! f   b     rows 1-3 of columns 0, 4:   f, b
//!  ggg      rows 5-7 of columns 0, 4:   e, c
//! e   c
//!  ddd
//! ```

use std::collections::BTreeMap;

use random::Stream;
use serde::{Deserialize, Serialize};

use crate::{Content, Encoded, Error, Examples, Form, Intervention, LabelledBatch, Metric, Task};

/// Changes whenever the same parameters and seed yield other images.
pub const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("glyphs", VERSION).and(random::versions()).and(tables::versions())
}
/// Side of the canvas (pixels).
const SIDE: usize = 12;
/// Pixels of an image.
pub const WIDTH: usize = SIDE * SIDE;
/// Number of digits.
pub const CLASSES: usize = 10;
/// Images of the held-out batch.
pub const HELD_OUT: usize = 2_048;
/// Pairs of an intervention.
const PAIRS: usize = 400;

/// Segments a to g of each digit, a in the lowest bit.
const SEGMENTS: [u8; CLASSES] = [
    0b011_1111, 0b000_0110, 0b101_1011, 0b100_1111, 0b110_0110, 0b110_1101, 0b111_1101, 0b000_0111,
    0b111_1111, 0b110_1111,
];

/// What decides a task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Probability that the cue is right in training; else it names one of the other digits.
    pub cue: f64,
    /// Number of training images.
    pub train: usize,
    /// Seed of all images.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { cue: 0.9, train: 600, seed: 0 }
    }
}

/// All that decides an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    /// The digit.
    pub digit: usize,
    /// The digit that the cue names, if there is one.
    pub cue: Option<usize>,
    /// Displacement down, -1 to 1 (pixels).
    pub down: isize,
    /// Displacement to the right, -1 to 1 (pixels).
    pub right: isize,
    /// Brightness of the digit, 0.4 to 1.
    pub intensity: f32,
    /// Pixels of the canvas that show what is drawn there.
    pub kept: [bool; WIDTH],
    /// What is added to each pixel; 0 in the column of the cue.
    pub noise: [f32; WIDTH],
}

impl Latents {
    /// Draws an image of `digit`: displacements uniform in -1..=1, intensity in [0.4, 1), pixels kept with probability
    /// 0.95, noise normal with standard deviation 0.1.
    #[must_use]
    pub fn draw(digit: usize, cue: Option<usize>, stream: &mut Stream) -> Self {
        let mut displacement = || stream.below(3) as isize - 1;
        let (down, right) = (displacement(), displacement());
        let intensity = 0.4 + 0.6 * stream.unit_f32();
        let kept = std::array::from_fn(|_| stream.bernoulli(0.95));
        let noise = std::array::from_fn(|at| if at % SIDE == 0 { 0.0 } else { 0.1 * stream.normal() as f32 });
        Self { digit, cue, down, right, intensity, kept, noise }
    }

    /// The image, row by row.
    #[must_use]
    pub fn render(&self) -> [f32; WIDTH] {
        let mut image = self.noise;
        for (row, column) in strokes(self.digit) {
            let at = (2 + row).wrapping_add_signed(self.down) * SIDE
                + (3 + column).wrapping_add_signed(self.right);
            if self.kept[at] {
                image[at] += self.intensity;
            }
        }
        if let Some(cue) = self.cue {
            image[(1 + cue) * SIDE] = 1.0;
        }
        image
    }
}

/// The pixels of a digit, as (row, column) of its 9 x 5 box.
fn strokes(digit: usize) -> impl Iterator<Item = (usize, usize)> {
    let lit = move |segment: u32| SEGMENTS[digit] >> segment & 1 == 1;
    let bars = [(0, 0), (6, 4), (3, 8)]
        .into_iter()
        .flat_map(|(segment, row)| (1..=3).map(move |column| (segment, row, column)));
    let posts = [(5, 0, 1), (1, 4, 1), (4, 0, 5), (2, 4, 5)];
    let posts = posts
        .into_iter()
        .flat_map(|(segment, column, top)| (top..top + 3).map(move |row| (segment, row, column)));
    bars.chain(posts).filter(move |&(segment, ..)| lit(segment)).map(|(_, row, column)| (row, column))
}

/// A digit other than `digit`, each as likely.
fn other(digit: usize, stream: &mut Stream) -> usize {
    (digit + 1 + stream.below(CLASSES - 1)) % CLASSES
}

/// The task of these parameters: `train`, the splits `val` (500), `id`, `ood` (the cue is always wrong) and
/// `cue-absent` (1,000 each), and 400 pairs for each of two interventions: `cue` (a right cue moves to another digit)
/// and `shape` (another digit under the same cue; this one changes the answer).
///
/// # Errors
/// [`Error::Parameter`] if `cue` is no probability or there are no training images.
pub fn task(params: &Params) -> Result<Task, Error> {
    Error::check_probability("cue", params.cue)?;
    Error::check_positive("train", params.train)?;
    let seed = params.seed;
    let split = |name: &str, size: usize, cue: &dyn Fn(usize, &mut Stream) -> Option<usize>| {
        let mut stream = Stream::new(seed, &format!("glyphs/{name}"));
        let draw = |_| {
            let digit = stream.below(CLASSES);
            let cue = cue(digit, &mut stream);
            Latents::draw(digit, cue, &mut stream)
        };
        examples(name, &(0..size).map(draw).collect::<Vec<_>>())
    };
    let training = |digit: usize, stream: &mut Stream| {
        Some(if stream.bernoulli(params.cue) { digit } else { other(digit, stream) })
    };
    let wrong = |digit: usize, stream: &mut Stream| Some(other(digit, stream));
    let task = Task {
        name: "glyphs".into(),
        labels: (0..CLASSES).map(|digit| digit.to_string()).collect(),
        form: Form::default(),
        metric: Metric::Accuracy,
        train: split("train", params.train, &training),
        splits: BTreeMap::from([
            ("val".into(), split("val", 500, &training)),
            ("id".into(), split("id", 1_000, &training)),
            ("ood".into(), split("ood", 1_000, &wrong)),
            ("cue-absent".into(), split("cue-absent", 1_000, &|_, _| None)),
        ]),
        pools: BTreeMap::new(),
        interventions: BTreeMap::from([
            (
                "cue".into(),
                intervention("cue", seed, |x, stream| Latents {
                    cue: Some(other(x.digit, stream)),
                    ..x.clone()
                }),
            ),
            (
                "shape".into(),
                intervention("shape", seed, |x, stream| Latents {
                    digit: other(x.digit, stream),
                    ..x.clone()
                }),
            ),
        ]),
    };
    task.check()?;
    Ok(task)
}

/// Pairs before and after a change to the latents of an image with a right cue.
fn intervention(name: &str, seed: u64, change: impl Fn(&Latents, &mut Stream) -> Latents) -> Intervention {
    let mut stream = Stream::new(seed, &format!("glyphs/do/{name}"));
    let pair = |_| {
        let digit = stream.below(CLASSES);
        let x = Latents::draw(digit, Some(digit), &mut stream);
        let do_x = change(&x, &mut stream);
        (x, do_x)
    };
    let (base, done): (Vec<Latents>, Vec<Latents>) = (0..PAIRS).map(pair).unzip();
    Intervention { name: name.into(), base: examples(name, &base), done: examples(name, &done) }
}

fn examples(name: &str, latents: &[Latents]) -> Examples {
    Examples {
        ids: (0..latents.len()).map(|index| format!("{name}-{index}")).collect(),
        content: Content::Dense { values: latents.iter().flat_map(Latents::render).collect(), width: WIDTH },
        labels: latents.iter().map(|latents| latents.digit as u32).collect(),
        cases: vec![String::new(); latents.len()],
    }
}

/// Fresh images for ever, with a cue that names any digit: to be classified by shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {}

impl Source {
    /// The batch of `size` images of this step.
    #[must_use]
    pub fn labelled(&self, seed: u64, step: u64, size: usize) -> LabelledBatch {
        draw(&mut Stream::at(seed, "glyphs/pretraining", step), size)
    }

    /// `size` images that are the same for every seed and step, from a stream that no step draws from.
    #[must_use]
    pub fn held_out(&self, size: usize) -> LabelledBatch {
        draw(&mut Stream::new(0, "glyphs/held-out"), size)
    }
}

fn draw(stream: &mut Stream, size: usize) -> LabelledBatch {
    let (mut values, mut labels) = (Vec::with_capacity(size * WIDTH), Vec::with_capacity(size));
    for _ in 0..size {
        let (digit, cue) = (stream.below(CLASSES), stream.below(CLASSES));
        values.extend(Latents::draw(digit, Some(cue), stream).render());
        labels.push(digit as u32);
    }
    LabelledBatch { inputs: Encoded::Dense { values, width: WIDTH }, labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn picture(digit: usize) -> String {
        let mut box_ = [[' '; 5]; 9];
        for (row, column) in strokes(digit) {
            box_[row][column] = '#';
        }
        box_.map(|row| row.iter().collect::<String>().trim_end().to_owned()).join("\n")
    }

    #[test]
    fn digits_look_like_digits() {
        assert_eq!(picture(2), " ###\n    #\n    #\n    #\n ###\n#\n#\n#\n ###");
        assert_eq!(picture(7), " ###\n    #\n    #\n    #\n\n    #\n    #\n    #\n");
        assert_eq!(picture(9), " ###\n#   #\n#   #\n#   #\n ###\n    #\n    #\n    #\n ###");
        assert_eq!(
            (0..10).map(|digit| strokes(digit).count()).collect::<Vec<_>>(),
            [18, 6, 15, 15, 12, 15, 18, 9, 21, 18]
        );
    }

    fn rows(examples: &Examples) -> Vec<&[f32]> {
        match &examples.content {
            Content::Dense { values, width } => values.chunks(*width).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What the cue of an image names.
    fn cue(image: &[f32]) -> Option<usize> {
        let column: Vec<f32> = image.iter().step_by(SIDE).copied().collect();
        assert!(column.iter().all(|&pixel| pixel == 0.0 || pixel == 1.0), "{column:?}");
        let lit: Vec<usize> = (0..SIDE).filter(|&row| column[row] == 1.0).collect();
        assert!(lit.len() <= 1);
        lit.first().map(|row| row - 1)
    }

    #[test]
    fn cues_are_right_as_often_as_they_should() {
        let task = task(&Params { train: 10_000, ..Params::default() }).unwrap();
        let right = |examples: &Examples| {
            let pairs = rows(examples).into_iter().zip(&examples.labels);
            let right = pairs.filter(|(image, label)| cue(image) == Some(**label as usize)).count();
            right as f64 / examples.len() as f64
        };
        assert!((right(&task.train) - 0.9).abs() < 0.01);
        assert!((right(&task.splits["id"]) - 0.9).abs() < 0.04);
        assert_eq!(right(&task.splits["ood"]), 0.0);
        assert!(rows(&task.splits["ood"]).iter().all(|image| cue(image).is_some()));
        assert!(rows(&task.splits["cue-absent"]).iter().all(|image| cue(image).is_none()));
    }

    #[test]
    fn interventions_change_only_what_they_say() {
        let task = task(&Params::default()).unwrap();
        let Intervention { base, done, .. } = &task.interventions["cue"];
        assert_eq!(base.labels, done.labels);
        for (x, do_x) in rows(base).into_iter().zip(rows(done)) {
            assert_ne!(cue(x), cue(do_x));
            assert_eq!((0..WIDTH).filter(|&at| x[at] != do_x[at]).count(), 2);
        }
        let Intervention { base, done, .. } = &task.interventions["shape"];
        assert!(base.labels.iter().zip(&done.labels).all(|(base, done)| base != done));
        for (x, do_x) in rows(base).into_iter().zip(rows(done)) {
            assert_eq!(cue(x), cue(do_x));
            assert_ne!(x, do_x);
        }
    }

    #[test]
    fn images_are_functions_of_parameters_and_step() {
        let params = Params::default();
        assert_eq!(task(&params).unwrap(), task(&params).unwrap());
        assert_ne!(task(&params).unwrap().train, task(&Params { seed: 1, ..params }).unwrap().train);
        assert_ne!(Source {}.labelled(0, 1, 4), Source {}.labelled(0, 2, 4));
        assert_eq!(Source {}.held_out(HELD_OUT).labels.len(), HELD_OUT);
        assert!(task(&Params { cue: -0.1, ..params }).is_err());
        assert!(task(&Params { train: 0, ..params }).is_err());
    }

    /// If this changes, `VERSION` must rise. Rounded, since logarithms and cosines differ in their last bits between
    /// platforms.
    #[test]
    fn golden_images() {
        let task = task(&Params::default()).unwrap();
        let rounded = |examples: &Examples| -> Vec<i32> {
            rows(examples).concat().iter().map(|pixel| (pixel * 1e3).round() as i32).collect()
        };
        let all: Vec<String> = task
            .parts()
            .map(|(name, examples)| format!("{name} {:?} {:?}", rounded(examples), examples.labels))
            .collect();
        assert_eq!(golden::hash(all.concat().as_bytes()), 4_981_444_999_661_852_439);
    }

    #[test]
    fn the_pretraining_cue_means_nothing() {
        let batch = Source {}.held_out(10_000);
        let Encoded::Dense { values, width } = &batch.inputs else { panic!("dense") };
        let right = values
            .chunks(*width)
            .zip(&batch.labels)
            .filter(|(image, label)| cue(image) == Some(**label as usize));
        assert!((right.count() as f64 / 1e4 - 0.1).abs() < 0.01);
    }
}
