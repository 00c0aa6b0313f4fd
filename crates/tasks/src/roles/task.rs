//! The task: whose group is the agent's, with two cues that are right in training.

use std::collections::BTreeMap;

use random::Stream;
use serde::{Deserialize, Serialize};

use super::language::{Marker, text};
use super::latents::{Kind, Latents, Template};
use super::{Change, interventions};
use crate::{Content, Error, Examples, Form, Metric, Task};

/// What decides a task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// q: probability that a training sentence does not have its agent first, and so tells the rule from "the first
    /// noun". At 0 nothing in training does.
    pub disambiguating: f64,
    /// rho: probability that the marker is right in training.
    pub cue: f64,
    /// Number of training examples.
    pub train: usize,
    /// Seed of all examples.
    pub seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { disambiguating: 0.05, cue: 0.9, train: 4_000, seed: 0 }
    }
}

/// The cases of `ood-cases`.
const CASES: [Template; 4] = [Template::Pas, Template::Fpp, Template::Top, Template::PasppA];

/// The task of these parameters: `train`, the splits `val` (500), `id` (1,000), `ood` (800), `ood-cases` (300 of each
/// case), `cue-flipped` and `cue-absent` (300 each), and every [`Change`] as an intervention (400 pairs).
///
/// # Errors
/// [`Error::Parameter`] for a probability that is none, or no training examples.
pub fn task(params: &Params) -> Result<Task, Error> {
    Error::check_probability("disambiguating", params.disambiguating)?;
    Error::check_probability("cue", params.cue)?;
    Error::check_positive("train", params.train)?;
    let sampler = Sampler { params: *params };
    let out_of_distribution = |stream: &mut Stream| {
        let template = *stream.choose(Kind::AgentLater.templates());
        misleading(template, stream)
    };
    let splits = BTreeMap::from([
        ("val".into(), sampler.split("val", 500, |stream| sampler.training(stream))),
        ("id".into(), sampler.split("id", 1_000, |stream| sampler.training(stream))),
        ("ood".into(), sampler.split("ood", 800, out_of_distribution)),
        ("ood-cases".into(), sampler.cases("ood-cases", 300)),
        (
            "cue-flipped".into(),
            sampler.split("cue-flipped", 300, |stream| {
                let latents = sampler.training(stream);
                Latents { marker: wrong_marker(latents.label()), ..latents }
            }),
        ),
        (
            "cue-absent".into(),
            sampler
                .split("cue-absent", 300, |stream| Latents { marker: Marker(0), ..sampler.training(stream) }),
        ),
    ]);
    let task = Task {
        name: "roles".into(),
        labels: vec!["group-0".into(), "group-1".into()],
        form: Form::default(),
        metric: Metric::Accuracy,
        train: sampler.split("train", params.train, |stream| sampler.training(stream)),
        splits,
        pools: BTreeMap::new(),
        interventions: Change::ALL
            .iter()
            .map(|&change| (change.name().into(), interventions(change, params.seed)))
            .collect(),
    };
    task.check()?;
    Ok(task)
}

/// The marker that predicts the label in training.
fn right_marker(label: u32) -> Marker {
    Marker(1 + label as u8)
}

/// The marker that predicts the other label in training.
fn wrong_marker(label: u32) -> Marker {
    Marker(2 - label as u8)
}

/// A sentence in which the first noun belongs to the other group than the agent; the marker is a fair coin.
fn misleading(template: Template, stream: &mut Stream) -> Latents {
    let marker = Marker(1 + stream.below(2) as u8);
    loop {
        let latents = Latents::draw(template, marker, stream);
        if latents.first_noun().group() != latents.agent.group() {
            return latents;
        }
    }
}

struct Sampler {
    params: Params,
}

impl Sampler {
    /// A sentence of the training distribution.
    fn training(&self, stream: &mut Stream) -> Latents {
        let kind =
            if stream.bernoulli(self.params.disambiguating) { Kind::AgentLater } else { Kind::AgentFirst };
        let template = *stream.choose(kind.templates());
        let latents = Latents::draw(template, Marker(0), stream);
        let right = stream.bernoulli(self.params.cue);
        let label = latents.label();
        Latents { marker: if right { right_marker(label) } else { wrong_marker(label) }, ..latents }
    }

    fn stream(&self, split: &str) -> Stream {
        Stream::new(self.params.seed, &format!("roles/{split}"))
    }

    fn split(&self, name: &str, size: usize, draw: impl Fn(&mut Stream) -> Latents) -> Examples {
        let mut stream = self.stream(name);
        let latents: Vec<Latents> = (0..size).map(|_| draw(&mut stream)).collect();
        examples(name, &latents)
    }

    fn cases(&self, name: &str, size: usize) -> Examples {
        let mut stream = self.stream(name);
        let cases = CASES.iter().flat_map(|&template| std::iter::repeat_n(template, size));
        let latents: Vec<Latents> = cases.map(|template| misleading(template, &mut stream)).collect();
        examples(name, &latents)
    }
}

