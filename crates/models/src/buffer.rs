//! Memory that a step leaves for the next.

/// A buffer that grows to the largest size asked for and never shrinks, so that steps need no new memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// `n` values, whatever they were.
    pub(crate) fn room(&mut self, n: usize) -> &mut [f32] {
        if self.0.len() < n {
            self.0.resize(n, 0.0);
        }
        &mut self.0[..n]
    }

    /// The first `n` values as they were left.
    pub(crate) fn get(&self, n: usize) -> &[f32] {
        &self.0[..n]
    }

    /// The growing vector itself, for kernels that size their scratch space.
    pub(crate) fn scratch(&mut self) -> &mut Vec<f32> {
        &mut self.0
    }
}
