//! What TIES, DARE, DELLA and breadcrumbs share: task vectors are thinned, weighed, and added where their signs agree.
//!
//! A thinning gives each value of a task vector a factor: 0 where it is dropped, 1 or the rescaling where it is kept.
//! The models of one tensor are read one after the other, so that memory does not grow with their number: at most two
//! `f32` and three `f64` for each value of the tensor, and a model's copy while its largest values are selected.

use std::ops::Range;

use random::Stream;
use rayon::prelude::*;

use crate::Error;
use crate::members::{BLOCK, Members, Tensor};
use crate::parameters::Settings;

/// A task vector of one model and one tensor, in `f32`.
pub(super) struct Vector<'a> {
    pub tensor: &'a Tensor<'a>,
    pub member: usize,
    pub values: &'a [f32],
}

impl Vector<'_> {
    /// The stream of random numbers of this tensor and model.
    pub(super) fn stream(&self, purpose: &str, settings: &Settings) -> Stream {
        Stream::at(settings.seed, &format!("{purpose}/{}", self.tensor.name), self.member as u64)
    }
}

/// How thinned task vectors become one.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Only values of the sign of the weighed sum count.
    pub elect: bool,
    /// The sum is divided by the weights that it is of.
    pub mean: bool,
}

/// Writes `base + scale * sum_i weight_i factor_i tau_i`, over the values and by the division that `rule` says.
pub(super) fn merge(
    tensor: &Tensor<'_>,
    settings: &Settings,
    rule: Rule,
    thin: impl Fn(&Vector<'_>, &mut [f32]) -> Result<(), Error>,
    out: &mut [f32],
) -> Result<(), Error> {
    let weights = settings.each("weight", tensor.models());
    let mut thinned = Thinned { tensor, thin, delta: vec![0.0; tensor.len], factors: vec![0.0; tensor.len] };
    let mut elected = Vec::new();
    if rule.elect {
        elected = vec![0.0_f64; tensor.len];
        for (member, &weight) in weights.iter().enumerate() {
            thinned.each(member, &mut elected, |sum, delta| *sum += weight * delta)?;
        }
    }
    // [sum, weights that it is of]
    let mut sums = vec![[0.0_f64; 2]; tensor.len];
    for (member, &weight) in weights.iter().enumerate() {
        if rule.elect {
            let mut both: Vec<(&mut [f64; 2], f64)> = sums.iter_mut().zip(elected.iter().copied()).collect();
            thinned.each(member, &mut both, |(sum, sign), delta| {
                let delta = weight * delta;
                if delta * *sign > 0.0 {
                    sum[0] += delta;
                    sum[1] += weight;
                }
            })?;
        } else {
            thinned.each(member, &mut sums, |sum, delta| {
                sum[0] += weight * delta;
                sum[1] += weight;
            })?;
        }
    }
    let scale = settings.get("scale");
    tensor.read_base(0, out)?;
    for (out, [sum, weight]) in out.iter_mut().zip(sums) {
        let divisor = if rule.mean && weight.abs() >= 1e-8 { weight } else { 1.0 };
        *out = (f64::from(*out) + scale * sum / divisor) as f32;
    }
    Ok(())
}

/// A tensor whose models are thinned one after the other.
struct Thinned<'a, F> {
    tensor: &'a Tensor<'a>,
    thin: F,
    delta: Vec<f32>,
    factors: Vec<f32>,
}

impl<F: Fn(&Vector<'_>, &mut [f32]) -> Result<(), Error>> Thinned<'_, F> {
    /// Calls `with` on each of `out` and the thinned difference of model `member` there, taken in `f64`.
    fn each<T: Send>(
        &mut self,
        member: usize,
        out: &mut [T],
        with: impl Fn(&mut T, f64) + Sync,
    ) -> Result<(), Error> {
        let Self { tensor, delta, .. } = self;
        delta.par_chunks_mut(BLOCK).enumerate().try_for_each(|(block, delta)| {
            let mut base = vec![0.0; delta.len()];
            tensor.read_base(block * BLOCK, &mut base)?;
            tensor.read(member, block * BLOCK, delta)?;
            delta.iter_mut().zip(base).for_each(|(delta, base)| *delta -= base);
            Ok::<(), Error>(())
        })?;
        (self.thin)(&Vector { tensor, member, values: &self.delta }, &mut self.factors)?;
        let factors = &self.factors;
        out.par_chunks_mut(BLOCK).enumerate().try_for_each(|(block, out)| {
            let (mut base, mut model) = (vec![0.0; out.len()], vec![0.0; out.len()]);
            tensor.read_base(block * BLOCK, &mut base)?;
            tensor.read(member, block * BLOCK, &mut model)?;
            for (i, out) in out.iter_mut().enumerate() {
                let factor = factors[block * BLOCK + i];
                if factor != 0.0 {
                    with(out, f64::from(factor) * (f64::from(model[i]) - f64::from(base[i])));
                }
            }
            Ok(())
        })
    }
}

/// The magnitude from which on the largest values of a vector are kept, and how many that are exactly as large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    magnitude: f32,
    equal: usize,
}

/// For each model, by tensor number, the cut of its task vector over the whole model.
#[derive(Clone, Debug, Default)]
pub struct Cuts(Vec<Vec<Cut>>);

impl Cuts {
    /// The cut of a tensor of a model; none if there was no survey.
    pub(super) fn of(&self, tensor: &Tensor<'_>, member: usize) -> Option<Cut> {
        self.0.get(member).map(|cuts| cuts[tensor.index])
    }
}

