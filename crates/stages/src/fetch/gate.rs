//! The integrity gate: what is wrong with a ladder before anybody draws a conclusion from it.
//!
//! A published ladder of 154 names held 68 different models. Fine-tuned as it stood, it would have shown a flat line where
//! there was none.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use versions::Versions;

/// Changes whenever the gate finds otherwise.
const VERSION: u32 = 1;

/// Versions of this method and of those that it rests on.
pub(super) fn versions() -> Versions {
    Versions::of("gate", VERSION)
}

/// Something that is wrong with a ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "finding")]
pub(super) enum Finding {
    /// Several names of one model.
    Duplicates {
        /// The names, in order of their steps.
        names: Vec<String>,
    },
    /// Rungs that the distances between the others lead one to expect.
    Hole {
        /// The last step before it.
        after: u64,
        /// The first step behind it.
        before: u64,
        /// How many are missing.
        missing: u64,
    },
    /// A rung that is not between its neighbours.
    Stray {
        /// Its name.
        name: String,
        /// What was measured.
        because: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicates { names } => write!(f, "one and the same model: {}", names.join(", ")),
            Self::Hole { after, before, missing } => {
                write!(f, "{missing} rung(s) seem to be missing between steps {after} and {before}")
            }
            Self::Stray { name, because } => {
                write!(f, "{name} does not lie between its neighbours: {because}")
            }
        }
    }
}

/// Names that share an identity, such as a digest of the weights.
pub(super) fn duplicates<'a>(rungs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Finding> {
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for (name, identity) in rungs {
        let same = names.entry(identity).or_default();
        if same.is_empty() {
            order.push(identity);
        }
        same.push(name.to_owned());
    }
    let twice =
        order.into_iter().filter_map(|identity| names.remove(identity)).filter(|names| names.len() > 1);
    twice.map(|names| Finding::Duplicates { names }).collect()
}

/// Gaps that are a multiple of the equal gaps on both sides of them. `steps` ascend.
pub(super) fn holes(steps: &[u64]) -> Vec<Finding> {
    let hole = |window: &[u64]| {
        let [before, gap, behind] = [window[1] - window[0], window[2] - window[1], window[3] - window[2]];
        let is_hole = before > 0 && before == behind && gap > before && gap.is_multiple_of(before);
        is_hole.then(|| Finding::Hole { after: window[1], before: window[2], missing: gap / before - 1 })
    };
    steps.windows(4).filter_map(hole).collect()
}

/// Distances in weight space between rungs that are next to each other, and between those with one in between.
pub(super) struct Distances {
    /// `next[i]` is that of rungs `i` and `i + 1`.
    pub(super) next: Vec<f64>,
    /// `skip[i]` is that of rungs `i` and `i + 2`.
    pub(super) skip: Vec<f64>,
}

