//! Dropout whose mask is a function of a key and a place, so that the backward pass makes it again instead of
//! remembering it, and so that it does not depend on which rows are computed or in which order.
//!
//! ```
//! let mask = kernels::dropout::Mask::new(7, 0.5);
//! let (mut forward, mut again) = ([1.0; 64], [1.0; 64]);
//! mask.apply(&mut forward, 16);
//! mask.apply(&mut again, 16);
//! assert_eq!(forward, again);
//! assert!(forward.iter().all(|&value| value == 0.0 || value == mask.scale()));
//! ```

use crate::lanes::{Lanes, dispatched};

/// Which values are dropped.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    key: u64,
    threshold: u32,
    scale: f32,
    rows: Option<&'a [u32]>,
}

impl<'a> Mask<'a> {
    /// Drops with `probability` in `[0, 1)`; what stays is scaled by `1 / (1 - probability)`.
    ///
    /// # Panics
    /// If the probability is outside.
    #[must_use]
    pub fn new(key: u64, probability: f32) -> Self {
        assert!((0.0..1.0).contains(&probability), "dropout probability {probability} is outside [0, 1)");
        let threshold = (f64::from(probability) * f64::from(u32::MAX)) as u32;
        Self { key, threshold, scale: 1.0 / (1.0 - probability), rows: None }
    }

    /// The same field, where row `i` of the matrix is row `rows[i]` of the field.
    #[must_use]
    pub fn at(self, rows: &'a [u32]) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// What is kept is multiplied by this.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Row of the field that row `row` of the matrix is.
    #[must_use]
    pub fn row(&self, row: usize) -> u64 {
        self.rows.map_or(row as u64, |rows| u64::from(rows[row]))
    }

    /// Multiplies one row of the field: by 0, or by `1 / (1 - probability)`.
    pub fn apply_to_row(&self, field_row: u64, values: &mut [f32]) {
        multiply(values, random::counter_u32(self.key, field_row), self.threshold, self.scale);
    }

    /// Multiplies each row of a matrix.
    pub fn apply(&self, values: &mut [f32], width: usize) {
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            self.apply_to_row(self.row(row), values);
        }
    }
}

dispatched! {
    fn multiply(values: &mut [f32], seed: u32, threshold: u32, scale: f32) = multiply_body
}

#[inline(always)]
fn multiply_body<V: Lanes>(values: &mut [f32], seed: u32, threshold: u32, scale: f32) {
    for (column, value) in values.iter_mut().enumerate() {
        *value *= if mix(seed.wrapping_add((column as u32).wrapping_mul(0x9e37_79b9))) < threshold {
            0.0
        } else {
            scale
        };
    }
}

/// The 32-bit finaliser `lowbias32` (Wellons 2018), which vectorises where the 64-bit one does not.
#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_as_often_as_it_should() {
        for probability in [0.0, 0.1, 0.5, 0.9] {
            let mut values = vec![1.0; 400 * 250];
            Mask::new(3, probability).apply(&mut values, 250);
            let dropped = values.iter().filter(|&&value| value == 0.0).count() as f64 / values.len() as f64;
            // Five standard deviations of the mean of 100,000 draws are at most .008.
            assert!((dropped - f64::from(probability)).abs() < 0.008, "{probability}: {dropped}");
            assert!(values.iter().all(|&v| v == 0.0 || v == 1.0 / (1.0 - probability)));
        }
    }

    #[test]
    fn neighbours_are_independent() {
        let mut values = vec![1.0; 1_000 * 64];
        Mask::new(9, 0.5).apply(&mut values, 64);
        for lag in [1, 2, 63, 64, 65] {
            let same = values.windows(lag + 1).filter(|pair| (pair[0] == 0.0) == (pair[lag] == 0.0)).count();
            let share = same as f64 / (values.len() - lag) as f64;
            assert!((share - 0.5).abs() < 0.011, "lag {lag}: {share}");
        }
    }

    #[test]
    fn a_row_keeps_its_mask() {
        let mask = Mask::new(1, 0.5);
        let mut all = vec![1.0; 10 * 16];
        mask.apply(&mut all, 16);
        let mut some = vec![1.0; 2 * 16];
        mask.at(&[7, 2]).apply(&mut some, 16);
        assert_eq!(some[..16], all[7 * 16..8 * 16]);
        assert_eq!(some[16..], all[2 * 16..3 * 16]);
    }

    #[test]
    fn both_instruction_sets_drop_the_same() {
        let (mut fast, mut plain) = (vec![1.0; 77], vec![1.0; 77]);
        multiply(&mut fast, 5, 1 << 30, 2.0);
        multiply_body::<f32>(&mut plain, 5, 1 << 30, 2.0);
        assert_eq!(fast, plain);
    }
}
