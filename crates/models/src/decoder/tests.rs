//! What holds for every variant and is not said by transformers' fixtures.

use super::*;
use crate::{Dropout, Head, Inputs, Model, Targets, Tokens, Workspace};

pub(crate) const TOKENS: Tokens<'static> =
    Tokens { ids: &[1, 5, 6, 1, 7, 8, 9, 3], types: &[0; 8], starts: &[0, 3, 8] };

pub(crate) fn tiny(variant: Variant, dropout: f64) -> Config {
    let mut config = Config {
        vocab_size: 11,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: if variant.shares_keys() { 1 } else { 2 },
        head_dim: 8,
        intermediate_size: 32,
        max_position_embeddings: 6,
        initializer_range: 0.3,
        ..Config::of(variant)
    };
    config.set_dropout(dropout);
    config
}

fn model(variant: Variant, dropout: f64, head: Head) -> Model {
    Model::new(crate::Config::Decoder(tiny(variant, dropout)), head).unwrap()
}

const HEADS: [Head; 2] = [Head::CausalLanguage, Head::Classification { labels: 2 }];

fn check_each(run: impl Fn(&Model, &Targets<'_>, Variant)) {
    let (rows, labels) = TOKENS.next();
    for variant in Variant::ALL {
        for head in HEADS {
            let targets = match head {
                Head::Classification { .. } => Targets::Classes(&[1, 0]),
                _ => Targets::MaskedTokens { rows: &rows, labels: &labels },
            };
            let model = model(variant, 0.3, head);
            model.check(&Inputs::Tokens(TOKENS), Some(&targets)).unwrap();
            run(&model, &targets, variant);
        }
    }
}

/// Under dropout, the slope along the gradient is its squared norm: the backward pass drops what the forward pass did.
#[test]
fn the_gradient_is_a_slope_under_dropout() {
    check_each(|model, targets, variant| {
        let (values, workspace) = (model.init(3).values, &mut Workspace::default());
        let (inputs, dropout) = (Inputs::Tokens(TOKENS), Some(Dropout { key: 5 }));
        let mut gradient = vec![0.0; values.len()];
        model.loss_and_gradient(&values, &inputs, targets, dropout, 1.0, &mut gradient, workspace).unwrap();
        let size = kernels::norm::norm(&gradient);
        let mut loss_at = |step: f64| {
            let factor = (step / size) as f32;
            let moved: Vec<f32> = values.iter().zip(&gradient).map(|(v, g)| v + factor * g).collect();
            let scratch = &mut vec![0.0; values.len()];
            model
                .loss_and_gradient(&moved, &inputs, targets, dropout, 1.0, scratch, workspace)
                .unwrap()
                .loss_sum
        };
        let slope = (loss_at(5e-3) - loss_at(-5e-3)) / 1e-2;
        assert!((slope / size - 1.0).abs() < 2e-3, "{variant:?}, {:?}: {slope} is not {size}", model.head());
    });
}

#[test]
fn it_learns() {
    check_each(|model, targets, variant| {
        let (mut values, workspace) = (model.init(1).values, &mut Workspace::default());
        let inputs = Inputs::Tokens(TOKENS);
        let [mut means, mut squares] = [(); 2].map(|()| vec![0.0; values.len()]);
        let before = model.losses(&values, &inputs, targets, workspace).unwrap().loss_sum;
        for number in 1..=150 {
            let mut gradient = vec![0.0; values.len()];
            model.loss_and_gradient(&values, &inputs, targets, None, 0.5, &mut gradient, workspace).unwrap();
            let rule = kernels::adamw::Step {
                learning_rate: 1e-2,
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-8,
                weight_decay: 0.0,
                gradient_scale: 1.0,
                bias_correction: Some(number),
            };
            kernels::adamw::step(&mut values, &gradient, &mut means, &mut squares, &rule);
        }
        let after = model.losses(&values, &inputs, targets, workspace).unwrap().loss_sum;
        // After the first token of both sequences stand two different ones: ln 2 twice is left to a language model.
        let left = if let Targets::Classes(_) = targets { 0.0 } else { 2.0 * std::f64::consts::LN_2 };
        assert!(after - left < 0.1 * before, "{variant:?}: {before} -> {after}");
    });
}

/// A token's losses do not depend on what follows, to the last bit.
#[test]
fn the_future_is_not_seen() {
    for variant in Variant::ALL {
        let (model, workspace) = (model(variant, 0.0, Head::CausalLanguage), &mut Workspace::default());
        let values = model.init(2).values;
        let mut losses = |ids: &[u32]| {
            let inputs = Inputs::Tokens(Tokens { ids, ..TOKENS });
            [0, 1, 3, 4]
                .map(|row| model.masked_losses(&values, &inputs, &[row], &[4], workspace).unwrap().loss_sum)
        };
        assert_eq!(losses(TOKENS.ids), losses(&[1, 5, 2, 1, 7, 10, 0, 2]), "{variant:?}");
    }
}

/// One label is a scalar: the first class's logit.
#[test]
fn a_single_label_is_a_score() {
    for variant in Variant::ALL {
        let (two, one) =
            (model(variant, 0.0, HEADS[1]), model(variant, 0.0, Head::Classification { labels: 1 }));
        let (values, workspace) = (two.init(2).values, &mut Workspace::default());
        // The classifier lies last, class after class.
        let cut = &values[..one.layout().len()];
        let both = two.logits(&values, &Inputs::Tokens(TOKENS), workspace).unwrap().to_vec();
        let score = one.logits(cut, &Inputs::Tokens(TOKENS), workspace).unwrap();
        assert_eq!(score.len(), 2);
        assert!((score[0] - both[0]).abs() < 1e-5 && (score[1] - both[2]).abs() < 1e-5, "{score:?} {both:?}");
    }
}
