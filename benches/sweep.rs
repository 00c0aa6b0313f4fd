//! A point of the line between two models, scored on examples of real lengths.

use learn::Scorer;
use serde_json::json;
use weights::Weights;
use weights::paths::linear;

use crate::pairs::Pairs;
use crate::rival::Rival;
use crate::step::{classifier, pairs, tokens};

/// Examples that each point is scored on.
const EXAMPLES: usize = 256;
const BATCH: usize = 32;

/// Token counts of question pairs of QQP: words and punctuation marks of both, with three special tokens.
fn lengths() -> Result<Vec<usize>, String> {
    let folder = std::env::var("SAMEBASIN_DATA").map_err(|_unset| "SAMEBASIN_DATA is not set: no QQP")?;
    let path = std::path::Path::new(&folder).join("glue-babylm/qqp.valid.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let count = |line: &str| -> usize {
        let row: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let fields = row.as_object().into_iter().flat_map(|row| row.values());
        3 + fields.filter_map(serde_json::Value::as_str).map(words).sum::<usize>()
    };
    Ok(text.lines().take(EXAMPLES).map(count).collect())
}

fn words(text: &str) -> usize {
    let (mut words, mut inside) = (0, false);
    for letter in text.chars() {
        words += usize::from(letter.is_ascii_punctuation() || (letter.is_alphanumeric() && !inside));
        inside = letter.is_alphanumeric();
    }
    words
}

/// Prints the ratios of two shapes.
pub(crate) fn run(rival: &mut Rival, threads: usize, turns: usize) -> Result<(), String> {
    let lengths = lengths()?;
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    for (hidden, layers, heads) in [(128, 2, 2), (256, 4, 4), (384, 6, 12)] {
        for (pair, precision, rivals) in pairs().filter(|pair| pair.0 != "compile") {
            let setup = json!({
                "work": "sweep", "hidden": hidden, "layers": layers, "heads": heads, "vocab": 30_522,
                "batch": BATCH, "lengths": lengths, "threads": threads, "precision": rivals,
            });
            rival.prepare(&setup)?;
            let model = classifier(hidden, layers, heads, precision);
            let (a, b) = (model.init(0), model.init(1));
            let mut between = Weights::zeros(std::sync::Arc::clone(a.layout()));
            let examples = tokens(&lengths);
            let mut scorer = Scorer::default();
            let point = || {
                linear::PATH.at(&a, &b, 0.3, &mut between).expect("of one model");
                scorer.logits(&model, &between.values, &examples).expect("tokens in range");
            };
            let pairs = Pairs::take(turns, 1, point, |n| rival.run(n))?;
            let name =
                format!("sweep H{hidden} L{layers}, {EXAMPLES} QQP pairs, mean length {mean:.0}, {pair}");
            println!("{}", pairs.line(&name));
        }
    }
    Ok(())
}
