//! Places where units are dropped.

use kernels::dropout::Mask;

use crate::Dropout;

/// A place in a model where units are dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    /// Names the masks of the place. No two places of a model share one.
    pub(crate) number: usize,
    /// In `[0, 1)`.
    pub(crate) probability: f64,
}

impl Site {
    /// Nothing is dropped.
    pub(crate) const NONE: Self = Self { number: 0, probability: 0.0 };

    /// The mask, if anything is dropped. Row `i` is row `rows[i]` of its field, or row `i` of it.
    pub(crate) fn mask<'a>(self, dropout: Option<Dropout>, rows: Option<&'a [u32]>) -> Option<Mask<'a>> {
        let dropout = dropout.filter(|_| self.probability > 0.0)?;
        let mask = Mask::new(dropout.site(self.number), self.probability as f32);
        Some(match rows {
            Some(rows) => mask.at(rows),
            None => mask,
        })
    }
}

/// The mask of the place of this number and probability, if anything is dropped there.
pub(crate) fn mask(dropout: Option<Dropout>, number: usize, probability: f64) -> Option<Mask<'static>> {
    Site { number, probability }.mask(dropout, None)
}

/// Numbers of the places of a model of one stack.
pub(crate) mod site {
    pub(crate) const EMBEDDINGS: usize = 0;
    /// Behind a classifier's hidden layer.
    pub(crate) const CLASSIFIER: usize = 1;
    /// Before it: behind those of any number of layers.
    pub(crate) const FEATURES: usize = 1 << 40;

    pub(crate) fn probabilities(layer: usize) -> usize {
        2 + 3 * layer
    }

    pub(crate) fn attention_output(layer: usize) -> usize {
        3 + 3 * layer
    }

    pub(crate) fn output(layer: usize) -> usize {
        4 + 3 * layer
    }
}
