//! Training on a device: the fused optimiser's run to 1e-5, resumed bit for bit. Candle's processor stands for a device here.

use learn::{ALL_LINEAR, AdamW, Adapter, Error, Lora, Recipe, Schedule, Scope, State, Trainer, train};
use models::{Config, Device, Head, Model, bert, decoder, mlp, t5};
use tasks::{Batch, Encoded, LabelledBatch, SequencePairs, Source, roles};
use weights::Weights;

const STEPS: u64 = 20;

fn recipe(optimiser: AdamW, dropout_seed: Option<u64>) -> Recipe {
    let schedule = Schedule::Linear;
    Recipe { steps: STEPS, learning_rate: 1e-3, schedule, warmup: 4, optimiser, dropout_seed }
}

/// BERT's optimiser, with every part of it switched on. Where a gradient is rounding alone, as that of a bias of keys, a
/// smaller epsilon would make steps of it.
const OPTIMISER: AdamW =
    AdamW { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weight_decay: 0.1, bias_correction: true, clip: 0.5 };

fn encoder(head: Head) -> Model {
    let config = bert::Config {
        vocab_size: 53,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 16,
        initializer_range: 0.1,
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        ..bert::Config::default()
    };
    Model::new(Config::Bert(config), head).unwrap()
}

fn gpt2() -> Model {
    let config = decoder::Config {
        vocab_size: 53,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        head_dim: 8,
        intermediate_size: 32,
        max_position_embeddings: 16,
        initializer_range: 0.1,
        ..decoder::Config::of(decoder::Variant::Gpt2)
    };
    Model::new(Config::Decoder(config), Head::Classification { labels: 2 }).unwrap()
}

fn encoder_decoder() -> Model {
    let config = t5::Config {
        vocab_size: 53,
        d_model: 16,
        d_kv: 8,
        d_ff: 32,
        num_layers: 1,
        num_decoder_layers: 2,
        num_heads: 2,
        ..t5::Config::default()
    };
    Model::new(Config::T5(config), Head::SequenceToSequence).unwrap()
}

fn perceptron() -> Model {
    let config = mlp::Config { input_size: 13, hidden_sizes: vec![16, 11] };
    Model::new(Config::Mlp(config), Head::Classification { labels: 2 }).unwrap()
}

/// Sentences with hidden words, enough for two shards.
fn masked(step: u64) -> Batch {
    Source::Roles(roles::Source::default()).batch(3, step, 200)
}

/// Sentences in two classes.
fn labelled(step: u64) -> Batch {
    let Batch::Masked(text) = Source::Roles(roles::Source::default()).batch(3, step, 32) else {
        unreachable!()
    };
    let inputs = Encoded::Tokens { ids: text.ids, types: text.types, starts: text.starts };
    Batch::Labelled(LabelledBatch { inputs, labels: (0..32).map(|row| row % 2).collect() })
}

fn pairs(step: u64) -> Batch {
    let Batch::Masked(text) = Source::Roles(roles::Source::default()).batch(3, step, 16) else {
        unreachable!()
    };
    let (ids, starts) = (text.ids.iter().rev().copied().collect(), text.starts.clone());
    Batch::Sequences(SequencePairs {
        ids: text.ids,
        types: text.types,
        starts: text.starts,
        target_ids: ids,
        target_starts: starts,
    })
}

fn dense(step: u64) -> Batch {
    let mut stream = random::Stream::at(3, "dense", step);
    let values = (0..24 * 13).map(|_| stream.normal() as f32).collect();
    let inputs = Encoded::Dense { values, width: 13 };
    Batch::Labelled(LabelledBatch { inputs, labels: (0..24).map(|row| row % 2).collect() })
}

/// What a run trains.
#[derive(Clone, Copy, Debug)]
enum What {
    All,
    Biases,
    LowRank,
}

/// The state after a run with pauses at these steps, saved and read at each, and the losses and norms of its steps.
fn run(
    model: &Model,
    what: What,
    recipe: &Recipe,
    batches: fn(u64) -> Batch,
    pauses: &[u64],
) -> (State, Vec<[f64; 2]>) {
    let start = model.init(1);
    let lora = Lora { rank: 3, alpha: 6.0, targets: vec![ALL_LINEAR.into()] };
    let whole = model.head_and_missing(&start);
    let mut adapter = Adapter::new(model, start.clone(), &lora, &whole).unwrap();
    let mut state = State::start(match what {
        What::LowRank => adapter.init(2),
        What::All | What::Biases => start,
    });
    let mut trainer = Trainer::new(model, None);
    let mut seen = Vec::new();
    for &until in pauses {
        let scope = match what {
            What::All => Scope::All,
            What::Biases => Scope::Biases,
            What::LowRank => Scope::LowRank(&mut adapter),
        };
        let mut observe = |now: &learn::Progress| {
            seen.push([now.tally.mean_loss(), now.gradient_norm]);
            Ok(())
        };
        let mut batches = |step| batches(step);
        train::<Error>(model, scope, &mut state, recipe, &mut trainer, &mut batches, until, &mut observe)
            .unwrap();
        state = State::from_bytes(&state.to_bytes(), state.weights.layout()).unwrap();
    }
    (state, seen)
}

