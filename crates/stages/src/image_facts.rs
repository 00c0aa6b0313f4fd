//! What a prepared task of images says of them in its manifest: their size, and how their values were made.

use serde::{Deserialize, Serialize};
use store::Manifest;
use tasks::cue::Canvas;
use tasks::images::Normalise;

use crate::stage::{Failure, Work, json};

/// The fact's name.
const FACT: &str = "images";

/// Size and values of a task's images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageFacts {
    height: usize,
    width: usize,
    channels: usize,
    /// A formula, channel by channel.
    values: String,
}

impl ImageFacts {
    pub(crate) fn new(canvas: Canvas, normalise: Option<&Normalise>) -> Self {
        let values = match normalise {
            Some(Normalise { mean, std }) => format!("(byte / 255 - {mean:?}) / {std:?}"),
            None => "byte / 255".to_owned(),
        };
        Self { height: canvas.height, width: canvas.width, channels: canvas.channels, values }
    }

    pub(crate) fn note(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        work.fact(FACT, json(self)?)
    }

    /// What the manifest of a prepared task says.
    ///
    /// # Errors
    /// [`Failure::Input`] if it says nothing: it is of no task of images.
    pub(crate) fn of(task: &Manifest) -> Result<Self, Failure> {
        let fact = task.facts.get(FACT).cloned().and_then(|fact| serde_json::from_value(fact).ok());
        let missing = || format!("{} {} is no result of `prepare images`", task.stage, task.key.short());
        fact.ok_or_else(|| Failure::Input(missing()))
    }

    /// Values of an image.
    pub(crate) fn size(&self) -> usize {
        self.height * self.width * self.channels
    }
}
