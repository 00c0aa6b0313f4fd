//! What a model promises whatever its family.

use super::*;
use crate::Tokens;

fn tiny() -> Config {
    Config::Bert(bert::Config {
        vocab_size: 11,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 6,
        initializer_range: 0.1,
        ..bert::Config::default()
    })
}

fn language() -> Model {
    Model::new(tiny(), Head::MaskedLanguage).unwrap()
}

fn classifier() -> Model {
    Model::new(tiny(), Head::Classification { labels: 2 }).unwrap()
}

const TOKENS: Tokens<'static> =
    Tokens { ids: &[1, 5, 6, 1, 7, 8, 9], types: &[0, 0, 0, 0, 0, 1, 1], starts: &[0, 3, 7] };

#[test]
fn the_body_does_not_depend_on_the_head() {
    let (language, classifier) = (language().init(3), classifier().init(3));
    let shared = language.layout().entries().iter().filter(|entry| entry.name.starts_with("bert."));
    assert!(shared.clone().count() > 30);
    for entry in shared {
        assert_eq!(language.tensor(&entry.name), classifier.tensor(&entry.name), "{}", entry.name);
    }
    let words = language.tensor("bert.embeddings.word_embeddings.weight").unwrap();
    let variance = words.iter().map(|x| x * x).sum::<f32>() / words.len() as f32;
    assert!((variance.sqrt() - 0.1).abs() < 0.02, "{variance}");
    assert!(words != language.tensor("bert.encoder.layer.0.attention.self.query.weight").unwrap());
}

#[test]
fn transfer_copies_the_body_and_draws_the_head() {
    let (pretrained, model) = (language().init(3), classifier());
    let weights = model.transfer(&pretrained, 5, 7, Draw::Normal(0.02)).unwrap();
    for entry in model.layout().entries() {
        let found = weights.tensor(&entry.name).unwrap();
        match pretrained.tensor(&entry.name) {
            Some(expected) => assert_eq!(found, expected, "{}", entry.name),
            None => {
                assert_eq!(found.iter().all(|&x| x == 0.0), entry.name.ends_with(".bias"), "{}", entry.name)
            }
        }
    }
    assert!(weights.tensor("classifier.weight").unwrap().iter().all(|x| x.abs() < 0.1));
    let cut = model.transfer(&pretrained, 5, 7, Draw::TruncatedNormal(0.02)).unwrap();
    let classifier = cut.tensor("classifier.weight").unwrap();
    assert!(
        classifier.iter().all(|weight| weight.abs() <= 0.04)
            && classifier.iter().any(|&weight| weight != 0.0)
    );
    let other = model.transfer(&pretrained, 5, 8, Draw::Normal(0.02)).unwrap();
    assert_ne!(weights.tensor("classifier.weight"), other.tensor("classifier.weight"));

    // A pooler that is there is copied.
    let tuned = model.init(9);
    let again = model.transfer(&tuned, 5, 7, Draw::Normal(0.02)).unwrap();
    assert_eq!(again.tensor("bert.pooler.dense.weight"), tuned.tensor("bert.pooler.dense.weight"));
    assert_eq!(again.tensor("classifier.weight"), weights.tensor("classifier.weight"));

    let mlp = Config::Mlp(mlp::Config { input_size: 3, hidden_sizes: vec![4] });
    let mlp = Model::new(mlp, Head::Classification { labels: 2 }).unwrap();
    let error = mlp.transfer(&pretrained, 0, 0, Draw::Normal(0.02)).unwrap_err().to_string();
    assert_eq!(error, "tensor `layers.0.weight` is missing");
}

