//! From one model to the other a layer at a time: with `n` blocks in layout order, block `i` moves along the straight
//! line while `alpha` goes from `i/n` to `(i+1)/n`; those before it are `b`'s already, those behind it still `a`'s.
//!
//! At `alpha = i/n` stand the hybrids of layer-wise connectivity (Adilova et al. 2024, "Layer-wise linear mode
//! connectivity"). A block is a stretch of tensors of one numbered layer, or of none: embeddings, layers, head. Beyond
//! the ends the first and the last block extrapolate. One pass over memory.

use super::{Path, linear};
use crate::{Layout, Weights};

/// Layer by layer.
pub static PATH: Path = Path {
    name: "layer-wise",
    about: "One layer after the other, from the embeddings to the head (Adilova et al. 2024)",
    version: 1,
    point,
};

fn point(a: &Weights, b: &Weights, alpha: f64, out: &mut Weights) {
    let blocks = blocks(a.layout());
    for (block, range) in blocks.iter().enumerate() {
        let local = alpha * blocks.len() as f64 - block as f64;
        // Only the outermost blocks go on beyond the ends.
        let low = if block == 0 { f64::NEG_INFINITY } else { 0.0 };
        let high = if block + 1 == blocks.len() { f64::INFINITY } else { 1.0 };
        let local = local.clamp(low, high);
        let (a, b) = (&a.values[range.clone()], &b.values[range.clone()]);
        let out = &mut out.values[range.clone()];
        if local == 0.0 {
            out.copy_from_slice(a);
        } else if local == 1.0 {
            out.copy_from_slice(b);
        } else {
            linear::between(a, b, local, out);
        }
    }
}

/// Stretches of the flat buffer that move together.
fn blocks(layout: &Layout) -> Vec<std::ops::Range<usize>> {
    let mut blocks: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
    for entry in layout.entries() {
        match blocks.last_mut() {
            Some((name, range)) if *name == entry.layer() => range.end = entry.range().end,
            _ => blocks.push((entry.layer(), entry.range())),
        }
    }
    blocks.into_iter().map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::PATH;
    use crate::paths::tests::at;
    use crate::{Layout, Weights};

    /// One value each in embeddings, two layers and a head; layer 0 has two tensors.
    fn of(value: f32) -> Weights {
        let mut layout = Layout::default();
        for name in
            ["embeddings.word", "layer.0.weight", "layer.0.bias", "layer.1.weight", "classifier.weight"]
        {
            layout.push(name, &[1]);
        }
        let mut weights = Weights::zeros(Arc::new(layout));
        weights.values.fill(value);
        weights
    }

    #[test]
    fn layers_move_one_after_the_other() {
        let (a, b) = (of(0.0), of(8.0));
        assert_eq!(at(&PATH, &a, &b, 0.125), [4.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(at(&PATH, &a, &b, 0.25), [8.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(at(&PATH, &a, &b, 0.4375), [8.0, 6.0, 6.0, 0.0, 0.0]);
        assert_eq!(at(&PATH, &a, &b, 0.75), [8.0, 8.0, 8.0, 8.0, 0.0]);
        assert_eq!(at(&PATH, &a, &b, 1.125), [8.0, 8.0, 8.0, 8.0, 12.0]);
        assert_eq!(at(&PATH, &a, &b, -0.125), [-4.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
