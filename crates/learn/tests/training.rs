//! What a training run promises: exact resumption, the same bytes on any number of threads, and a loss that falls.

use learn::{
    AdamW, Error, Recipe, Schedule, Scope, Scorer, State, Trainer, masked_tally, sequence_tally, train,
};
use models::{Config, Head, Inputs, Model, Precision, Targets, Tokens, Workspace, bert, mlp, t5};
use tasks::{Batch, Encoded, LabelledBatch, SequencePairs, Source, roles};

fn model(dropout: f64) -> Model {
    let config = bert::Config {
        vocab_size: 53,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 16,
        initializer_range: 0.1,
        hidden_dropout_prob: dropout,
        attention_probs_dropout_prob: dropout,
        ..Default::default()
    };
    Model::new(Config::Bert(config), Head::MaskedLanguage).unwrap()
}

fn recipe(steps: u64) -> Recipe {
    Recipe {
        steps,
        learning_rate: 3e-3,
        schedule: Schedule::InverseSqrt,
        warmup: 10,
        optimiser: AdamW {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.01,
            bias_correction: true,
            clip: 1.0,
        },
        dropout_seed: Some(5),
    }
}

/// Sentences enough for three shards.
const BATCH: usize = 320;

fn run(model: &Model, state: &mut State, recipe: &Recipe, until: u64, threads: usize) -> Result<(), Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut trainer = Trainer::new(model, (threads > 1).then_some(&pool));
    let text = Source::Roles(roles::Source::default());
    let mut batches = |step| text.batch(3, step, BATCH);
    train(model, Scope::All, state, recipe, &mut trainer, &mut batches, until, &mut |_| Ok(()))
}

fn bits(state: &State) -> Vec<u32> {
    [&state.weights.values, &state.first, &state.second]
        .into_iter()
        .flatten()
        .map(|value| value.to_bits())
        .collect()
}

#[test]
fn a_saved_and_resumed_run_is_the_straight_run() {
    let model = model(0.1);
    let recipe = recipe(12);
    let mut straight = State::start(model.init(1));
    run(&model, &mut straight, &recipe, 12, 1).unwrap();

    let mut broken = State::start(model.init(1));
    for until in [1, 5, 12] {
        run(&model, &mut broken, &recipe, until, 1).unwrap();
        broken = State::from_bytes(&broken.to_bytes(), model.layout()).unwrap();
    }
    assert_eq!((broken.step, broken.seen), (straight.step, straight.seen));
    assert_eq!(bits(&broken), bits(&straight));
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let model = model(0.1);
    let recipe = recipe(6);
    let of = |threads: usize| {
        let mut state = State::start(model.init(1));
        run(&model, &mut state, &recipe, 6, threads).unwrap();
        bits(&state)
    };
    let one = of(1);
    for threads in [2, 3, 5] {
        assert!(of(threads) == one, "{threads} threads");
    }
}

/// Of pairs of sequences as well: shards are cut where both begin, and what is lost is the sum over all pairs.
#[test]
fn pairs_of_sequences_are_cut_at_their_ends() {
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
    let model = Model::new(Config::T5(config), Head::SequenceToSequence).unwrap();
    let values = model.init(0).values;
    let mut pairs = SequencePairs { starts: vec![0], target_starts: vec![0], ..SequencePairs::default() };
    for pair in 0..200_u32 {
        pairs.ids.extend((0..5 + pair % 7).map(|i| (3 * i + pair) % 53));
        pairs.target_ids.extend((0..1 + pair % 5).map(|i| (5 * i + pair) % 53));
        pairs.starts.push(pairs.ids.len() as u32);
        pairs.target_starts.push(pairs.target_ids.len() as u32);
    }
    pairs.types = vec![0; pairs.ids.len()];
    assert!(pairs.ids.len() + pairs.target_ids.len() > 2_000, "several shards");

    let inputs = Inputs::Tokens(Tokens { ids: &pairs.ids, types: &pairs.types, starts: &pairs.starts });
    let targets = Targets::Sequences { ids: &pairs.target_ids, starts: &pairs.target_starts };
    let whole = model.losses(&values, &inputs, &targets, &mut Workspace::default()).unwrap();
    let tally = sequence_tally(&model, &values, &pairs).unwrap();
    assert_eq!((tally.n, tally.correct), (pairs.target_ids.len() as u64, whole.correct));
    assert!((tally.loss_sum / whole.loss_sum - 1.0).abs() < 1e-6, "{tally:?} is not {whole:?}");

    let batch = Batch::Sequences(pairs.clone());
    let gradient = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut trainer = Trainer::new(&model, (threads > 1).then_some(&pool));
        let mut gradient = vec![0.0; values.len()];
        let tally = trainer.gradient(&values, &batch, Some(7), &mut gradient).unwrap();
        (tally, gradient.iter().map(|g| g.to_bits()).collect::<Vec<_>>())
    };
    let one = gradient(1);
    assert_eq!(one.0.n, pairs.target_ids.len() as u64);
    assert!([2, 3, 5].into_iter().all(|threads| gradient(threads) == one));
    // Without dropout, the mean over all target tokens.
    let mut ours = vec![0.0; values.len()];
    Trainer::new(&model, None).gradient(&values, &batch, None, &mut ours).unwrap();
    let (mut theirs, scale) = (vec![0.0; values.len()], 1.0 / pairs.target_ids.len() as f32);
    let workspace = &mut Workspace::default();
    model.loss_and_gradient(&values, &inputs, &targets, None, scale, &mut theirs, workspace).unwrap();
    let size = kernels::norm::norm(&theirs);
    theirs.iter_mut().zip(&ours).for_each(|(theirs, ours)| *theirs -= ours);
    assert!(kernels::norm::norm(&theirs) < 1e-5 * size, "{} of {size}", kernels::norm::norm(&theirs));
}

