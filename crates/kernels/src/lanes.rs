//! One source for the vector and the scalar form of a kernel.
//!
//! A kernel's body is written once, generic over [`Lanes`]. `dispatched!` instantiates it for AVX2 with FMA, chosen
//! at run time, and for plain `f32`, which is also what the tail of a vector loop uses. `dispatched_wide!` adds AVX-512
//! for bodies whose lanes never meet: they give the same bytes at any width, which a sum over lanes does not.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A group of `f32` that are computed on together.
///
/// All methods are `#[inline(always)]` so that they take on the instruction set of the function that they end up in.
pub(crate) trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// How many.
    const WIDTH: usize;
    /// The next narrower kind, for what is left of a row: a wider kind then rounds each value as this one does.
    type Narrower: Lanes;
    fn splat(value: f32) -> Self;
    /// # Safety
    /// `WIDTH` values must be readable at `from`.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `WIDTH` values must be writable at `to`.
    unsafe fn store(self, to: *mut f32);
    /// `self * factor + term`, rounded once where the hardware can.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The larger; `other` if either is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller; `other` if either is NaN.
    fn min(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    /// To the nearest integer.
    fn round(self) -> Self;
    /// 2 to the power of `self`, which holds integers in `-126..=127`.
    fn power_of_two(self) -> Self;
    /// Lane by lane: `below` where `self < limit`, `otherwise` elsewhere (and for NaN).
    fn select_below(self, limit: Self, below: Self, otherwise: Self) -> Self;
    /// Sum over the lanes.
    fn sum(self) -> f32;
    /// Largest of the lanes.
    fn largest(self) -> f32;
}

impl Lanes for f32 {
    const WIDTH: usize = 1;
    type Narrower = Self;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        value
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for one value.
        unsafe { *from }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for one value.
        unsafe { *to = self }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // `f32::mul_add` is a library call where there is no instruction for it.
        self * factor + term
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    #[inline(always)]
    fn round(self) -> Self {
        // Adding and taking away 1.5 * 2^23 rounds to nearest even, without a library call; |self| < 2^22 here.
        const SHIFT: f32 = 12_582_912.0;
        (self + SHIFT) - SHIFT
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        f32::from_bits(((self as i32 + 127) as u32) << 23)
    }

    #[inline(always)]
    fn select_below(self, limit: Self, below: Self, otherwise: Self) -> Self {
        if self < limit { below } else { otherwise }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        self
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        self
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Add, Div, Lanes, Mul, Neg, Sub};
    use std::arch::x86_64::*;

    /// Eight lanes of AVX2 with FMA. Exists only inside functions that `dispatched!` has guarded.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(pub(crate) __m256);

