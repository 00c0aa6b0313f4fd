//! Large products on several threads, for a pass that has them to itself.
//!
//! Whoever has one pass to run and a pool lends it that ([`shared`]); where there are as many passes as threads, each
//! product stays on its own. A part is rows or columns of the result, whose sums are the same in a part and in the whole.

use std::cell::Cell;

use rayon::ThreadPool;
use rayon::prelude::*;

use super::Matrix;

/// Multiplications that a part has at least: they take longer than a thread to wake up (a tenth of a millisecond in bfloat16),
/// and no part is one for the register tile where the whole is not.
const LEAST: usize = 1 << 25;
/// Rows or columns of a part on the mean, at least. Parts begin at multiples of half as many, so that all have more than 64: of
/// fewer in both directions `gemm` cuts the inner dimension otherwise, and of one it is another kind of product.
const WIDTH: usize = 128;

thread_local! {
    /// Among how many threads this one shares its products.
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// Until it is dropped, this thread shares its products among so many.
struct Sharing {
    before: usize,
}

impl Sharing {
    fn among(threads: usize) -> Self {
        Self { before: THREADS.replace(threads) }
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        THREADS.set(self.before);
    }
}

/// Runs a pass in the pool, and its large products on all of its threads. Same bytes.
pub fn shared<R: Send>(pool: &ThreadPool, pass: impl FnOnce() -> R + Send) -> R {
    pool.install(|| {
        let _sharing = Sharing::among(rayon::current_num_threads());
        pass()
    })
}

/// A place in `c` that a part writes to, and no other.
#[derive(Clone, Copy)]
struct Place(*mut f32);

// SAFETY: parts have no value of `c` in common.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    /// A method, since a closure would take the pointer alone.
    fn plus(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

/// Calls `multiply(c, a, b)` for the whole product or, on several threads, for parts of it: with rows of `a`, or columns of `b`,
/// and the first of their places in `c`.
pub(super) fn in_parts<'a>(
    c: &mut [f32],
    c_stride: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
    multiply: impl Fn(*mut f32, Matrix<'a>, Matrix<'a>) + Sync,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    let place = Place(c.as_mut_ptr());
    // The factor that is not cut is packed by every thread: it should be the smaller one.
    let length = m.max(n);
    let parts = THREADS.get().min(m * k * n / LEAST).min(length / WIDTH);
    if parts < 2 {
        return multiply(place.plus(0), a, b);
    }
    let cut = |part: usize| match part == parts {
        true => length,
        false => part * length / parts / (WIDTH / 2) * (WIDTH / 2),
    };
    (0..parts).into_par_iter().for_each(|part| {
        let _denormals = crate::denormals::Guard::new();
        let _sharing = Sharing::among(1);
        let (first, count) = (cut(part), cut(part + 1) - cut(part));
        if m > n {
            multiply(place.plus(first * c_stride), a.rows_from(first, count), b);
        } else {
            multiply(place.plus(first), a, b.transposed().rows_from(first, count).transposed());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Into, Precision, product_in};
    use super::*;
    use crate::reference::normals;
    use proptest::prelude::*;

    /// A product by one thread and by more.
    fn check(threads: usize, [m, k, n]: [usize; 3], turned: [bool; 2], into: Into) {
        let (left, right) = (normals(1, "a", m * k, 1.0), normals(2, "b", k * n, 1.0));
        let old = normals(3, "c", m * (n + 3), 1.0);
        let turn = |values, rows, columns, turned| match turned {
            true => Matrix::new(values, columns, rows).transposed(),
            false => Matrix::new(values, rows, columns),
        };
        let (a, b) = (turn(&left[..], m, k, turned[0]), turn(&right[..], k, n, turned[1]));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for precision in [Precision::F32, Precision::Bf16x3, Precision::Bf16] {
            let mut alone = old.clone();
            product_in(precision, &mut alone, n + 3, a, b, into);
            let mut together = old.clone();
            shared(&pool, || product_in(precision, &mut together, n + 3, a, b, into));
            assert!(alone == together, "{precision:?} {m} x {k} x {n} on {threads} threads");
            assert_eq!(alone[n..n + 3], old[n..n + 3], "gaps are left alone");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn bytes_do_not_depend_on_threads(
            threads in 2_usize..6, m in 1_usize..900, k in 1_usize..900, n in 1_usize..900,
            ta: bool, tb: bool, add: bool,
        ) {
            check(threads, [m, k, n], [ta, tb], if add { Into::Add } else { Into::Overwrite });
        }
    }

    #[test]
    fn products_of_layers() {
        for (m, k, n) in
            [(512, 384, 1152), (512, 1536, 384), (3072, 512, 768), (100, 768, 3072), (4096, 512, 65)]
        {
            for threads in [2, 3, 16] {
                check(threads, [m, k, n], [false, true], Into::Overwrite);
                check(threads, [m, k, n], [true, false], Into::Add);
            }
        }
    }

    /// A part of a single row or column would be another kind of product.
    #[test]
    fn lengths_that_leave_a_rest() {
        for (threads, m, k, n) in [(5, 769, 1024, 600), (5, 600, 1024, 769), (16, 1921, 1024, 500)] {
            check(threads, [m, k, n], [false, true], Into::Overwrite);
        }
    }

    #[test]
    fn large_products_are_cut_and_others_are_not() {
        let values = vec![0.0; 1024 * 1024];
        let sizes = |m: usize, k: usize, n: usize| {
            let (a, b) = (Matrix::new(&values[..m * k], m, k), Matrix::new(&values[..k * n], k, n));
            let found = std::sync::Mutex::new(Vec::new());
            in_parts(&mut vec![0.0; m * n], n, a, b, |_, a, b| {
                found.lock().unwrap().push((a.rows, b.columns))
            });
            let mut found = found.into_inner().unwrap();
            found.sort_unstable();
            found
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(sizes(1000, 512, 300), [(1000, 300)], "a pass that is not alone");
        assert_eq!(shared(&pool, || sizes(1000, 512, 300)), [(320, 300), (320, 300), (360, 300)]);
        assert_eq!(shared(&pool, || sizes(300, 512, 1000)), [(300, 320), (300, 320), (300, 360)]);
        assert_eq!(shared(&pool, || sizes(256, 128, 256)), [(256, 256)], "too little for two");
        assert_eq!(shared(&pool, || sizes(255, 1024, 255)), [(255, 255)], "too narrow for two");
    }

    #[test]
    fn a_pass_that_ends_gives_its_threads_back() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(shared(&pool, || THREADS.get()), 3);
        let fails = || shared(&pool, || panic!("a pass that fails"));
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(fails));
        assert!(failed.is_err());
        assert_eq!(pool.broadcast(|_| THREADS.get()), [1; 3]);
        assert_eq!(THREADS.get(), 1);
    }
}
