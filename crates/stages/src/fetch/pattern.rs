//! Which of the hub's names are the rungs of a ladder. Names are listed and matched, never computed: published ladders
//! have holes and irregular names.

use regex::Regex;

use crate::stage::Failure;

/// Where the rungs of a ladder are, and how far along each is.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Where to look.
    pub(super) place: Place,
    /// What a rung's name matches, with a group `step`, `tokens` or both.
    names: Regex,
    /// Tokens of a step, where names do not say how many.
    tokens_per_step: u64,
}

/// Where rungs lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Each is a branch or tag of this repository.
    Refs(String),
    /// Each is a repository of this owner whose name holds these letters.
    Repositories {
        /// The owner.
        owner: String,
        /// What to search for.
        search: String,
    },
    /// Each is a folder whose path matches this, parts of which are regular expressions.
    Folders(String),
}

/// How far a rung is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Progress {
    /// Optimiser steps; tokens where names do not count steps.
    pub(super) step: u64,
    /// Tokens seen; 0 where nothing tells.
    pub(super) tokens: u64,
}

/// Names of the ladders that are known, for the help and for errors.
pub(super) const PRESETS: &str = "multiberts:<seed 0-4>, pythia-<size> (as in pythia-70m, pythia-160m-deduped, pythia-14m-seed3), \
     roberta-epochs, minibertas:<run 1-3>, olmo-2-1b-early";

impl Pattern {
    /// The ladder of this name.
    pub(super) fn preset(name: &str) -> Result<Self, Failure> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let refs = |repository: &str, names: &str, tokens_per_step| {
            Self::new(Place::Refs(repository.into()), names, tokens_per_step)
        };
        let repositories = |owner: &str, search: &str, names: &str, tokens_per_step| {
            let place = Place::Repositories { owner: owner.into(), search: search.into() };
            Self::new(place, names, tokens_per_step)
        };
        let word = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        match name.split_once(':') {
            // Sellam et al. 2022: batches of 256 sequences of 512 tokens.
            Some(("multiberts", seed)) if digits(seed) => repositories(
                "google",
                &format!("multiberts-seed_{seed}-step"),
                &format!(r"^google/multiberts-seed_{seed}-step_(?<step>\d+k)$"),
                256 * 512,
            ),
            // Warstadt et al. 2020: the same architecture on more and more words.
            Some(("minibertas", run)) if digits(run) => repositories(
                "nyu-mll",
                "roberta-base",
                &format!(r"^nyu-mll/roberta-base-(?<tokens>\d+[MB])-{run}$"),
                0,
            ),
            None if name == "roberta-epochs" => repositories(
                "yanaiela",
                "roberta-base-epoch",
                r"^yanaiela/roberta-base-epoch_(?<step>\d+)$",
                0,
            ),
            None if name == "olmo-2-1b-early" => refs(
                "allenai/OLMo-2-0425-1B-early-training",
                r"^stage1-step(?<step>\d+)-tokens(?<tokens>\d+B)$",
                0,
            ),
            // Biderman et al. 2023: 1,024 sequences of 2,048 tokens.
            None if name.strip_prefix("pythia-").is_some_and(|size| !size.is_empty() && word(size)) => {
                refs(&format!("EleutherAI/{name}"), r"^step(?<step>\d+)$", 1_024 * 2_048)
            }
            _ => Err(Failure::Usage(format!("there is no ladder `{name}`; known are {PRESETS}"))),
        }
    }

    /// A ladder of one's own.
    pub(super) fn new(place: Place, names: &str, tokens_per_step: u64) -> Result<Self, Failure> {
        let wrong = |reason: String| Failure::Usage(format!("the pattern `{names}`: {reason}"));
        let regex = Regex::new(names).map_err(|error| wrong(error.to_string()))?;
        let known: Vec<&str> = regex.capture_names().flatten().collect();
        if !known.iter().any(|name| ["step", "tokens"].contains(name)) {
            return Err(wrong(
                r"it needs a group that says how far a rung is: `(?<step>\d+)` or `(?<tokens>\d+B)`".into(),
            ));
        }
        Ok(Self { place, names: regex, tokens_per_step })
    }

    /// The ladder of these folders.
    pub(super) fn folders(folders: &str, tokens_per_step: u64) -> Result<Self, Failure> {
        // As the paths that are found: without empty parts.
        let root = if folders.starts_with('/') { "/" } else { "" };
        let parts = folders.split('/').filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.map(|part| format!("(?:{part})")).collect();
        let names = format!("^{root}{}$", parts.join("/"));
        Self::new(Place::Folders(folders.to_owned()), &names, tokens_per_step)
    }

    /// How far the rung of this name is; `None` if it is none.
    pub(super) fn progress(&self, name: &str) -> Option<Progress> {
        let groups = self.names.captures(name)?;
        let number = |group| groups.name(group).and_then(|found| count(found.as_str()));
        let (step, tokens) = (number("step"), number("tokens"));
        Some(match (step, tokens) {
            (Some(step), Some(tokens)) => Progress { step, tokens },
            (Some(step), None) => Progress { step, tokens: step.checked_mul(self.tokens_per_step)? },
            (None, Some(tokens)) => Progress { step: tokens, tokens },
            (None, None) => return None,
        })
    }
}

