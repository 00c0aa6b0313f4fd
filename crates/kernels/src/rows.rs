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

/// Moves the rows that `rows` names, which increase, to the front: `values[i] = values[rows[i]]`.
pub fn keep(values: &mut [f32], rows: &[u32], width: usize) {
    for (i, &row) in rows.iter().enumerate() {
        let row = row as usize * width;
        values.copy_within(row..row + width, i * width);
    }
}

/// Moves the rows at the front back to where [`keep`] took them from, and writes zeros between.
pub fn spread(values: &mut [f32], rows: &[u32], width: usize) {
    let mut end = values.len();
    for (i, &row) in rows.iter().enumerate().rev() {
        let row = row as usize * width;
        values[row + width..end].fill(0.0);
        values.copy_within(i * width..(i + 1) * width, row);
        end = row;
    }
    values[..end].fill(0.0);
}

/// Copies `width` columns from column `first` on out of rows of `stride` values.
pub fn take_columns(to: &mut [f32], from: &[f32], first: usize, width: usize, stride: usize) {
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(stride)) {
        to.copy_from_slice(&from[first..first + width]);
    }
}

/// Copies what [`take_columns`] took back to its place.
pub fn put_columns(to: &mut [f32], from: &[f32], first: usize, width: usize, stride: usize) {
    for (to, from) in to.chunks_exact_mut(stride).zip(from.chunks_exact(width)) {
        to[first..first + width].copy_from_slice(from);
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

    #[test]
    fn some_rows_and_back() {
        let all: Vec<f32> = (0..12).map(|i| i as f32).collect();
        for rows in [&[1, 2, 5][..], &[0, 5], &[3], &[0, 1, 2, 3, 4, 5], &[]] {
            let mut values = all.clone();
            keep(&mut values, rows, 2);
            for (i, &row) in rows.iter().enumerate() {
                assert_eq!(values[2 * i..2 * i + 2], all[2 * row as usize..][..2]);
            }
            spread(&mut values, rows, 2);
            for (i, value) in values.iter().enumerate() {
                let expected = if rows.contains(&(i as u32 / 2)) { all[i] } else { 0.0 };
                assert_eq!(*value, expected, "value {i} of rows {rows:?}");
            }
        }
    }

    #[test]
    fn some_columns_and_back() {
        let all: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut columns = [0.0; 6];
        take_columns(&mut columns, &all, 1, 2, 4);
        assert_eq!(columns, [1.0, 2.0, 5.0, 6.0, 9.0, 10.0]);
        let mut back = [0.0; 12];
        put_columns(&mut back, &columns, 1, 2, 4);
        assert_eq!(back, [0.0, 1.0, 2.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 9.0, 10.0, 0.0]);
    }
}
