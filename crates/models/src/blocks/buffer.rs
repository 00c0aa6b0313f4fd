//! Memory that a step leaves for the next.

use kernels::rows;

/// Rows of values. The memory grows to the largest size asked for and never shrinks, so that steps need no new memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    rows: usize,
    width: usize,
}

impl Buffer {
    /// `[rows, width]`, whatever the values were.
    pub(crate) fn room(&mut self, rows: usize, width: usize) -> &mut [f32] {
        self.grow(rows * width);
        (self.rows, self.width) = (rows, width);
        self.get_mut()
    }

    /// `[rows, width]` as they were left.
    pub(crate) fn get(&self) -> &[f32] {
        &self.values[..self.rows * self.width]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.rows * self.width]
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The same values as in another buffer.
    pub(crate) fn copy(&mut self, from: &Self) -> &mut [f32] {
        let to = self.room(from.rows, from.width);
        to.copy_from_slice(from.get());
        to
    }

    /// The rows of `from`, which has this width, that `rows` names.
    pub(crate) fn gather(&mut self, from: &[f32], rows: &[u32], width: usize) -> &mut [f32] {
        let to = self.room(rows.len(), width);
        rows::gather(to, from, rows, width);
        to
    }

    /// Keeps the rows that `rows` names, which increase.
    pub(crate) fn keep(&mut self, rows: &[u32]) {
        let width = self.width;
        rows::keep(self.get_mut(), rows, width);
        self.rows = rows.len();
    }

    /// Moves the rows back to where [`Buffer::keep`] took them from, with zeros between, up to `n` rows.
    pub(crate) fn spread(&mut self, rows: &[u32], n: usize) {
        let width = self.width;
        rows::spread(self.room(n, width), rows, width);
    }

    /// Exchanges two buffers. Both grow to the larger, so that memory settles with the first step, whatever turns they take.
    pub(crate) fn swap(&mut self, other: &mut Self) {
        let n = self.values.len().max(other.values.len());
        self.grow(n);
        other.grow(n);
        std::mem::swap(self, other);
    }

    fn grow(&mut self, n: usize) {
        if self.values.len() < n {
            self.values.resize(n, 0.0);
        }
    }
}