impl Pattern {
    /// What all rungs of a run are called: the name of one, with a star where it says how far it is.
    pub(super) fn run(&self, name: &str) -> String {
        let Some(groups) = self.names.captures(name) else { return name.to_owned() };
        let mut spans: Vec<_> = ["step", "tokens"]
            .into_iter()
            .filter_map(|group| groups.name(group).map(|found| found.range()))
            .collect();
        spans.sort_by_key(|span| std::cmp::Reverse(span.start));
        let mut run = name.to_owned();
        for span in spans {
            run.replace_range(span, "*");
        }
        run
    }
}

/// A count with its unit: `20k`, `100M`, `1B`.
fn count(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[end..] {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        "b" | "B" => 1_000_000_000,
        "t" | "T" => 1_000_000_000_000,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as they stand on the hub, and some that stand beside them.
    #[test]
    fn published_names() {
        for (preset, name, step, tokens) in [
            ("multiberts:0", "google/multiberts-seed_0-step_20k", 20_000, 20_000 * 131_072),
            ("multiberts:4", "google/multiberts-seed_4-step_2000k", 2_000_000, 2_000_000 * 131_072),
            ("pythia-70m", "step143000", 143_000, 143_000 * 2_097_152),
            ("pythia-14m-seed3", "step0", 0, 0),
            ("roberta-epochs", "yanaiela/roberta-base-epoch_83", 83, 0),
            ("minibertas:2", "nyu-mll/roberta-base-100M-2", 100_000_000, 100_000_000),
            ("olmo-2-1b-early", "stage1-step3000-tokens7B", 3_000, 7_000_000_000),
        ] {
            let pattern = Pattern::preset(preset).unwrap();
            assert_eq!(pattern.progress(name), Some(Progress { step, tokens }), "{name}");
        }
        for (preset, name) in [
            ("multiberts:0", "google/multiberts-seed_1-step_20k"),
            ("multiberts:0", "google/multiberts-seed_0"),
            ("pythia-70m", "main"),
            ("pythia-70m", "step143000-old"),
            ("minibertas:1", "nyu-mll/roberta-med-small-1M-1"),
        ] {
            assert_eq!(Pattern::preset(preset).unwrap().progress(name), None, "{name}");
        }
    }

    #[test]
    fn rungs_of_a_run_share_its_name() {
        let run = |preset: &str, name: &str| Pattern::preset(preset).unwrap().run(name);
        assert_eq!(
            run("multiberts:0", "google/multiberts-seed_0-step_20k"),
            "google/multiberts-seed_0-step_*"
        );
        assert_eq!(run("pythia-70m", "step143000"), "step*");
        assert_eq!(run("olmo-2-1b-early", "stage1-step3000-tokens7B"), "stage1-step*-tokens*");
    }

    #[test]
    fn mistakes_are_named() {
        let preset = |name: &str| Pattern::preset(name).unwrap_err().to_string();
        assert!(preset("bert").contains("known are multiberts:"));
        assert!(preset("multiberts:x").contains("there is no ladder"));
        assert!(preset("pythia-../x").contains("there is no ladder"));
        let own = |names: &str| Pattern::new(Place::Refs("a/b".into()), names, 0).unwrap_err().to_string();
        assert!(own("step(").contains("the pattern `step(`"));
        assert!(own("step([0-9]+)").contains("`(?<step>"));
    }

    #[test]
    fn counts_have_units() {
        assert_eq!(count("20k"), Some(20_000));
        assert_eq!(count("4B"), Some(4_000_000_000));
        for text in ["", "k", "20x", "99999999999999999999", "99999999999999T"] {
            assert_eq!(count(text), None, "{text}");
        }
    }
}
