//! Products by blocks that are rounded into panels first, for whatever multiplies a tile of them.

use std::arch::x86_64::*;
use std::cell::RefCell;

use super::super::{Into, Matrix, Precision};

/// Inner dimension at a time: with fewer the sums go to memory and back more often.
const DEPTH: usize = 768;
/// Columns of `B` that are packed at a time, in all parts: 576 KiB, which stay in a second-level cache while all rows of `A` pass.
const WIDTH: usize = 384;
/// Rows of `A` that are packed at a time, in all parts: so many that they are packed once. They come back from the last-level
/// cache for every block of `B`, a tile of them at a time.
const HEIGHT: usize = 1536;
/// Pairs of the inner dimension that are packed at a time: zeros follow the last one up to their next multiple.
const GROUP: usize = 16;
/// Columns of a tile: two vectors.
pub(super) const COLUMNS: usize = 32;
/// Pairs from one row of a packed `A` to the next: a little more than there are, so that the rows of a tile lie in
/// different sets of the cache.
pub(super) const ROW_STRIDE: usize = DEPTH / 2 + 16;

/// Where a tile of the product goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) c: *mut f32,
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) add: bool,
}

/// The packed factors of a tile, each in one part or in two: the rounded numbers, and what rounding left of them.
#[derive(Clone, Copy)]
pub(super) struct Factors {
    /// Rows of `A`.
    pub(super) a: *const u32,
    /// A panel of `B`: pair after pair, of [`COLUMNS`] columns side by side.
    pub(super) b: *const u32,
    a_part: usize,
    b_part: usize,
    parts: usize,
    /// Pairs along the inner dimension.
    pub(super) pairs: usize,
    /// How `A` is packed.
    pub(super) order: Order,
}

impl Factors {
    /// How many products of parts are summed. Of two parts each, that of the lower ones is left out.
    #[inline(always)]
    pub(super) fn products(&self) -> usize {
        2 * self.parts - 1
    }

    /// The rows and the panel of a product: both whole numbers, the rest of the second, the rest of the first.
    #[inline(always)]
    pub(super) fn product(&self, index: usize) -> (*const u32, *const u32) {
        let (a_part, b_part) = [(0, 0), (0, self.b_part), (self.a_part, 0)][index];
        (self.a.wrapping_add(a_part), self.b.wrapping_add(b_part))
    }
}

/// How the rows of `A` are packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Row after row, [`ROW_STRIDE`] pairs apart.
    Rows,
    /// Pair after pair, those of a tile's rows side by side.
    Pairs,
}

/// What multiplies a tile of packed panels.
pub(super) trait Tile {
    /// Rows of a tile.
    const ROWS: usize;
    /// How it takes a matrix whose rows are not contiguous; others come in [`Order::Rows`].
    const STRIDED: Order;

    /// Sums the products of `factors` in their place.
    ///
    /// # Safety
    /// As many pairs of [`Self::ROWS`] rows and [`COLUMNS`] columns as are said, and zeros up to the next multiple of sixteen,
    /// must be there in each part, and the place.
    unsafe fn multiply(&mut self, factors: Factors, place: Place);
}

