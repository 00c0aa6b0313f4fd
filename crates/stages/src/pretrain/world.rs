//! What is learned from, and what a model of it reads.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tasks::{Examples, Source as Text, corpus, glyphs, images, roles};

use super::Pretrain;
use crate::image_facts::ImageFacts;
use crate::stage::{Failure, Inputs, Session, Work};

/// What is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Sentences of the embedded language, with masked language modelling
    Roles,
    /// Images of digits with a spurious cue, with classification
    Glyphs,
    /// Text made ready by `samebasin prepare corpus`, with the objective of the model family
    Corpus,
    /// Images made ready by `samebasin prepare images`, with classification by a perceptron
    Images,
}

impl World {
    /// True if the stage makes what it learns from, held-out examples included: they are no inputs.
    pub(super) fn is_generated(self) -> bool {
        match self {
            Self::Roles | Self::Glyphs => true,
            Self::Corpus | Self::Images => false,
        }
    }

    /// Versions of what makes its batches.
    pub(super) fn versions(self) -> versions::Versions {
        match self {
            Self::Roles => roles::versions(),
            Self::Glyphs => glyphs::versions(),
            Self::Corpus => corpus::versions(),
            Self::Images => images::versions(),
        }
    }
}

/// What a model is to read.
pub(super) enum Reads {
    /// Rows of numbers, to be classified.
    Dense {
        /// Numbers of a row.
        width: usize,
        /// Number of classes.
        classes: usize,
        /// Their names, where they have any.
        names: Vec<String>,
    },
    /// Texts, by the tokenizer of this `tokenizer.json`.
    Text(Vec<u8>),
}

impl Reads {
    /// The tokenizer of a model that reads texts.
    pub(super) fn tokenizer(&self) -> Option<&[u8]> {
        match self {
            Self::Text(tokenizer) => Some(tokenizer),
            Self::Dense { .. } => None,
        }
    }

    /// Names of the classes that pretraining tells apart, where they have any.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Dense { names, .. } => names,
            Self::Text(_) => &[],
        }
    }

    fn roles() -> Self {
        Self::Text(roles::tokenizer_json().into_bytes())
    }

    fn glyphs() -> Self {
        Self::Dense { width: glyphs::WIDTH, classes: glyphs::CLASSES, names: Vec::new() }
    }
}

impl Pretrain {
    /// Names what is learned from in the stage's inputs.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a flag that is of another world or missing, [`Failure::Input`] if an input is not what it must be.
    pub(super) fn resolve_world(&self, inputs: &mut Inputs, session: &Session) -> Result<Reads, Failure> {
        for (flag, is_given, world) in [
            ("corpus", self.corpus.is_some(), World::Corpus),
            ("images", self.images.is_some(), World::Images),
        ] {
            match (is_given, self.world == world) {
                (true, false) => return Err(Failure::Usage(format!("--{flag} needs --world {flag}"))),
                (false, true) => return Err(Failure::Usage(format!("--world {flag} needs --{flag}"))),
                _ => {}
            }
        }
        inputs.rest_on(self.world.versions());
        match (&self.corpus, &self.images) {
            (Some(corpus), _) => {
                let manifest = corpus.manifest(session)?;
                for role in ["train", "held-out", "tokenizer"] {
                    inputs.add(role, &manifest, role)?;
                }
                Ok(Reads::Text(session.bytes(&manifest.input_of("tokenizer")?)?.to_vec()))
            }
            (_, Some(images)) => {
                let manifest = images.manifest(session)?;
                let width = ImageFacts::of(&manifest)?.size();
                for (role, part) in [("train", "train"), ("held-out", "split.val"), ("labels", "labels")] {
                    inputs.add(role, &manifest, part)?;
                }
                let names = label_names(&session.bytes(&manifest.input_of("labels")?)?)?;
                Ok(Reads::Dense { width, classes: names.len(), names })
            }
            (None, None) => Ok(match self.world {
                World::Glyphs => Reads::glyphs(),
                _ => Reads::roles(),
            }),
        }
    }

    /// What is learned from.
    pub(super) fn text(&self, work: &Work<'_>) -> Result<(Text, Reads), Failure> {
        match self.world {
            World::Roles => Ok((Text::Roles(roles::Source::default()), Reads::roles())),
            World::Glyphs => Ok((Text::Glyphs(glyphs::Source::default()), Reads::glyphs())),
            World::Corpus => {
                let tokenizer = work.bytes("tokenizer")?.to_vec();
                let train = corpus::Text::from_parquet(&work.bytes("train")?)?;
                let held_out = corpus::Text::from_parquet(&work.bytes("held-out")?)?;
                let (length, objective) = (self.shape.positions, self.shape.family.objective());
                let source = corpus::Source::new(train, held_out, &tokenizer, length, objective)?;
                Ok((Text::Corpus(source), Reads::Text(tokenizer)))
            }
            World::Images => {
                let names = label_names(&work.bytes("labels")?)?;
                let examples = |role: &str| -> Result<Examples, Failure> {
                    Ok(Examples::from_parquet(&work.bytes(role)?)?)
                };
                let source = images::Source::new(examples("train")?, examples("held-out")?, names.len())?;
                let (width, classes) = (source.width(), source.classes());
                Ok((Text::Images(source), Reads::Dense { width, classes, names }))
            }
        }
    }
}

fn label_names(bytes: &[u8]) -> Result<Vec<String>, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::Input(format!("the task's labels are not a list of names: {error}")))
}
