//! The generated pairs against a checker that knows nothing of how they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tasks::hans::{self, Heuristic, SUB_CASES};
use tasks::{Content, Examples};

/// Words that open a clause, with a comma or the end after it, that are so and that may not be so.
const FACTUAL: [&str; 6] = ["after", "although", "because", "since", "though", "while"];
const OPEN: [&str; 4] = ["if", "in case", "unless", "whether or not"];
const DOUBTS: [&str; 6] = ["allegedly", "hopefully", "maybe", "perhaps", "probably", "supposedly"];
const KNOWING: [&str; 6] = ["discovered", "forgot", "knew", "learned", "realized", "remembered"];

fn made(per_case: usize, seed: u64) -> Examples {
    hans::examples(&hans::Params { per_case, seed }).unwrap()
}

/// Premise and hypothesis of every example with its case, without capitals and full stops.
fn pairs(examples: &Examples) -> Vec<(&str, String, String)> {
    let Content::Text { first, second: Some(second) } = &examples.content else { panic!("pairs") };
    let words = |sentence: &str| {
        let words = sentence.strip_suffix(" .").expect("a full stop").to_lowercase();
        assert!(sentence.starts_with(char::is_uppercase) && !words.contains("  "), "{sentence}");
        words
    };
    let texts = first.iter().zip(second);
    examples.cases.iter().zip(texts).map(|(case, (a, b))| (case.as_str(), words(a), words(b))).collect()
}

/// What stands before and after the hypothesis where it is a contiguous part of the premise, word by word.
fn around<'a>(premise: &'a str, hypothesis: &str) -> Option<(&'a str, &'a str)> {
    let at = |at: usize| {
        let (before, rest) = premise.split_at(at);
        let after = rest.strip_prefix(hypothesis)?;
        let apart =
            (before.is_empty() || before.ends_with(' ')) && (after.is_empty() || after.starts_with(' '));
        apart.then(|| (before.trim(), after.trim()))
    };
    premise.match_indices(hypothesis).find_map(|(place, _)| at(place))
}

#[test]
fn every_pair_has_the_property_of_its_heuristic() {
    let examples = made(1_000, 3);
    let heuristic: BTreeMap<&str, Heuristic> =
        SUB_CASES.iter().map(|case| (case.name, case.heuristic)).collect();
    for (case, premise, hypothesis) in pairs(&examples) {
        let words: BTreeSet<&str> = premise.split(' ').collect();
        let told = format!("{case}: {premise} => {hypothesis}");
        assert!(hypothesis.split(' ').all(|word| words.contains(word)), "a new word: {told}");
        assert!(hypothesis != premise, "the premise again: {told}");
        assert_eq!(
            around(&premise, &hypothesis).is_some(),
            heuristic[case] != Heuristic::LexicalOverlap,
            "contiguous or not: {told}"
        );
    }
}

/// Each sub-case's construction, told from the outside of the hypothesis.
#[test]
fn every_pair_is_of_its_sub_case() {
    for (case, premise, hypothesis) in pairs(&made(500, 4)) {
        let told = format!("{case}: {premise} => {hypothesis}");
        let (before, after) = around(&premise, &hypothesis).unwrap_or_default();
        let last = |text: &str, words: &[&str]| words.iter().any(|word| text.ends_with(word));
        let relative = |text: &str| text.contains(" who ") || text.contains(" that ");
        let place = |text: &str| {
            ["behind", "beside", "by", "in front of", "near", "next to"]
                .iter()
                .any(|word| format!(" {text} ").contains(&format!(" {word} the ")))
        };
        let people = |text: &str| text.split(' ').filter(|&word| word == "the").count();
        let clause = |text: &str| text.starts_with("the ");
        let right = match case {
            "le_around_prepositional_phrase" | "ln_preposition" => place(&premise) && people(&premise) == 3,
            "le_around_relative_clause" | "le_relative_clause" | "ln_relative_clause" => relative(&premise),
            "le_conjunction" | "ln_conjunction" => premise.contains(" and ") && people(&premise) == 3,
            "le_passive" | "ln_passive" => {
                let by = premise.split_once(" by ").expect("an agent");
                let agent_first = hypothesis.starts_with(by.1);
                agent_first == (case == "le_passive") && (by.0.contains(" was ") || by.0.contains(" were "))
            }
            "ln_subject/object_swap" => {
                let reversed = |text: &str| {
                    let words: Vec<&str> = text.split(' ').collect();
                    [words[3], words[4], words[2], words[0], words[1]].join(" ")
                };
                reversed(&premise) == hypothesis
            }
            "se_adjective" => !clause(&premise) && !before.contains(' ') && after.is_empty(),
            "se_conjunction" => before.ends_with(" and") || after.starts_with("and the "),
            "se_PP_on_obj" => before.is_empty() && place(after),
            "se_relative_clause_on_obj" => before.is_empty() && relative(&format!(" {after}")),
            "se_understood_object" => {
                before.is_empty() && after.starts_with("the ") && !after[4..].contains(' ')
            }
            "sn_NP/S" => before.is_empty() && !after.is_empty() && !clause(after),
            "sn_NP/Z" => FACTUAL.contains(&before) && !after.is_empty() && !clause(after),
            "sn_past_participle" => {
                hypothesis.contains(" in the ")
                    && if before.is_empty() { !clause(after) } else { clause(before) && after.is_empty() }
            }
            "sn_PP_on_subject" => place(&format!("{before} {hypothesis}")) && after.is_empty(),
            "sn_relative_clause_on_subject" => relative(&format!("{before} ")) && after.is_empty(),
            "ce_adverb" => !DOUBTS.contains(&before) && !FACTUAL.contains(&before) && after.is_empty(),
            "cn_adverb" => DOUBTS.contains(&before) && after.is_empty(),
            "ce_embedded_under_since" => FACTUAL.contains(&before) && after.starts_with(", the "),
            "cn_embedded_under_if" => OPEN.contains(&before) && after.starts_with(", the "),
            "ce_after_since_clause" => {
                FACTUAL.iter().any(|word| before.starts_with(word)) && after.is_empty()
            }
            "cn_after_if_clause" => {
                (before.starts_with("if ") || before.starts_with("unless ")) && after.is_empty()
            }
            "ce_conjunction" => before.ends_with(", and") || after.starts_with(", and the "),
            "cn_disjunction" => before.ends_with(", or") || after.starts_with(", or the "),
            "ce_embedded_under_verb" => last(before.trim_end_matches(" that"), &KNOWING) && after.is_empty(),
            "cn_embedded_under_verb" => {
                before.ends_with(" that")
                    && !last(before.trim_end_matches(" that"), &KNOWING)
                    && after.is_empty()
            }
            other => panic!("no such sub-case: {other}"),
        };
        assert!(right, "{told}");
    }
}

