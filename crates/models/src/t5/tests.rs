//! What holds for both kinds and is not said by transformers' fixtures.

use super::*;
use crate::{Dropout, Error, Head, Inputs, Model, Targets, Tokens, Workspace};

pub(crate) const TOKENS: Tokens<'static> =
    Tokens { ids: &[3, 5, 1, 4, 7, 1, 9, 1], types: &[0; 8], starts: &[0, 3, 8] };
pub(crate) const TARGETS: Targets<'static> =
    Targets::Sequences { ids: &[8, 2, 9, 1, 6, 1], starts: &[0, 4, 6] };
const HEADS: [Head; 2] = [Head::SequenceToSequence, Head::Classification { labels: 2 }];

pub(crate) fn tiny(feed_forward: FeedForward, dropout: f64) -> Config {
    let mut config = Config {
        vocab_size: 11,
        d_model: 16,
        d_kv: 4,
        d_ff: 24,
        num_layers: 2,
        num_decoder_layers: 3,
        num_heads: 3,
        relative_attention_num_buckets: 6,
        relative_attention_max_distance: 4,
        feed_forward,
        tie_word_embeddings: feed_forward == FeedForward::Relu,
        ..Config::default()
    };
    config.set_dropout(dropout);
    config
}

fn model(feed_forward: FeedForward, dropout: f64, head: Head) -> Model {
    Model::new(crate::Config::T5(tiny(feed_forward, dropout)), head).unwrap()
}

