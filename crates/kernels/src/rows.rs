//! Moving and summing the rows of a matrix.

use crate::lanes::{Lanes, dispatched};

/// Adds `row` to each row of `values`.
pub fn add_to_each(values: &mut [f32], row: &[f32]) {
    for values in values.chunks_exact_mut(row.len()) {
        add(values, row);
    }
}

dispatched! {
    /// `to += from`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add(to: &mut [f32], from: &[f32]) = add_body
}

#[inline(always)]
fn add_body<V: Lanes>(to: &mut [f32], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "lengths of a sum");
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

dispatched! {
    /// Adds the column sums of `values`, whose rows are as long as `sums`, to `sums`.
    pub fn add_columns(sums: &mut [f32], values: &[f32]) = add_columns_body
}

#[inline(always)]
fn add_columns_body<V: Lanes>(sums: &mut [f32], values: &[f32]) {
    let width = sums.len();
    let vectors = width / V::WIDTH * V::WIDTH;
    for column in (0..vectors).step_by(V::WIDTH) {
        // SAFETY: `column + WIDTH <= width`, and every row of `values` has `width` values.
        unsafe {
            let mut sum = V::splat(0.0);
            for row in values.chunks_exact(width) {
                sum = sum + V::load(row.as_ptr().add(column));
            }
            let to = sums.as_mut_ptr().add(column);
            (V::load(to) + sum).store(to);
        }
    }
    for column in vectors..width {
        sums[column] += values.chunks_exact(width).map(|row| row[column]).sum::<f32>();
    }
}

/// Copies the rows that `rows` names: `to[i] = from[rows[i]]`.
pub fn gather(to: &mut [f32], from: &[f32], rows: &[u32], width: usize) {
    for (to, &row) in to.chunks_exact_mut(width).zip(rows) {
        to.copy_from_slice(&from[row as usize * width..][..width]);
    }
}

/// Adds to the rows that `rows` names: `to[rows[i]] += from[i]`.
pub fn scatter_add(to: &mut [f32], from: &[f32], rows: &[u32], width: usize) {
    for (from, &row) in from.chunks_exact(width).zip(rows) {
        add(&mut to[row as usize * width..][..width], from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, normals};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns(width in 1_usize..40, height in 1_usize..20) {
            let values = normals(5, "columns", width * height, 1.0);
            let truth: Vec<f64> = (0..width)
                .map(|j| 1.0 + (0..height).map(|i| f64::from(values[i * width + j])).sum::<f64>())
                .collect();
            let (mut fast, mut plain) = (vec![1.0; width], vec![1.0; width]);
            add_columns(&mut fast, &values);
            add_columns_body::<f32>(&mut plain, &values);
            assert_close(&fast, &truth, 1e-6);
            assert_close(&plain, &truth, 1e-6);
        }
    }

    #[test]
    fn there_and_back() {
        let from = [0.0, 1.0, 10.0, 11.0, 20.0, 21.0];
        let mut some = [0.0; 4];
        gather(&mut some, &from, &[2, 0], 2);
        assert_eq!(some, [20.0, 21.0, 0.0, 1.0]);
        let mut all = [1.0; 6];
        scatter_add(&mut all, &some, &[2, 2], 2);
        add_to_each(&mut all, &[0.0, 100.0]);
        assert_eq!(all, [1.0, 101.0, 1.0, 101.0, 21.0, 123.0]);
    }
}
