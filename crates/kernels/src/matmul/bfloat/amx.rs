//! A tile in the matrix registers of AMX (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18):
//! `tdpbf16ps` multiplies sixteen rows of 32 numbers of bfloat16 with as many columns, in one instruction.
//!
//! Stable Rust has no intrinsics for it, so the instructions are written out. What is done with them is the same for
//! [`Registers`] and for the tests' registers in memory, which every processor has.

use std::sync::OnceLock;

use super::packed::{COLUMNS, Factors, Order, Place, ROW_STRIDE, Tile};

/// Rows of a register, each of 64 bytes: sixteen pairs of bfloat16, or sixteen sums.
const ROWS: usize = 16;

/// Eight registers of [`ROWS`] rows, by number.
///
/// # Safety
/// Memory at an address must have that many rows of 64 bytes, as many bytes apart as are said.
pub(super) trait Matrices {
    /// Register `R` becomes zero.
    unsafe fn zero<const R: usize>(&mut self);
    /// Register `R` becomes the rows at an address.
    unsafe fn load<const R: usize>(&mut self, from: *const u8, stride: usize);
    /// Register `R` goes to the rows at an address.
    unsafe fn store<const R: usize>(&mut self, to: *mut u8, stride: usize);
    /// `C += A B`: pairs of a row of `A` with the rows of `B`, whose pairs are its columns.
    unsafe fn multiply<const C: usize, const A: usize, const B: usize>(&mut self);
}

/// The tile: 32 rows and columns, in four registers of sums.
pub(super) struct Matrix<M>(pub(super) M);

impl<M: Matrices> Tile for Matrix<M> {
    const ROWS: usize = 2 * ROWS;
    const STRIDED: Order = Order::Rows;

    #[inline(always)]
    unsafe fn multiply(&mut self, factors: Factors, place: Place) {
        if place.rows == Self::ROWS && place.columns == COLUMNS {
            // SAFETY: the caller's, and the place is whole.
            return unsafe { self.whole(factors, place) };
        }
        // An edge: a whole tile beside, of which a part is taken.
        let mut sums = [0.0_f32; 2 * ROWS * COLUMNS];
        let whole =
            Place { c: sums.as_mut_ptr(), stride: COLUMNS, rows: Self::ROWS, columns: COLUMNS, add: false };
        // SAFETY: the caller's; the tile beside is whole.
        unsafe { self.whole(factors, whole) };
        for (row, sums) in sums.chunks_exact(COLUMNS).enumerate().take(place.rows) {
            for (column, &sum) in sums.iter().enumerate().take(place.columns) {
                // SAFETY: the caller vouches for the place.
                unsafe {
                    let to = place.c.add(row * place.stride + column);
                    *to = if place.add { *to + sum } else { sum };
                }
            }
        }
    }
}

impl<M: Matrices> Matrix<M> {
    /// A tile whose place is whole: registers 0 to 3 are its quarters, 4 and 5 rows of `A`, 6 and 7 columns of `B`.
    #[inline(always)]
    unsafe fn whole(&mut self, factors: Factors, place: Place) {
        let (c_stride, lower) = (4 * place.stride, place.c.wrapping_add(ROWS * place.stride));
        let quarters =
            [place.c, place.c.wrapping_add(16), lower, lower.wrapping_add(16)].map(<*mut f32>::cast::<u8>);
        let m = &mut self.0;
        // SAFETY: the caller vouches for 32 rows and columns, for the pairs, and for zeros up to a multiple of sixteen.
        unsafe {
            if place.add {
                m.load::<0>(quarters[0], c_stride);
                m.load::<1>(quarters[1], c_stride);
                m.load::<2>(quarters[2], c_stride);
                m.load::<3>(quarters[3], c_stride);
            } else {
                m.zero::<0>();
                m.zero::<1>();
                m.zero::<2>();
                m.zero::<3>();
            }
            for product in 0..factors.products() {
                let (a, b) = factors.product(product);
                for pair in (0..factors.pairs).step_by(16) {
                    let (a, b) = (a.add(pair), b.add(pair * COLUMNS));
                    m.load::<4>(a.cast(), 4 * ROW_STRIDE);
                    m.load::<6>(b.cast(), 4 * COLUMNS);
                    m.multiply::<0, 4, 6>();
                    m.load::<7>(b.add(16).cast(), 4 * COLUMNS);
                    m.multiply::<1, 4, 7>();
                    m.load::<5>(a.add(ROWS * ROW_STRIDE).cast(), 4 * ROW_STRIDE);
                    m.multiply::<2, 5, 6>();
                    m.multiply::<3, 5, 7>();
                }
            }
            m.store::<0>(quarters[0], c_stride);
            m.store::<1>(quarters[1], c_stride);
            m.store::<2>(quarters[2], c_stride);
            m.store::<3>(quarters[3], c_stride);
        }
    }
}

/// The registers of this processor, shaped for this thread while it lives.
pub(super) struct Registers {
    /// They are the thread's.
    not_send: std::marker::PhantomData<*const ()>,
}

/// The shape of the registers, as `ldtilecfg` reads it.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Whether there are registers, and the operating system grants their use.
pub(super) fn are_here() -> bool {
    static ARE_HERE: OnceLock<bool> = OnceLock::new();
    *ARE_HERE.get_or_init(|| are_supported() && are_granted())
}

