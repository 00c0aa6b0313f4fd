//! Products of matrices.
//!
//! `C = A B` or `C += A B` for any strides of `A` and `B`, with contiguous rows of `C`. Small products (a head of
//! attention over a short sentence, a layer of a small model) run on a register tile of six rows by two vectors over
//! panels of `B` that are packed on the stack; larger ones run on the `gemm` crate.

use std::mem::MaybeUninit;

use crate::lanes::{Lanes, dispatched_wide};

/// A matrix somewhere in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows x columns`, row after row.
    ///
    /// # Panics
    /// If `values` has another length.
    #[must_use]
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a {rows} x {columns} matrix");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// `rows x columns` whose rows begin `stride` values apart, from the start of `values`.
    ///
    /// # Panics
    /// If `values` is too short, or rows overlap.
    #[must_use]
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(stride >= columns, "rows of {columns} overlap at stride {stride}");
        assert!(rows == 0 || values.len() >= (rows - 1) * stride + columns, "slice too short for the matrix");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// What becomes of the values that stand in the product's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// They are overwritten.
    Overwrite,
    /// The product is added to them.
    Add,
}

/// `c = a b` or `c += a b`; the rows of `c` begin `c_stride` values apart.
///
/// # Panics
/// If the shapes do not fit together or `c` is too short.
pub fn product(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "inner sizes of a product of {m} x {k} and {} x {n}", b.rows);
    if m == 0 || n == 0 {
        return;
    }
    assert!(c_stride >= n && c.len() >= (m - 1) * c_stride + n, "the product's place is too small");
    if is_small(m, k, n) {
        small(c, c_stride, a, b, into);
    } else {
        large(c, c_stride, a, b, into);
    }
}

/// Where the register tile beats `gemm`, which has more to set up and less to offer for odd widths.
fn is_small(m: usize, k: usize, n: usize) -> bool {
    let limit = if n.is_multiple_of(16) { 1 << 20 } else { 1 << 23 };
    crate::lanes::has_avx2() && m * k * n < limit
}

