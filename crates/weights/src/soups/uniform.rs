//! The uniform soup: the mean of all members, `1/n sum_i theta_i` (Wortsman et al. 2022).
//!
//! Summed in `f64` in the order given and rounded once, so that the soup of copies is the copy. One pass over
//! each member, in blocks that stay in the cache.

use crate::{Error, Weights};

/// Changes whenever the mean changes.
pub const VERSION: u32 = 1;

/// Values that are summed at a time: 32 KiB of running sums.
const BLOCK: usize = 4096;

/// The mean of `members`.
///
/// # Errors
/// [`Error::Empty`] without members; [`Error::Missing`], [`Error::Shape`] or [`Error::Structure`] if two do
/// not hold the same tensors.
pub fn soup(members: &[&Weights]) -> Result<Weights, Error> {
    let (first, others) = members.split_first().ok_or(Error::Empty)?;
    for other in others {
        first.layout().same(other.layout())?;
    }
    let mut mean = Weights::zeros(std::sync::Arc::clone(first.layout()));
    mean_into(members, &mut mean.values);
    Ok(mean)
}

/// Writes the mean of `members`, which have as many values as `out`.
pub(super) fn mean_into(members: &[&Weights], out: &mut [f32]) {
    let n = members.len() as f64;
    let mut sums = [0.0_f64; BLOCK];
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let sums = &mut sums[..out.len()];
        sums.fill(0.0);
        for member in members {
            let values = &member.values[block * BLOCK..][..out.len()];
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += f64::from(value);
            }
        }
        for (out, sum) in out.iter_mut().zip(&*sums) {
            *out = (sum / n) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::Layout;
    use crate::tests::weights;

    proptest! {
        #[test]
        fn is_the_mean_in_any_order(seeds in prop::collection::vec(0..1000_u64, 1..9)) {
            let members: Vec<Weights> = seeds.iter().map(|&seed| weights(seed)).collect();
            let forward: Vec<&Weights> = members.iter().collect();
            let backward: Vec<&Weights> = members.iter().rev().collect();
            let mean = soup(&forward).unwrap();
            for (i, &value) in mean.values.iter().enumerate() {
                let naive = members.iter().map(|member| f64::from(member.values[i])).sum::<f64>() / members.len() as f64;
                prop_assert!((f64::from(value) - naive).abs() <= naive.abs() * 6e-8);
            }
            let other_way = soup(&backward).unwrap();
            for (a, b) in mean.values.iter().zip(&other_way.values) {
                prop_assert!((a - b).abs() <= a.abs() * f32::EPSILON);
            }
        }
    }

    #[test]
    fn blocks_meet_without_a_seam() {
        let mut layout = Layout::default();
        layout.push("w", &[2 * BLOCK + 3]);
        let mut a = Weights::zeros(Arc::new(layout));
        for (i, value) in a.values.iter_mut().enumerate() {
            *value = i as f32;
        }
        let mut b = a.clone();
        b.values.iter_mut().for_each(|value| *value += 2.0);
        let mean = soup(&[&a, &b]).unwrap();
        assert!(mean.values.iter().enumerate().all(|(i, &value)| value == i as f32 + 1.0));
    }

    #[test]
    fn refuses_nothing_and_strangers() {
        assert!(matches!(soup(&[]), Err(Error::Empty)));
        let mut layout = Layout::default();
        layout.push("other", &[1]);
        let stranger = Weights::zeros(Arc::new(layout));
        let message = soup(&[&weights(0), &stranger]).unwrap_err().to_string();
        assert_eq!(message, "tensor `body.weight` is missing");
    }
}