impl Registers {
    /// Shapes this thread's registers; `None` where none [`are_here`].
    pub(super) fn new() -> Option<Self> {
        if !are_here() {
            return None;
        }
        let first_eight = |i: usize| i < 8;
        let shape = Shape {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: std::array::from_fn(|i| if first_eight(i) { 64 } else { 0 }),
            rows: std::array::from_fn(|i| if first_eight(i) { ROWS as u8 } else { 0 }),
        };
        // SAFETY: the registers are here, and the shape is one that palette 1 has.
        unsafe {
            std::arch::asm!("ldtilecfg [{}]", in(reg) &raw const shape, options(nostack, preserves_flags))
        };
        Some(Self { not_send: std::marker::PhantomData })
    }
}

impl Drop for Registers {
    /// Without their contents a change of threads is cheaper, and the processor may save power.
    fn drop(&mut self) {
        // SAFETY: whoever has `self` has the registers.
        unsafe { std::arch::asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

impl Matrices for Registers {
    #[inline(always)]
    unsafe fn zero<const R: usize>(&mut self) {
        // SAFETY: whoever has `self` has the registers.
        unsafe { std::arch::asm!("tilezero tmm{r}", r = const R, options(nomem, nostack, preserves_flags)) };
    }

    #[inline(always)]
    unsafe fn load<const R: usize>(&mut self, from: *const u8, stride: usize) {
        // SAFETY: the caller vouches for the rows.
        unsafe {
            std::arch::asm!("tileloadd tmm{r}, [{from} + {stride} * 1]", r = const R, from = in(reg) from,
                stride = in(reg) stride, options(readonly, nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn store<const R: usize>(&mut self, to: *mut u8, stride: usize) {
        // SAFETY: the caller vouches for the rows.
        unsafe {
            std::arch::asm!("tilestored [{to} + {stride} * 1], tmm{r}", r = const R, to = in(reg) to,
                stride = in(reg) stride, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn multiply<const C: usize, const A: usize, const B: usize>(&mut self) {
        // SAFETY: whoever has `self` has the registers.
        unsafe {
            std::arch::asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                options(nomem, nostack, preserves_flags));
        }
    }
}

/// Whether processor and operating system know the registers and their products of bfloat16.
fn are_supported() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    /// Shapes and contents of the registers, in the set of states that the system saves.
    const STATES: u64 = 0b11 << 17;
    const OSXSAVE: u32 = 1 << 27;
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;

    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: the caller looked for `OSXSAVE`.
        unsafe { _xgetbv(0) }
    }

    let (most, one) = (__cpuid(0).eax, __cpuid(1).ecx);
    if most < 7 || one & OSXSAVE == 0 {
        return false;
    }
    let seven = __cpuid_count(7, 0).edx;
    // SAFETY: the system has switched `xsave` on.
    seven & AMX_BF16 != 0 && seven & AMX_TILE != 0 && unsafe { saved() } & STATES == STATES
}

/// Asks Linux for the registers, which it gives a process when it asks (`arch_prctl(2)`, `ARCH_REQ_XCOMP_PERM`).
#[cfg(target_os = "linux")]
fn are_granted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const CONTENTS: i64 = 18;
    let answer: i64;
    // SAFETY: a system call that takes two numbers and touches no memory.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") ARCH_PRCTL => answer, in("rdi") REQUEST_PERMISSION, in("rsi") CONTENTS,
            out("rcx") _, out("r11") _, options(nostack));
    }
    answer == 0
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn are_granted() -> bool {
    false
}

/// Registers in memory, for processors that have no others.
#[cfg(test)]
pub(super) struct InMemory([[[u32; 16]; ROWS]; 8]);

#[cfg(test)]
impl InMemory {
    pub(super) fn new() -> Self {
        // Whoever reads a register that was not written finds NaN.
        Self([[[u32::MAX; 16]; ROWS]; 8])
    }
}

#[cfg(test)]
impl Matrices for InMemory {
    unsafe fn zero<const R: usize>(&mut self) {
        self.0[R] = [[0; 16]; ROWS];
    }

    unsafe fn load<const R: usize>(&mut self, from: *const u8, stride: usize) {
        for (row, values) in self.0[R].iter_mut().enumerate() {
            // SAFETY: the caller vouches for the rows.
            *values = unsafe { from.add(row * stride).cast::<[u32; 16]>().read_unaligned() };
        }
    }

    unsafe fn store<const R: usize>(&mut self, to: *mut u8, stride: usize) {
        for (row, values) in self.0[R].iter().enumerate() {
            // SAFETY: the caller vouches for the rows.
            unsafe { to.add(row * stride).cast::<[u32; 16]>().write_unaligned(*values) };
        }
    }

    unsafe fn multiply<const C: usize, const A: usize, const B: usize>(&mut self) {
        let halves = |pair: u32| [pair << 16, pair & 0xffff_0000].map(f32::from_bits);
        for row in 0..ROWS {
            for column in 0..16 {
                let mut sum = f32::from_bits(self.0[C][row][column]);
                for pair in 0..16 {
                    let (a, b) = (halves(self.0[A][row][pair]), halves(self.0[B][pair][column]));
                    sum = a[1].mul_add(b[1], a[0].mul_add(b[0], sum));
                }
                self.0[C][row][column] = sum.to_bits();
            }
        }
    }
}