fn furthest(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Twenty steps of both optimisers.
fn check(model: &Model, what: What, recipe: &Recipe, batches: fn(u64) -> Batch) {
    let on_device = model.clone().on(Device::Candle).unwrap();
    let (fused, expected) = run(model, what, recipe, batches, &[STEPS]);
    let (found, seen) = run(&on_device, what, recipe, batches, &[STEPS]);
    let kind = (model.config().model_type(), what, recipe.optimiser.bias_correction);
    assert_eq!((found.step, found.seen), (fused.step, fused.seen), "{kind:?}");
    let start = State::start(model.init(1)).weights;
    if let What::All = what {
        assert!(furthest(&fused.weights.values, &start.values) > 1e-3, "{kind:?}: nothing was learned");
    }
    for (part, ours, theirs) in [
        ("weights", &found.weights.values, &fused.weights.values),
        ("first moments", &found.first, &fused.first),
        ("second moments", &found.second, &fused.second),
    ] {
        let apart = furthest(ours, theirs);
        assert!(apart < 1e-5, "{kind:?}: {part} differ by {apart:e}");
        assert!(theirs.iter().any(|&value| value.abs() > 1e-7), "{kind:?}: {part} are 0");
    }
    for (step, (found, expected)) in seen.iter().zip(&expected).enumerate() {
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found / expected - 1.0).abs() < 1e-4,
                "{kind:?}, step {step}: {found} is not {expected}"
            );
        }
    }
}

#[test]
fn twenty_steps_are_those_of_the_fused_optimiser() {
    let classifier = encoder(Head::Classification { labels: 2 });
    let plain = AdamW { bias_correction: false, ..OPTIMISER };
    let free = AdamW { weight_decay: 0.0, clip: 0.0, ..OPTIMISER };
    check(&encoder(Head::MaskedLanguage), What::All, &recipe(OPTIMISER, Some(5)), masked);
    check(&classifier, What::All, &recipe(plain, Some(6)), labelled);
    check(&classifier, What::All, &recipe(free, None), labelled);
    check(&classifier, What::Biases, &recipe(OPTIMISER, Some(7)), labelled);
    check(&classifier, What::LowRank, &recipe(OPTIMISER, Some(8)), labelled);
    check(&gpt2(), What::All, &recipe(OPTIMISER, Some(9)), labelled);
    // Its weights lie the other way round.
    check(&gpt2(), What::LowRank, &recipe(OPTIMISER, None), labelled);
    check(&encoder_decoder(), What::All, &recipe(OPTIMISER, Some(10)), pairs);
    check(&perceptron(), What::All, &recipe(OPTIMISER, None), dense);
}

#[test]
fn a_paused_run_on_a_device_is_the_straight_one() {
    let model = encoder(Head::Classification { labels: 2 }).on(Device::Candle).unwrap();
    for what in [What::All, What::Biases, What::LowRank] {
        let recipe = recipe(OPTIMISER, Some(5));
        let bits = |pauses: &[u64]| {
            let (state, _) = run(&model, what, &recipe, labelled, pauses);
            let parts = [state.weights.values, state.first, state.second];
            parts.concat().into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert!(bits(&[1, 7, STEPS]) == bits(&[STEPS]), "{what:?}");
    }
}

/// BitFit: what is frozen stays to the bit, and so do its moments.
#[test]
fn what_is_frozen_stays() {
    let model = encoder(Head::Classification { labels: 2 }).on(Device::Candle).unwrap();
    let (state, _) = run(&model, What::Biases, &recipe(OPTIMISER, Some(5)), labelled, &[STEPS]);
    let start = model.init(1);
    for (entry, is_trained) in model.layout().entries().iter().zip(model.biases_and_head()) {
        let stayed = state.weights.values[entry.range()] == start.values[entry.range()];
        assert!(is_trained || stayed, "{}", entry.name);
        assert!(
            is_trained || state.second[entry.range()].iter().all(|&square| square == 0.0),
            "{}",
            entry.name
        );
    }
}

#[test]
fn divergence_on_a_device_leaves_the_last_good_state() {
    let model = encoder(Head::MaskedLanguage).on(Device::Candle).unwrap();
    let free = AdamW { clip: 0.0, ..OPTIMISER };
    let recipe = Recipe { learning_rate: 1e30, warmup: 0, ..recipe(free, None) };
    let mut state = State::start(model.init(1));
    let mut trainer = Trainer::new(&model, None);
    let (mut batches, observe) = (masked, &mut |_: &learn::Progress| Ok(()));
    let all = Scope::All;
    let error = train::<Error>(&model, all, &mut state, &recipe, &mut trainer, &mut batches, STEPS, observe)
        .unwrap_err();
    assert!(matches!(error, Error::Diverged { step, .. } if step == state.step && step > 0), "{error}");
    // It moved, and its moments belong to its step.
    assert!(furthest(&state.weights.values, &model.init(1).values) > 0.0);
    assert!(state.second.iter().any(|&square| square > 0.0));
    let other = State::start(Weights::zeros(model.layout().clone()));
    assert_ne!(state.first, other.first);
}