/// Number of values that a share of `n` is: at least one, and all of them from 1 on.
pub(super) fn kept(density: f64, n: usize) -> usize {
    ((density * n as f64) as usize).clamp(1.min(n), n)
}

/// The cut that keeps the `keep` largest magnitudes of `values`.
pub(super) fn cut(values: &[f32], keep: usize) -> Cut {
    if keep == 0 || values.is_empty() {
        return Cut { magnitude: f32::INFINITY, equal: 0 };
    }
    let mut magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    let (larger, &mut magnitude, _) =
        magnitudes.select_nth_unstable_by(keep.min(values.len()) - 1, |a, b| b.total_cmp(a));
    Cut { magnitude, equal: keep - larger.iter().filter(|&&value| value > magnitude).count() }
}

/// Writes 1 for what a cut keeps and 0 for the rest; of values as large as the cut the first are kept.
pub(super) fn apply(cut: Cut, values: &[f32], factors: &mut [f32]) {
    let mut equal = cut.equal;
    for (factor, value) in factors.iter_mut().zip(values) {
        let magnitude = value.abs();
        let is_kept = magnitude > cut.magnitude || (magnitude == cut.magnitude && equal > 0);
        equal -= usize::from(is_kept && magnitude == cut.magnitude);
        *factor = f32::from(u8::from(is_kept));
    }
}

/// Cuts that keep the `density` share of each model's task vector, over all tensors that the base has. Each model is
/// read three times: twice to find the magnitude, 16 bits at a time, once to count the values that are as large.
pub(super) fn survey(members: &Members<'_>, density: impl Fn(usize) -> f64) -> Result<Cuts, Error> {
    let entries = members.layout().entries();
    let shared: Vec<Tensor<'_>> =
        (0..entries.len()).map(|index| members.tensor(index)).filter(Tensor::has_base).collect();
    let total: usize = shared.iter().map(|tensor| tensor.len).sum();
    let mut cuts = Vec::with_capacity(members.len());
    for member in 0..members.len() {
        // Floats that are not negative are ordered as their bits are.
        let mut wanted = kept(density(member), total);
        let (mut high, mut low) = (vec![0_usize; 1 << 16], vec![0_usize; 1 << 16]);
        for tensor in &shared {
            bits(tensor, member, |bits| high[(bits >> 16) as usize] += 1)?;
        }
        let top = descend(&high, &mut wanted);
        for tensor in &shared {
            bits(tensor, member, |bits| low[(bits & 0xffff) as usize] += usize::from(bits >> 16 == top))?;
        }
        let threshold = top << 16 | descend(&low, &mut wanted);
        let mut of_model = vec![Cut { magnitude: f32::from_bits(threshold), equal: 0 }; entries.len()];
        for tensor in &shared {
            let mut equal = 0;
            bits(tensor, member, |bits| equal += usize::from(bits == threshold))?;
            of_model[tensor.index].equal = equal.min(wanted);
            wanted -= equal.min(wanted);
        }
        cuts.push(of_model);
    }
    Ok(Cuts(cuts))
}

/// The bin in which the `wanted`-th largest lies; `wanted` becomes its rank there.
fn descend(bins: &[usize], wanted: &mut usize) -> u32 {
    for (bin, &count) in bins.iter().enumerate().rev() {
        if count >= *wanted {
            return bin as u32;
        }
        *wanted -= count;
    }
    0
}

/// Calls `with` on the bits of the magnitude of each value of a task vector.
fn bits(tensor: &Tensor<'_>, member: usize, mut with: impl FnMut(u32)) -> Result<(), Error> {
    let (mut base, mut model) = ([0.0; BLOCK], [0.0; BLOCK]);
    for start in (0..tensor.len).step_by(BLOCK) {
        let range: Range<usize> = 0..BLOCK.min(tensor.len - start);
        let (base, model) = (&mut base[range.clone()], &mut model[range]);
        tensor.read_base(start, base)?;
        tensor.read(member, start, model)?;
        base.iter().zip(model).for_each(|(base, model)| with((*model - base).abs().to_bits()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::weights;

    #[test]
    fn exactly_the_share_is_kept() {
        let values = [1.0, -1.0, 1.0, 2.0, 1.0];
        let factors = |density: f64| {
            let mut factors = [9.0; 5];
            apply(cut(&values, kept(density, 5)), &values, &mut factors);
            factors
        };
        assert_eq!(factors(0.6), [1.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(factors(0.01), [0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(factors(1.0), [1.0; 5]);
    }

    /// The survey of tensors apart finds what sorting the whole finds, equal values at the threshold included.
    #[test]
    fn a_survey_is_the_cut_of_the_whole() {
        let base = weights(0);
        for (seed, density) in [(1, 0.3), (2, 0.9), (3, 0.01), (4, 1.0)] {
            let mut model = weights(seed);
            // Equal differences in both tensors.
            for i in [0, 4, 7, 8] {
                model.values[i] = base.values[i] + 0.5;
            }
            let delta: Vec<f32> =
                model.values.iter().zip(&base.values).map(|(model, base)| model - base).collect();
            let mut expected = vec![0.0; delta.len()];
            apply(cut(&delta, kept(density, delta.len())), &delta, &mut expected);
            let members = Members::of(&[&model]).unwrap().with_base(&base, &[true, true]).unwrap();
            let cuts = survey(&members, |_| density).unwrap();
            let mut found = vec![0.0; delta.len()];
            for (index, entry) in base.layout().entries().iter().enumerate() {
                let cut = cuts.of(&members.tensor(index), 0).unwrap();
                apply(cut, &delta[entry.range()], &mut found[entry.range()]);
            }
            assert_eq!(found, expected, "{density}");
        }
    }
}