#[test]
fn the_held_out_loss_falls() {
    let model = model(0.0);
    let Batch::Masked(held_out) = Source::Roles(roles::Source::default()).held_out() else { unreachable!() };
    let mut state = State::start(model.init(1));
    let before = masked_tally(&model, &state.weights.values, &held_out).unwrap();
    run(&model, &mut state, &Recipe { dropout_seed: None, ..recipe(80) }, 80, 2).unwrap();
    let after = masked_tally(&model, &state.weights.values, &held_out).unwrap();
    assert_eq!(before.n, after.n);
    assert!(after.mean_loss() < before.mean_loss() - 0.5, "{} to {}", before.mean_loss(), after.mean_loss());
}

/// BitFit: matrices stay to the bit, weight decay or not; biases and the classifier move.
#[test]
fn biases_alone_are_trained_where_that_is_asked_for() {
    let Config::Bert(config) = model(0.0).config().clone() else { unreachable!() };
    let model = Model::new(Config::Bert(config), Head::Classification { labels: 2 }).unwrap();
    let Batch::Masked(text) = Source::Roles(roles::Source::default()).batch(1, 0, 32) else { unreachable!() };
    let inputs = Encoded::Tokens { ids: text.ids, types: text.types, starts: text.starts };
    let labels = (0..32).map(|row| row % 2).collect();
    let batch = Batch::Labelled(tasks::LabelledBatch { inputs, labels });
    let start = model.init(3);
    let mut state = State::start(start.clone());
    let mut recipe = Recipe { dropout_seed: None, ..recipe(5) };
    recipe.optimiser.weight_decay = 0.1;
    let mut trainer = Trainer::new(&model, None);
    let mut batches = |_| batch.clone();
    let (biases, batches, observe) = (Scope::Biases, &mut batches, &mut |_: &_| Ok(()));
    train::<Error>(&model, biases, &mut state, &recipe, &mut trainer, batches, 5, observe).unwrap();
    for entry in model.layout().entries() {
        let stayed = state.weights.values[entry.range()] == start.values[entry.range()];
        let trained = entry.name.ends_with(".bias") || entry.name.starts_with("classifier.");
        // The keys' bias moves no attention: every query sees it alike.
        assert!(stayed != trained || entry.name.ends_with("key.bias"), "{}", entry.name);
    }
}

#[test]
fn divergence_is_reported_and_leaves_the_last_good_state() {
    let model = model(0.0);
    let mut recipe = recipe(50);
    recipe.learning_rate = 1e30;
    recipe.warmup = 0;
    recipe.optimiser.clip = 0.0;
    let mut state = State::start(model.init(1));
    let error = run(&model, &mut state, &recipe, 50, 1).unwrap_err();
    assert!(matches!(error, Error::Diverged { step, .. } if step == state.step && step < 50), "{error}");
}

#[test]
fn hyper_parameters_out_of_range_are_refused() {
    let model = model(0.0);
    for (name, change) in [
        ("beta1", (|o: &mut AdamW| o.beta1 = 1.0) as fn(&mut AdamW)),
        ("beta2", |o| o.beta2 = -0.1),
        ("epsilon", |o| o.epsilon = 0.0),
        ("weight decay", |o| o.weight_decay = f64::NAN),
        ("clip", |o| o.clip = -1.0),
    ] {
        let mut recipe = recipe(1);
        change(&mut recipe.optimiser);
        let error = run(&model, &mut State::start(model.init(1)), &recipe, 1, 1).unwrap_err();
        assert!(matches!(error, Error::Parameter { name: found, .. } if found == name), "{name}: {error}");
    }
}

