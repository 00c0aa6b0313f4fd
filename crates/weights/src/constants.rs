//! Constants and buffers that older versions of transformers kept among the weights. They are computed from the
//! configuration, may be anything (`-inf` in half precision), and are neither checked nor averaged.

/// Ends of their names, whatever their shape.
const ENDS: [&str; 8] = [
    ".masked_bias",
    "position_ids",
    "token_type_ids",
    ".inv_freq",
    ".original_inv_freq",
    ".cos_cached",
    ".sin_cached",
    "rotary_emb.scale",
];

/// Ends of the names of causal masks, `[1, 1, length, length]`: biases may be called so as well.
const MASKS: [&str; 2] = [".attn.bias", ".attention.bias"];

/// Is the tensor of this name and shape a constant?
pub(crate) fn is_constant(name: &str, shape: &[usize]) -> bool {
    let is_mask = matches!(shape, [1, 1, rows, columns] if rows == columns);
    ENDS.iter().any(|end| name.ends_with(end)) || is_mask && may_be_mask(name)
}

/// May a tensor of this name, which is not there, have been a constant?
pub(crate) fn may_be_constant(name: &str) -> bool {
    is_constant(name, &[]) || may_be_mask(name)
}

fn may_be_mask(name: &str) -> bool {
    MASKS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_told_from_biases_by_their_shape() {
        for (name, shape) in [
            ("gpt_neox.layers.0.attention.masked_bias", &[][..]),
            ("gpt_neox.layers.0.attention.bias", &[1, 1, 8, 8]),
            ("transformer.h.0.attn.bias", &[1, 1, 4, 4]),
            ("bert.embeddings.position_ids", &[1, 512]),
            ("layers.0.attention.rotary_emb.inv_freq", &[16]),
        ] {
            assert!(is_constant(name, shape), "{name}");
        }
        for (name, shape) in [
            ("encoder.layer.0.attention.bias", &[16][..]),
            ("encoder.layer.0.attention.self.query.bias", &[16]),
            ("bert.embeddings.position_embeddings.weight", &[512, 16]),
        ] {
            assert!(!is_constant(name, shape), "{name}");
        }
        assert!(may_be_constant("transformer.h.0.attn.bias") && !may_be_constant("classifier.bias"));
    }
}
