//! From files to a task: images are read, sampled, labelled, marked and normalised, in this order.

use std::collections::{BTreeMap, BTreeSet};

use super::idx;
use super::{Normalise, Part, Spec};
use crate::cue::{Canvas, Derived, Planted};
use crate::{Content, Error, Examples, Form, Metric, Task};

/// A task, and what its files were found to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The task.
    pub task: Task,
    /// For each split that is read from files, how many of its images are also training images, pixel by pixel.
    pub overlap: BTreeMap<String, u64>,
    /// Size of an image.
    pub canvas: Canvas,
}

/// All images of a file with their labels.
struct Labelled {
    images: idx::Images,
    labels: Vec<u8>,
}

/// A part before cue and normalisation.
struct Plain {
    pixels: Vec<u8>,
    examples: Examples,
}

impl Spec {
    /// Reads the task from the bytes that `fetch` gives for the name of a file.
    ///
    /// # Errors
    /// [`Error::File`] naming the file and what is wrong with it, [`Error::Specification`] for a cue or a normalisation that does
    /// not fit the images, [`Error::Examples`] if the parts do not fit together; and those of `fetch`.
    pub fn read_with<E: From<Error>>(
        &self,
        fetch: impl Fn(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Prepared, E> {
        let mut files: BTreeMap<[String; 2], Labelled> = BTreeMap::new();
        let mut plain: BTreeMap<String, Plain> = BTreeMap::new();
        let mut canvas: Option<Canvas> = None;
        for (name, part) in self.parts() {
            let files_of = part.files();
            if !files.contains_key(&files_of) {
                let [images, labels] = &files_of;
                files.insert(files_of.clone(), Labelled::new(part, &fetch(images)?, &fetch(labels)?)?);
            }
            let file = &files[&files_of];
            let canvas = *canvas.get_or_insert(file.images.canvas);
            if file.images.canvas != canvas {
                let reason = format!("its images are {}, others {}", size(file.images.canvas), size(canvas));
                return Err(wrong(&part.images, reason).into());
            }
            plain.insert(name, self.plain(part, file)?);
        }
        Ok(self.assemble(plain, canvas.unwrap_or(Canvas { height: 0, width: 0, channels: 0 }))?)
    }

    /// The chosen images of a part, as values from 0 to 1.
    fn plain(&self, part: &Part, file: &Labelled) -> Result<Plain, Error> {
        let n = file.labels.len();
        let [from, to] = part.range.unwrap_or([0, n]);
        if to > n {
            return Err(wrong(&part.images, format!("`range` ends at {to}, but there are {n} images")));
        }
        let mut rows: Vec<usize> = (from..to).collect();
        if let Some(sample) = part.sample {
            rows = sample.of(rows).map_err(|reason| wrong(&part.images, reason))?;
        }
        let width = file.images.pixels.len() / n;
        let pixels: Vec<u8> =
            rows.iter().flat_map(|&row| &file.images.pixels[row * width..][..width]).copied().collect();
        let label = |&row: &usize| {
            self.class_of(&file.labels[row].to_string())
                .map_err(|reason| wrong(&part.labels, format!("row {row}: {reason}")))
        };
        let examples = Examples {
            ids: rows.iter().map(usize::to_string).collect(),
            labels: rows.iter().map(label).collect::<Result<_, _>>()?,
            content: Content::Dense {
                values: pixels.iter().map(|&byte| f32::from(byte) / 255.0).collect(),
                width,
            },
            cases: vec![String::new(); rows.len()],
        };
        Ok(Plain { pixels, examples })
    }

    fn class_of(&self, found: &str) -> Result<u32, String> {
        let label = match self.map.get(found) {
            Some(label) => label,
            None if self.map.is_empty() => found,
            None => return Err(format!("label `{found}` is not in `map`")),
        };
        let class = self.labels.iter().position(|known| known == label);
        class.map(|class| class as u32).ok_or_else(|| format!("label `{label}` is none of the labels"))
    }

    fn assemble(&self, mut plain: BTreeMap<String, Plain>, canvas: Canvas) -> Result<Prepared, Error> {
        let specification = |reason: String| Error::Specification { reason };
        let overlap = overlap(&plain, canvas);
        let mut take = |name: &str| {
            let missing = || specification(format!("[{name}] is missing"));
            plain.remove(name).map(|plain| plain.examples).ok_or_else(missing)
        };
        let mut task = Task {
            name: self.name.clone(),
            labels: self.labels.clone(),
            form: Form::default(),
            metric: Metric::Accuracy,
            train: take("train")?,
            splits: BTreeMap::from([("val".to_owned(), take("val")?)]),
            pools: BTreeMap::new(),
            interventions: BTreeMap::new(),
        };
        for name in self.split.keys() {
            task.splits.insert(name.clone(), take(&format!("split.{name}"))?);
        }
        // Marks have a brightness: they come before normalisation.
        if let Some(cue) = &self.cue {
            let planted = cue.planted(&self.labels, canvas);
            plant(&mut task, &planted.map_err(|reason| specification(format!("[cue]: {reason}")))?)?;
        }
        if let Some(normalise) = &self.normalise {
            let suits = |of: &[f64]| of.len() == canvas.channels;
            if !suits(&normalise.mean) || !suits(&normalise.std) {
                let reason =
                    format!("`normalise` must have a mean and std for each of {} channels", canvas.channels);
                return Err(specification(reason));
            }
            examples_of(&mut task).for_each(|examples| normalise.apply(examples));
        }
        task.check()?;
        Ok(Prepared { task, overlap, canvas })
    }
}

impl Labelled {
    fn new(part: &Part, images: &[u8], labels: &[u8]) -> Result<Self, Error> {
        let images = idx::images(&part.images, images)?;
        let labels = idx::labels(&part.labels, labels)?;
        let Canvas { height, width, channels } = images.canvas;
        let n = images.pixels.len() / (height * width * channels);
        match n == labels.len() {
            true => Ok(Self { images, labels }),
            false => Err(wrong(
                &part.labels,
                format!("it holds {} labels, but `{}` holds {n} images", labels.len(), part.images),
            )),
        }
    }
}

/// Plants a cue in training and choice, and makes the splits and interventions that follow from `id`.
fn plant(task: &mut Task, planted: &Planted<'_>) -> Result<(), Error> {
    task.train = planted.drawn("train", &task.train);
    if let Some(val) = task.splits.get_mut("val") {
        *val = planted.drawn("val", val);
    }
    if let Some(plain) = task.splits.remove("id") {
        let Derived { splits, interventions } =
            planted.derived(&plain).map_err(|reason| Error::Examples { part: "split.id".into(), reason })?;
        task.splits.extend(splits);
        task.interventions = interventions;
    }
    Ok(())
}

fn examples_of(task: &mut Task) -> impl Iterator<Item = &mut Examples> {
    let pairs = task.interventions.values_mut().flat_map(|pair| [&mut pair.base, &mut pair.done]);
    std::iter::once(&mut task.train).chain(task.splits.values_mut()).chain(pairs)
}

impl Normalise {
    fn apply(&self, examples: &mut Examples) {
        let Content::Dense { values, .. } = &mut examples.content else { return };
        for pixel in values.chunks_exact_mut(self.mean.len()) {
            for (value, (mean, std)) in pixel.iter_mut().zip(self.mean.iter().zip(&self.std)) {
                *value = ((f64::from(*value) - mean) / std) as f32;
            }
        }
    }
}

/// Images of each split that are training images too. A cue would make them differ, so that they are compared before it.
fn overlap(plain: &BTreeMap<String, Plain>, canvas: Canvas) -> BTreeMap<String, u64> {
    let size = (canvas.height * canvas.width * canvas.channels).max(1);
    let known: BTreeSet<&[u8]> =
        plain.get("train").map_or(BTreeSet::new(), |train| train.pixels.chunks(size).collect());
    let splits = plain.iter().filter(|(name, _)| *name != "train");
    splits
        .map(|(name, split)| {
            let shared = split.pixels.chunks(size).filter(|image| known.contains(image)).count() as u64;
            (name.strip_prefix("split.").unwrap_or(name).to_owned(), shared)
        })
        .collect()
}

fn size(canvas: Canvas) -> String {
    format!("{} x {} with {} channel(s)", canvas.height, canvas.width, canvas.channels)
}

fn wrong(file: &str, reason: String) -> Error {
    Error::File { file: file.into(), line: None, reason }
}

#[cfg(test)]
mod tests {
    use super::super::idx::tests::file;
    use super::super::spec::tests::SPEC;
    use super::*;

    /// Twenty images of 1 x 3: the third pixel is the number of the image; labels count 0 to 3 again and again.
    fn fetch(name: &str) -> Result<Vec<u8>, Error> {
        Ok(match name {
            "images" => file(&[20, 1, 3], &(0..20).flat_map(|image| [0, 0, image * 10]).collect::<Vec<u8>>()),
            _ => file(&[20], &(0..20).map(|image| image % 4).collect::<Vec<u8>>()),
        })
    }

    fn prepared(spec: &str) -> Result<Prepared, String> {
        Spec::parse(spec).unwrap().read_with(fetch).map_err(|error| error.to_string())
    }

    fn values(examples: &Examples) -> &[f32] {
        match &examples.content {
            Content::Dense { values, width: 3 } => values,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_become_a_task_with_a_cue() {
        let Prepared { task, overlap, canvas } = prepared(SPEC).unwrap();
        assert_eq!(canvas, Canvas { height: 1, width: 3, channels: 1 });
        let sizes: Vec<(String, usize)> = task.parts().map(|(name, part)| (name, part.len())).collect();
        let expected = [
            ("train", 6),
            ("split.cue-absent", 4),
            ("split.cue-right", 4),
            ("split.id", 4),
            ("split.ood", 4),
            ("split.random-content", 4),
            ("split.val", 10),
            ("do.content.base", 4),
            ("do.content.done", 4),
            ("do.cue.base", 4),
            ("do.cue.done", 4),
        ];
        assert_eq!(sizes, expected.map(|(name, n)| (name.to_owned(), n)));
        // Sixteen rows, each in one of the two.
        let mut rows: Vec<usize> =
            task.train.ids.iter().chain(&task.splits["val"].ids).map(|id| id.parse().unwrap()).collect();
        rows.sort_unstable();
        assert_eq!(rows, (4..20).collect::<Vec<_>>());
        for (image, (id, &label)) in
            values(&task.train).chunks(3).zip(task.train.ids.iter().zip(&task.train.labels))
        {
            let row: u32 = id.parse().unwrap();
            assert_eq!((image[2], label), ((row * 10) as f32 / 255.0, u32::from(row % 4 >= 2)));
            assert_eq!(image[0] + image[1], 1.0, "one cue");
        }
        let right: Vec<f32> = values(&task.splits["cue-right"]).chunks(3).map(|image| image[1]).collect();
        assert_eq!(right, [0.0, 0.0, 1.0, 1.0], "`high` has its cue at column 1");
        assert_eq!(overlap.values().sum::<u64>(), 0);
        assert_eq!(prepared(SPEC).unwrap().task, task);
    }

    #[test]
    fn without_a_cue_the_images_are_as_they_are_and_are_normalised() {
        let plain = SPEC.split("[cue]").next().unwrap();
        let raw = prepared(plain).unwrap().task;
        assert_eq!(raw.splits.keys().collect::<Vec<_>>(), ["id", "val"]);
        let normalised =
            prepared(&plain.replacen("[train]", "[normalise]\nmean = [0.5]\nstd = [0.25]\n[train]", 1));
        let normalised = normalised.unwrap().task;
        for (raw, normalised) in values(&raw.splits["id"]).iter().zip(values(&normalised.splits["id"])) {
            assert!((normalised - (raw - 0.5) / 0.25).abs() < 1e-6);
        }
        // The brightness of a cue is that of a pixel.
        let marked =
            prepared(&SPEC.replacen("[train]", "[normalise]\nmean = [0.5]\nstd = [0.25]\n[train]", 1));
        let marked = marked.unwrap().task;
        assert_eq!(values(&marked.splits["cue-right"])[..2], [2.0, -2.0]);
    }

    #[test]
    fn images_that_are_trained_on_are_counted() {
        let spec = SPEC.replace("range = [0, 4]", "range = [0, 20]");
        assert_eq!(prepared(&spec).unwrap().overlap, BTreeMap::from([("id".into(), 6), ("val".into(), 0)]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let message = |spec: &str| prepared(spec).unwrap_err();
        let with = |from: &str, to: &str| message(&SPEC.replacen(from, to, 1));
        assert_eq!(
            with("range = [0, 4]", "range = [0, 21]"),
            "images: `range` ends at 21, but there are 20 images"
        );
        assert_eq!(with("take = 6", "take = 17"), "images: `sample` skips 0 and takes 17 of 16 rows");
        assert!(with(", 3 = \"high\"", "").starts_with("labels: row "));
        assert!(with("at = { low = [0, 0]", "at = { low = [1, 0]").contains("[cue]: the cue of `low`"));
        assert!(
            with("[cue]", "[normalise]\nmean = [0, 0]\nstd = [1, 1]\n[cue]").contains("each of 1 channels")
        );
        let short = |name: &str| match name {
            "labels" => Ok(file(&[3], &[0; 3])),
            other => fetch(other),
        };
        let error = Spec::parse(SPEC).unwrap().read_with(short).unwrap_err().to_string();
        assert_eq!(error, "labels: it holds 3 labels, but `images` holds 20 images");
    }
}
