//! The order in which a fixed training set is walked.

use random::Stream;

use crate::Error;

/// Batches of a fixed training set: a new permutation for every epoch, the incomplete last batch left out.
///
/// The batch of a step depends on the seed and the step alone, so that a resumed run sees what it would have seen.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    examples: usize,
    batch: usize,
    epoch: Option<(u64, Vec<u32>)>,
}

impl Order {
    /// The order of seed `seed` over `examples` examples in batches of `batch`.
    ///
    /// # Errors
    /// [`Error::TooFewExamples`] if not even one batch can be filled.
    pub fn new(seed: u64, examples: usize, batch: usize) -> Result<Self, Error> {
        if batch == 0 || examples < batch {
            return Err(Error::TooFewExamples { examples, batch });
        }
        Ok(Self { seed, examples, batch, epoch: None })
    }

    /// Steps in one epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.examples / self.batch) as u64
    }

    /// The example indices of step `step`.
    pub fn rows(&mut self, step: u64) -> &[u32] {
        let epoch = step / self.steps_per_epoch();
        let within = (step % self.steps_per_epoch()) as usize;
        if self.epoch.as_ref().is_none_or(|(current, _)| *current != epoch) {
            let mut permutation: Vec<u32> = (0..self.examples as u32).collect();
            Stream::at(self.seed, "order", epoch).shuffle(&mut permutation);
            self.epoch = Some((epoch, permutation));
        }
        let permutation = &self.epoch.as_ref().expect("set above").1;
        &permutation[within * self.batch..(within + 1) * self.batch]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_every_example_once() {
        let mut order = Order::new(3, 12, 4).unwrap();
        let mut seen: Vec<u32> = (0..3).flat_map(|step| order.rows(step).to_vec()).collect();
        let second: Vec<u32> = (3..6).flat_map(|step| order.rows(step).to_vec()).collect();
        assert_ne!(seen, second, "each epoch has an order of its own");
        seen.sort_unstable();
        assert_eq!(seen, (0..12).collect::<Vec<u32>>());
    }

    #[test]
    fn a_step_depends_on_nothing_before_it() {
        let mut walked = Order::new(5, 100, 8).unwrap();
        let mut jumped = walked.clone();
        for step in 0..40 {
            walked.rows(step);
        }
        assert_eq!(walked.rows(40), jumped.rows(40));
        assert_ne!(Order::new(6, 100, 8).unwrap().rows(40), jumped.rows(40));
    }

    #[test]
    fn too_few_examples_are_refused() {
        assert!(matches!(Order::new(0, 3, 4), Err(Error::TooFewExamples { examples: 3, batch: 4 })));
    }
}
