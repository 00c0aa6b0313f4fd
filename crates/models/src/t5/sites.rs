//! Places of a T5 where units are dropped.

use kernels::dropout::Mask;

use crate::{Dropout, blocks};

/// Places of one stack. Those of the decoder lie far behind the encoder's.
#[derive(Clone, Copy)]
pub(crate) struct Sites {
    dropout: Option<Dropout>,
    probability: f64,
    first: usize,
}

/// A place in a layer.
#[derive(Clone, Copy)]
pub(crate) enum Site {
    Probabilities,
    AttentionOutput,
    CrossProbabilities,
    CrossOutput,
    Inner,
    Output,
}

impl Sites {
    pub(crate) fn new(dropout: Option<Dropout>, probability: f64, is_decoder: bool) -> Self {
        Self { dropout, probability, first: usize::from(is_decoder) << 40 }
    }

    pub(super) fn of_embeddings(&self) -> blocks::Site {
        self.site(0)
    }

    /// Behind the final norm.
    pub(super) fn of_states(&self) -> blocks::Site {
        self.site(1)
    }

    pub(super) fn of_layer(&self, layer: usize, site: Site) -> blocks::Site {
        self.site(2 + 6 * layer + site as usize)
    }

    pub(crate) fn embeddings(&self) -> Option<Mask<'static>> {
        self.of_embeddings().mask(self.dropout, None)
    }

    pub(crate) fn states(&self) -> Option<Mask<'static>> {
        self.of_states().mask(self.dropout, None)
    }

    pub(crate) fn in_layer(&self, layer: usize, site: Site) -> Option<Mask<'static>> {
        self.of_layer(layer, site).mask(self.dropout, None)
    }

    fn site(&self, number: usize) -> blocks::Site {
        blocks::Site { number: self.first + number, probability: self.probability }
    }
}

/// Sites before and behind the classifier's hidden layer.
pub(crate) const CLASSIFIER: [usize; 2] = [2 << 40, 3 << 40];