/// Sentences as examples; the case is the template.
fn examples(name: &str, latents: &[Latents]) -> Examples {
    Examples {
        ids: (0..latents.len()).map(|index| format!("{name}-{index}")).collect(),
        content: Content::Text { first: latents.iter().map(|l| text(&l.render())).collect(), second: None },
        labels: latents.iter().map(Latents::label).collect(),
        cases: latents.iter().map(|l| l.template.name().into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn texts(examples: &Examples) -> &[String] {
        match &examples.content {
            Content::Text { first, second: None } => first,
            other => panic!("{other:?}"),
        }
    }

    /// Share of the examples for which `fits(marker, words, label, case)`.
    fn share(examples: &Examples, fits: impl Fn(&str, &[&str], u32, &str) -> bool) -> f64 {
        let rows = texts(examples).iter().zip(&examples.labels).zip(&examples.cases);
        let fitting = rows.filter(|((text, label), case)| {
            let words: Vec<&str> = text.split(' ').collect();
            fits(words[0], &words[1..], **label, case)
        });
        fitting.count() as f64 / examples.len() as f64
    }

    /// The group of a noun, by its onset; `None` for other words.
    fn group(word: &str) -> Option<u32> {
        let nouns = "kalo keru kimo kona kupe kavi malo meru mimo mona mupe mavi talo teru timo tona tupe tavi \
                     salo seru simo sona supe savi";
        nouns.split(' ').any(|noun| noun == word).then(|| u32::from(word.starts_with(['t', 's'])))
    }

    fn first_noun_group(words: &[&str]) -> u32 {
        words.iter().find_map(|word| group(word)).expect("a sentence has a noun")
    }

    fn agent_first(case: &str) -> bool {
        ["act", "ppS", "ppO", "srel", "orel", "conj"].contains(&case)
    }

    #[test]
    fn sizes_and_names_are_as_published() {
        let task = task(&Params::default()).unwrap();
        let sizes: Vec<(&str, usize)> =
            task.splits.iter().map(|(name, split)| (name.as_str(), split.len())).collect();
        let expected = [
            ("cue-absent", 300),
            ("cue-flipped", 300),
            ("id", 1000),
            ("ood", 800),
            ("ood-cases", 1200),
            ("val", 500),
        ];
        assert_eq!(sizes, expected);
        assert_eq!(task.train.len(), 4000);
        let names: Vec<&str> = task.interventions.keys().map(String::as_str).collect();
        let expected = [
            "agent",
            "attribute",
            "cue",
            "fronting",
            "patient",
            "role",
            "shuffle",
            "synonym",
            "verb",
            "voice",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_task_is_a_function_of_its_parameters() {
        let params = Params::default();
        let first = task(&params).unwrap();
        assert_eq!(first, task(&params).unwrap());
        let other = task(&Params { seed: 1, ..params }).unwrap();
        assert!(first.parts().zip(other.parts()).all(|((name, a), (_, b))| name == "labels" || a != b));
        // More training examples leave the first ones and all else as they are.
        let longer = task(&Params { train: 5_000, ..params }).unwrap();
        assert_eq!(texts(&first.train), &texts(&longer.train)[..4_000]);
        assert_eq!(first.splits, longer.splits);
    }

    /// If this changes, `VERSION` must rise.
    #[test]
    fn golden_sentences() {
        let task = task(&Params::default()).unwrap();
        let all: Vec<String> = task.parts().map(|(name, examples)| format!("{name} {examples:?}")).collect();
        assert_eq!(golden::hash(all.concat().as_bytes()), 3_208_838_301_347_096_597);
    }

    #[test]
    fn training_has_three_predictors() {
        let task = task(&Params { train: 40_000, ..Params::default() }).unwrap();
        let near =
            |found: f64, expected: f64| assert!((found - expected).abs() < 0.01, "{found} is not {expected}");
        near(share(&task.train, |_, _, label, _| label == 1), 0.5);
        near(share(&task.train, |_, _, _, case| !agent_first(case)), 0.05);
        near(share(&task.train, |marker, _, label, _| marker == format!("M{}", 1 + label)), 0.9);
        near(share(&task.train, |marker, _, label, _| marker == format!("M{}", 2 - label)), 0.1);
        let first_noun = share(&task.train, |_, words, label, _| first_noun_group(words) == label);
        assert!((0.965..0.985).contains(&first_noun), "{first_noun}");
        for template in &Template::ALL[..6] {
            near(share(&task.train, |_, _, _, case| case == template.name()), 0.95 / 6.0);
        }
    }

    #[test]
    fn without_disambiguating_examples_nothing_tells() {
        let task = task(&Params { disambiguating: 0.0, ..Params::default() }).unwrap();
        assert_eq!(share(&task.train, |_, words, label, _| first_noun_group(words) == label), 1.0);
        assert_eq!(share(&task.splits["ood"], |_, words, label, _| first_noun_group(words) == label), 0.0);
    }

    #[test]
    fn evaluation_is_what_its_name_says() {
        let task = task(&Params::default()).unwrap();
        for split in ["ood", "ood-cases"] {
            let split = &task.splits[split];
            assert_eq!(
                share(split, |_, words, label, case| !agent_first(case) && first_noun_group(words) != label),
                1.0
            );
            assert_eq!(share(split, |marker, _, _, _| marker == "M1" || marker == "M2"), 1.0);
            let right = share(split, |marker, _, label, _| marker == format!("M{}", 1 + label));
            assert!((0.44..0.56).contains(&right), "{right}");
            let one = share(split, |_, _, label, _| label == 1);
            assert!((0.44..0.56).contains(&one), "{one}");
        }
        for template in CASES {
            assert_eq!(share(&task.splits["ood-cases"], |_, _, _, case| case == template.name()), 0.25);
        }
        assert_eq!(
            share(&task.splits["cue-flipped"], |marker, _, label, _| marker == format!("M{}", 2 - label)),
            1.0
        );
        assert_eq!(share(&task.splits["cue-absent"], |marker, _, _, _| marker == "M0"), 1.0);
    }

    #[test]
    fn parameters_are_checked() {
        for params in [
            Params { disambiguating: 1.1, ..Params::default() },
            Params { cue: f64::NAN, ..Params::default() },
            Params { train: 0, ..Params::default() },
        ] {
            assert!(matches!(task(&params), Err(Error::Parameter { .. })));
        }
    }
}
