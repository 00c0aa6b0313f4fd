//! Products of matrices that are rounded to bfloat16, or split into two numbers of it, with sums in `f32`.
//!
//! Both matrices are rounded on the way into panels that hold two neighbours along the inner dimension side by side
//! ([`packed`]), as the instructions take them: those of AMX for products that fill its registers ([`amx`]), else
//! `vdpbf16ps` ([`vectors`]). Where there are none the inputs are rounded and multiplied in `f32`: the same products,
//! exactly, summed in another order.
//!
//! Split numbers take three products, which only AMX makes faster than one in `f32`. Elsewhere it is that one, which is nearer
//! to the truth as well (so does PyTorch's `set_float32_matmul_precision("high")`).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod packed;
#[cfg(target_arch = "x86_64")]
mod vectors;

use super::{Into, Matrix, Precision};

/// Raised whenever a product in a lower precision than `f32` changes.
pub const VERSION: u32 = 4;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("bfloat", VERSION).and(crate::versions())
}

/// What multiplies rounded numbers.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// Instructions that take packed panels.
    #[cfg(target_arch = "x86_64")]
    Packed(Packed),
    /// None: they are rounded first and multiplied in `f32`.
    Rounding,
}

/// Instructions that take packed panels.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) enum Packed {
    /// Those of AVX-512.
    Vectors,
    /// Those of AMX.
    Registers,
}

impl Unit {
    /// The one for a product, or none where nothing is rounded.
    pub(super) fn of(precision: Precision, a: Matrix<'_>, b: Matrix<'_>) -> Option<Self> {
        if precision == Precision::F32 {
            return None;
        }
        #[cfg(target_arch = "x86_64")]
        if vectors::are_here() {
            if fills_registers(a, b) && amx::are_here() {
                return Some(Self::Packed(Packed::Registers));
            }
            return (precision == Precision::Bf16).then_some(Self::Packed(Packed::Vectors));
        }
        (precision == Precision::Bf16).then_some(Self::Rounding)
    }
}

/// `c = a b` or `c += a b`.
///
/// # Safety
/// [`Unit::of`] must have found the unit, and `c` must have room for `a.rows` rows of `b.columns` values that are in use nowhere
/// else.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn product(
    unit: Packed,
    precision: Precision,
    c: *mut f32,
    c_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: Into,
) {
    // SAFETY: the caller's.
    unsafe {
        match unit {
            Packed::Registers => {
                let registers = amx::Registers::new().expect("those that `Unit::of` found");
                packed::product(amx::Matrix(registers), precision, c, c_stride, a, b, into);
            }
            Packed::Vectors => packed::product(vectors::Vectors, precision, c, c_stride, a, b, into),
        }
    }
}

/// Whether [`Precision::Bf16x3`] is another than [`Precision::F32`] on this processor.
#[must_use]
pub fn splits() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_registers = vectors::are_here() && amx::are_here();
    #[cfg(not(target_arch = "x86_64"))]
    let has_registers = false;
    has_registers
}

/// Whether a product is large enough to shape the registers of AMX for it: a register of each factor at least. The limit is not
/// measured.
#[cfg(target_arch = "x86_64")]
fn fills_registers(a: Matrix<'_>, b: Matrix<'_>) -> bool {
    a.rows >= 16 && a.columns >= 32 && b.columns >= 16
}

/// The nearest number of bfloat16, of two equally near ones the even.
fn rounded(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let bits = x.to_bits();
    f32::from_bits((bits.wrapping_add(0x7fff + ((bits >> 16) & 1))) & 0xffff_0000)
}

/// The product of rounded inputs in `f32`.
pub(super) fn product_of_rounded(c: &mut [f32], c_stride: usize, a: Matrix<'_>, b: Matrix<'_>, into: Into) {
    let near = |matrix: Matrix<'_>| matrix.values.iter().copied().map(rounded).collect::<Vec<f32>>();
    let (near_a, near_b) = (near(a), near(b));
    super::product(c, c_stride, Matrix { values: &near_a, ..a }, Matrix { values: &near_b, ..b }, into);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::product_in;
    use crate::matmul::tests::naive;
    use crate::reference::normals;
    use proptest::prelude::*;

    fn matrix(values: &[f32], rows: usize, columns: usize, turned: bool) -> Matrix<'_> {
        match turned {
            true => Matrix::new(values, columns, rows).transposed(),
            false => Matrix::new(values, rows, columns),
        }
    }

    type Product = fn(Precision, &mut [f32], usize, Matrix<'_>, Matrix<'_>, Into);

    /// Every implementation of both precisions that this processor has.
    fn implementations() -> Vec<Product> {
        let mut all: Vec<Product> = vec![product_in];
        #[cfg(target_arch = "x86_64")]
        if vectors::are_here() {
            use packed::product;
            // SAFETY: the features were detected, and `check` passes products that fit together and their place.
            unsafe {
                all.push(|p, c, stride, a, b, into| {
                    product(vectors::Vectors, p, c.as_mut_ptr(), stride, a, b, into);
                });
                all.push(|p, c, stride, a, b, into| {
                    product(amx::Matrix(amx::InMemory::new()), p, c.as_mut_ptr(), stride, a, b, into);
                });
                if amx::are_here() {
                    all.push(|p, c, stride, a, b, into| {
                        let registers = amx::Registers::new().expect("those of a line above");
                        product(amx::Matrix(registers), p, c.as_mut_ptr(), stride, a, b, into);
                    });
                }
            }
        }
        all
    }

    /// All implementations against sums of products in `f64`, of `|a| |b|` at most so much.
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
            let mut all = implementations();
            if is_one {
                all.push(|_, c, stride, a, b, into| product_of_rounded(c, stride, a, b, into));
            }
            for run in all {
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
            check(14, 771, 33, turned_a, turned_b, Into::Overwrite);
            check(3, 7, 405, turned_a, turned_b, Into::Add);
            check(1541, 40, 35, turned_a, turned_b, Into::Add);
        }
    }

    #[test]
    fn strides_leave_the_gaps_alone_and_nothing_is_zero() {
        let (a, b) = ([1.0, 2.0, 9.0, 3.0, 4.0], [1.0, 0.0, 9.0, 9.0, 0.0, 1.0]);
        for precision in [Precision::Bf16, Precision::Bf16x3] {
            let mut c = [7.0; 5];
            let (a, b) = (Matrix::strided(&a, 2, 2, 3), Matrix::strided(&b, 2, 2, 4));
            product_in(precision, &mut c, 3, a, b, Into::Overwrite);
            assert_eq!(c, [1.0, 2.0, 7.0, 3.0, 4.0]);
            let mut c = [7.0; 4];
            product_in(precision, &mut c, 2, Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2), Into::Overwrite);
            assert_eq!(c, [0.0; 4]);
        }
    }

    /// Linux lists what the processor has and it knows of; it may still refuse it to a process.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn registers_are_found_only_where_the_system_lists_them() {
        let listed = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" amx_bf16 "));
        assert!(listed || amx::Registers::new().is_none());
    }

    #[test]
    fn halves_are_rounded_to_even() {
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(rounded(-1.004), -1.0078125);
        assert!(rounded(f32::NAN).is_nan());
    }
}
