//! Products of matrices that are rounded to bfloat16, or split into two numbers of it, with sums in `f32`.
//!
//! Both matrices are rounded on the way into panels that hold two neighbours along the inner dimension side by side, as
//! `vdpbf16ps` takes them. Where there is no such instruction the inputs are rounded and multiplied in `f32`: the same
//! products, exactly, summed in another order.

use super::{Into, Matrix, Precision};

/// Raised whenever a product in a lower precision than `f32` changes.
pub const VERSION: u32 = 2;

/// `c = a b` or `c += a b`, of checked shapes.
pub(super) fn product(
    precision: Precision,
    c: &mut [f32],
    c_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Into,
) {
    #[cfg(target_arch = "x86_64")]
    if avx512::is_here() {
        // SAFETY: the features were detected on the line above, and the caller checked the shapes.
        return unsafe { avx512::product(precision, c, c_stride, a, b, into) };
    }
    portable(precision, c, c_stride, a, b, into);
}

/// The nearest number of bfloat16, of two equally near ones the even.
fn rounded(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let bits = x.to_bits();
    f32::from_bits((bits.wrapping_add(0x7fff + ((bits >> 16) & 1))) & 0xffff_0000)
}

/// The same by products in `f32`, whose inputs were rounded first.
fn portable(precision: Precision, c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
    let high = |matrix: Matrix<'_>| matrix.values.iter().copied().map(rounded).collect::<Vec<f32>>();
    let low =
        |matrix: Matrix<'_>| matrix.values.iter().map(|&x| rounded(x - rounded(x))).collect::<Vec<f32>>();
    let (a_high, b_high) = (high(a), high(b));
    let (a_high, b_high) = (Matrix { values: &a_high, ..a }, Matrix { values: &b_high, ..b });
    super::product(c, c_stride, a_high, b_high, into);
    if precision == Precision::Bf16x3 {
        let (a_low, b_low) = (low(a), low(b));
        super::product(c, c_stride, a_high, Matrix { values: &b_low, ..b }, Into::Add);
        super::product(c, c_stride, Matrix { values: &a_low, ..a }, b_high, Into::Add);
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;
    use std::cell::RefCell;

    use super::super::{Into, Matrix, Precision};

    /// Inner dimension at a time: a panel of `B` takes 32 KiB, two thirds of a first-level cache of 48; with fewer the sums go
    /// to memory and back more often.
    const DEPTH: usize = 512;
    /// Columns of `B` that are packed at a time, in all parts: half a megabyte.
    const WIDTH: usize = 512;
    /// Rows of `A` that are packed at a time, in all parts: a quarter of a megabyte, so that both stay in a second-level
    /// cache of one.
    const HEIGHT: usize = 20 * ROWS;
    /// Columns of a tile, two vectors.
    const COLUMNS: usize = 32;
    /// Rows of a tile: 12 x 2 sums, two vectors of `B` and one of `A` leave a few of 32 registers.
    const ROWS: usize = 12;
    /// Pairs from one row of a packed `A` to the next: a little more than there are, so that the rows of a tile lie in
    /// different sets of the cache.
    const ROW_STRIDE: usize = DEPTH / 2 + 16;

    /// Whether the processor multiplies pairs of bfloat16.
    pub(super) fn is_here() -> bool {
        std::arch::is_x86_feature_detected!("avx512bf16")
            && std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
    }

    thread_local! {
        /// Packed `A` and `B`. They keep nothing from one product to the next but their memory.
        static PACKED: RefCell<(Vec<u32>, Vec<u32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
    }

    /// # Safety
    /// [`is_here`], and shapes that [`super::super::product`] has checked.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn product(
        precision: Precision,
        c: &mut [f32],
        c_stride: usize,
        a: Matrix<'_>,
        b: Matrix<'_>,
        into: Into,
    ) {
        let (m, k, n) = (a.rows, a.columns, b.columns);
        if k == 0 && into == Into::Overwrite {
            for row in 0..m {
                c[row * c_stride..][..n].fill(0.0);
            }
        }
        let parts = if precision == Precision::Bf16x3 { 2 } else { 1 };
        let (height, width) = (HEIGHT / parts, WIDTH / parts);
        let by_rows = a.column_stride == 1;
        PACKED.with_borrow_mut(|(packed_a, packed_b)| {
            let a_part = height.min(m.next_multiple_of(ROWS)) * ROW_STRIDE;
            let b_part = width.min(n.next_multiple_of(COLUMNS)) * (DEPTH / 2);
            // Grown once and not cleared: what a tile reads was written for it.
            packed_a.resize(packed_a.len().max(parts * a_part), 0);
            packed_b.resize(packed_b.len().max(parts * b_part), 0);
            for from in (0..k).step_by(DEPTH) {
                let depth = DEPTH.min(k - from);
                let add = from > 0 || into == Into::Add;
                for first_column in (0..n).step_by(width) {
                    let columns = width.min(n - first_column);
                    // SAFETY: the block `[depth, columns]` lies in `b`, and the buffer has room for it.
                    unsafe { pack_b(packed_b, b_part, parts, b, from, depth, first_column, columns) };
                    for first_row in (0..m).step_by(height) {
                        let rows = height.min(m - first_row);
                        let a = Matrix { values: &a.values[first_row * a.row_stride..], rows, ..a };
                        // SAFETY: the block `[rows, depth]` lies in `a`, and the buffer has room for it.
                        unsafe {
                            match by_rows {
                                true => pack_rows(packed_a, a_part, parts, a, from, depth),
                                false => pack_columns(packed_a, a_part, parts, a, from, depth),
                            }
                        }
                        for column in (0..columns).step_by(COLUMNS) {
                            for row in (0..rows).step_by(ROWS) {
                                let at = (first_row + row) * c_stride + first_column + column;
                                let place = Place {
                                    // SAFETY: row and column lie in `c`.
                                    c: unsafe { c.as_mut_ptr().add(at) },
                                    stride: c_stride,
                                    rows: ROWS.min(rows - row),
                                    columns: COLUMNS.min(columns - column),
                                    add,
                                };
                                let pairs = depth.div_ceil(2);
                                let (a, b) =
                                    (&packed_a[row * ROW_STRIDE..], &packed_b[column * (DEPTH / 2)..]);
                                // SAFETY: `pairs` of a tile's rows and of a panel's columns were packed in each part.
                                unsafe {
                                    if by_rows {
                                        multiply::<ROW_STRIDE, 1>(a, a_part, b, b_part, parts, pairs, place);
                                    } else {
                                        multiply::<1, ROWS>(a, a_part, b, b_part, parts, pairs, place);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        });
    }

    /// Sixteen numbers of bfloat16 as the lower halves of 32 bits.
    #[inline(always)]
    unsafe fn halves(x: __m512) -> __m512i {
        // SAFETY: called only from functions with these features; both types are 256 bits.
        unsafe { _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x))) }
    }

    /// What rounding leaves of `x`.
    #[inline(always)]
    unsafe fn rest(x: __m512) -> __m512 {
        // SAFETY: as `halves`.
        unsafe { _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves(x)))) }
    }

    /// Pairs of `low` and `high`, lane by lane.
    #[inline(always)]
    unsafe fn zipped(low: __m512, high: __m512) -> __m512i {
        // SAFETY: as `halves`.
        unsafe { _mm512_or_si512(halves(low), _mm512_slli_epi32::<16>(halves(high))) }
    }

    /// The first `count` lanes.
    #[inline(always)]
    fn first(count: usize) -> __mmask16 {
        if count >= 16 { !0 } else { (1 << count) - 1 }
    }

    /// Thirty-two neighbours as sixteen pairs, `count` of them from memory and zeros beyond.
    #[inline(always)]
    unsafe fn neighbours(from: *const f32, count: usize) -> [__m512; 2] {
        // SAFETY: the caller vouches for `count` values; masked lanes are not read.
        unsafe {
            let low = _mm512_maskz_loadu_ps(first(count), from);
            let high = match count > 16 {
                true => _mm512_maskz_loadu_ps(first(count - 16), from.add(16)),
                false => _mm512_setzero_ps(),
            };
            [low, high]
        }
    }

    /// Rounds thirty-two neighbours to sixteen pairs.
    #[inline(always)]
    unsafe fn pairs([low, high]: [__m512; 2]) -> __m512i {
        // SAFETY: as `halves`; both types are 512 bits.
        unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
    }

    /// Packs `A` whose rows are contiguous: row after row, [`ROW_STRIDE`] pairs apart.
    ///
    /// # Safety
    /// The block must lie in `a`, and each of `parts` parts of `to`, `part` apart, must have room.
    #[inline(always)]
    unsafe fn pack_rows(to: &mut [u32], part: usize, parts: usize, a: Matrix<'_>, from: usize, depth: usize) {
        for row in 0..a.rows {
            for column in (0..depth).step_by(32) {
                // SAFETY: the caller vouches for the block and for the room; pairs beyond the depth are not read.
                unsafe {
                    let x = a.values.as_ptr().add(row * a.row_stride + from + column);
                    let x = neighbours(x, depth - column);
                    let to = to.as_mut_ptr().add(row * ROW_STRIDE + column / 2);
                    _mm512_storeu_si512(to.cast(), pairs(x));
                    if parts == 2 {
                        _mm512_storeu_si512(to.add(part).cast(), pairs([rest(x[0]), rest(x[1])]));
                    }
                }
            }
        }
    }

    /// Packs `A` of other strides: the rows of a tile side by side, pair after pair.
    ///
    /// # Safety
    /// As [`pack_rows`].
    #[inline(always)]
    unsafe fn pack_columns(
        to: &mut [u32],
        part: usize,
        parts: usize,
        a: Matrix<'_>,
        from: usize,
        depth: usize,
    ) {
        for row in (0..a.rows).step_by(ROWS) {
            let lanes = first(ROWS.min(a.rows - row));
            for pair in 0..depth.div_ceil(2) {
                // SAFETY: the caller vouches for the block and for the room; masked lanes are not touched.
                unsafe {
                    let column = |column: usize| {
                        if column >= depth {
                            return _mm512_setzero_ps();
                        }
                        let x = a.values.as_ptr().add(row * a.row_stride + (from + column) * a.column_stride);
                        strided(x, a.row_stride, lanes)
                    };
                    let (low, high) = (column(2 * pair), column(2 * pair + 1));
                    let to = to.as_mut_ptr().add(row * ROW_STRIDE + pair * ROWS);
                    _mm512_mask_storeu_epi32(to.cast(), first(ROWS), zipped(low, high));
                    if parts == 2 {
                        let to = to.add(part);
                        _mm512_mask_storeu_epi32(to.cast(), first(ROWS), zipped(rest(low), rest(high)));
                    }
                }
            }
        }
    }

    /// The values of these lanes, `stride` apart, and zeros.
    #[inline(always)]
    unsafe fn strided(from: *const f32, stride: usize, lanes: __mmask16) -> __m512 {
        // SAFETY: the caller vouches for the lanes' values.
        unsafe {
            if stride == 1 {
                return _mm512_maskz_loadu_ps(lanes, from);
            }
            let mut values = [0.0; 16];
            for lane in 0..lanes.count_ones() as usize {
                values[lane] = *from.add(lane * stride);
            }
            _mm512_loadu_ps(values.as_ptr())
        }
    }

    /// Packs `B`: panels of [`COLUMNS`] columns, `DEPTH / 2` pairs long, zeros beyond the last column.
    ///
    /// # Safety
    /// As [`pack_rows`].
    #[inline(always)]
    unsafe fn pack_b(
        to: &mut [u32],
        part: usize,
        parts: usize,
        b: Matrix<'_>,
        from: usize,
        depth: usize,
        first_column: usize,
        columns: usize,
    ) {
        for column in (0..columns).step_by(16) {
            let count = 16.min(columns - column);
            let panel = column / COLUMNS * COLUMNS * (DEPTH / 2) + column % COLUMNS;
            // SAFETY: the caller vouches for the block and for the room.
            unsafe {
                let to = to.as_mut_ptr().add(panel);
                let x =
                    b.values.as_ptr().add(from * b.row_stride + (first_column + column) * b.column_stride);
                if b.row_stride == 1 && b.column_stride > 1 {
                    for pair in (0..depth.div_ceil(2)).step_by(16) {
                        let mut block = [[_mm512_setzero_ps(); 2]; 16];
                        for (j, block) in block.iter_mut().enumerate().take(count) {
                            *block = neighbours(x.add(j * b.column_stride + 2 * pair), depth - 2 * pair);
                        }
                        scatter(to.add(pair * COLUMNS), &block);
                        if parts == 2 {
                            for x in &mut block {
                                *x = [rest(x[0]), rest(x[1])];
                            }
                            scatter(to.add(part + pair * COLUMNS), &block);
                        }
                    }
                    continue;
                }
                let lanes = first(count);
                for pair in 0..depth.div_ceil(2) {
                    let row = |row: usize| match row < depth {
                        true => strided(x.add(row * b.row_stride), b.column_stride, lanes),
                        false => _mm512_setzero_ps(),
                    };
                    let (low, high) = (row(2 * pair), row(2 * pair + 1));
                    let to = to.add(pair * COLUMNS);
                    _mm512_storeu_si512(to.cast(), zipped(low, high));
                    if parts == 2 {
                        _mm512_storeu_si512(to.add(part).cast(), zipped(rest(low), rest(high)));
                    }
                }
            }
        }
        // A last panel of one vector: the tile reads two.
        if columns.div_ceil(16) % 2 == 1 {
            let panel = columns / COLUMNS * COLUMNS * (DEPTH / 2) + 16;
            for part in (0..parts).map(|index| index * part) {
                for pair in 0..depth.div_ceil(2) {
                    to[part + panel + pair * COLUMNS..][..16].fill(0);
                }
            }
        }
    }

    /// Rounds sixteen columns of thirty-two values and stores them as sixteen rows of a panel.
    #[inline(always)]
    unsafe fn scatter(to: *mut u32, columns: &[[__m512; 2]; 16]) {
        let mut block = [[0_u32; 16]; 16];
        for (block, &column) in block.iter_mut().zip(columns) {
            // SAFETY: sixteen values of 32 bits.
            unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), pairs(column)) };
        }
        for pair in 0..16 {
            for (j, column) in block.iter().enumerate() {
                // SAFETY: the caller vouches for sixteen rows of the panel.
                unsafe { *to.add(pair * COLUMNS + j) = column[pair] };
            }
        }
    }

    /// Where a tile of the product goes.
    #[derive(Clone, Copy)]
    struct Place {
        c: *mut f32,
        stride: usize,
        rows: usize,
        columns: usize,
        add: bool,
    }

    /// A tile: rows of a packed `A`, `A_ROW` pairs apart and with `A_PAIR` from one pair to the next, by a panel of `B`.
    /// Of two parts each, the product of the lower ones is left out.
    ///
    /// # Safety
    /// `pairs` of [`ROWS`] rows and of [`COLUMNS`] columns must be there in each part, and the place in `c`.
    #[inline(always)]
    unsafe fn multiply<const A_ROW: usize, const A_PAIR: usize>(
        a: &[u32],
        a_part: usize,
        b: &[u32],
        b_part: usize,
        parts: usize,
        pairs: usize,
        place: Place,
    ) {
        let factors = [(0, 0), (0, b_part), (a_part, 0)];
        // The result lies further away than the panels, and is on its way while they are multiplied.
        for r in 0..place.rows {
            for v in 0..2 {
                let to = place.c.wrapping_add(r * place.stride + 16 * v);
                // SAFETY: a hint, which touches nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(to.cast()) };
            }
        }
        // SAFETY: the caller vouches for what is read and written.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
            for &(a_part, b_part) in &factors[..2 * parts - 1] {
                let (mut a, mut b) = (a.as_ptr().add(a_part), b.as_ptr().add(b_part));
                for _ in 0..pairs {
                    let pair = |from: *const u32| {
                        std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast()))
                    };
                    let vectors = [pair(b), pair(b.add(16))];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = _mm512_set1_epi32(*a.add(r * A_ROW) as i32);
                        let x = std::mem::transmute::<__m512i, __m512bh>(x);
                        sums[0] = _mm512_dpbf16_ps(sums[0], x, vectors[0]);
                        sums[1] = _mm512_dpbf16_ps(sums[1], x, vectors[1]);
                    }
                    a = a.add(A_PAIR);
                    b = b.add(COLUMNS);
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                if r >= place.rows {
                    break;
                }
                for (v, &sum) in sums.iter().enumerate() {
                    let lanes = first(place.columns.saturating_sub(16 * v));
                    let to = place.c.wrapping_add(r * place.stride + 16 * v);
                    let old = match place.add {
                        true => _mm512_maskz_loadu_ps(lanes, to),
                        false => _mm512_setzero_ps(),
                    };
                    _mm512_mask_storeu_ps(to, lanes, _mm512_add_ps(old, sum));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::tests::naive;
    use crate::reference::normals;
    use proptest::prelude::*;

    fn matrix(values: &[f32], rows: usize, columns: usize, turned: bool) -> Matrix<'_> {
        match turned {
            true => Matrix::new(values, columns, rows).transposed(),
            false => Matrix::new(values, rows, columns),
        }
    }

    /// Both implementations against sums of products in `f64`, of `|a| |b|` at most so much.
    fn check(m: usize, k: usize, n: usize, turned_a: bool, turned_b: bool, into: Into) {
        let (left, right) = (normals(1, "a", m * k, 1.0), normals(2, "b", k * n, 1.0));
        let old = normals(3, "c", m * n, 1.0);
        let sums = k as f64 * f64::from(f32::EPSILON);
        for precision in [Precision::Bf16, Precision::Bf16x3] {
            // What is multiplied: the rounded numbers, or those themselves.
            let is_one = precision == Precision::Bf16;
            let input =
                |x: &[f32]| x.iter().map(|&x| if is_one { rounded(x) } else { x }).collect::<Vec<_>>();
            let bound = if is_one { sums } else { sums + 3.0 / f64::from(1 << 16) };
            let sizes = |x: &[f32]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
            let (near_left, near_right) = (input(&left), input(&right));
            let a = |values| matrix(values, m, k, turned_a);
            let b = |values| matrix(values, k, n, turned_b);
            let truth = naive(&old, a(&near_left), b(&near_right), into);
            let (left_sizes, right_sizes) = (sizes(&left), sizes(&right));
            let scale = naive(&sizes(&old), a(&left_sizes), b(&right_sizes), into);
            for run in [product, portable] {
                let mut c = old.clone();
                run(precision, &mut c, n, a(&left), b(&right), into);
                for ((&found, truth), scale) in c.iter().zip(&truth).zip(&scale) {
                    let error = (f64::from(found) - truth).abs();
                    assert!(
                        error <= bound * scale,
                        "{precision:?}: {found} is not {truth} to {bound} {scale}"
                    );
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn products(m in 1_usize..30, k in 1_usize..70, n in 1_usize..70, ta: bool, tb: bool, add: bool) {
            check(m, k, n, ta, tb, if add { Into::Add } else { Into::Overwrite });
        }
    }

    #[test]
    fn deeper_and_wider_than_a_panel() {
        for (turned_a, turned_b) in [(false, false), (true, false), (false, true)] {
            check(14, 515, 33, turned_a, turned_b, Into::Overwrite);
            check(3, 7, 1061, turned_a, turned_b, Into::Add);
        }
    }

    #[test]
    fn strides_leave_the_gaps_alone_and_nothing_is_zero() {
        let (a, b) = ([1.0, 2.0, 9.0, 3.0, 4.0], [1.0, 0.0, 9.0, 9.0, 0.0, 1.0]);
        for precision in [Precision::Bf16, Precision::Bf16x3] {
            let mut c = [7.0; 5];
            let (a, b) = (Matrix::strided(&a, 2, 2, 3), Matrix::strided(&b, 2, 2, 4));
            product(precision, &mut c, 3, a, b, Into::Overwrite);
            assert_eq!(c, [1.0, 2.0, 7.0, 3.0, 4.0]);
            let mut c = [7.0; 4];
            product(precision, &mut c, 2, Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2), Into::Overwrite);
            assert_eq!(c, [0.0; 4]);
        }
    }

    #[test]
    fn halves_are_rounded_to_even() {
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(rounded(-1.004), -1.0078125);
        assert!(rounded(f32::NAN).is_nan());
    }
}