#[test]
fn published_names_are_understood() {
    let (model, weights) = (language(), language().init(3));
    let mut layout = Layout::default();
    let mut values = Vec::new();
    // In another order, as a bare body of 2018 with heads of the same time.
    for entry in weights.layout().entries().iter().rev() {
        let name = entry.name.replace("LayerNorm.weight", "LayerNorm.gamma");
        let name = name.replace("LayerNorm.bias", "LayerNorm.beta");
        layout.push(name.strip_prefix("bert.").unwrap_or(&name), &entry.shape);
        values.extend_from_slice(&weights.values[entry.range()]);
    }
    layout.push("cls.seq_relationship.weight", &[1]);
    layout.push("pooler.dense.weight", &[1]);
    values.extend([0.0; 2]);
    let mut published = Weights::zeros(Arc::new(layout));
    published.values = values;
    assert_eq!(model.adopt(&published).unwrap().values, weights.values);

    let mut stranger = Layout::default();
    for entry in weights.layout().entries() {
        stranger.push(&entry.name, &entry.shape);
    }
    stranger.push("bert.encoder.layer.2.output.dense.bias", &[1]);
    let error = model.adopt(&Weights::zeros(Arc::new(stranger))).unwrap_err().to_string();
    assert_eq!(error, "tensor `bert.encoder.layer.2.output.dense.bias` is not part of this model");
}

#[test]
fn biases_and_norms_do_not_decay() {
    let model = classifier();
    for (entry, decays) in model.layout().entries().iter().zip(model.decays()) {
        assert_eq!(decays, entry.shape.len() == 2, "{}", entry.name);
    }
}

#[test]
fn what_a_batch_can_get_wrong_is_named() {
    let message = |model: &Model, tokens: Tokens<'_>, targets: Targets<'_>| {
        model.check(&Inputs::Tokens(tokens), Some(&targets)).map_err(|error| error.to_string())
    };
    let classes = |tokens| message(&classifier(), tokens, Targets::Classes(&[0, 1]));
    let masked = |rows, labels| message(&language(), TOKENS, Targets::MaskedTokens { rows, labels });
    assert_eq!(classes(TOKENS), Ok(()));
    assert_eq!(masked(&[1, 6], &[0, 10]), Ok(()));
    for (found, expected) in [
        (classes(Tokens { ids: &[1, 5, 6, 1, 11, 8, 9], ..TOKENS }), "token 11 at index 4 is not below 11"),
        (classes(Tokens { types: &[0, 0, 0, 0, 0, 1, 2], ..TOKENS }), "segment 2 at index 6 is not below 2"),
        (classes(Tokens { types: &[0], ..TOKENS }), "number of segments: 1, expected 7"),
        (classes(Tokens { starts: &[0, 7], ..TOKENS }), "sequence 0 has 7 tokens, the model has 6 positions"),
        (classes(Tokens { starts: &[0, 3, 3, 7], ..TOKENS }), "starts do not increase at index 2"),
        (classes(Tokens { starts: &[0, 3, 6], ..TOKENS }), "last start: 6, expected 7"),
        (classes(Tokens { starts: &[1, 3, 7], ..TOKENS }), "first start: 1, expected 0"),
        (classes(Tokens { starts: &[], ..TOKENS }), "the batch is empty"),
        (classes(Tokens { ids: &[], types: &[], starts: &[0] }), "the batch is empty"),
        (masked(&[1, 7], &[0, 0]), "masked row 7 at index 1 is not below 7"),
        (masked(&[2, 2], &[0, 0]), "masked rows do not increase at index 1"),
        (masked(&[2], &[0, 0]), "number of masked labels: 2, expected 1"),
        (masked(&[2], &[11]), "masked label 11 at index 0 is not below 11"),
        (message(&classifier(), TOKENS, Targets::Classes(&[0, 2])), "label 2 at index 1 is not below 2"),
        (
            message(&language(), TOKENS, Targets::Classes(&[0, 1])),
            "a model of type `bert` with a masked-language head does not take classes",
        ),
    ] {
        assert_eq!(found, Err(expected.to_owned()));
    }
    let dense = classifier().check(&Inputs::Dense { values: &[0.0], width: 1 }, None).unwrap_err();
    assert!(dense.to_string().ends_with("does not take vectors"), "{dense}");
    let mlp = Config::Mlp(mlp::Config { input_size: 2, hidden_sizes: vec![4] });
    assert!(Model::new(mlp.clone(), Head::MaskedLanguage).is_err());
    let mlp = Model::new(mlp, Head::Classification { labels: 2 }).unwrap();
    let check = |values: &[f32], width| mlp.check(&Inputs::Dense { values, width }, None).is_ok();
    assert!(check(&[1.0, 2.0], 2));
    assert!(
        !check(&[1.0, 2.0, 3.0], 2) && !check(&[], 2) && !check(&[1.0], 1) && !check(&[1.0, f32::NAN], 2)
    );
}

