//! The fused passes against candle's operations, in `f64` and in their own precision, and against finite differences.

use super::*;
use crate::decoder::Variant;
use crate::t5::FeedForward;
use crate::{Tokens, Workspace, bert, decoder, mlp, t5};

/// Sequences of different lengths, with two segments and a masked token in most.
struct Batch {
    ids: Vec<u32>,
    types: Vec<u32>,
    starts: Vec<u32>,
    rows: Vec<u32>,
    masked: Vec<u32>,
    classes: Vec<u32>,
}

fn batch(config: &bert::Config, lengths: &[u32], labels: usize) -> Batch {
    let mut stream = random::Stream::new(1, "batch");
    let mut batch =
        Batch { ids: vec![], types: vec![], starts: vec![0], rows: vec![], masked: vec![], classes: vec![] };
    for &length in lengths {
        for position in 0..length {
            if stream.bernoulli(0.4) {
                batch.rows.push(batch.ids.len() as u32);
                batch.masked.push(stream.below(config.vocab_size) as u32);
            }
            batch.ids.push(stream.below(config.vocab_size) as u32);
            batch.types.push(u32::from(position > length / 2));
        }
        batch.starts.push(batch.ids.len() as u32);
        batch.classes.push(stream.below(labels) as u32);
    }
    batch
}

fn small(dropout: f64) -> bert::Config {
    bert::Config {
        vocab_size: 23,
        hidden_size: 16,
        num_hidden_layers: 3,
        num_attention_heads: 2,
        intermediate_size: 40,
        max_position_embeddings: 9,
        initializer_range: 0.3,
        hidden_dropout_prob: dropout,
        attention_probs_dropout_prob: dropout,
        ..bert::Config::default()
    }
}

