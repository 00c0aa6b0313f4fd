//! Products of matrices.
//!
//! `C = A B` or `C += A B` for any strides of `A` and `B`, with contiguous rows of `C`. Small products (a head of
//! attention over a short sentence, a layer of a small model) run on a tile of registers, larger ones on the `gemm` crate,
//! and those of rounded inputs on tiles of their own.

pub mod bfloat;
mod shared;
mod tile;

pub use shared::shared;

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

    /// So many rows from `first` on.
    fn rows_from(self, first: usize, count: usize) -> Self {
        Self { values: &self.values[first * self.row_stride..], rows: count, ..self }
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

/// What the inputs of a product are rounded to. Sums are taken in `f32` whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nothing: they are `f32`.
    #[default]
    F32,
    /// Two numbers of bfloat16 each, `hi + lo`, of whose four products the smallest is left out: relative errors of a
    /// product are at most `3 * 2^-16` (Henry, Tang and Heinecke 2019). Nothing is rounded where `f32` is faster.
    Bf16x3,
    /// One number of bfloat16, with eight bits: relative errors of at most `2^-8`.
    Bf16,
}

/// `c = a b` or `c += a b` of inputs rounded as `precision` says; the rows of `c` begin `c_stride` values apart.
///
/// # Panics
/// If the shapes do not fit together or `c` is too short.
pub fn product_in(
    precision: Precision,
    c: &mut [f32],
    c_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Into,
) {
    if !check(c, c_stride, a, b) {
        return;
    }
    match bfloat::Unit::of(precision, a, b) {
        Some(bfloat::Unit::Rounding) => bfloat::product_of_rounded(c, c_stride, a, b, into),
        #[cfg(target_arch = "x86_64")]
        Some(bfloat::Unit::Packed(unit)) => shared::in_parts(c, c_stride, a, b, |c, a, b| {
            // SAFETY: `check` found the place of the whole, the unit is there, and no other part has these rows and columns.
            unsafe { bfloat::product(unit, precision, c, c_stride, a, b, into) }
        }),
        None if is_small(a.rows, a.columns, b.columns) => tile::product(c, c_stride, a, b, into),
        None => shared::in_parts(c, c_stride, a, b, |c, a, b| {
            // SAFETY: as above.
            unsafe { large(c, c_stride, a, b, into) }
        }),
    }
}

/// `c = a b` or `c += a b`; the rows of `c` begin `c_stride` values apart.
///
/// # Panics
/// As [`product_in`].
pub fn product(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
    product_in(Precision::F32, c, c_stride, a, b, into);
}

/// Whether there is anything to compute. Panics if the shapes do not fit together or `c` is too short.
fn check(c: &[f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>) -> bool {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "inner sizes of a product of {m} x {k} and {} x {n}", b.rows);
    let is_any = m > 0 && n > 0;
    assert!(
        !is_any || (c_stride >= n && c.len() >= (m - 1) * c_stride + n),
        "the product's place is too small"
    );
    is_any
}

/// Where the register tile beats `gemm`, which has more to set up and less to offer for odd widths.
fn is_small(m: usize, k: usize, n: usize) -> bool {
    let limit = if n.is_multiple_of(16) { 1 << 20 } else { 1 << 23 };
    crate::lanes::has_avx2() && m * k * n < limit
}

/// By the `gemm` crate.
///
/// # Safety
/// `c` must have room for `a.rows` rows of `b.columns` values that are in use nowhere else.
unsafe fn large(c: *mut f32, c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    // SAFETY: `Matrix` holds slices that reach to their last row and column; the caller vouches for `c`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
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

#[cfg(test)]
pub(super) mod tests {
    use super::tile::{DEPTH, product_body};
    use super::*;
    use crate::lanes::dispatched;
    use crate::reference::{assert_close, normals};
    use proptest::prelude::*;

    pub(super) fn naive(c: &[f32], a: Matrix<'_>, b: Matrix<'_>, into: Into) -> Vec<f64> {
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
        fn narrow(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) = product_body
    }

    fn by_gemm(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
        assert_eq!(c.len(), a.rows * c_stride);
        // SAFETY: `c` is as long as it must be.
        unsafe { large(c.as_mut_ptr(), c_stride, a, b, into) }
    }

    /// All implementations against the sum of products in `f64`: 2e-6 of the largest entry.
    fn check(m: usize, k: usize, n: usize, turned_a: bool, turned_b: bool, into: Into) {
        let (left, right) = (normals(1, "a", m * k, 1.0), normals(2, "b", k * n, 1.0));
        let old = normals(3, "c", m * n, 1.0);
        let a = if turned_a { Matrix::new(&left, k, m).transposed() } else { Matrix::new(&left, m, k) };
        let b = if turned_b { Matrix::new(&right, n, k).transposed() } else { Matrix::new(&right, k, n) };
        let truth = naive(&old, a, b, into);
        let [wide, half, ..] = [tile::product, narrow, by_gemm, product_body::<f32>].map(|run| {
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