fn check_each(run: impl Fn(&Model, &Targets<'_>)) {
    for feed_forward in [FeedForward::Relu, FeedForward::GatedGelu] {
        for head in HEADS {
            let targets = if head == HEADS[0] { TARGETS } else { Targets::Classes(&[1, 0]) };
            let model = model(feed_forward, 0.3, head);
            model.check(&Inputs::Tokens(TOKENS), Some(&targets)).unwrap();
            run(&model, &targets);
        }
    }
}

/// Under dropout, the slope along the gradient is its squared norm: the backward pass drops what the forward pass did.
#[test]
fn the_gradient_is_a_slope_under_dropout() {
    check_each(|model, targets| {
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
        // A step so small that no rectifier turns within it.
        let slope = (loss_at(1e-4) - loss_at(-1e-4)) / 2e-4;
        assert!((slope / size - 1.0).abs() < 2e-3, "{:?}: {slope} is not {size}", model.head());
    });
}

#[test]
fn it_learns() {
    check_each(|model, targets| {
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
        let after = model.losses(&values, &inputs, targets, workspace).unwrap();
        assert!(after.loss_sum < 0.1 * before, "{:?}: {before} -> {after:?}", model.head());
        assert_eq!(after.correct, after.n);
    });
}

/// What a sequence loses depends on it alone, wherever it lies in a batch, and its logits begin the target.
#[test]
fn neighbours_do_not_matter() {
    let Targets::Sequences { ids, starts } = TARGETS else { unreachable!() };
    let (model, workspace) = (model(FeedForward::GatedGelu, 0.0, HEADS[0]), &mut Workspace::default());
    let values = model.init(2).values;
    let both = model.losses(&values, &Inputs::Tokens(TOKENS), &TARGETS, workspace).unwrap().loss_sum;
    let first = model.logits(&values, &Inputs::Tokens(TOKENS), workspace).unwrap().to_vec();
    let mut sum = 0.0;
    for (i, (span, told)) in TOKENS.starts.windows(2).zip(starts.windows(2)).enumerate() {
        let (source, told) =
            (&TOKENS.ids[span[0] as usize..span[1] as usize], &ids[told[0] as usize..told[1] as usize]);
        let inputs = Inputs::Tokens(Tokens {
            ids: source,
            types: &TOKENS.types[..source.len()],
            starts: &[0, source.len() as u32],
        });
        let mut loss = |ids: &[u32]| {
            let targets = Targets::Sequences { ids, starts: &[0, ids.len() as u32] };
            model.losses(&values, &inputs, &targets, workspace).unwrap().loss_sum
        };
        sum += loss(told);
        let logits: Vec<f64> = first[i * 11..(i + 1) * 11].iter().map(|&logit| f64::from(logit)).collect();
        let normaliser = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        assert!((loss(&told[..1]) - (normaliser - logits[told[0] as usize])).abs() < 1e-5);
    }
    assert!((both - sum).abs() < 1e-5, "{both} is not {sum}");
}

/// One label is a scalar: the first class's logit, and two of them are compared.
#[test]
fn a_single_label_is_a_score() {
    let one_label = Head::Classification { labels: 1 };
    for feed_forward in [FeedForward::Relu, FeedForward::GatedGelu] {
        let (two, one) = (model(feed_forward, 0.0, HEADS[1]), model(feed_forward, 0.0, one_label));
        let (values, workspace) = (two.init(2).values, &mut Workspace::default());
        // The classifier lies last: the weights of two classes, then their biases, which are 0.
        let cut = &values[..one.layout().len()];
        let both = two.logits(&values, &Inputs::Tokens(TOKENS), workspace).unwrap().to_vec();
        let mut cut = cut.to_vec();
        *cut.last_mut().unwrap() = 0.0;
        let score = one.logits(&cut, &Inputs::Tokens(TOKENS), workspace).unwrap().to_vec();
        assert_eq!(score.len(), 2);
        assert!((score[0] - both[0]).abs() < 1e-5 && (score[1] - both[2]).abs() < 1e-5, "{score:?} {both:?}");
        let targets = Targets::Classes(&[1]);
        one.check(&Inputs::Tokens(TOKENS), Some(&targets)).unwrap();
        let loss = one.losses(&cut, &Inputs::Tokens(TOKENS), &targets, workspace).unwrap().loss_sum;
        assert!((loss - f64::from(score[0] - score[1]).exp().ln_1p()).abs() < 1e-5, "{loss} of {score:?}");
    }
}

#[test]
fn the_body_does_not_depend_on_the_head() {
    let [language, classifier] = HEADS.map(|head| model(FeedForward::GatedGelu, 0.0, head).init(3));
    for entry in language.layout().entries().iter().filter(|entry| entry.name != "lm_head.weight") {
        let there = classifier.tensor(&format!("transformer.{}", entry.name));
        assert_eq!(language.tensor(&entry.name), there, "{}", entry.name);
    }
    let words = language.tensor("shared.weight").unwrap();
    let queries = language.tensor("encoder.block.0.layer.0.SelfAttention.q.weight").unwrap();
    let deviation = |values: &[f32]| kernels::norm::norm(values) / (values.len() as f64).sqrt();
    assert!((deviation(words) - 1.0).abs() < 0.2, "{}", deviation(words));
    assert!((deviation(queries) - 0.125).abs() < 0.025, "{}", deviation(queries));
}

#[test]
fn what_a_batch_can_get_wrong_is_named() {
    let message = |head: Head, tokens: Tokens<'_>, targets: Targets<'_>| {
        let model = model(FeedForward::Relu, 0.0, head);
        model.check(&Inputs::Tokens(tokens), Some(&targets)).map_err(|error| error.to_string())
    };
    let sequences = |ids, starts| message(HEADS[0], TOKENS, Targets::Sequences { ids, starts });
    for (found, expected) in [
        (sequences(&[1, 2, 3], &[0, 3]), "number of target sequences: 1, expected 2"),
        (sequences(&[1, 2, 3], &[0, 3, 3]), "starts do not increase at index 2"),
        (sequences(&[1, 2, 3], &[0, 1, 2]), "last start: 2, expected 3"),
        (sequences(&[1, 2, 3], &[]), "the batch is empty"),
        (sequences(&[1, 2, 11], &[0, 1, 3]), "target token 11 at index 2 is not below 11"),
        (
            message(HEADS[1], TOKENS, TARGETS),
            "a model of type `t5` with a classification head does not take sequences",
        ),
        (
            message(HEADS[0], TOKENS, Targets::Classes(&[0, 1])),
            "a model of type `t5` with a sequence-to-sequence head does not take classes",
        ),
        (
            message(HEADS[1], Tokens { ids: &[3, 5, 1, 4, 7, 2, 9, 2], ..TOKENS }, Targets::Classes(&[0, 1])),
            "sequence 1 has no token 1, at which it is classified: its tokenizer should end each text with it",
        ),
    ] {
        assert_eq!(found, Err(expected.to_owned()));
    }
    let masked = Model::new(crate::Config::T5(tiny(FeedForward::Relu, 0.0)), Head::MaskedLanguage);
    assert!(matches!(masked, Err(Error::Head { model_type: "t5", .. })));
    let bert = crate::Config::Bert(crate::bert::Config::default());
    assert!(matches!(
        Model::new(bert, Head::SequenceToSequence),
        Err(Error::Head { model_type: "bert", .. })
    ));
}

/// A change of these numbers changes artifacts: raise the family's `VERSION` with it. Instruction sets round
/// differently, hence the tolerance.
#[test]
fn golden() {
    let mut found = Vec::new();
    for feed_forward in [FeedForward::Relu, FeedForward::GatedGelu] {
        for head in HEADS {
            let targets = if head == HEADS[0] { TARGETS } else { Targets::Classes(&[1, 0]) };
            let (model, workspace) = (model(feed_forward, 0.3, head), &mut Workspace::default());
            let values = model.init(42).values;
            let mut gradient = vec![0.0; values.len()];
            let (inputs, dropout) = (Inputs::Tokens(TOKENS), Some(Dropout { key: 9 }));
            let dropped = model
                .loss_and_gradient(&values, &inputs, &targets, dropout, 1.0, &mut gradient, workspace)
                .unwrap();
            found.extend([dropped.loss_sum, kernels::norm::norm(&gradient)]);
        }
    }
    for (found_one, expected) in found.iter().zip(GOLDEN) {
        assert!((found_one - expected).abs() < 1e-5 * expected.abs(), "{found:?}");
    }
}

const GOLDEN: [f64; 8] = [
    20.819_255_3,
    45.173_963_7,
    1.604_911_64,
    12.143_438_4,
    46.218_521_6,
    223.570_239,
    2.325_901_50,
    22.200_080_3,
];
