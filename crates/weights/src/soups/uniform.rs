//! The uniform soup: the mean of all members, `1/n sum_i theta_i` (Wortsman et al. 2022).
//!
//! Summed in `f64` in the order given and rounded once, so that the soup of copies is the copy. One pass over each
//! member, in blocks that stay in the cache.

use crate::Error;
use crate::Weights;
use crate::members::{BLOCK, Members, Tensor};
use crate::merges::ANY;
use crate::methods::{Base, How, Method};

/// The mean of all.
pub static METHOD: Method = Method {
    name: "uniform",
    about: "The mean of all (Wortsman et al. 2022)",
    version: 1,
    parameters: &[],
    base: Base::Unused,
    random: false,
    members: ANY,
    how: How::Values(|tensor, _, start, out| mean(tensor, start, out)),
};

/// Writes the mean of all models from value `start` on.
pub(crate) fn mean(tensor: &Tensor<'_>, start: usize, out: &mut [f32]) -> Result<(), Error> {
    Tensor::in_blocks(start, out, |start, out| {
        let (mut sums, mut values) = ([0.0_f64; BLOCK], [0.0_f32; BLOCK]);
        let (sums, values) = (&mut sums[..out.len()], &mut values[..out.len()]);
        for member in 0..tensor.models() {
            tensor.read(member, start, values)?;
            for (sum, &value) in sums.iter_mut().zip(&*values) {
                *sum += f64::from(value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = (*sum / tensor.models() as f64) as f32;
        }
        Ok(())
    })
}

/// Writes the mean of the models numbered `chosen`.
pub(super) fn mean_of(members: &Members<'_>, chosen: &[usize], out: &mut Weights) -> Result<(), Error> {
    let chosen = members.only(chosen);
    for (index, entry) in members.layout().entries().iter().enumerate() {
        mean(&chosen.tensor(index), 0, &mut out.values[entry.range()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::parameters::Plan;
    use crate::tests::weights;
    use crate::{Layout, Stored};

    fn soup(members: &[&Weights]) -> Result<Weights, Error> {
        METHOD.merge(&Members::of(members)?, &Plan::default())
    }

    fn stream(files: &[Stored<'_>], layout: &Arc<Layout>) -> Result<Vec<u8>, Error> {
        let mut file = Vec::new();
        let mut take = |piece: &[u8]| -> Result<(), Error> {
            assert!(piece.len() <= 4 * WINDOW);
            file.extend_from_slice(piece);
            Ok(())
        };
        METHOD.stream(&Members::of_files(files, layout)?, &Plan::default(), &mut take)?;
        Ok(file)
    }

    const WINDOW: usize = 1 << 20;

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
        let expected = soup(&members.iter().collect::<Vec<_>>()).unwrap().to_safetensors();
        assert_eq!(stream(&stored, &layout).unwrap(), expected);
    }

    #[test]
    fn a_file_that_holds_nan_is_named() {
        let good = weights(0);
        let mut bad = weights(1);
        bad.values[7] = f32::NAN;
        let files = [good.to_safetensors(), bad.to_safetensors()];
        let stored: Vec<Stored<'_>> = files.iter().map(|file| Stored::parse(file).unwrap()).collect();
        let error = stream(&stored, good.layout()).unwrap_err();
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
