//! After its first steps a workspace is as large as it gets: what a step allocates (the packing space of the `gemm`
//! crate), it gives back.

use std::alloc::System;

use cap::Cap;
use models::{Config, Dropout, Head, Inputs, Model, Targets, Tokens, Workspace, bert, t5};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn workspaces_stop_growing() {
    let config = bert::Config {
        vocab_size: 53,
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 256,
        max_position_embeddings: 10,
        ..bert::Config::default()
    };
    let ids: Vec<u32> = (0..640).map(|i| if i % 10 == 9 { 1 } else { i % 53 }).collect();
    let types = vec![0; 640];
    let starts: Vec<u32> = (0..=64).map(|i| 10 * i).collect();
    let rows: Vec<u32> = (0..640).step_by(4).collect();
    let masked = vec![7; rows.len()];
    let classes = vec![1; 64];
    let inputs = Inputs::Tokens(Tokens { ids: &ids, types: &types, starts: &starts });
    let bert = Config::Bert(config);
    let t5 = Config::T5(t5::Config {
        vocab_size: 53,
        d_model: 64,
        d_kv: 16,
        d_ff: 256,
        num_layers: 2,
        num_decoder_layers: 2,
        num_heads: 4,
        ..t5::Config::default()
    });
    // One or more tokens for each of the sequences, all of which hold an end.
    let told_starts: Vec<u32> = (0..64).chain([160]).collect();
    let told = Targets::Sequences { ids: &masked, starts: &told_starts };
    for (config, head, targets) in [
        (&bert, Head::MaskedLanguage, Targets::MaskedTokens { rows: &rows, labels: &masked }),
        (&bert, Head::Classification { labels: 2 }, Targets::Classes(&classes)),
        (&t5, Head::SequenceToSequence, told),
        (&t5, Head::Classification { labels: 2 }, Targets::Classes(&classes)),
    ] {
        let model = Model::new(config.clone(), head).unwrap();
        let values = model.init(0).values;
        let mut gradient = vec![0.0; values.len()];
        let mut workspace = Workspace::default();
        let mut step = |key| {
            let dropout = Some(Dropout { key });
            model
                .loss_and_gradient(&values, &inputs, &targets, dropout, 1.0, &mut gradient, &mut workspace)
                .unwrap();
            model.losses(&values, &inputs, &targets, &mut workspace).unwrap();
        };
        step(0);
        step(1);
        let before = ALLOCATOR.allocated();
        (2..12).for_each(&mut step);
        assert_eq!(ALLOCATOR.allocated(), before, "bytes that are held after two steps and after twelve");
    }
}
