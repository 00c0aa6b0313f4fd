//! A real model: the 264,000-parameter Llama of llama2.c, trained on TinyStories, tells the story that it tells there.

use std::path::Path;

use models::{Config, Head, Inputs, Model, Tokens, Workspace, decoder};
use weights::Weights;

/// Little-endian values of four bytes.
fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.chunks_exact(4).map(|word| word.try_into().unwrap())
}

/// The model of a llama2.c file: seven integers, then the weights, all layers of one kind together. There the rotated
/// planes of a head are neighbouring rows; in transformers they are half a head apart.
fn read(bytes: &[u8]) -> (Model, Weights) {
    let header: Vec<usize> =
        words(&bytes[..28]).map(|word| i32::from_le_bytes(word).unsigned_abs() as usize).collect();
    let [h, f, n_layers, heads, shared, v, longest] = header.try_into().unwrap();
    let (size, body) = (h / heads, &bytes[28..]);
    let config = decoder::Config {
        vocab_size: v,
        hidden_size: h,
        num_hidden_layers: n_layers,
        num_attention_heads: heads,
        num_key_value_heads: shared,
        head_dim: size,
        intermediate_size: f,
        max_position_embeddings: longest,
        tie_word_embeddings: true,
        norm_eps: 1e-5,
        ..decoder::Config::of(decoder::Variant::Llama)
    };
    let model = Model::new(Config::Decoder(config), Head::CausalLanguage).unwrap();
    let mut weights = model.init(0);
    let mut rest = words(body).map(f32::from_le_bytes);
    let layout = model.layout();
    let mut take = |name: String, rotated_heads: usize| {
        let entry = layout.entry(&name).unwrap_or_else(|| panic!("{name}"));
        let to = &mut weights.values[entry.range()];
        let width = entry.shape.last().copied().unwrap();
        let rows: Vec<Vec<f32>> =
            (0..to.len() / width).map(|_| rest.by_ref().take(width).collect()).collect();
        for (row, values) in rows.into_iter().enumerate() {
            let (head, i) = (row / size, row % size);
            let row = if rotated_heads > 0 { head * size + i % 2 * (size / 2) + i / 2 } else { row };
            to[row * width..][..width].copy_from_slice(&values);
        }
    };
    take("model.embed_tokens.weight".into(), 0);
    for (part, rotated) in [
        ("input_layernorm", 0),
        ("self_attn.q_proj", heads),
        ("self_attn.k_proj", shared),
        ("self_attn.v_proj", 0),
        ("self_attn.o_proj", 0),
        ("post_attention_layernorm", 0),
        ("mlp.gate_proj", 0),
        ("mlp.down_proj", 0),
        ("mlp.up_proj", 0),
    ] {
        for layer in 0..n_layers {
            take(format!("model.layers.{layer}.{part}.weight"), rotated);
        }
    }
    take("model.norm.weight".into(), 0);
    (model, weights)
}

/// The pieces of a llama2.c tokenizer: the longest length, then a score, a length and the bytes of each.
fn pieces(bytes: &[u8]) -> Vec<String> {
    let (mut pieces, mut at) = (Vec::new(), 4);
    while at + 8 <= bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        pieces.push(String::from_utf8_lossy(&bytes[at + 8..at + 8 + length]).into_owned());
        at += 8 + length;
    }
    pieces
}

#[test]
fn a_published_llama_tells_its_story() {
    let Some(data) = std::env::var_os("SAMEBASIN_DATA") else {
        println!("skipped: SAMEBASIN_DATA does not name the folder with stories260k");
        return;
    };
    // Cargo runs tests in the crate's folder; relative paths are meant from the top of the repository.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(data).join("stories260k");
    let (model, weights) = read(&std::fs::read(folder.join("stories260K.bin")).unwrap());
    let pieces = pieces(&std::fs::read(folder.join("tok512.bin")).unwrap());
    let (mut ids, mut workspace) = (vec![1_u32], Workspace::default());
    let mut story = String::new();
    for _ in 0..60 {
        let (types, starts) = (vec![0; ids.len()], [0, ids.len() as u32]);
        let inputs = Inputs::Tokens(Tokens { ids: &ids, types: &types, starts: &starts });
        model.check(&inputs, None).unwrap();
        let logits = model.logits(&weights.values, &inputs, &mut workspace).unwrap();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        ids.push(best as u32);
        story += &pieces[best];
    }
    println!("{story}");
    assert!(
        story.starts_with(" Once upon a time, there was a little girl named Lily. She loved to play"),
        "{story}"
    );
    assert_eq!(ids, THEIRS);
}

/// What `LlamaForCausalLM` of transformers 5.24 generates from the same weights, token by token the likeliest.
const THEIRS: [u32; 61] = [
    1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337,
    410, 408, 419, 292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266,
    268, 388, 426, 338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267, 414, 270, 333, 415,
];
