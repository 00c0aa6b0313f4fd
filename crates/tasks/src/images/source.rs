//! Prepared images as a source of pretraining batches, to be classified.

use std::sync::Arc;

use random::Stream;

use crate::{Content, Encoded, Error, Examples, LabelledBatch};

/// Prepared images, drawn with replacement.
#[derive(Clone, Debug)]
pub struct Source {
    train: Arc<Images>,
    held_out: Arc<Images>,
    classes: usize,
}

#[derive(Debug)]
struct Images {
    inputs: Encoded,
    labels: Vec<u32>,
}

impl Source {
    /// Batches of `train`; losses are measured on `held_out`.
    ///
    /// # Errors
    /// [`Error::Examples`] if a label is none of the `classes`, [`Error::Content`] if these are no rows of numbers, or those
    /// of the two parts differ in width.
    pub fn new(train: Examples, held_out: Examples, classes: usize) -> Result<Self, Error> {
        let images = |part: &str, examples: Examples| {
            examples.check(part, classes)?;
            match examples.content {
                Content::Dense { values, width } => {
                    Ok(Images { inputs: Encoded::Dense { values, width }, labels: examples.labels })
                }
                other => Err(Error::Content { expected: "rows of numbers", found: other.kind() }),
            }
        };
        let source = Self {
            train: images("train", train)?.into(),
            held_out: images("val", held_out)?.into(),
            classes,
        };
        let (width, other) = (width(&source.train.inputs), width(&source.held_out.inputs));
        if width != other {
            let reason = format!("its images have {other} values, those of `train` {width}");
            return Err(Error::Examples { part: "val".into(), reason });
        }
        Ok(source)
    }

    /// Values of an image.
    #[must_use]
    pub fn width(&self) -> usize {
        width(&self.train.inputs)
    }

    /// Number of labels.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The batch of `size` images of this step.
    #[must_use]
    pub fn labelled(&self, seed: u64, step: u64, size: usize) -> LabelledBatch {
        let mut stream = Stream::at(seed, "images/pretraining", step);
        let n = self.train.labels.len();
        let rows: Vec<u32> = (0..size).map(|_| stream.below(n) as u32).collect();
        let labels = rows.iter().map(|&row| self.train.labels[row as usize]).collect();
        LabelledBatch { inputs: self.train.inputs.gather(&rows), labels }
    }

    /// All images that are held out.
    #[must_use]
    pub fn held_out(&self) -> LabelledBatch {
        LabelledBatch { inputs: self.held_out.inputs.clone(), labels: self.held_out.labels.clone() }
    }
}

fn width(inputs: &Encoded) -> usize {
    match inputs {
        Encoded::Dense { width, .. } => *width,
        Encoded::Tokens { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::tests::texts;
    use crate::golden;

    fn examples(n: usize, width: usize) -> Examples {
        Examples {
            ids: (0..n).map(|row| row.to_string()).collect(),
            content: Content::Dense { values: (0..n * width).map(|value| value as f32).collect(), width },
            labels: (0..n).map(|row| row as u32 % 3).collect(),
            cases: vec![String::new(); n],
        }
    }

    #[test]
    fn batches_are_functions_of_seed_and_step_and_hold_images_with_their_labels() {
        let source = Source::new(examples(50, 2), examples(6, 2), 3).unwrap();
        let batch = source.labelled(1, 7, 40);
        assert_eq!(batch, source.labelled(1, 7, 40));
        assert_ne!(batch, source.labelled(1, 8, 40));
        assert_ne!(batch, source.labelled(2, 7, 40));
        let Encoded::Dense { values, width } = &batch.inputs else { panic!("rows") };
        for (image, &label) in values.chunks(*width).zip(&batch.labels) {
            assert_eq!((image[1], image[0] as u32 / 2 % 3), (image[0] + 1.0, label));
        }
        assert_eq!((source.held_out().labels.len(), source.width(), source.classes()), (6, 2, 3));
    }

    #[test]
    fn what_is_no_set_of_images_is_refused() {
        let message =
            |train, held_out, classes| Source::new(train, held_out, classes).unwrap_err().to_string();
        assert!(message(examples(5, 2), examples(5, 2), 2).contains("has label 2, but there are 2"));
        assert!(message(examples(5, 2), examples(5, 3), 3).contains("3 values, those of `train` 2"));
        assert!(message(texts(&["a"]), examples(5, 3), 3).contains("reads rows of numbers"));
    }

    /// If this changes, the version of images must rise.
    #[test]
    fn golden_batch() {
        let source = Source::new(examples(50, 1), examples(6, 1), 3).unwrap();
        let text = format!("{:?}", source.labelled(1, 2, 8).inputs);
        assert_eq!(golden::hash(text.as_bytes()), 11_950_945_232_284_695_092, "{text}");
    }
}
