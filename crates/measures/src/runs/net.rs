//! Variance of accuracies over runs, net of the run x example part.
//!
//! ```text
//! net = s^2 - mean_i [q_i (1 - q_i) n/(n-1)] / E
//! ```
//!
//! `s^2` is the variance over runs of the accuracy, `q_i` the share of the `n` runs that are right on example `i`
//! of `E`. What is taken off is the variance that accuracies would have if runs were right independently from
//! example to example, each with chance `q_i`. Not `p (1-p)/E`: the runs share the examples, whose
//! difficulty is no variance of the runs. Negative values are kept: they say that nothing is left.

/// Changes whenever a variance changes.
pub const VERSION: u32 = 1;

/// A variance of accuracies and its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Net {
    /// Variance over runs of the accuracy, divisor `n - 1`.
    pub total: f64,
    /// The run x example part.
    pub examples: f64,
    /// The rest; may be negative.
    pub net: f64,
}

/// Parts of the variance of `accuracies` of `n` runs of which `counts[i]` are right on example `i`. `None` with
/// fewer than two runs or no example.
#[must_use]
pub fn net_variance(accuracies: &[f64], counts: &[usize]) -> Option<Net> {
    let total = super::spread::sd(accuracies)?.powi(2);
    // Half the disagreement is mean_i q_i (1 - q_i) n/(n-1).
    let items = super::items::items(counts, accuracies.len())?;
    let examples = items.disagreement / 2.0 / counts.len() as f64;
    Some(Net { total, examples, net: total - examples })
}

#[cfg(test)]
mod tests {
    use random::Stream;

    use super::*;

    /// Examples of many difficulties, runs that differ by nothing: nothing is left, while p(1-p)/E would take off
    /// far too much.
    #[test]
    fn difficulty_is_no_variance_of_runs() {
        let mut stream = Stream::new(9, "net variance test");
        let (n, e) = (400, 300);
        let (mut counts, mut hits) = (vec![0; e], vec![0.0; n]);
        for count in &mut counts {
            let q = stream.unit_f64();
            for hits in &mut hits {
                let right = stream.bernoulli(q);
                *count += usize::from(right);
                *hits += f64::from(u8::from(right)) / e as f64;
            }
        }
        let found = net_variance(&hits, &counts).unwrap();
        assert!(found.net.abs() < 0.15 * found.total, "{found:?}");
        let p = hits.iter().sum::<f64>() / n as f64;
        assert!(found.total - p * (1.0 - p) / (e as f64) < -0.3 * found.total);
    }
}