#[test]
fn nothing_masked_loses_nothing() {
    let model = language();
    let (values, inputs) = (model.init(0).values, Inputs::Tokens(TOKENS));
    let targets = Targets::MaskedTokens { rows: &[], labels: &[] };
    model.check(&inputs, Some(&targets)).unwrap();
    let mut gradient = vec![0.0; values.len()];
    let workspace = &mut Workspace::default();
    let tally =
        model.loss_and_gradient(&values, &inputs, &targets, None, 1.0, &mut gradient, workspace).unwrap();
    assert_eq!(tally, Tally::default());
    assert!(gradient.iter().all(|&g| g == 0.0));
}

/// A change of these numbers changes artifacts: raise the family's `VERSION` with it. Instruction sets round
/// differently, hence the tolerance.
#[test]
fn golden() {
    let workspace = &mut Workspace::default();
    let inputs = Inputs::Tokens(TOKENS);
    let model = language();
    let weights = model.init(42);
    let first = weights.tensor("bert.embeddings.word_embeddings.weight").unwrap()[0];
    let masked = model.masked_losses(&weights.values, &inputs, &[1, 5], &[5, 8], workspace).unwrap().loss_sum;
    let mut gradient = vec![0.0; weights.values.len()];
    let targets = Targets::MaskedTokens { rows: &[1, 5], labels: &[5, 8] };
    let dropout = Some(Dropout { key: 9 });
    let dropped = model
        .loss_and_gradient(&weights.values, &inputs, &targets, dropout, 1.0, &mut gradient, workspace)
        .unwrap()
        .loss_sum;
    let norm = kernels::norm::norm(&gradient);
    let mlp = Config::Mlp(mlp::Config { input_size: 2, hidden_sizes: vec![4] });
    let mlp = Model::new(mlp, Head::Classification { labels: 2 }).unwrap();
    let vectors = Inputs::Dense { values: &[1.0, -0.5], width: 2 };
    let logit = f64::from(mlp.logits(&mlp.init(42).values, &vectors, workspace).unwrap()[0]);
    for (found, expected) in [f64::from(first), masked, dropped, norm, logit].into_iter().zip(GOLDEN) {
        assert!(
            (found - expected).abs() < 1e-5 * expected.abs(),
            "{:?}",
            [f64::from(first), masked, dropped, norm, logit]
        );
    }
}

const GOLDEN: [f64; 5] = [-0.064_095_817, 5.373_318_51, 5.387_514_27, 9.152_638_25, -0.308_774_799];

/// Forty steps on one batch: the loss of both heads falls to a tenth.
#[test]
fn it_learns() {
    let inputs = Inputs::Tokens(TOKENS);
    for (model, targets) in [
        (language(), Targets::MaskedTokens { rows: &[1, 2, 5], labels: &[5, 6, 8] }),
        (classifier(), Targets::Classes(&[1, 0])),
    ] {
        let mut values = model.init(1).values;
        let [mut means, mut squares] = [(); 2].map(|()| vec![0.0; values.len()]);
        let workspace = &mut Workspace::default();
        let before = model.losses(&values, &inputs, &targets, workspace).unwrap().loss_sum;
        for number in 1..=40 {
            let mut gradient = vec![0.0; values.len()];
            let dropout = Some(Dropout { key: number });
            model
                .loss_and_gradient(&values, &inputs, &targets, dropout, 0.5, &mut gradient, workspace)
                .unwrap();
            let rule = kernels::adamw::Step {
                learning_rate: 5e-3,
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-8,
                weight_decay: 0.0,
                gradient_scale: 1.0,
                bias_correction: Some(number),
            };
            kernels::adamw::step(&mut values, &gradient, &mut means, &mut squares, &rule);
        }
        let after = model.losses(&values, &inputs, &targets, workspace).unwrap();
        assert!(after.loss_sum < 0.1 * before, "{before} -> {after:?}");
        assert_eq!(after.correct, after.n);
    }
}
