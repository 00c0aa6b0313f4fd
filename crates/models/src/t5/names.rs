//! What a T5's tensors are called, in one checkpoint and the next.

use std::collections::BTreeMap;

use weights::{Entry, Weights};

use crate::Head;

/// What the names of the body begin with in a classifier; elsewhere they begin with nothing.
const BODY: &str = "transformer.";

/// Names of the word embeddings in each stack, which are those of both.
const ALIASES: [&str; 2] = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];

/// What the table of a model with this head calls the body.
pub(crate) fn body(head: Head) -> &'static str {
    if let Head::Classification { .. } = head { BODY } else { "" }
}

/// What the encoder and the decoder are called.
pub(crate) fn stacks(head: Head) -> [String; 2] {
    ["encoder", "decoder"].map(|stack| format!("{}{stack}", body(head)))
}

/// What the names of the layers' tensors begin with, in the encoder and in the decoder.
pub(crate) fn layers(head: Head) -> [String; 2] {
    stacks(head).map(|stack| format!("{stack}.block."))
}

/// What the names of the tables of biases by distance end with, which lie among the layers' maps.
pub(crate) const DISTANCES: &str = ".relative_attention_bias";

/// The name of a tensor's stream of random numbers, which does not depend on the head.
pub(crate) fn stream_name(name: &str) -> &str {
    name.strip_prefix(BODY).unwrap_or(name)
}

/// The tensors of a checkpoint under the names that a model with this head gives them.
///
/// Stacks' own names of the word embeddings are left out, and so is a bias that the decoder's cross-attention had in the
/// first checkpoints and that nothing reads. They stand in for the words where a file holds shared tensors once, under
/// whichever name; and so does a language head that is tied. The words stand in for an untied one that is not there, which
/// is how transformers 5 saves it as long as both are equal.
pub(crate) fn current_names(is_tied: bool, head: Head, weights: &Weights) -> BTreeMap<String, &Entry> {
    const UNUSED: &str = "layer.1.EncDecAttention.relative_attention_bias.weight";
    let mut tensors = BTreeMap::new();
    let (mut stand_in, mut lm_head) = (None, None);
    for entry in weights.layout().entries() {
        let name = stream_name(&entry.name);
        if ALIASES.contains(&name) {
            stand_in.get_or_insert(entry);
        } else if !name.ends_with(UNUSED) {
            lm_head = lm_head.or((is_tied && name == "lm_head.weight").then_some(entry));
            let of_head = name.starts_with("lm_head.") || name.starts_with("classification_head.");
            tensors.insert(if of_head { name.to_owned() } else { format!("{}{name}", body(head)) }, entry);
        }
    }
    let words = format!("{}shared.weight", body(head));
    if let Some(entry) = stand_in.or(lm_head) {
        tensors.entry(words.clone()).or_insert(entry);
    }
    if let (false, Head::SequenceToSequence, Some(&entry)) = (is_tied, head, tensors.get(&words)) {
        tensors.entry("lm_head.weight".into()).or_insert(entry);
    }
    tensors
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weights::Layout;

    use super::*;

    #[test]
    fn shared_tensors_are_found_under_any_of_their_names() {
        let names = |is_tied, head, given: &[&str]| -> Vec<String> {
            let mut layout = Layout::default();
            for name in given {
                layout.push(*name, &[1]);
            }
            let weights = Weights::zeros(Arc::new(layout));
            current_names(is_tied, head, &weights).into_keys().collect()
        };
        let (language, classes) = (Head::SequenceToSequence, Head::Classification { labels: 2 });
        let all = ["decoder.embed_tokens.weight", "encoder.embed_tokens.weight", "shared.weight"];
        assert_eq!(names(true, language, &all), ["shared.weight"]);
        assert_eq!(names(false, language, &all), ["lm_head.weight", "shared.weight"]);
        assert_eq!(names(true, classes, &all), ["transformer.shared.weight"]);
        assert_eq!(names(false, classes, &all[..1]), ["transformer.shared.weight"]);
        assert_eq!(names(true, language, &["lm_head.weight"]), ["lm_head.weight", "shared.weight"]);
        assert_eq!(names(false, language, &["lm_head.weight"]), ["lm_head.weight"]);
        let tuned = ["transformer.shared.weight", "classification_head.dense.bias"];
        assert_eq!(
            names(true, classes, &tuned),
            ["classification_head.dense.bias", "transformer.shared.weight"]
        );
        let old = ["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"];
        assert!(names(true, classes, &old).is_empty());
    }
}
