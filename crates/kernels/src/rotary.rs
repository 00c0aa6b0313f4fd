//! Rotary position embeddings (Su et al. 2021): the first `2 half` values of every head are turned in their planes
//! `(i, half + i)` by the angle `position * frequency[i]`; what lies beyond stays.

use crate::attention::Rows;
use crate::lanes::{Lanes, dispatched};

/// Cosines and sines by position, as far as they have been asked for.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In radians per position.
    frequencies: Vec<f32>,
    /// `[positions, half]`.
    cosines: Vec<f32>,
    /// `[positions, half]`.
    sines: Vec<f32>,
}

/// Which way to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// As the forward pass does.
    Forward,
    /// Back again: the gradient, since a rotation's transpose is its inverse.
    Backward,
}

impl Table {
    /// Makes room for `positions`, and starts over if the frequencies are others than before.
    ///
    /// The angle is rounded to `f32`, as transformers has it: at position 2,000 that is worth 1e-4 of a turn.
    pub fn reach(&mut self, frequencies: &[f32], positions: usize) {
        if self.frequencies != frequencies {
            *self = Self { frequencies: frequencies.to_vec(), ..Self::default() };
        }
        let half = frequencies.len().max(1);
        for position in self.cosines.len() / half..positions {
            for &frequency in frequencies {
                let angle = f64::from(position as f32 * frequency);
                self.cosines.push(angle.cos() as f32);
                self.sines.push(angle.sin() as f32);
            }
        }
    }
}

/// Frequencies of the planes that `size` values form: `theta^(-2i / size)`, rounded to `f32` at each step as
/// transformers does.
#[must_use]
pub fn frequencies(theta: f64, size: usize) -> Vec<f32> {
    let frequency = |i| {
        let exponent = (2 * i) as f32 / size as f32;
        1.0 / theta.powf(f64::from(exponent)) as f32
    };
    (0..size / 2).map(frequency).collect()
}

/// Turns `heads` heads of every token in `packed`. Sequence `i` is the rows `starts[i]..starts[i + 1]`, and its first
/// token is at position 0.
///
/// # Panics
/// If the table does not reach far enough, or `packed` is too small.
pub fn apply(packed: &mut [f32], rows: Rows, heads: usize, starts: &[u32], table: &Table, turn: Turn) {
    let half = table.frequencies.len();
    for span in starts.windows(2) {
        for row in span[0]..span[1] {
            let place = (row - span[0]) as usize * half;
            let angles = (&table.cosines[place..place + half], &table.sines[place..place + half]);
            for head in 0..heads {
                let from = rows.offset + row as usize * rows.stride + head * rows.head;
                let (first, second) = packed[from..from + 2 * half].split_at_mut(half);
                rotate(first, second, angles.0, angles.1, turn);
            }
        }
    }
}

dispatched! {
    fn rotate(first: &mut [f32], second: &mut [f32], cosines: &[f32], sines: &[f32], turn: Turn) = rotate_body
}

#[inline(always)]
fn rotate_body<V: Lanes>(first: &mut [f32], second: &mut [f32], cosines: &[f32], sines: &[f32], turn: Turn) {
    let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
    let (n, vectors) = (first.len(), first.len() / V::WIDTH * V::WIDTH);
    assert!(second.len() == n && cosines.len() == n && sines.len() == n, "lengths of a rotation");
    for j in (0..vectors).step_by(V::WIDTH) {
        // SAFETY: the four slices are equally long, and `j + WIDTH` is not beyond them.
        unsafe {
            let (a, b) = (V::load(first.as_ptr().add(j)), V::load(second.as_ptr().add(j)));
            let (c, s) = (V::load(cosines.as_ptr().add(j)), V::load(sines.as_ptr().add(j)) * V::splat(sign));
            (a * c - b * s).store(first.as_mut_ptr().add(j));
            (b * c + a * s).store(second.as_mut_ptr().add(j));
        }
    }
    for j in vectors..n {
        let (a, b, c, s) = (first[j], second[j], cosines[j], sines[j] * sign);
        (first[j], second[j]) = (a * c - b * s, b * c + a * s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, differences, normals, wide};
    use proptest::prelude::*;

    const THETA: f64 = 50.0;

    /// Frequencies, angles and rotation in `f64`.
    fn naive(values: &[f64], rows: Rows, heads: usize, starts: &[u32], size: usize) -> Vec<f64> {
        let mut out = values.to_vec();
        for span in starts.windows(2) {
            for row in span[0]..span[1] {
                for head in 0..heads {
                    let from = rows.offset + row as usize * rows.stride + head * rows.head;
                    for i in 0..size / 2 {
                        let angle = f64::from(row - span[0]) * THETA.powf(-2.0 * i as f64 / size as f64);
                        let (a, b) = (values[from + i], values[from + size / 2 + i]);
                        out[from + i] = a * angle.cos() - b * angle.sin();
                        out[from + size / 2 + i] = b * angle.cos() + a * angle.sin();
                    }
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn value_and_derivative(half in 1_usize..12, rest in 0_usize..3, heads in 1_usize..3) {
            let (size, head) = (2 * half, 2 * half + rest);
            let rows = Rows { offset: 3, stride: heads * head + 2, head };
            let starts = [0, 4, 5, 8];
            let values = normals(0, "values", 3 + 8 * rows.stride, 1.0);
            let dy = normals(0, "dy", values.len(), 1.0);
            let mut table = Table::default();
            // In two goes, and after another table.
            table.reach(&frequencies(7.0, size), 9);
            table.reach(&frequencies(THETA, size), 2);
            table.reach(&frequencies(THETA, size), 4);

            let mut turned = values.clone();
            apply(&mut turned, rows, heads, &starts, &table, Turn::Forward);
            assert_close(&turned, &naive(&wide(&values), rows, heads, &starts, size), 1e-6);
            let mut gradient = dy.clone();
            apply(&mut gradient, rows, heads, &starts, &table, Turn::Backward);
            let loss = |values: &[f64]| -> f64 {
                let out = naive(values, rows, heads, &starts, size);
                out.iter().zip(&dy).map(|(y, &d)| y * f64::from(d)).sum()
            };
            assert_close(&gradient, &differences(&wide(&values), loss), 1e-6);

            let angles = (&table.cosines[half..2 * half], &table.sines[half..2 * half]);
            let mut plain = values[..size].to_vec();
            let mut fast = plain.clone();
            let (first, second) = plain.split_at_mut(half);
            rotate_body::<f32>(first, second, angles.0, angles.1, Turn::Forward);
            let (first, second) = fast.split_at_mut(half);
            rotate(first, second, angles.0, angles.1, Turn::Forward);
            assert_close(&fast, &wide(&plain), 1e-6);
        }
    }

    #[test]
    fn the_frequencies_of_a_published_model() {
        let found = frequencies(10_000.0, 64);
        assert_eq!((found.len(), found[0]), (32, 1.0));
        assert!((f64::from(found[31]) - 1e4_f64.powf(-62.0 / 64.0)).abs() < 1e-10);
    }
}