/// Fresh weights with biases and LayerNorms moved off 0 and 1, so that nothing is hidden by symmetry.
fn weights(model: &Model) -> Vec<f32> {
    let mut stream = random::Stream::new(2, "weights");
    model.init(5).values.iter().map(|value| value + 0.1 * stream.normal() as f32).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// Loss, logits and every parameter's gradient of both implementations, and a directional derivative in `f64`.
fn check(model: &Model, inputs: &Inputs<'_>, targets: &Targets<'_>, dropout: Option<Dropout>) {
    const SCALE: f32 = 0.5;
    model.check(inputs, Some(targets)).unwrap();
    let values = weights(model);
    let mut workspace = Workspace::default();
    let mut gradient = vec![0.0; values.len()];
    let tally = model
        .loss_and_gradient(&values, inputs, targets, dropout, SCALE, &mut gradient, &mut workspace)
        .unwrap();

    let oracle = Composite::new(model, &values, DType::F64, &Device::Cpu).unwrap();
    let loss = oracle.loss(inputs, targets, dropout).unwrap();
    let truth = loss.to_scalar::<f64>().unwrap();
    assert!((tally.loss_sum / truth - 1.0).abs() < 1e-5, "{tally:?} is not {truth}");
    let expected = oracle.gradient(&(loss * f64::from(SCALE)).unwrap()).unwrap();
    for entry in model.layout().entries() {
        let (found, expected) = (&gradient[entry.range()], &expected[entry.range()]);
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        // A bias of keys changes nothing: softmax does not see a constant. Its gradient is rounding on both sides.
        // Nor does a comparison of scores see what is added to all of them.
        let is_shift = entry.name == "classifier.bias" && model.head() == Head::Classification { labels: 1 };
        if entry.name.ends_with("key.bias") || entry.name.ends_with("k_lin.bias") || is_shift {
            assert!(norm(found) < 1e-5 && norm(expected) < 1e-5, "{}", entry.name);
            continue;
        }
        assert!(norm(expected) > 1e-4, "`{}` has no gradient: {}", entry.name, norm(expected));
        let error = norm(&difference) / norm(expected);
        assert!(error < 1e-4, "gradient of `{}`: relative error {error:e}", entry.name);
    }

    // Central differences of the f64 loss along random directions: relative 1e-5 of what the norms allow.
    for direction in 0..3 {
        let mut stream = random::Stream::at(3, "direction", direction);
        let along: Vec<f32> = (0..values.len()).map(|_| stream.normal() as f32).collect();
        let loss_at = |step: f64| {
            let oracle = Composite::new(model, &values, DType::F64, &Device::Cpu).unwrap();
            for entry in model.layout().entries() {
                let variable = Var::from_tensor(&oracle.parameters[&entry.name]).unwrap();
                let along =
                    Tensor::from_slice(&along[entry.range()], entry.shape.as_slice(), &Device::Cpu).unwrap();
                let moved =
                    (variable.as_tensor() + (along.to_dtype(DType::F64).unwrap() * step).unwrap()).unwrap();
                variable.set(&moved).unwrap();
            }
            oracle.loss(inputs, targets, dropout).unwrap().to_scalar::<f64>().unwrap()
        };
        let slope = f64::from(SCALE) * (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6;
        let found: f64 = gradient.iter().zip(&along).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
        let error = (found - slope).abs() / norm(&gradient);
        assert!(error < 1e-5, "slope {slope}, found {found}, error {error:e} of the gradient's norm");
    }

    // Evaluation is training without dropout.
    let evaluated = model.losses(&values, inputs, targets, &mut workspace).unwrap();
    let mut scratch = vec![0.0; values.len()];
    let trained =
        model.loss_and_gradient(&values, inputs, targets, None, 1.0, &mut scratch, &mut workspace).unwrap();
    assert!((evaluated.loss_sum / trained.loss_sum - 1.0).abs() < 1e-6);
    assert_eq!((evaluated.n, evaluated.correct), (trained.n, trained.correct));
    if let Targets::Classes(_) = targets {
        let expected = oracle.logits(inputs).unwrap();
        assert!(!expected.track_op(), "an evaluation was recorded");
        let expected = expected.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for (found, expected) in model.logits(&values, inputs, &mut workspace).unwrap().iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} is not {expected}");
        }
    }

    // The same passes in candle's operations, through the model.
    let unfused = model.clone().on(crate::Device::Candle).unwrap();
    let mut theirs = vec![1.0; values.len()];
    let found = unfused
        .loss_and_gradient(&values, inputs, targets, dropout, SCALE, &mut theirs, &mut workspace)
        .unwrap();
    assert!((found.loss_sum / truth - 1.0).abs() < 1e-5, "{found:?} is not {truth}");
    assert_eq!((found.n, found.correct), (tally.n, tally.correct));
    let error = theirs.iter().zip(&gradient).map(|(a, b)| a - 1.0 - b).collect::<Vec<f32>>();
    assert!(norm(&error) < 1e-4 * norm(&gradient).max(1.0), "{} of {}", norm(&error), norm(&gradient));
    let found = unfused.losses(&values, inputs, targets, &mut workspace).unwrap();
    assert!((found.loss_sum / evaluated.loss_sum - 1.0).abs() < 1e-5, "{found:?} is not {evaluated:?}");
    if let Targets::Classes(_) = targets {
        let theirs = unfused.logits(&values, inputs, &mut workspace).unwrap().to_vec();
        for (found, expected) in model.logits(&values, inputs, &mut workspace).unwrap().iter().zip(theirs) {
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
    }

    // The gradient is added, and a used workspace gives the same bytes as a fresh one.
    let mut twice = gradient.clone();
    model.loss_and_gradient(&values, inputs, targets, dropout, SCALE, &mut twice, &mut workspace).unwrap();
    assert!(
        twice.iter().zip(&gradient).all(|(two, one)| (two - 2.0 * one).abs() <= 1e-4 * one.abs().max(1e-2))
    );
    let mut again = vec![0.0; values.len()];
    model.loss_and_gradient(&values, inputs, targets, dropout, SCALE, &mut again, &mut workspace).unwrap();
    assert_eq!(again, gradient);
}

fn check_bert(config: bert::Config, head: Head, dropout: Option<Dropout>) {
    let labels = 3;
    // Together they use every position.
    let batch = batch(&config, &[9, 1, 4, 7, 2], labels);
    let model = Model::new(Config::Bert(config), head).unwrap();
    let inputs = Inputs::Tokens(Tokens { ids: &batch.ids, types: &batch.types, starts: &batch.starts });
    let targets = match head {
        Head::MaskedLanguage => Targets::MaskedTokens { rows: &batch.rows, labels: &batch.masked },
        _ => Targets::Classes(&batch.classes),
    };
    check(&model, &inputs, &targets, dropout);
}

#[test]
fn masked_language_model() {
    check_bert(small(0.0), Head::MaskedLanguage, None);
}

#[test]
fn classifier() {
    check_bert(small(0.0), Head::Classification { labels: 3 }, None);
}

#[test]
fn dropout_drops_the_same_in_both() {
    check_bert(small(0.2), Head::MaskedLanguage, Some(Dropout { key: 77 }));
    let config = bert::Config { classifier_dropout: Some(0.4), ..small(0.2) };
    check_bert(config, Head::Classification { labels: 3 }, Some(Dropout { key: 78 }));
}

#[test]
fn a_roberta_agrees_with_candle() {
    let config = |dropout| bert::Config {
        variant: bert::Variant::Roberta,
        pad_token_id: 1,
        max_position_embeddings: small(0.0).max_position_embeddings + 2,
        ..small(dropout)
    };
    check_bert(config(0.0), Head::MaskedLanguage, None);
    check_bert(config(0.2), Head::Classification { labels: 3 }, Some(Dropout { key: 79 }));
}

#[test]
fn a_distilbert_agrees_with_candle() {
    let config =
        |dropout| bert::Config { variant: bert::Variant::DistilBert, type_vocab_size: 0, ..small(dropout) };
    check_bert(config(0.0), Head::MaskedLanguage, None);
    check_bert(config(0.2), Head::Classification { labels: 3 }, Some(Dropout { key: 80 }));
}

#[test]
fn one_layer_and_odd_sizes() {
    let config = bert::Config { num_hidden_layers: 1, hidden_size: 15, num_attention_heads: 3, ..small(0.0) };
    check_bert(config.clone(), Head::MaskedLanguage, None);
    check_bert(config, Head::Classification { labels: 3 }, None);
}

#[test]
fn decoders() {
    let tokens = decoder::tests::TOKENS;
    let (rows, labels) = tokens.next();
    for variant in Variant::ALL {
        for (head, dropout) in [
            (Head::CausalLanguage, 0.0),
            (Head::CausalLanguage, 0.3),
            (Head::Classification { labels: 2 }, 0.0),
            (Head::Classification { labels: 2 }, 0.3),
        ] {
            let config = decoder::Config {
                scale_attn_by_inverse_layer_idx: variant == Variant::Gpt2,
                ..decoder::tests::tiny(variant, dropout)
            };
            let model = Model::new(Config::Decoder(config), head).unwrap();
            let targets = match head {
                Head::Classification { .. } => Targets::Classes(&[1, 0]),
                _ => Targets::MaskedTokens { rows: &rows, labels: &labels },
            };
            let dropout = (dropout > 0.0).then_some(Dropout { key: 81 });
            check(&model, &Inputs::Tokens(tokens), &targets, dropout);
        }
    }
}

#[test]
fn from_sequence_to_sequence() {
    let (tokens, told) = (t5::tests::TOKENS, t5::tests::TARGETS);
    for feed_forward in [FeedForward::Relu, FeedForward::GatedGelu] {
        for (targets, head) in [
            (told, Head::SequenceToSequence),
            (Targets::Classes(&[1, 0]), Head::Classification { labels: 2 }),
        ] {
            for dropout in [0.0, 0.3] {
                let config = t5::tests::tiny(feed_forward, dropout);
                let model = Model::new(Config::T5(config), head).unwrap();
                let dropout = (dropout > 0.0).then_some(Dropout { key: 82 });
                check(&model, &Inputs::Tokens(tokens), &targets, dropout);
            }
        }
    }
}

#[test]
fn hidden_states_are_those_of_the_fused_passes() {
    let config = small(0.0);
    let batch = batch(&config, &[9, 1, 4], 2);
    let model = Model::new(Config::Bert(config), Head::MaskedLanguage).unwrap();
    let inputs = Inputs::Tokens(Tokens { ids: &batch.ids, types: &batch.types, starts: &batch.starts });
    let (values, mut workspace) = (weights(&model), Workspace::default());
    let expected = model.hidden_states(&values, &inputs, &mut workspace).unwrap().to_vec();
    let unfused = model.on(crate::Device::Candle).unwrap();
    let found = unfused.hidden_states(&values, &inputs, &mut workspace).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
}

/// A workspace that has seen other weights, and another model, computes as a fresh one does.
#[test]
fn a_device_gets_the_weights_of_each_pass() {
    let batch = batch(&small(0.0), &[4, 7], 2);
    let inputs = Inputs::Tokens(Tokens { ids: &batch.ids, types: &batch.types, starts: &batch.starts });
    let mut used = Workspace::default();
    for labels in [2, 3] {
        let model = Model::new(Config::Bert(small(0.0)), Head::Classification { labels }).unwrap();
        let model = model.on(crate::Device::Candle).unwrap();
        for seed in [1, 2, 1] {
            let values = model.init(seed).values;
            let fresh = model.logits(&values, &inputs, &mut Workspace::default()).unwrap().to_vec();
            assert_eq!(model.logits(&values, &inputs, &mut used).unwrap(), fresh);
        }
    }
}

#[test]
fn a_device_that_is_not_here_or_a_precision_it_lacks_is_an_error() {
    let model = || Model::new(Config::Bert(small(0.0)), Head::MaskedLanguage).unwrap();
    let both = [
        model().with_precision(crate::Precision::Bf16).unwrap().on(crate::Device::Candle).unwrap_err(),
        model().on(crate::Device::Candle).unwrap().with_precision(crate::Precision::Bf16x3).unwrap_err(),
    ];
    for error in both {
        assert_eq!(error.to_string(), "a model in candle's operations is computed in f32 only");
    }
    if !candle_core::utils::metal_is_available() {
        let error = model().on(crate::Device::Metal(0)).unwrap_err().to_string();
        assert!(error.starts_with("device `metal:0`: this program was built without it"), "{error}");
    }
}

/// A reward model: three pairs of sequences, and which of each is preferred.
#[test]
fn choices_are_compared_by_a_scalar() {
    let config = small(0.0);
    let batch = batch(&config, &[9, 1, 4, 7, 2, 3], 2);
    let model = Model::new(Config::Bert(config), Head::Classification { labels: 1 }).unwrap();
    let inputs = Inputs::Tokens(Tokens { ids: &batch.ids, types: &batch.types, starts: &batch.starts });
    check(&model, &inputs, &Targets::Classes(&[0, 1, 1]), None);
    check(&model, &inputs, &Targets::Classes(&[2, 0]), None);
    let values = model.init(1).values;
    let mut workspace = Workspace::default();
    let scores = model.logits(&values, &inputs, &mut workspace).unwrap().to_vec();
    let losses = model.losses(&values, &inputs, &Targets::Classes(&[0, 1, 1]), &mut workspace).unwrap();
    let expected: f64 = [(0, 1), (3, 2), (5, 4)]
        .iter()
        .map(|&(right, wrong): &(usize, usize)| {
            (1.0 + (f64::from(scores[wrong]) - f64::from(scores[right])).exp()).ln()
        })
        .sum();
    assert!(
        (losses.loss_sum - expected).abs() < 1e-6 && losses.n == 3,
        "{} is not {expected}",
        losses.loss_sum
    );
    for labels in [&[0, 2, 1][..], &[0, 1, 0, 1]] {
        assert!(model.check(&inputs, Some(&Targets::Classes(labels))).is_err());
    }
}

#[test]
fn perceptron() {
    let config = mlp::Config { input_size: 13, hidden_sizes: vec![16, 11] };
    let model = Model::new(Config::Mlp(config), Head::Classification { labels: 5 }).unwrap();
    let mut stream = random::Stream::new(4, "perceptron");
    let values: Vec<f32> = (0..13 * 40).map(|_| stream.normal() as f32).collect();
    let labels: Vec<u32> = (0..40).map(|_| stream.below(5) as u32).collect();
    check(&model, &Inputs::Dense { values: &values, width: 13 }, &Targets::Classes(&labels), None);
}
