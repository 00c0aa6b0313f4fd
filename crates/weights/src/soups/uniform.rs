//! The uniform soup: the mean of all members, `1/n sum_i theta_i` (Wortsman et al. 2022).
//!
//! Summed in `f64` in the order given and rounded once, so that the soup of copies is the copy. One pass over
//! each member, in blocks that stay in the cache: of members in memory ([`soup`]), or of files of which no more
//! than a window is ever looked at ([`stream`]). Both give the same bytes.

use rayon::prelude::*;

use crate::{Error, Stored, Weights, stored};

/// Changes whenever the mean changes.
pub const VERSION: u32 = 1;

/// Values that are summed at a time: 32 KiB of running sums.
const BLOCK: usize = 4096;

/// Values that [`stream`] hands on at a time: 4 MiB.
const WINDOW: usize = 1 << 20;

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
    let mut sums = [0.0_f64; BLOCK];
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let sums = &mut sums[..out.len()];
        sums.fill(0.0);
        for member in members {
            add(&member.values[block * BLOCK..][..out.len()], sums);
        }
        divide(sums, members.len(), out);
    }
}

/// Hands the safetensors file of the mean of `members` to `take`, piece by piece: its header, then at most `WINDOW`
/// values at a time. No more than a window of each member is looked at between two pieces; where they are
/// memory-mapped, `take` is the place to let go of what was read.
///
/// # Errors
/// As [`soup`], [`Error::Member`] for a model with a value that is not finite, and whatever `take` fails with.
pub fn stream<E: From<Error>>(
    members: &[Stored<'_>],
    take: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (first, others) = members.split_first().ok_or(Error::Empty)?;
    for other in others {
        first.layout().same(other.layout())?;
    }
    take(&stored::header(first.layout()))?;
    let (mut window, mut bytes) = (Vec::new(), Vec::new());
    for (tensor, entry) in first.layout().entries().iter().enumerate() {
        for start in (0..entry.len).step_by(WINDOW) {
            window.resize(WINDOW.min(entry.len - start), 0.0);
            window
                .par_chunks_mut(BLOCK)
                .enumerate()
                .try_for_each(|(block, out)| mean_of_block(members, tensor, start + block * BLOCK, out))?;
            bytes.resize(4 * window.len(), 0);
            stored::encode(&window, &mut bytes);
            take(&bytes)?;
        }
    }
    Ok(())
}

/// The mean of the values of one tensor from `start` on.
fn mean_of_block(members: &[Stored<'_>], tensor: usize, start: usize, out: &mut [f32]) -> Result<(), Error> {
    let (mut sums, mut values) = ([0.0_f64; BLOCK], [0.0_f32; BLOCK]);
    let (sums, values) = (&mut sums[..out.len()], &mut values[..out.len()]);
    for (member, file) in members.iter().enumerate() {
        file.decode(tensor, start..start + values.len(), values)
            .map_err(|error| Error::Member { member, source: Box::new(error) })?;
        add(values, sums);
    }
    divide(sums, members.len(), out);
    Ok(())
}

fn add(values: &[f32], sums: &mut [f64]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += f64::from(value);
    }
}

fn divide(sums: &[f64], n: usize, out: &mut [f32]) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = (sum / n as f64) as f32;
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

    /// Tensors that end within, at and after the seams of blocks and windows.
    #[test]
    fn files_give_what_memory_gives() {
        let mut layout = Layout::default();
        for (name, len) in [("z", 1), ("b", WINDOW + BLOCK + 5), ("a", 2 * BLOCK), ("c", 0)] {
            layout.push(name, &[len]);
        }
        let layout = Arc::new(layout);
        let members: Vec<Weights> = (0..5_u64)
            .map(|seed| {
                let mut weights = Weights::zeros(Arc::clone(&layout));
                let mut stream = random::Stream::new(seed, "members");
                weights.values.fill_with(|| stream.normal() as f32);
                weights
            })
            .collect();
        let files: Vec<Vec<u8>> = members.iter().map(Weights::to_safetensors).collect();
        let stored: Vec<Stored<'_>> = files.iter().map(|file| Stored::parse(file).unwrap()).collect();
        let mut file = Vec::new();
        let mut write = |piece: &[u8]| -> Result<(), Error> {
            assert!(piece.len() <= 4 * WINDOW);
            file.extend_from_slice(piece);
            Ok(())
        };
        stream(&stored, &mut write).unwrap();
        assert_eq!(file, soup(&members.iter().collect::<Vec<_>>()).unwrap().to_safetensors());
    }

    #[test]
    fn a_file_that_holds_nan_is_named() {
        let good = weights(0);
        let mut bad = weights(1);
        bad.values[7] = f32::NAN;
        let files = [good.to_safetensors(), bad.to_safetensors()];
        let stored: Vec<Stored<'_>> = files.iter().map(|file| Stored::parse(file).unwrap()).collect();
        let error = stream(&stored, &mut |_: &[u8]| Ok::<(), Error>(())).unwrap_err();
        assert_eq!(error.to_string(), "model 1: tensor `body.bias` holds NaN at index 1");
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