thread_local! {
    /// Packed `A` and `B`. They keep nothing from one product to the next but their memory.
    static PACKED: RefCell<(Vec<u32>, Vec<u32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// `c = a b` or `c += a b`, by this tile.
///
/// # Safety
/// The processor must have the features, those of the tile too, and `c` must have room for `a.rows` rows of `b.columns` values
/// that are in use nowhere else.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn product<T: Tile>(
    mut tile: T,
    precision: Precision,
    c: *mut f32,
    c_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Into,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    if k == 0 && into == Into::Overwrite {
        for row in 0..m {
            // SAFETY: a row of `c`.
            unsafe { c.add(row * c_stride).write_bytes(0, n) };
        }
    }
    let parts = if precision == Precision::Bf16x3 { 2 } else { 1 };
    let (height, width) = (HEIGHT / parts / T::ROWS * T::ROWS, WIDTH / parts);
    let order = if a.column_stride == 1 { Order::Rows } else { T::STRIDED };
    PACKED.with_borrow_mut(|(packed_a, packed_b)| {
        let a_part = height.min(m.next_multiple_of(T::ROWS)) * ROW_STRIDE;
        let b_part = width.min(n.next_multiple_of(COLUMNS)) * (DEPTH / 2);
        // Grown once and not cleared: what counts of what a tile reads was written for it.
        packed_a.resize(packed_a.len().max(parts * a_part), 0);
        packed_b.resize(packed_b.len().max(parts * b_part), 0);
        for from in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - from);
            let add = from > 0 || into == Into::Add;
            for first_row in (0..m).step_by(height) {
                let rows = height.min(m - first_row);
                let a = Matrix { values: &a.values[first_row * a.row_stride..], rows, ..a };
                // SAFETY: the block `[rows, depth]` lies in `a`, and the buffer has room for it.
                unsafe {
                    match (a.column_stride == 1, order) {
                        (true, _) => pack_rows(packed_a, a_part, parts, a, from, depth),
                        (false, Order::Rows) => pack_turned(packed_a, a_part, parts, a, from, depth),
                        (false, Order::Pairs) => pack_pairs::<T>(packed_a, a_part, parts, a, from, depth),
                    }
                }
                for first_column in (0..n).step_by(width) {
                    let columns = width.min(n - first_column);
                    // SAFETY: the block `[depth, columns]` lies in `b`, and the buffer has room for it.
                    unsafe { pack_b(packed_b, b_part, parts, b, from, depth, first_column, columns) };
                    for row in (0..rows).step_by(T::ROWS) {
                        for column in (0..columns).step_by(COLUMNS) {
                            let at = (first_row + row) * c_stride + first_column + column;
                            let place = Place {
                                // SAFETY: row and column lie in `c`.
                                c: unsafe { c.add(at) },
                                stride: c_stride,
                                rows: T::ROWS.min(rows - row),
                                columns: COLUMNS.min(columns - column),
                                add,
                            };
                            let pairs = depth.div_ceil(2);
                            let (a, b) = (&packed_a[row * ROW_STRIDE..], &packed_b[column * (DEPTH / 2)..]);
                            let (a, b) = (a.as_ptr(), b.as_ptr());
                            let factors = Factors { a, b, a_part, b_part, parts, pairs, order };
                            // SAFETY: `pairs` of a tile's rows and of a panel's columns were packed in each part.
                            unsafe { tile.multiply(factors, place) };
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
pub(super) fn first(count: usize) -> __mmask16 {
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

/// Stores sixteen vectors as the sixteen columns of a block whose rows are `stride` apart.
#[inline(always)]
unsafe fn store_turned(to: *mut u32, stride: usize, columns: &[__m512i; 16]) {
    // SAFETY: called only from functions with these features; the caller vouches for sixteen rows.
    unsafe {
        let mut pairs = [_mm512_setzero_si512(); 16];
        let mut fours = pairs;
        for i in (0..16).step_by(2) {
            pairs[i] = _mm512_unpacklo_epi32(columns[i], columns[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_epi32(columns[i], columns[i + 1]);
        }
        // Quarter `q` of `fours[i + j]` is row `4 q + j` of columns `i` to `i + 3`.
        for i in (0..16).step_by(4) {
            fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
            fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
            fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
            fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
        }
        for j in 0..4 {
            // Quarters 0 and 2, or 1 and 3, of columns 0 to 7 and 8 to 15.
            let even = _mm512_shuffle_i32x4::<0x88>(fours[j], fours[j + 4]);
            let odd = _mm512_shuffle_i32x4::<0xdd>(fours[j], fours[j + 4]);
            let later_even = _mm512_shuffle_i32x4::<0x88>(fours[j + 8], fours[j + 12]);
            let later_odd = _mm512_shuffle_i32x4::<0xdd>(fours[j + 8], fours[j + 12]);
            let rows = [
                _mm512_shuffle_i32x4::<0x88>(even, later_even),
                _mm512_shuffle_i32x4::<0x88>(odd, later_odd),
                _mm512_shuffle_i32x4::<0xdd>(even, later_even),
                _mm512_shuffle_i32x4::<0xdd>(odd, later_odd),
            ];
            for (quarter, &row) in rows.iter().enumerate() {
                _mm512_storeu_si512(to.add((4 * quarter + j) * stride).cast(), row);
            }
        }
    }
}

/// Packs `A` whose rows are contiguous in [`Order::Rows`].
///
/// # Safety
/// The block must lie in `a`, and each of `parts` parts of `to`, `part` apart, must have room.
#[inline(always)]
unsafe fn pack_rows(to: &mut [u32], part: usize, parts: usize, a: Matrix<'_>, from: usize, depth: usize) {
    for row in 0..a.rows {
        for column in (0..depth).step_by(2 * GROUP) {
            // SAFETY: the caller vouches for the block and for the room; pairs beyond the depth are not read.
            unsafe {
                let x = a.values.as_ptr().add(row * a.row_stride + from + column);
                // The processor looks ahead in a row, not to the next one.
                let ahead = x.wrapping_add(a.row_stride);
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(16).cast());
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

/// Values of a column, of the rows of these lanes from `row` on; zeros from column `depth` on.
///
/// # Safety
/// The block must lie in `a`.
#[inline(always)]
unsafe fn column(
    a: Matrix<'_>,
    row: usize,
    lanes: __mmask16,
    from: usize,
    column: usize,
    depth: usize,
) -> __m512 {
    // SAFETY: the caller vouches for the block; masked lanes are not touched.
    unsafe {
        if column >= depth {
            return _mm512_setzero_ps();
        }
        let x = a.values.as_ptr().add(row * a.row_stride + (from + column) * a.column_stride);
        strided(x, a.row_stride, lanes)
    }
}

/// Packs `A` of other strides in [`Order::Rows`].
///
/// # Safety
/// As [`pack_rows`].
#[inline(always)]
unsafe fn pack_turned(to: &mut [u32], part: usize, parts: usize, a: Matrix<'_>, from: usize, depth: usize) {
    for row in (0..a.rows).step_by(16) {
        let lanes = first(a.rows - row);
        for group in (0..depth.div_ceil(2)).step_by(GROUP) {
            // SAFETY: the caller vouches for the block and for the room, which is of whole tiles.
            unsafe {
                let (mut whole, mut rests) =
                    ([_mm512_setzero_si512(); GROUP], [_mm512_setzero_si512(); GROUP]);
                for pair in 0..GROUP {
                    let low = column(a, row, lanes, from, 2 * (group + pair), depth);
                    let high = column(a, row, lanes, from, 2 * (group + pair) + 1, depth);
                    whole[pair] = zipped(low, high);
                    rests[pair] = zipped(rest(low), rest(high));
                }
                let to = to.as_mut_ptr().add(row * ROW_STRIDE + group);
                store_turned(to, ROW_STRIDE, &whole);
                if parts == 2 {
                    store_turned(to.add(part), ROW_STRIDE, &rests);
                }
            }
        }
    }
}

/// Packs `A` of other strides in [`Order::Pairs`], whose tiles are of at most sixteen rows.
///
/// # Safety
/// As [`pack_rows`].
#[inline(always)]
unsafe fn pack_pairs<T: Tile>(
    to: &mut [u32],
    part: usize,
    parts: usize,
    a: Matrix<'_>,
    from: usize,
    depth: usize,
) {
    for row in (0..a.rows).step_by(T::ROWS) {
        let lanes = first(T::ROWS.min(a.rows - row));
        for pair in 0..depth.div_ceil(2) {
            // SAFETY: the caller vouches for the block and for the room; masked lanes are not touched.
            unsafe {
                let low = column(a, row, lanes, from, 2 * pair, depth);
                let high = column(a, row, lanes, from, 2 * pair + 1, depth);
                let to = to.as_mut_ptr().add(row * ROW_STRIDE + pair * T::ROWS);
                _mm512_mask_storeu_epi32(to.cast(), first(T::ROWS), zipped(low, high));
                if parts == 2 {
                    let to = to.add(part);
                    _mm512_mask_storeu_epi32(to.cast(), first(T::ROWS), zipped(rest(low), rest(high)));
                }
            }
        }
    }
}

/// Packs `B`: panels of [`COLUMNS`] columns, `DEPTH / 2` pairs long, zeros beyond the last column.
///
/// # Safety
/// As [`pack_rows`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a block of a matrix and its place")]
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
    let pairs_in_all = depth.div_ceil(2).next_multiple_of(GROUP);
    for column in (0..columns).step_by(16) {
        let count = 16.min(columns - column);
        let panel = column / COLUMNS * COLUMNS * (DEPTH / 2) + column % COLUMNS;
        // SAFETY: the caller vouches for the block and for the room.
        unsafe {
            let to = to.as_mut_ptr().add(panel);
            let x = b.values.as_ptr().add(from * b.row_stride + (first_column + column) * b.column_stride);
            if b.row_stride == 1 && b.column_stride > 1 {
                for pair in (0..pairs_in_all).step_by(GROUP) {
                    let (mut whole, mut rests) = ([_mm512_setzero_si512(); 16], [_mm512_setzero_si512(); 16]);
                    for j in 0..count {
                        // Sixteen streams are more than the processor follows by itself.
                        let ahead = x.wrapping_add(j * b.column_stride + 2 * pair + 64);
                        _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(16).cast());
                        let x = neighbours(x.add(j * b.column_stride + 2 * pair), depth - 2 * pair);
                        whole[j] = pairs(x);
                        if parts == 2 {
                            rests[j] = pairs([rest(x[0]), rest(x[1])]);
                        }
                    }
                    let to = to.add(pair * COLUMNS);
                    store_turned(to, COLUMNS, &whole);
                    if parts == 2 {
                        store_turned(to.add(part), COLUMNS, &rests);
                    }
                }
                continue;
            }
            let lanes = first(count);
            for pair in 0..pairs_in_all {
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
            for pair in 0..pairs_in_all {
                to[part + panel + pair * COLUMNS..][..16].fill(0);
            }
        }
    }
}
