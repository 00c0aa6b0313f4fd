//! Evaluation on a device keeps no tape: its memory does not grow with the number of layers, as that of training does.

use std::alloc::System;

use cap::Cap;
use models::{Config, Device, Head, Inputs, Model, Targets, Tokens, Workspace, bert};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const SEQUENCES: usize = 64;
const LENGTH: usize = 40;

fn model(layers: usize) -> Model {
    let config = bert::Config {
        vocab_size: 53,
        hidden_size: 32,
        num_hidden_layers: layers,
        num_attention_heads: 4,
        intermediate_size: 128,
        max_position_embeddings: LENGTH,
        ..bert::Config::default()
    };
    let model = Model::new(Config::Bert(config), Head::Classification { labels: 2 }).unwrap();
    model.on(Device::Candle).unwrap()
}

#[test]
fn evaluation_frees_each_layer() {
    let ids: Vec<u32> = (0..(SEQUENCES * LENGTH) as u32).map(|i| i % 53).collect();
    let types = vec![0; ids.len()];
    let starts: Vec<u32> = (0..=SEQUENCES).map(|i| (i * LENGTH) as u32).collect();
    let inputs = Inputs::Tokens(Tokens { ids: &ids, types: &types, starts: &starts });
    let targets = Targets::Classes(&[1; SEQUENCES]);
    // Bytes that each pass adds to the largest that was held so far.
    let mut peaks = [0, 0, 0];
    for (peak, (layers, is_training)) in peaks.iter_mut().zip([(2, false), (8, false), (8, true)]) {
        let before = ALLOCATOR.max_allocated();
        let (model, mut workspace) = (model(layers), Workspace::default());
        let values = model.init(0).values;
        if is_training {
            let mut gradient = vec![0.0; values.len()];
            let scale = 1.0 / SEQUENCES as f32;
            model
                .loss_and_gradient(&values, &inputs, &targets, None, scale, &mut gradient, &mut workspace)
                .unwrap();
        } else {
            model.losses(&values, &inputs, &targets, &mut workspace).unwrap();
            model.logits(&values, &inputs, &mut workspace).unwrap();
        }
        *peak = ALLOCATOR.max_allocated() - before;
    }
    // A layer's activations are some 9 MB here, its parameters, held thrice, .15 MB.
    let mb = peaks.map(|bytes| bytes / 1_000_000);
    assert!(mb[1] < 4, "six layers more added {} MB to an evaluation", mb[1]);
    assert!(mb[2] > 30, "a training step added only {} MB: this test measures nothing", mb[2]);
}