/// Rungs that are not between their neighbours.
///
/// Training moves away from where it was: of three rungs in order the outer two are farthest apart. One that is farther
/// from both neighbours than they are from each other belongs elsewhere: another run, another branch, another place. Of
/// the first and the last rung the nearest neighbour must be the one beside them.
pub(super) fn strays(names: &[&str], distances: &Distances) -> Vec<Finding> {
    let Distances { next, skip } = distances;
    let n = names.len();
    let stray = |index: usize, because: String| Finding::Stray { name: names[index].to_owned(), because };
    let mut found = Vec::new();
    for index in 0..n {
        if n < 3 {
            break;
        }
        let apart =
            |own: f64, other: f64| format!("{own:.3} away from the nearer one, which are {other:.3} apart");
        if index == 0 && next[0] > skip[0] && next[0] > next[1] {
            found.push(stray(
                0,
                format!(
                    "{:.3} away from the rung beside it, {:.3} from the one behind that",
                    next[0], skip[0]
                ),
            ));
        } else if index == n - 1 && next[n - 2] > skip[n - 3] && next[n - 2] > next[n - 3] {
            let because = format!(
                "{:.3} away from the rung beside it, {:.3} from the one before that",
                next[n - 2],
                skip[n - 3]
            );
            found.push(stray(index, because));
        } else if index > 0 && index < n - 1 {
            let nearer = next[index - 1].min(next[index]);
            if nearer > skip[index - 1] {
                found.push(stray(index, apart(nearer, skip[index - 1])));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_model() {
        let rungs =
            [("step0", "a"), ("step1", "b"), ("step2", "a"), ("step4", "c"), ("step8", "b"), ("step16", "a")];
        let found = duplicates(rungs.into_iter());
        let text: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            ["one and the same model: step0, step2, step16", "one and the same model: step1, step8"]
        );
        assert!(duplicates([("a", "1"), ("b", "2")].into_iter()).is_empty());
    }

    #[test]
    fn gaps_in_a_regular_row() {
        let found = holes(&[0, 1, 2, 4, 8, 16, 1000, 2000, 3000, 5000, 6000, 7000]);
        assert_eq!(found, [Finding::Hole { after: 3000, before: 5000, missing: 1 }]);
        assert_eq!(
            holes(&[0, 10, 50, 60])[0].to_string(),
            "3 rung(s) seem to be missing between steps 10 and 50"
        );
        // Log-spaced rungs are no holes, and neither is a change of pace.
        assert!(holes(&[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 3000]).is_empty());
        assert!(holes(&[0, 100, 300, 600, 1000, 2000, 6000]).is_empty());
        assert!(holes(&[]).is_empty());
    }

    /// Rungs on a line, at these places.
    fn on_a_line(places: &[f64]) -> Distances {
        let distance = |apart: usize| places.windows(apart + 1).map(|w| (w[0] - w[apart]).abs()).collect();
        Distances { next: distance(1), skip: distance(2) }
    }

    #[test]
    fn a_rung_of_another_run() {
        let names = ["a", "b", "c", "d", "e"];
        assert!(strays(&names, &on_a_line(&[0.0, 1.0, 3.0, 4.0, 9.0])).is_empty());
        let named = |places: &[f64]| {
            let found = strays(&names, &on_a_line(places));
            found
                .into_iter()
                .map(|finding| match finding {
                    Finding::Stray { name, .. } => name,
                    other => panic!("{other}"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(named(&[0.0, 1.0, 30.0, 3.0, 4.0]), ["c"]);
        assert_eq!(named(&[-30.0, 1.0, 2.0, 3.0, 4.0]), Vec::<String>::new(), "far away, but in order");
        assert_eq!(named(&[5.0, 1.0, 2.0, 3.0, 4.5]), ["a"]);
        // Which of two at the end is out of place cannot be told: both are named.
        assert_eq!(named(&[0.0, 1.0, 2.0, 3.0, 1.5]), ["d", "e"]);
        assert!(strays(&["a", "b"], &on_a_line(&[0.0, 1.0])).is_empty());
    }

    /// A random walk in many dimensions, as training is, has no strays.
    #[test]
    fn a_walk_has_no_strays() {
        let (dimensions, rungs) = (400, 40);
        let mut stream = random::Stream::new(1, "gate walk");
        let mut place = vec![0.0; dimensions];
        let mut places = Vec::new();
        for _ in 0..rungs {
            for coordinate in &mut place {
                *coordinate += stream.normal();
            }
            places.push(place.clone());
        }
        let distance =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        let apart = |n: usize| places.windows(n + 1).map(|w| distance(&w[0], &w[n])).collect();
        let names: Vec<String> = (0..rungs).map(|rung| rung.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(strays(&names, &Distances { next: apart(1), skip: apart(2) }).is_empty());
        places.swap(20, 30);
        let apart = |n: usize| places.windows(n + 1).map(|w| distance(&w[0], &w[n])).collect();
        assert_eq!(strays(&names, &Distances { next: apart(1), skip: apart(2) }).len(), 2);
    }
}
