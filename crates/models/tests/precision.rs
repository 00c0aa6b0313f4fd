//! What rounding the inputs of products does to losses and gradients, of the fixtures of transformers.

use std::path::Path;

use models::{Config, Head, Inputs, Model, Precision, Targets, Tokens, Workspace, mlp};
use weights::Weights;

/// Losses of a batch and the gradient of its mean, of a small random model of a family.
fn pass(family: &str, precision: Precision) -> (Vec<f64>, Vec<f32>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transformers").join(family);
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let head = Head::Classification { labels: 3 };
    let model = Model::new(Config::from_json(&config).unwrap(), head).unwrap();
    let model = model.with_precision(precision).unwrap();
    let weights = Weights::from_safetensors(&std::fs::read(folder.join("model.safetensors")).unwrap());
    let weights = model.adopt(&weights.unwrap()).unwrap();
    let (types, starts) = (vec![0; 24], [0, 9, 13, 24]);
    // T5 is classified at the end of a text.
    let (end, last) = (1, |i: u32| starts.contains(&(i + 1)));
    let ids: Vec<u32> = (0..24).map(|i| if last(i) { end } else { 5 + (7 * i) % 31 }).collect();
    let inputs = Inputs::Tokens(Tokens { ids: &ids, types: &types, starts: &starts });
    let targets = Targets::Classes(&[0, 2, 1]);
    let mut workspace = Workspace::default();
    let logits = model.logits(&weights.values, &inputs, &mut workspace).unwrap();
    let logits = logits.iter().copied().map(f64::from).collect();
    let mut gradient = vec![0.0; model.layout().len()];
    let scale = 1.0 / 3.0;
    model
        .loss_and_gradient(&weights.values, &inputs, &targets, None, scale, &mut gradient, &mut workspace)
        .unwrap();
    (logits, gradient)
}

/// Relative difference in the L2 norm.
fn difference<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(&a, &b)| a.into() - b.into())) / norm(&mut b.iter().map(|&b| b.into()))
}

/// A product's relative error is at most `3 * 2^-16` or `2 * 2^-8` of the sum of its terms' sizes; a few of them lie one
/// behind the other.
#[test]
fn a_lower_precision_is_near_and_is_not_the_same_where_anything_is_rounded() {
    for family in ["bert", "roberta", "distilbert", "gpt2", "gpt_neox", "llama", "olmo2", "t5", "t5_v1_1"] {
        let (logits, gradient) = pass(family, Precision::F32);
        // T5's scores are not divided by the root of a head's width: an error in them counts more.
        let slack = if family.starts_with("t5") { 2.0 } else { 1.0 };
        for (precision, bound) in [(Precision::Bf16x3, 5e-5), (Precision::Bf16, 4e-2)] {
            let (found, found_gradient) = pass(family, precision);
            let errors = [difference(&found, &logits), difference(&found_gradient, &gradient)];
            println!("{family:<12} {precision:<8?} logits {:.1e}  gradients {:.1e}", errors[0], errors[1]);
            assert!(errors.iter().all(|&error| error < slack * bound), "{family}, {precision:?}: {errors:?}");
            let is_rounded = precision == Precision::Bf16 || kernels::matmul::bfloat::splits();
            assert!(
                errors.iter().all(|&error| (error > 0.0) == is_rounded),
                "{family}, {precision:?}: {errors:?}"
            );
        }
    }
}

#[test]
fn an_mlp_has_one_precision() {
    let mlp = Config::Mlp(mlp::Config { input_size: 3, hidden_sizes: vec![4] });
    let model = Model::new(mlp, Head::Classification { labels: 2 }).unwrap();
    assert!(model.clone().with_precision(Precision::F32).is_ok());
    let error = model.with_precision(Precision::Bf16).unwrap_err().to_string();
    assert_eq!(error, "a model of type `samebasin-mlp` is computed in f32 only");
}
