//! Training steps and evaluations of one batch.

use learn::{AdamW, Recipe, Schedule, Scorer, State, Trainer, train};
use models::{Config, Head, Model, Precision, bert};
use random::Stream;
use serde_json::json;
use tasks::{Batch, Encoded, LabelledBatch};

use crate::pairs::Pairs;
use crate::rival::Rival;
use crate::roofline;

const VOCABULARY: usize = 30_522;
const BATCH: usize = 32;
/// Width, layers, heads.
const SHAPES: [(usize, usize, usize); 5] =
    [(128, 2, 2), (256, 4, 4), (384, 6, 12), (512, 4, 8), (768, 12, 12)];

/// What meets what: the name of the pair, our precision, and the rival's way.
const PAIRS: [(&str, Precision, &str); 4] = [
    ("eager", Precision::F32, "eager"),
    ("compile", Precision::F32, "compile"),
    ("bf16", Precision::Bf16, "bf16"),
    ("bf16x3 to eager", Precision::Bf16x3, "eager"),
];

/// The pairs, without one that this processor computes as another.
pub(crate) fn pairs() -> impl Iterator<Item = (&'static str, Precision, &'static str)> {
    let is_f32 = |precision| precision == Precision::Bf16x3 && !kernels::matmul::bfloat::splits();
    PAIRS.into_iter().filter(move |&(_, precision, _)| !is_f32(precision))
}

/// A BERT classifier of two labels.
pub(crate) fn classifier(hidden: usize, layers: usize, heads: usize, precision: Precision) -> Model {
    let config = bert::Config {
        vocab_size: VOCABULARY,
        hidden_size: hidden,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        intermediate_size: 4 * hidden,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..bert::Config::default()
    };
    let model = Model::new(Config::Bert(config), Head::Classification { labels: 2 });
    model.and_then(|model| model.with_precision(precision)).expect("a valid shape")
}

/// Random tokens in sequences of these lengths.
pub(crate) fn tokens(lengths: &[usize]) -> Encoded {
    let mut stream = Stream::new(0, "bench/tokens");
    let mut starts = vec![0];
    for length in lengths {
        starts.push(starts[starts.len() - 1] + *length as u32);
    }
    let n = starts[lengths.len()] as usize;
    let ids = (0..n).map(|_| 5 + stream.below(VOCABULARY - 5) as u32).collect();
    Encoded::Tokens { ids, types: vec![0; n], starts }
}

/// Prints the ratios of all shapes whose line contains `filter`.
pub(crate) fn run(rival: &mut Rival, threads: usize, turns: usize, filter: &str) -> Result<(), String> {
    for (hidden, layers, heads) in SHAPES {
        for length in [16, 64, 128] {
            for work in ["train", "evaluate"] {
                for (pair, precision, rivals) in pairs() {
                    let name = format!(
                        "{work} H{hidden} L{layers}, {BATCH} x {length}, {threads} thread(s), {pair}"
                    );
                    if !name.contains(filter) {
                        continue;
                    }
                    let setup = json!({
                        "work": work, "hidden": hidden, "layers": layers, "heads": heads, "vocab": VOCABULARY,
                        "batch": BATCH, "length": length, "threads": threads, "precision": rivals,
                    });
                    let model = classifier(hidden, layers, heads, precision);
                    let pairs = rival.prepare(&setup).and_then(|()| match work {
                        "train" => training(&model, length, threads, turns, rival),
                        _ => evaluation(&model, length, threads, turns, rival),
                    });
                    match pairs {
                        Ok(pairs) if work == "train" && threads == 1 => {
                            let operations = roofline::step_operations(hidden, layers, BATCH, length);
                            let share = operations / pairs.seconds() / roofline::product_speed();
                            println!("{}  {:.0} % of a product", pairs.line(&name), 100.0 * share);
                        }
                        Ok(pairs) => println!("{}", pairs.line(&name)),
                        Err(why) => println!("{name:<58} {why}"),
                    }
                }
            }
        }
    }
    Ok(())
}

/// About a third of a second for each turn.
fn repeats(model: &Model, length: usize) -> usize {
    let flops = 6.0 * model.layout().len() as f64 * (BATCH * length) as f64;
    (1e10 / flops).ceil().clamp(1.0, 20.0) as usize
}

/// Threads, where there is more than one.
fn pool(threads: usize) -> Result<Option<rayon::ThreadPool>, String> {
    let pool = (threads > 1).then(|| rayon::ThreadPoolBuilder::new().num_threads(threads).build());
    pool.transpose().map_err(|error| error.to_string())
}

fn training(
    model: &Model,
    length: usize,
    threads: usize,
    turns: usize,
    rival: &mut Rival,
) -> Result<Pairs, String> {
    let pool = pool(threads)?;
    let mut run = Training::new(model, length, pool.as_ref());
    Pairs::take(turns, repeats(model, length), || run.step(), |n| rival.run(n))
}

/// Two steps, for what they take of memory.
pub(crate) fn train_once(hidden: usize, layers: usize, heads: usize, length: usize) {
    let model = classifier(hidden, layers, heads, Precision::F32);
    let mut run = Training::new(&model, length, None);
    run.step();
    run.step();
}

/// A run on one batch of random tokens.
struct Training<'a> {
    model: &'a Model,
    state: State,
    trainer: Trainer<'a>,
    batch: Batch,
}

impl<'a> Training<'a> {
    fn new(model: &'a Model, length: usize, pool: Option<&'a rayon::ThreadPool>) -> Self {
        let inputs = tokens(&[length; BATCH]);
        let labels = (0..BATCH as u32).map(|row| row % 2).collect();
        Self {
            model,
            state: State::start(model.init(0)),
            trainer: Trainer::new(model, pool),
            batch: Batch::Labelled(LabelledBatch { inputs, labels }),
        }
    }

    fn step(&mut self) {
        let recipe = Recipe {
            steps: u64::MAX,
            learning_rate: 1e-4,
            schedule: Schedule::Constant,
            warmup: 0,
            optimiser: AdamW {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.01,
                bias_correction: true,
                clip: 1.0,
            },
            dropout_seed: None,
        };
        let until = self.state.step + 1;
        let (state, trainer, batch) = (&mut self.state, &mut self.trainer, &self.batch);
        let mut batches = |_| batch.clone();
        let all = learn::Scope::All;
        let trained =
            train::<learn::Error>(self.model, all, state, &recipe, trainer, &mut batches, until, &mut |_| {
                Ok(())
            });
        trained.expect("a step on random tokens");
    }
}

fn evaluation(
    model: &Model,
    length: usize,
    threads: usize,
    turns: usize,
    rival: &mut Rival,
) -> Result<Pairs, String> {
    let (weights, examples) = (model.init(0), tokens(&[length; BATCH]));
    let pool = pool(threads)?;
    let mut scorer = Scorer::on(pool.as_ref());
    let batch = || {
        let logits = scorer.logits(model, &weights.values, &examples).expect("tokens in range");
        assert_eq!(logits.len(), 2 * BATCH);
    };
    Pairs::take(turns, 3 * repeats(model, length), batch, |n| rival.run(n))
}
