//! Steps along lines in weight space.

use crate::lanes::{Lanes, dispatched};

dispatched! {
    /// `y += a x`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn axpy(y: &mut [f32], a: f32, x: &[f32]) = axpy_body
}
dispatched! {
    /// `out = (1 - alpha) a + alpha b`: exactly `a` at 0 and `b` at 1 for finite values.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn lerp(out: &mut [f32], a: &[f32], b: &[f32], alpha: f32) = lerp_body
}

#[inline(always)]
fn axpy_body<V: Lanes>(y: &mut [f32], a: f32, x: &[f32]) {
    assert_eq!(y.len(), x.len(), "lengths of a step");
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

#[inline(always)]
fn lerp_body<V: Lanes>(out: &mut [f32], a: &[f32], b: &[f32], alpha: f32) {
    assert_eq!((out.len(), a.len()), (b.len(), b.len()), "lengths along a line");
    let rest = 1.0 - alpha;
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = rest * a + alpha * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::normals;

    #[test]
    fn ends_are_exact_and_instruction_sets_agree() {
        let (a, b) = (normals(0, "a", 103, 1.0), normals(0, "b", 103, 1.0));
        let (mut out, mut plain) = (vec![0.0; 103], vec![0.0; 103]);
        lerp(&mut out, &a, &b, 0.0);
        assert_eq!(out, a);
        lerp(&mut out, &a, &b, 1.0);
        assert_eq!(out, b);
        lerp(&mut out, &a, &b, 0.3);
        lerp_body::<f32>(&mut plain, &a, &b, 0.3);
        assert_eq!(out, plain);
        axpy(&mut out, 0.25, &a);
        assert!((0..103).all(|i| out[i] == plain[i] + 0.25 * a[i]));
    }
}
