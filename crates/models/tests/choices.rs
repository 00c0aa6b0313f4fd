//! A head with one output compares what it reads: in every family the losses are those of the scores' differences, and the
//! gradient is their slope.

use models::{Config, Head, Inputs, Model, Targets, Tokens, Workspace};

const CONFIGS: [&str; 4] = [
    r#"{"model_type": "bert", "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 12, "initializer_range": 0.3}"#,
    r#"{"model_type": "gpt2", "vocab_size": 20, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 12,
        "initializer_range": 0.3}"#,
    r#"{"model_type": "gpt_neox", "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 12, "initializer_range": 0.3}"#,
    r#"{"model_type": "llama", "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "intermediate_size": 24, "max_position_embeddings": 12, "initializer_range": 0.3}"#,
];

#[test]
fn losses_are_of_differences_and_gradients_their_slope() {
    let starts: Vec<u32> = vec![0, 5, 6, 11, 18, 20, 27];
    let ids: Vec<u32> = (0..27).map(|i| 3 + i * 7 % 17).collect();
    let types = vec![0; 27];
    let inputs = Inputs::Tokens(Tokens { ids: &ids, types: &types, starts: &starts });
    let labels = [0, 1, 1];
    let targets = Targets::Classes(&labels);
    for text in CONFIGS {
        let config = Config::from_json(text).unwrap();
        let name = config.model_type();
        let model = Model::new(config, Head::Classification { labels: 1 }).unwrap();
        model.check(&inputs, Some(&targets)).unwrap();
        let mut workspace = Workspace::default();
        let values = model.init(5).values;
        let scores = model.logits(&values, &inputs, &mut workspace).unwrap().to_vec();
        assert_eq!(scores.len(), 6, "{name}");
        let margin = |right: usize, wrong: usize| f64::from(scores[wrong]) - f64::from(scores[right]);
        let expected: f64 =
            [margin(0, 1), margin(3, 2), margin(5, 4)].iter().map(|margin| margin.exp().ln_1p()).sum();
        let losses = model.losses(&values, &inputs, &targets, &mut workspace).unwrap();
        assert!((losses.loss_sum - expected).abs() < 1e-5, "{name}: {} is not {expected}", losses.loss_sum);
        assert_eq!(losses.n, 3);

        let mut gradient = vec![0.0; values.len()];
        let tally = model
            .loss_and_gradient(&values, &inputs, &targets, None, 1.0, &mut gradient, &mut workspace)
            .unwrap();
        assert!((tally.loss_sum - losses.loss_sum).abs() < 1e-5, "{name}");
        // Along the gradient itself, where f32 losses change most.
        let norm = gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
        let step = 1e-3;
        let mut at = |sign: f64| {
            let moved: Vec<f32> = values
                .iter()
                .zip(&gradient)
                .map(|(value, g)| (f64::from(*value) + sign * step * f64::from(*g) / norm) as f32)
                .collect();
            model.losses(&moved, &inputs, &targets, &mut workspace).unwrap().loss_sum
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
        assert!((slope / norm - 1.0).abs() < 1e-2, "{name}: slope {slope}, norm {norm}");
    }
}
