//! Products on a tile of registers: six rows by two vectors, over panels of `B` that are packed on the stack.

use std::mem::MaybeUninit;

use super::{Into, Matrix};
use crate::lanes::{Lanes, dispatched_wide};

/// Depth of a packed panel: with 16 columns of `f32` it fills half of a 32 KiB first-level cache, with 32 two thirds of
/// one of 48 KiB.
pub(super) const DEPTH: usize = 256;
/// Vectors side by side in a tile.
const VECTORS: usize = 2;
/// Rows of a tile: 6 x 2 accumulators, two vectors of `B` and one of `A` fill the sixteen registers of AVX2.
const ROWS: usize = 6;
/// Widest panel of any instruction set, in values.
const PANEL: usize = 32;

dispatched_wide! {
    /// `c = a b` or `c += a b`, of checked shapes.
    pub(super) fn product(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) = product_body
}

#[inline(always)]
pub(super) fn product_body<V: Lanes>(
    c: &mut [f32],
    c_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Into,
) {
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
