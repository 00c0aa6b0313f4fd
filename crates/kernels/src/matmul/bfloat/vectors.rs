//! A tile in vectors of AVX-512: `vdpbf16ps` multiplies sixteen pairs of bfloat16 and adds them to sixteen sums.

use std::arch::x86_64::*;

use super::packed::{COLUMNS, Factors, Order, Place, ROW_STRIDE, Tile, first};

/// Whether the processor multiplies pairs of bfloat16.
pub(super) fn are_here() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
}

/// Rows of a tile: 12 x 2 sums, two vectors of `B` and one of `A` leave a few of 32 registers.
const ROWS: usize = 12;

/// The tile. It may be used where vectors [`are_here`].
pub(super) struct Vectors;

impl Tile for Vectors {
    const ROWS: usize = ROWS;
    const STRIDED: Order = Order::Pairs;

    #[inline(always)]
    unsafe fn multiply(&mut self, factors: Factors, place: Place) {
        // SAFETY: the caller's.
        unsafe {
            match factors.order {
                Order::Rows => multiply::<ROW_STRIDE, 1>(factors, place),
                Order::Pairs => multiply::<1, ROWS>(factors, place),
            }
        }
    }
}

/// Rows of a packed `A` lie `A_ROW` pairs apart, and its pairs `A_PAIR`.
///
/// # Safety
/// As [`Tile::multiply`].
#[inline(always)]
unsafe fn multiply<const A_ROW: usize, const A_PAIR: usize>(factors: Factors, place: Place) {
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
        for product in 0..factors.products() {
            let (mut a, mut b) = factors.product(product);
            for _ in 0..factors.pairs {
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