fn large(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    // SAFETY: `Matrix` holds slices that reach to their last row and column, `product` checked the same of `c`, and
    // `c` is borrowed mutably, so that it is neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_stride as isize,
            into == Into::Add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Depth of a packed panel: with 16 columns of `f32` it fills half of a 32 KiB first-level cache, with 32 two thirds of
/// one of 48 KiB.
const DEPTH: usize = 256;
/// Vectors side by side in a tile.
const VECTORS: usize = 2;
/// Rows of a tile: 6 x 2 accumulators, two vectors of `B` and one of `A` fill the sixteen registers of AVX2.
const ROWS: usize = 6;
/// Widest panel of any instruction set, in values.
const PANEL: usize = 32;

dispatched_wide! {
    fn small(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) = small_body
}

#[inline(always)]
fn small_body<V: Lanes>(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    let width = V::WIDTH * VECTORS;
    let mut panel = [const { MaybeUninit::<f32>::uninit() }; DEPTH * PANEL];
    let panel = panel.as_mut_ptr().cast::<f32>();
    let mut place = Place { c: c.as_mut_ptr(), stride: c_stride, add: into == Into::Add };
    if k == 0 && !place.add {
        for row in 0..m {
            c[row * c_stride..][..n].fill(0.0);
        }
        return;
    }
    let mut from = 0;
    while from < k {
        let depth = DEPTH.min(k - from);
        for column in (0..n).step_by(width) {
            let columns = width.min(n - column);
            // A panel of one vector if that is enough.
            let panel_width = if columns <= V::WIDTH { V::WIDTH } else { width };
            // Packing pays where more than a few tiles use the panel.
            let is_direct = b.column_stride == 1 && columns == panel_width && m <= 2 * ROWS;
            // SAFETY: rows `from..from + depth` and the `columns` from `column` on lie in `b`; the panel has room for
            // `DEPTH` rows of `PANEL >= panel_width` values.
            let (panel, panel_row) = unsafe {
                if is_direct {
                    (b.values.as_ptr().add(from * b.row_stride + column), b.row_stride)
                } else {
                    pack::<V>(panel, panel_width, b, from, depth, column, columns);
                    (panel.cast_const(), panel_width)
                }
            };
            let mut row = 0;
            while row < m {
                let rows = ROWS.min(m - row);
                // SAFETY: row `row` and column `from` lie in `a`, and `rows` and `depth` more of them.
                let corner = unsafe { a.values.as_ptr().add(row * a.row_stride + from * a.column_stride) };
                let tile = Tile {
                    depth,
                    a: corner,
                    a_row: a.row_stride,
                    a_column: a.column_stride,
                    panel,
                    panel_row,
                };
                // SAFETY: `c` has `rows` rows of `columns` values from here on, as `product` checked.
                unsafe { tile.run::<V>(rows, columns, panel_width, place.at(row, column)) };
                row += rows;
            }
        }
        place.add = true;
        from += depth;
    }
}

/// Copies a piece of `b` into rows of `panel_width` values, zeros beyond `columns`.
///
/// # Safety
/// The piece must lie in `b`, and `panel` must have room.
#[inline(always)]
unsafe fn pack<V: Lanes>(
    panel: *mut f32,
    panel_width: usize,
    b: Matrix<'_>,
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
) {
    // SAFETY: the caller vouches for the piece and for the room.
    unsafe {
        let from = b.values.as_ptr().add(row * b.row_stride + column * b.column_stride);
        if b.column_stride == 1 && columns == panel_width {
            for r in 0..rows {
                for v in (0..panel_width).step_by(V::WIDTH) {
                    V::load(from.add(r * b.row_stride + v)).store(panel.add(r * panel_width + v));
                }
            }
            return;
        }
        for j in 0..columns {
            let column = from.add(j * b.column_stride);
            for r in 0..rows {
                *panel.add(r * panel_width + j) = *column.add(r * b.row_stride);
            }
        }
        for j in columns..panel_width {
            for r in 0..rows {
                *panel.add(r * panel_width + j) = 0.0;
            }
        }
    }
}

/// Where a tile of the product goes.
#[derive(Clone, Copy)]
struct Place {
    c: *mut f32,
    stride: usize,
    add: bool,
}

impl Place {
    /// # Safety
    /// The position must lie in `c`.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> Self {
        // SAFETY: the caller vouches for the position.
        Self { c: unsafe { self.c.add(row * self.stride + column) }, ..self }
    }
}

/// A few rows of `A` against a panel of `B`.
#[derive(Clone, Copy)]
struct Tile {
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_column: usize,
    panel: *const f32,
    panel_row: usize,
}

impl Tile {
    /// # Safety
    /// `rows <= ROWS` rows of `A`, `depth` rows of the panel and `rows x columns` values of `C` must be there.
    #[inline(always)]
    unsafe fn run<V: Lanes>(self, rows: usize, columns: usize, panel_width: usize, place: Place) {
        // SAFETY: handed on.
        unsafe {
            match (panel_width == V::WIDTH, rows) {
                (false, 6) => self.multiply::<V, 6, 2>(columns, place),
                (false, 5) => self.multiply::<V, 5, 2>(columns, place),
                (false, 4) => self.multiply::<V, 4, 2>(columns, place),
                (false, 3) => self.multiply::<V, 3, 2>(columns, place),
                (false, 2) => self.multiply::<V, 2, 2>(columns, place),
                (false, _) => self.multiply::<V, 1, 2>(columns, place),
                (true, 6) => self.multiply::<V, 6, 1>(columns, place),
                (true, 5) => self.multiply::<V, 5, 1>(columns, place),
                (true, 4) => self.multiply::<V, 4, 1>(columns, place),
                (true, 3) => self.multiply::<V, 3, 1>(columns, place),
                (true, 2) => self.multiply::<V, 2, 1>(columns, place),
                (true, _) => self.multiply::<V, 1, 1>(columns, place),
            }
        }
    }

