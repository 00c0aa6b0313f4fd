//! Denormal numbers off.
//!
//! A softmax that has made up its mind leaves denormals, on which arithmetic is 25 times slower. Training threads
//! hold a [`Guard`], under which they are read and written as zeros.

/// While it lives, this thread treats denormals as zeros; then the thread is as it was before.
#[derive(Debug)]
pub struct Guard {
    before: u32,
    /// The setting is the thread's: the guard must not be sent to another.
    not_send: std::marker::PhantomData<*const ()>,
}

impl Guard {
    /// Turns denormals off for this thread. Does nothing on other machines than x86-64.
    #[must_use = "denormals are back on when the guard is dropped"]
    #[expect(clippy::new_without_default, reason = "an effect should not hide behind `default`")]
    pub fn new() -> Self {
        let before = control();
        set_control(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
        Self { before, not_send: std::marker::PhantomData }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        set_control(self.before);
    }
}

const FLUSH_TO_ZERO: u32 = 1 << 15;
const DENORMALS_ARE_ZERO: u32 = 1 << 6;

#[cfg(target_arch = "x86_64")]
fn control() -> u32 {
    let mut register = 0_u32;
    // SAFETY: stores the control register, which every x86-64 has, in a local variable.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut register, options(nostack, preserves_flags)) };
    register
}

#[cfg(target_arch = "x86_64")]
fn set_control(register: u32) {
    // SAFETY: loads a value that `control` read, with two documented bits possibly set: no exception is unmasked and
    // the rounding stays to nearest.
    unsafe {
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const register, options(nostack, preserves_flags))
    };
}

#[cfg(not(target_arch = "x86_64"))]
fn control() -> u32 {
    0
}

#[cfg(not(target_arch = "x86_64"))]
fn set_control(_register: u32) {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn off_and_on_again() {
        let half = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
        assert!(half() > 0.0);
        {
            let _guard = Guard::new();
            assert_eq!(half(), 0.0);
            let _inner = Guard::new();
        }
        assert!(half() > 0.0);
    }
}