    macro_rules! operator {
        ($trait:ident, $method:ident, $intrinsic:ident) => {
            impl $trait for Avx2 {
                type Output = Self;
                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    // SAFETY: an `Avx2` is made only where AVX2 was detected.
                    Self(unsafe { $intrinsic(self.0, other.0) })
                }
            }
        };
    }
    operator!(Add, add, _mm256_add_ps);
    operator!(Sub, sub, _mm256_sub_ps);
    operator!(Mul, mul, _mm256_mul_ps);
    operator!(Div, div, _mm256_div_ps);

    impl Neg for Avx2 {
        type Output = Self;
        #[inline(always)]
        fn neg(self) -> Self {
            // SAFETY: an `Avx2` is made only where AVX2 was detected.
            Self(unsafe { _mm256_xor_ps(self.0, _mm256_set1_ps(-0.0)) })
        }
    }

    impl Lanes for Avx2 {
        const WIDTH: usize = 8;
        type Narrower = f32;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: called only where AVX2 was detected.
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller vouches for eight values; AVX2 was detected.
            Self(unsafe { _mm256_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller vouches for eight values; AVX2 was detected.
            unsafe { _mm256_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: FMA was detected with AVX2.
            Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, term.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: AVX2 was detected.
            Self(unsafe { _mm256_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: AVX2 was detected.
            Self(unsafe { _mm256_min_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn abs(self) -> Self {
            // SAFETY: AVX2 was detected.
            Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: AVX2 was detected.
            Self(unsafe { _mm256_sqrt_ps(self.0) })
        }

        #[inline(always)]
        fn round(self) -> Self {
            // SAFETY: AVX2 was detected.
            Self(unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
        }

        #[inline(always)]
        fn power_of_two(self) -> Self {
            // SAFETY: AVX2 was detected.
            unsafe {
                let biased = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), _mm256_set1_epi32(127));
                Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
            }
        }

        #[inline(always)]
        fn select_below(self, limit: Self, below: Self, otherwise: Self) -> Self {
            // SAFETY: AVX2 was detected.
            unsafe {
                let is_below = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, limit.0);
                Self(_mm256_blendv_ps(otherwise.0, below.0, is_below))
            }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: AVX2 was detected.
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }

        #[inline(always)]
        fn largest(self) -> f32 {
            // SAFETY: AVX2 was detected.
            unsafe {
                let four = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Add, Avx2, Div, Lanes, Mul, Neg, Sub};
    use std::arch::x86_64::*;

    /// Sixteen lanes of AVX-512. Exists only inside functions that `dispatched_wide!` has guarded.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(pub(crate) __m512);

    macro_rules! operator {
        ($trait:ident, $method:ident, $intrinsic:ident) => {
            impl $trait for Avx512 {
                type Output = Self;
                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    // SAFETY: an `Avx512` is made only where AVX-512 was detected.
                    Self(unsafe { $intrinsic(self.0, other.0) })
                }
            }
        };
    }
    operator!(Add, add, _mm512_add_ps);
    operator!(Sub, sub, _mm512_sub_ps);
    operator!(Mul, mul, _mm512_mul_ps);
    operator!(Div, div, _mm512_div_ps);

    impl Neg for Avx512 {
        type Output = Self;
        #[inline(always)]
        fn neg(self) -> Self {
            // SAFETY: an `Avx512` is made only where AVX-512 was detected.
            unsafe {
                let bits = _mm512_castps_si512(self.0);
                Self(_mm512_castsi512_ps(_mm512_xor_si512(bits, _mm512_set1_epi32(i32::MIN))))
            }
        }
    }

    impl Lanes for Avx512 {
        const WIDTH: usize = 16;
        type Narrower = Avx2;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: called only where AVX-512 was detected.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller vouches for sixteen values; AVX-512 was detected.
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller vouches for sixteen values; AVX-512 was detected.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: AVX-512 was detected.
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: AVX-512 was detected.
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: AVX-512 was detected.
            Self(unsafe { _mm512_min_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn abs(self) -> Self {
            // SAFETY: AVX-512 was detected.
            Self(unsafe { _mm512_abs_ps(self.0) })
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: AVX-512 was detected.
            Self(unsafe { _mm512_sqrt_ps(self.0) })
        }

        #[inline(always)]
        fn round(self) -> Self {
            // SAFETY: AVX-512 was detected.
            Self(unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
        }

        #[inline(always)]
        fn power_of_two(self) -> Self {
            // SAFETY: AVX-512 was detected.
            unsafe {
                let biased = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
                Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased)))
            }
        }

        #[inline(always)]
        fn select_below(self, limit: Self, below: Self, otherwise: Self) -> Self {
            // SAFETY: AVX-512 was detected.
            unsafe {
                let is_below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, limit.0);
                Self(_mm512_mask_blend_ps(is_below, otherwise.0, below.0))
            }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: AVX-512 was detected.
            unsafe { _mm512_reduce_add_ps(self.0) }
        }

        #[inline(always)]
        fn largest(self) -> f32 {
            // SAFETY: AVX-512 was detected.
            unsafe { _mm512_reduce_max_ps(self.0) }
        }
    }
}

/// True where [`Avx2`] may be used.
#[inline]
pub(crate) fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// True where [`Avx512`] may be used, and [`Avx2`] for what it leaves.
#[inline]
pub(crate) fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512f") && has_avx2()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// A function with this signature that runs `$body::<Avx2>` where the machine can, else `$body::<f32>`.
///
/// `$body` must be `#[inline(always)]`, so that it is compiled with the instruction set of its caller.
macro_rules! dispatched {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:ident) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    $body::<$crate::lanes::Avx2>($($argument),*)
                }
                if $crate::lanes::has_avx2() {
                    // SAFETY: both features were detected on the line above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            $body::<f32>($($argument),*)
        }
    };
}
pub(crate) use dispatched;

/// As `dispatched!`, but runs `$body::<Avx512>` where the machine can.
///
/// `$body` must treat each lane alone, and what is left of a row as [`Lanes::Narrower`] does.
macro_rules! dispatched_wide {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:ident) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    $body::<$crate::lanes::Avx512>($($argument),*)
                }
                if $crate::lanes::has_avx512() {
                    // SAFETY: all three features were detected on the line above.
                    return unsafe { avx512($($argument),*) };
                }
            }
            $crate::lanes::dispatched! { fn narrow($($argument: $type),*) $(-> $result)? = $body }
            narrow($($argument),*)
        }
    };
}
pub(crate) use dispatched_wide;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs one body on all kinds of lanes over the same sixteen values.
    fn check_twins(values: [f32; 16]) {
        #[inline(always)]
        fn body<V: Lanes>(values: &[f32; 16], out: &mut [f32]) {
            for i in (0..16).step_by(V::WIDTH) {
                // SAFETY: `WIDTH` divides sixteen, and every row of `out` holds sixteen values.
                unsafe {
                    let x = V::load(values.as_ptr().add(i));
                    let to = out.as_mut_ptr();
                    x.abs().sqrt().store(to.add(i));
                    x.round().store(to.add(16 + i));
                    x.round().max(V::splat(-126.0)).min(V::splat(127.0)).power_of_two().store(to.add(32 + i));
                    x.select_below(V::splat(0.5), -x, x * x).store(to.add(48 + i));
                    (x / V::splat(3.0) - V::splat(2.0)).max(x).store(to.add(64 + i));
                }
            }
        }
        dispatched! { fn narrow(values: &[f32; 16], out: &mut [f32]) = body }
        dispatched_wide! { fn wide(values: &[f32; 16], out: &mut [f32]) = body }
        let run = |run: &dyn Fn(&[f32; 16], &mut [f32])| {
            let mut out = [0.0; 80];
            run(&values, &mut out);
            out
        };
        assert_eq!(run(&narrow), run(&body::<f32>));
        assert_eq!(run(&wide).map(f32::to_bits), run(&narrow).map(f32::to_bits));
    }

    #[test]
    fn lanes_agree() {
        let some = [0.0, -0.0, 0.5, 1.5, -2.5, 1e5, -3.25, 126.7];
        let more = [-0.5, 2.5, 0.499_999_97, -126.4, 1e-30, 7.0, -1e5, 0.5];
        let mut all = [0.0; 16];
        all[..8].copy_from_slice(&some);
        all[8..].copy_from_slice(&more);
        check_twins(all);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn reductions() {
        let values = [1.0, -2.0, 3.0, 40.0, 5.0, -6.0, 7.0, 8.0, 0.5, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, -16.0];
        if has_avx2() {
            // SAFETY: AVX2 was detected and there are eight values.
            let lanes = unsafe { Avx2::load(values.as_ptr()) };
            assert_eq!((lanes.sum(), lanes.largest()), (56.0, 40.0));
        }
        if has_avx512() {
            // SAFETY: AVX-512 was detected and there are sixteen values.
            let lanes = unsafe { Avx512::load(values.as_ptr()) };
            assert_eq!((lanes.sum(), lanes.largest()), (56.0, 40.0));
        }
    }
}