/// Enough examples for several passes.
#[test]
fn any_number_of_threads_gives_the_same_scores() {
    let Config::Bert(config) = model(0.0).config().clone() else { panic!("a BERT") };
    let model = Model::new(Config::Bert(config), Head::Classification { labels: 3 }).unwrap();
    let values = model.init(1).values;
    let lengths = (0..600).map(|row| 3 + row * 7 % 13);
    let starts: Vec<u32> = std::iter::once(0)
        .chain(lengths.scan(0, |end, length| {
            *end += length;
            Some(*end)
        }))
        .collect();
    let n = starts[600];
    let examples = Encoded::Tokens {
        ids: (0..n).map(|at| 1 + at * 5 % 52).collect(),
        types: vec![0; n as usize],
        starts,
    };
    let alone = Scorer::default().logits(&model, &values, &examples).unwrap();
    assert_eq!(alone.len(), 1_800);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let together = Scorer::on(Some(&pool)).logits(&model, &values, &examples).unwrap();
        assert!(alone.iter().zip(&together).all(|(a, b)| a.to_bits() == b.to_bits()), "{threads} threads");
    }
}

/// Logits do not depend on what else is scored, beyond the rounding of the matrix products, and come in the order asked for.
#[test]
fn scores_belong_to_their_examples() {
    let Config::Bert(config) = model(0.0).config().clone() else { unreachable!() };
    let model = Model::new(Config::Bert(config), Head::Classification { labels: 2 }).unwrap();
    let weights = model.init(4);
    let Batch::Masked(text) = Source::Roles(roles::Source::default()).batch(1, 0, 400) else {
        unreachable!()
    };
    let all = Encoded::Tokens { ids: text.ids, types: text.types, starts: text.starts };
    let mut scorer = Scorer::default();
    let logits = scorer.logits(&model, &weights.values, &all).unwrap();
    assert_eq!(logits, scorer.logits(&model, &weights.values, &all).unwrap());
    let some = [399_u32, 0, 17, 200];
    let few = scorer.logits(&model, &weights.values, &all.gather(&some)).unwrap();
    for (i, &row) in some.iter().enumerate() {
        for label in 0..2 {
            let (alone, together) = (few[2 * i + label], logits[2 * row as usize + label]);
            assert!((alone - together).abs() <= 1e-5 * together.abs().max(1.0), "{alone} is not {together}");
        }
    }
}

/// A classifier whose products are worth several threads, and a batch of one shard.
fn wide(precision: Precision) -> (Model, LabelledBatch) {
    let config = bert::Config {
        vocab_size: 97,
        hidden_size: 256,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 1024,
        max_position_embeddings: 32,
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        ..bert::Config::default()
    };
    let model = Model::new(Config::Bert(config), Head::Classification { labels: 2 }).unwrap();
    let ids = (0..20 * 32).map(|at| 1 + at * 7 % 96).collect();
    let starts = (0..=20).map(|sequence| 32 * sequence).collect();
    let inputs = Encoded::Tokens { ids, types: vec![0; 20 * 32], starts };
    let labels = (0..20).map(|sequence| sequence % 2).collect();
    (model.with_precision(precision).unwrap(), LabelledBatch { inputs, labels })
}

#[test]
fn a_pass_that_is_left_alone_shares_its_products_and_keeps_its_bytes() {
    for precision in [Precision::F32, Precision::Bf16x3, Precision::Bf16] {
        let (model, batch) = wide(precision);
        let values = model.init(3).values;
        let pass = |pool: Option<&rayon::ThreadPool>| {
            let logits = Scorer::on(pool).logits(&model, &values, &batch.inputs).unwrap();
            let mut gradient = vec![0.0; values.len()];
            let batch = Batch::Labelled(batch.clone());
            Trainer::new(&model, pool).gradient(&values, &batch, Some(5), &mut gradient).unwrap();
            logits.iter().chain(&gradient).map(|value| value.to_bits()).collect::<Vec<u32>>()
        };
        let alone = pass(None);
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pass(Some(&pool)) == alone, "{precision:?}, {threads} threads");
        }
    }
}

/// Denormals are zeros on the calling thread and must be on others, where arithmetic on them is as slow.
#[test]
fn denormals_are_off_on_every_thread() {
    let config = mlp::Config { input_size: 4, hidden_sizes: vec![16] };
    let model = Model::new(Config::Mlp(config), Head::Classification { labels: 2 }).unwrap();
    let values = model.init(3).values;
    let inputs = Encoded::Dense { values: vec![1e-36; 4 * 3_000], width: 4 };
    let labels = (0..3_000).map(|row| u32::from(row % 3 == 0)).collect();
    let batch = Batch::Labelled(LabelledBatch { inputs, labels });
    let gradient = |pool: Option<&rayon::ThreadPool>| {
        let mut gradient = vec![0.0; values.len()];
        Trainer::new(&model, pool).gradient(&values, &batch, None, &mut gradient).unwrap();
        gradient
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for gradient in [gradient(None), gradient(Some(&pool))] {
        assert!(gradient.iter().any(|value| *value != 0.0));
        assert!(!gradient.iter().any(|value| value.is_subnormal()));
    }
}
