//! Milliseconds per training step (forward, backward, clipping, AdamW) and per evaluation of a batch, on one thread.
//!
//! `cargo run --release -p samebasin-models --example step_time -- [repeats] [part of a name]`
//!
//! Where the system tells, it is the thread's own time that counts, so that neighbours disturb less. The last column is
//! the speed of a 256 x 256 x 256 product right before: a neighbour on the same core halves that, and all the rest.

use std::time::Instant;

use kernels::adamw::{self, Step};
use kernels::matmul::{Into, Matrix, product};
use kernels::{denormals, norm};
use models::{Config, Dropout, Head, Inputs, Model, Targets, Tokens, Workspace, bert};
use random::Stream;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let repeats = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let filter = arguments.next().unwrap_or_default();
    let _flushed = denormals::Guard::new();
    println!(
        "{:<44} {:>9} {:>9} {:>9}",
        "milliseconds, best mean of five groups", "step", "dropout", "evaluate"
    );
    let [world, small, medium] =
        [shape(64, 2, 4, 53, 10), shape(128, 2, 2, 8_000, 128), shape(256, 4, 4, 8_000, 128)];
    let classes = Head::Classification { labels: 2 };
    for (name, config, head, size, length, n) in [
        ("H64 L2, 64 x 10, masked language", &world, Head::MaskedLanguage, 64, 10, 60.0),
        ("H64 L2, 32 x 10, classification", &world, classes, 32, 10, 120.0),
        ("H128 L2, 32 x 128, masked language", &small, Head::MaskedLanguage, 32, 128, 2.0),
        ("H128 L2, 32 x 128, classification", &small, classes, 32, 128, 2.0),
        ("H256 L4, 32 x 128, masked language", &medium, Head::MaskedLanguage, 32, 128, 1.0),
        ("H256 L4, 32 x 128, classification", &medium, classes, 32, 128, 1.0),
    ] {
        if name.contains(&filter) {
            run(name, config, head, size, length, n * repeats);
        }
    }
}

fn shape(hidden: usize, layers: usize, heads: usize, words: usize, positions: usize) -> bert::Config {
    bert::Config {
        vocab_size: words,
        hidden_size: hidden,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        intermediate_size: 4 * hidden,
        max_position_embeddings: positions,
        initializer_range: 0.1,
        ..bert::Config::default()
    }
}

/// Prints the fastest of the repeats: with and without dropout, and without gradient.
fn run(name: &str, config: &bert::Config, head: Head, size: usize, length: usize, repeats: f64) {
    let model = Model::new(Config::Bert(config.clone()), head).expect("a valid shape");
    let mut stream = Stream::new(0, "batch");
    let ids: Vec<u32> = (0..size * length).map(|_| stream.below(config.vocab_size) as u32).collect();
    let types = vec![0; ids.len()];
    let starts: Vec<u32> = (0..=size).map(|i| (i * length) as u32).collect();
    let share = if config.vocab_size < 100 { 0.225 } else { 0.15 };
    let rows: Vec<u32> = (0..ids.len() as u32).filter(|_| stream.bernoulli(share)).collect();
    let masked: Vec<u32> = rows.iter().map(|_| stream.below(config.vocab_size) as u32).collect();
    let classes: Vec<u32> = (0..size).map(|_| stream.below(2) as u32).collect();
    let inputs = Inputs::Tokens(Tokens { ids: &ids, types: &types, starts: &starts });
    let targets = match head {
        Head::MaskedLanguage => Targets::MaskedTokens { rows: &rows, labels: &masked },
        Head::Classification { .. } => Targets::Classes(&classes),
    };
    model.check(&inputs, Some(&targets)).expect("a valid batch");

    let mut values = model.init(0).values;
    let [mut gradient, mut means, mut squares] = [(); 3].map(|()| vec![0.0; values.len()]);
    let mut workspace = Workspace::default();
    let mut step = |number: u64, dropout: Option<Dropout>| {
        gradient.fill(0.0);
        let scale = 1.0 / rows.len() as f32;
        model.loss_and_gradient(&values, &inputs, &targets, dropout, scale, &mut gradient, &mut workspace);
        let rule = Step {
            learning_rate: 1e-4,
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.0,
            gradient_scale: norm::clip_scale(norm::norm(&gradient), 1.0),
            bias_correction: Some(number + 1),
        };
        adamw::step(&mut values, &gradient, &mut means, &mut squares, &rule);
    };
    let repeats = repeats.max(1.0) as u64;
    let speed = product_speed();
    let plain = fastest(repeats, |number| step(number, None));
    let dropped = fastest(repeats, |number| step(number, Some(Dropout { key: number })));
    let evaluated = fastest(repeats, |_| {
        model.losses(&values, &inputs, &targets, &mut workspace);
    });
    println!("{name:<44} {plain:>9.3} {dropped:>9.3} {evaluated:>9.3} {speed:>9.1}");
}

/// Speed of a product that fits the second-level cache, in GFLOP/s.
fn product_speed() -> f64 {
    const N: usize = 256;
    let (a, mut c) = (vec![0.5; N * N], vec![0.0; N * N]);
    let milliseconds = fastest(100, |_| {
        product(&mut c, N, Matrix::new(&a, N, N), Matrix::new(&a, N, N), Into::Overwrite);
    });
    2.0 * (N * N * N) as f64 / milliseconds / 1e6
}

/// Milliseconds per call in the fastest of five groups of calls.
fn fastest(repeats: u64, mut run: impl FnMut(u64)) -> f64 {
    let origin = Instant::now();
    let seconds = || thread_seconds().unwrap_or_else(|| origin.elapsed().as_secs_f64());
    // The first call sizes the workspace.
    run(0);
    let groups = (0..5).map(|_| {
        let start = seconds();
        (0..repeats).for_each(&mut run);
        (seconds() - start) * 1e3 / repeats as f64
    });
    groups.fold(f64::INFINITY, f64::min)
}

/// Seconds that this thread has run for, where Linux tells; kept to a few milliseconds.
fn thread_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
