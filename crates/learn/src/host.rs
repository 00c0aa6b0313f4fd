//! Training in fused passes: everything lies in flat buffers on the host.

use std::ops::Range;

use models::{Model, Tally};
use tasks::Batch;
use weights::Layout;

use crate::training::Place;
use crate::{AdamW, Error, Scope, State, Trainer};

/// A run on the host. The parameters are those of the state.
pub(crate) struct OnHost<'r, 'm> {
    scope: Scope<'r>,
    trainer: &'r mut Trainer<'m>,
    frozen: Vec<Range<usize>>,
    decayed: Vec<Range<usize>>,
}

impl<'r, 'm> OnHost<'r, 'm> {
    pub(crate) fn new(model: &Model, scope: Scope<'r>, trainer: &'r mut Trainer<'m>) -> Self {
        let (layout, trained) = (scope.layout(model), scope.trained(model));
        let decays = scope.decays(model);
        let frozen = ranges(layout, trained.iter().map(|trained| !trained));
        let decayed = ranges(layout, trained.iter().zip(decays).map(|(&trained, decays)| trained && decays));
        trainer.gradient.resize(layout.len(), 0.0);
        Self { scope, trainer, frozen, decayed }
    }
}

impl Place for OnHost<'_, '_> {
    fn gradient(
        &mut self,
        state: &State,
        batch: &Batch,
        dropout_key: Option<u64>,
    ) -> Result<(Tally, f64), Error> {
        let values = &state.weights.values;
        let mut gradient = std::mem::take(&mut self.trainer.gradient);
        let tally = match &mut self.scope {
            Scope::All | Scope::Biases => self.trainer.gradient(values, batch, dropout_key, &mut gradient),
            Scope::LowRank(adapter) => {
                adapter.gradient(self.trainer, values, batch, dropout_key, &mut gradient)
            }
        };
        self.trainer.gradient = gradient;
        // Without a gradient, moments stay zero and the optimiser moves nothing.
        for range in &self.frozen {
            self.trainer.gradient[range.clone()].fill(0.0);
        }
        Ok((tally?, kernels::norm::norm(&self.trainer.gradient)))
    }

    fn step(
        &mut self,
        state: &mut State,
        optimiser: &AdamW,
        step: u64,
        learning_rate: f64,
        scale: f32,
    ) -> Result<(), Error> {
        optimiser.step(
            &mut state.weights.values,
            &self.trainer.gradient,
            &mut state.first,
            &mut state.second,
            step,
            learning_rate,
            scale,
            &self.decayed,
        );
        Ok(())
    }
}

/// The parameters that are chosen, neighbours joined. `chosen` says for each entry of the layout whether it is.
fn ranges(layout: &Layout, chosen: impl Iterator<Item = bool>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (entry, chosen) in layout.entries().iter().zip(chosen) {
        match ranges.last_mut() {
            _ if !chosen => {}
            Some(last) if last.end == entry.offset => last.end += entry.len,
            _ => ranges.push(entry.range()),
        }
    }
    ranges
}