    /// # Safety
    /// As [`Tile::run`], for `R` rows and a panel of `N` vectors.
    #[inline(always)]
    unsafe fn multiply<V: Lanes, const R: usize, const N: usize>(self, columns: usize, place: Place) {
        let mut sums = [[V::splat(0.0); N]; R];
        // SAFETY: the caller vouches for `R` rows of `A` and `depth` rows of the panel.
        unsafe {
            let (mut a, mut b) = (self.a, self.panel);
            for _ in 0..self.depth {
                let mut vectors = [V::splat(0.0); N];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    *vector = V::load(b.add(v * V::WIDTH));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*a.add(r * self.a_row));
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = value.mul_add(vector, *sum);
                    }
                }
                a = a.add(self.a_column);
                b = b.add(self.panel_row);
            }
        }
        if columns == N * V::WIDTH {
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    // SAFETY: the caller vouches for `R` rows of `columns` values of `C`.
                    unsafe {
                        let to = place.c.add(r * place.stride + v * V::WIDTH);
                        if place.add { (V::load(to) + sum).store(to) } else { sum.store(to) }
                    }
                }
            }
        } else {
            for (r, sums) in sums.iter().enumerate() {
                let mut row = [0.0; PANEL];
                for (v, &sum) in sums.iter().enumerate() {
                    // SAFETY: a panel is at most `PANEL` values wide.
                    unsafe { sum.store(row.as_mut_ptr().add(v * V::WIDTH)) };
                }
                for (j, &sum) in row[..columns].iter().enumerate() {
                    // SAFETY: the caller vouches for `R` rows of `columns` values of `C`.
                    unsafe {
                        let to = place.c.add(r * place.stride + j);
                        *to = if place.add { *to + sum } else { sum };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::dispatched;
    use crate::reference::{assert_close, normals};
    use proptest::prelude::*;

    fn naive(c: &[f32], a: Matrix<'_>, b: Matrix<'_>, into: Into) -> Vec<f64> {
        let at =
            |m: &Matrix<'_>, i: usize, j: usize| f64::from(m.values[i * m.row_stride + j * m.column_stride]);
        let mut truth = vec![0.0; a.rows * b.columns];
        for i in 0..a.rows {
            for j in 0..b.columns {
                let old = if into == Into::Add { f64::from(c[i * b.columns + j]) } else { 0.0 };
                truth[i * b.columns + j] =
                    old + (0..a.columns).map(|p| at(&a, i, p) * at(&b, p, j)).sum::<f64>();
            }
        }
        truth
    }

    dispatched! {
        fn narrow(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) = small_body
    }

    /// All implementations against the sum of products in `f64`: 2e-6 of the largest entry.
    fn check(m: usize, k: usize, n: usize, turned_a: bool, turned_b: bool, into: Into) {
        let (left, right) = (normals(1, "a", m * k, 1.0), normals(2, "b", k * n, 1.0));
        let old = normals(3, "c", m * n, 1.0);
        let a = if turned_a { Matrix::new(&left, k, m).transposed() } else { Matrix::new(&left, m, k) };
        let b = if turned_b { Matrix::new(&right, n, k).transposed() } else { Matrix::new(&right, k, n) };
        let truth = naive(&old, a, b, into);
        let [wide, half, ..] = [small, narrow, large, small_body::<f32>].map(|run| {
            let mut c = old.clone();
            run(&mut c, n, a, b, into);
            assert_close(&c, &truth, 2e-6);
            c
        });
        assert_eq!(wide, half, "the same bytes at any width");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn products(m in 1_usize..30, k in 1_usize..40, n in 1_usize..50, ta: bool, tb: bool, add: bool) {
            check(m, k, n, ta, tb, if add { Into::Add } else { Into::Overwrite });
        }
    }

    #[test]
    fn deeper_than_a_panel() {
        check(7, 2 * DEPTH + 3, 33, true, false, Into::Overwrite);
        check(7, 2 * DEPTH, 16, false, true, Into::Add);
    }

    #[test]
    fn strides_leave_the_gaps_alone() {
        let (a, b) = ([1.0, 2.0, 9.0, 3.0, 4.0], [1.0, 0.0, 9.0, 9.0, 0.0, 1.0]);
        let mut c = [7.0; 5];
        product(&mut c, 3, Matrix::strided(&a, 2, 2, 3), Matrix::strided(&b, 2, 2, 4), Into::Overwrite);
        assert_eq!(c, [1.0, 2.0, 7.0, 3.0, 4.0]);
    }
}
