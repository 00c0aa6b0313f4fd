//! The order in which a fixed training set is walked.

use random::Stream;

use crate::Error;

/// How a training set is mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// A new permutation for every epoch; the incomplete last batch is left out.
    Full,
    /// A buffer of so many examples over the endlessly repeated set: each draw takes one of them at random, and the next
    /// example of the file takes its place. What the original BERT release did, with 100: an order that is nearly the
    /// file's.
    Window(usize),
}

/// Batches of a fixed training set.
///
/// The batch of a step depends on the seed and the step alone, so that a resumed run sees what it would have seen.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    examples: usize,
    batch: usize,
    shuffle: Shuffle,
    rows: Vec<u32>,
    state: State,
}

/// What was drawn last, for those who ask for one step after the other.
#[derive(Clone, Debug)]
enum State {
    Start,
    Epoch(u64, Vec<u32>),
    Window(Box<Window>),
}

/// A buffer over the repeated set.
#[derive(Clone, Debug)]
struct Window {
    step: u64,
    buffer: Vec<u32>,
    next: u64,
    stream: Stream,
}

impl Order {
    /// The order of seed `seed` over `examples` examples in batches of `batch`.
    ///
    /// # Errors
    /// [`Error::TooFewExamples`] if not even one batch can be filled.
    pub fn new(seed: u64, examples: usize, batch: usize, shuffle: Shuffle) -> Result<Self, Error> {
        if batch == 0 || examples < batch {
            return Err(Error::TooFewExamples { examples, batch });
        }
        Ok(Self { seed, examples, batch, shuffle, rows: Vec::new(), state: State::Start })
    }

    /// Steps in one epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        (self.examples / self.batch) as u64
    }

    /// The example indices of step `step`.
    pub fn rows(&mut self, step: u64) -> &[u32] {
        match self.shuffle {
            Shuffle::Full => self.of_epoch(step),
            Shuffle::Window(size) => self.of_window(step, size.max(1)),
        }
        &self.rows
    }

    fn of_epoch(&mut self, step: u64) {
        let epoch = step / self.steps_per_epoch();
        let within = (step % self.steps_per_epoch()) as usize;
        if !matches!(self.state, State::Epoch(current, _) if current == epoch) {
            let mut permutation: Vec<u32> = (0..self.examples as u32).collect();
            Stream::at(self.seed, "order", epoch).shuffle(&mut permutation);
            self.state = State::Epoch(epoch, permutation);
        }
        let State::Epoch(_, permutation) = &self.state else { unreachable!("set above") };
        self.rows.clear();
        self.rows.extend_from_slice(&permutation[within * self.batch..(within + 1) * self.batch]);
    }

    fn of_window(&mut self, step: u64, size: usize) {
        let examples = self.examples as u64;
        let fresh = || {
            Box::new(Window {
                step: 0,
                buffer: (0..size as u64).map(|index| (index % examples) as u32).collect(),
                next: size as u64,
                stream: Stream::new(self.seed, "order/window"),
            })
        };
        // A step before the one that is next is walked to from the beginning.
        let mut window = match std::mem::replace(&mut self.state, State::Start) {
            State::Window(window) if window.step <= step => window,
            _ => fresh(),
        };
        while window.step <= step {
            self.rows.clear();
            for _ in 0..self.batch {
                let slot = window.stream.below(size);
                self.rows.push(window.buffer[slot]);
                window.buffer[slot] = (window.next % examples) as u32;
                window.next += 1;
            }
            window.step += 1;
        }
        self.state = State::Window(window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_every_example_once() {
        let mut order = Order::new(3, 12, 4, Shuffle::Full).unwrap();
        let mut seen: Vec<u32> = (0..3).flat_map(|step| order.rows(step).to_vec()).collect();
        let second: Vec<u32> = (3..6).flat_map(|step| order.rows(step).to_vec()).collect();
        assert_ne!(seen, second, "each epoch has an order of its own");
        seen.sort_unstable();
        assert_eq!(seen, (0..12).collect::<Vec<u32>>());
    }

    #[test]
    fn a_step_depends_on_nothing_before_it() {
        let mut walked = Order::new(5, 100, 8, Shuffle::Full).unwrap();
        let mut jumped = walked.clone();
        for step in 0..40 {
            walked.rows(step);
        }
        assert_eq!(walked.rows(40), jumped.rows(40));
        assert_ne!(Order::new(6, 100, 8, Shuffle::Full).unwrap().rows(40), jumped.rows(40));
    }

    /// As a buffer of TensorFlow's: by hand over a deque.
    #[test]
    fn a_window_is_a_buffer_over_the_repeated_set() {
        let mut order = Order::new(2, 30, 6, Shuffle::Window(10)).unwrap();
        let drawn: Vec<u32> = (0..25).flat_map(|step| order.rows(step).to_vec()).collect();
        let (mut buffer, mut stream) = ((0..10).collect::<Vec<u32>>(), Stream::new(2, "order/window"));
        for (place, &row) in drawn.iter().enumerate() {
            let slot = stream.below(10);
            assert_eq!(row, buffer[slot], "draw {place}");
            buffer[slot] = (10 + place as u32) % 30;
        }
        assert!(drawn[..6].iter().all(|&row| row < 16), "the first batch is of the beginning of the file");
        let mut jumped = Order::new(2, 30, 6, Shuffle::Window(10)).unwrap();
        assert_eq!(jumped.rows(24), &drawn[144..]);
        assert_eq!(jumped.rows(3), &drawn[18..24], "and back");
    }

    #[test]
    fn too_few_examples_are_refused() {
        assert!(matches!(
            Order::new(0, 3, 4, Shuffle::Full),
            Err(Error::TooFewExamples { examples: 3, batch: 4 })
        ));
    }
}