#[test]
fn counts_labels_and_no_pair_twice() {
    let examples = made(1_000, 0);
    examples.check("hans", hans::LABELS.len()).unwrap();
    assert_eq!(examples.len(), 30_000);
    let mut seen = BTreeSet::new();
    for (i, pair) in pairs(&examples).into_iter().enumerate() {
        let entailed = &pair.0[1..2] == "e";
        assert_eq!(hans::LABELS[examples.labels[i] as usize] == "entailment", entailed, "{pair:?}");
        assert!(seen.insert(pair.clone()), "twice: {pair:?}");
    }
    let of_each = |initial: &str| SUB_CASES.iter().filter(|case| case.name.starts_with(initial)).count();
    assert_eq!(["le", "ln", "se", "sn", "ce", "cn"].map(of_each), [5; 6]);
}

#[test]
fn more_pairs_begin_with_the_fewer_and_seeds_differ() {
    let (few, many, other) = (made(10, 1), made(40, 1), made(10, 2));
    let ids: BTreeMap<&String, _> = many.ids.iter().zip(pairs(&many)).collect();
    assert!(few.ids.iter().zip(pairs(&few)).all(|(id, pair)| ids[id] == pair));
    assert_eq!(few, made(10, 1));
    assert_ne!(few.content, other.content);
}

#[test]
fn sub_cases_have_their_published_names() {
    let Some(root) = std::env::var_os("SAMEBASIN_DATA").map(PathBuf::from) else {
        eprintln!("skipped: SAMEBASIN_DATA is not set");
        return;
    };
    let text =
        std::fs::read_to_string(root.join("hans-regenerated/hans_eval_regen.tsv")).expect("HANS-regen");
    let mut published = BTreeSet::new();
    for row in text.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        published.insert((cells[5].to_owned(), cells[4].to_owned(), cells[0].to_owned()));
    }
    let heuristic = |case: &hans::SubCase| match case.heuristic {
        Heuristic::LexicalOverlap => "lexical_overlap",
        Heuristic::Subsequence => "subsequence",
        Heuristic::Constituent => "constituent",
    };
    let ours: BTreeSet<(String, String, String)> = SUB_CASES
        .iter()
        .map(|case| {
            (case.name.into(), heuristic(case).into(), hans::LABELS[usize::from(!case.entailed)].into())
        })
        .collect();
    assert_eq!(ours, published);
    // Ours are none of theirs.
    let theirs: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|row| {
            let mut cells = row.split('\t').skip(1);
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    let made = made(1_000, 0);
    let Content::Text { first, second: Some(second) } = &made.content else { panic!("pairs") };
    let shared = first.iter().zip(second).filter(|(a, b)| theirs.contains(&(a.as_str(), b.as_str()))).count();
    eprintln!("hans: {shared} of {} pairs stand in the regenerated file too", made.len());
    assert!(shared * 50 < made.len(), "{shared} pairs are theirs");
}
