//! The methods of a study as a paper would state them, from what its tables say, and the works to cite.

use std::collections::BTreeSet;

use super::{counted, listed};
use crate::rows::RunScore;
use crate::study::{DEFAULT_ARM, LINEAR, Study, steps_text};
use crate::summarise::interval;
use crate::summarise::measure::{self, PRIMARY, shown};

/// Paragraphs of methods; backticks mark code.
pub(crate) fn paragraphs(study: &Study) -> Vec<String> {
    let all = [
        models(study),
        fine_tuning(study),
        evaluation(study),
        failure(study),
        pairs(study),
        tests(study),
        programs(study),
    ];
    all.into_iter().filter(|paragraph| !paragraph.is_empty()).collect()
}

/// `a b, c d` of the facts about a subject.
fn facts(study: &Study, subject: &str) -> String {
    let of_subject = study.facts.iter().filter(|fact| fact.subject == subject);
    of_subject.map(|fact| format!("`{}` {}", fact.name, fact.value)).collect::<Vec<_>>().join(", ")
}

fn fact<'a>(study: &'a Study, subject: &str, name: &str) -> Option<&'a str> {
    let found = study.facts.iter().find(|fact| fact.subject == subject && fact.name == name);
    found.map(|fact| fact.value.as_str())
}

/// ` (...)`, or nothing.
fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn models(study: &Study) -> String {
    let steps = study.steps(DEFAULT_ARM);
    if let Some(file) = fact(study, "import", "file") {
        let digest = fact(study, "import", "digest").unwrap_or_default();
        let source =
            fact(study, "import", "source").map_or(String::new(), |source| format!(", from {source}"));
        return format!(
            "**Data.** Accuracies of {} were imported from `{file}` (`{digest}`){source}. Each accuracy was checked to be a share \
             of its number of examples, and the summary rows of the file to agree with its runs. No model was run.",
            counted(study.count_runs(|_| true), "fine-tuning run")
        );
    }
    let rungs = match steps.as_slice() {
        [] => return String::new(),
        [_] if !study.knows_steps() => "one checkpoint".into(),
        [only] => format!("the checkpoint after {} steps", steps_text(*only)),
        many => {
            let names: Vec<String> = many.iter().map(|&step| steps_text(step)).collect();
            format!("{} checkpoints (after {} steps)", many.len(), listed(&names))
        }
    };
    let seeds = study.pretraining_seeds();
    let gate = match fact(study, "ladder", "gate") {
        Some(found) => format!(" The ladder was checked: {found}."),
        None => String::new(),
    };
    format!(
        "**Models.** Fine-tuning starts from {rungs} of {} (seeds {}){}.{gate}",
        counted(seeds.len(), "pretraining run"),
        ranges(&seeds),
        in_brackets(&facts(study, "pretraining"))
    )
}

fn fine_tuning(study: &Study) -> String {
    let default: Vec<&RunScore> = study.runs.iter().filter(|run| run.arm == DEFAULT_ARM).collect();
    if default.is_empty() {
        return String::new();
    }
    let seeds = |of: &dyn Fn(&RunScore) -> Option<u64>| -> Vec<u64> {
        default.iter().filter_map(|run| of(run)).collect::<BTreeSet<u64>>().into_iter().collect()
    };
    let finetuning = seeds(&|run| Some(run.finetuning_seed));
    let mut text = format!(
        "**Fine-tuning.** The default arm has {} with {} (seeds {}){}",
        counted(study.count_runs(|run| run.arm == DEFAULT_ARM), "run"),
        counted(finetuning.len(), "fine-tuning seed"),
        ranges(&finetuning),
        in_brackets(&facts(study, "fine-tuning"))
    );
    let (heads, orders) = (seeds(&|run| run.head_seed), seeds(&|run| run.order_seed));
    if !heads.is_empty() && (heads != finetuning || orders != finetuning) {
        text += &format!("; heads have the seeds {}, orders of the data {}", ranges(&heads), ranges(&orders));
    }
    let data = facts(study, "data");
    if !data.is_empty() {
        text += &format!(". The training data are described by {data}");
    }
    let arms: Vec<String> =
        study.arms.iter().filter(|arm| *arm != DEFAULT_ARM).map(|arm| format!("`{arm}`")).collect();
    if !arms.is_empty() {
        text += &format!(". Further arms: {}", arms.join("; "));
    }
    text + "."
}

fn evaluation(study: &Study) -> String {
    let mut splits: Vec<(&str, u64)> =
        study.runs.iter().filter(|run| run.case.is_empty()).map(|run| (run.split.as_str(), run.n)).collect();
    splits.sort_unstable();
    splits.dedup_by_key(|split| split.0);
    if splits.is_empty() {
        return String::new();
    }
    let named: Vec<String> =
        splits.iter().map(|(split, n)| format!("`{split}` ({})", steps_text(*n))).collect();
    let effects: BTreeSet<&str> =
        study.interventions.iter().map(|effect| effect.intervention.as_str()).collect();
    let effects: Vec<String> = effects.into_iter().map(|name| format!("`{name}`")).collect();
    let interventions = match effects.is_empty() {
        true => String::new(),
        false => format!(" Interventions on the process that made the data: {}.", listed(&effects)),
    };
    format!("**Evaluation.** Splits with their numbers of examples: {}.{interventions}", listed(&named))
}

fn failure(study: &Study) -> String {
    let judged = study.count_runs(|run| run.majority.is_some());
    let all = study.count_runs(|_| true);
    match (all, judged) {
        (0, _) => String::new(),
        (_, 0) => "**Failed runs.** The share of the most frequent label is not known, so no run was judged to have failed.".into(),
        _ => format!(
            "**Failed runs.** A run has failed if it does no better on held-out data than always giving the most frequent label: \
             {} of {judged} did.",
            study.count_runs(|run| run.failed)
        ),
    }
}

fn pairs(study: &Study) -> String {
    let pairs: BTreeSet<(&str, &str)> =
        study.pairs.iter().map(|pair| (pair.run_a.as_str(), pair.run_b.as_str())).collect();
    if pairs.is_empty() {
        return String::new();
    }
    let mut text =
        format!("**Pairs.** {} of runs of one checkpoint are compared.", counted(pairs.len(), "pair"));
    let positions: BTreeSet<u64> =
        study.paths.iter().filter(|point| point.path == LINEAR).map(|point| point.alpha.to_bits()).collect();
    if !positions.is_empty() {
        text +=
            &format!(" Losses on the line between their weights are computed at {} points.", positions.len());
    }
    let methods: BTreeSet<&str> = study.soups.iter().map(|soup| soup.method.as_str()).collect();
    if !methods.is_empty() {
        let methods: Vec<String> = methods.into_iter().map(str::to_owned).collect();
        text += &format!(" Runs of one checkpoint are also joined: {}.", listed(&methods));
    }
    text
}

fn tests(study: &Study) -> String {
    let described = interval::described(study.interval);
    if study.reading.evidence.path_variance.is_none() {
        return format!("**Statistics.** {described}");
    }
    let primaries: Vec<String> =
        PRIMARY.iter().filter_map(|id| Some(measure::find(id)?.label.into_owned())).collect();
    format!(
        "**Statistics.** Early rungs are those of at most {} steps, late ones those of at least {}. Primary measures, fixed in the \
         program, are {}; their two-sided p are corrected by Holm, those of the tables by Benjamini and Hochberg. A change of path \
         variance of at most {} counts as none (two one-sided tests). The comparison at equal accuracy is tested after that of \
         outcomes, at the full level. {described}",
        steps_text(study.early_until),
        steps_text(study.late_from),
        listed(&primaries),
        shown(study.reading.plan.margin, 3)
    )
}

fn programs(study: &Study) -> String {
    let made = fact(study, "programs", "samebasin").map_or_else(
        || "The versions that made the models are not known".into(),
        |version| format!("Models and scores: samebasin {version}"),
    );
    let versions = fact(study, "programs", "versions of fine-tuning")
        .map_or(String::new(), |versions| format!(" (versions of what fine-tuning rests on: {versions})"));
    format!(
        "**Programs.** {made}{versions}. Report: samebasin {}. Dates and machines are in the provenance of each result \
         (`samebasin store show KEY`).",
        env!("CARGO_PKG_VERSION")
    )
}

/// `0 to 5, 9` of ascending numbers.
fn ranges(numbers: &[u64]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).flat_map(|run| match run {
        [first, _, .., last] => vec![format!("{first} to {last}")],
        few => few.iter().map(u64::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// The works whose methods this study uses, in BibTeX.
pub(crate) fn references(study: &Study) -> Vec<&'static str> {
    let contrasts = study.reading.evidence.path_variance.is_some();
    let soups = study.soups.iter().any(|soup| ["uniform", "greedy"].contains(&soup.method.as_str()));
    let counts = study.spreads.iter().any(|row| row.shared.is_some());
    let bootstrap = study.spreads.iter().any(|row| row.sd_bca_lower.is_some());
    [
        (!study.pairs.is_empty() || counts, GEIRHOS),
        (!study.paths.is_empty(), FRANKLE),
        (!study.paths.is_empty(), JUNEJA),
        (soups, WORTSMAN),
        (!study.interventions.is_empty(), LUBANA),
        (contrasts, HOLM),
        (contrasts, BENJAMINI),
        (contrasts, SCHUIRMANN),
        (bootstrap, EFRON),
        (!study.correlations.is_empty(), MORGAN),
        (!study.correlations.is_empty(), PITMAN),
    ]
    .into_iter()
    .filter_map(|(used, work)| used.then_some(work))
    .collect()
}

const GEIRHOS: &str = "@inproceedings{geirhos2020beyond,
  title = {Beyond accuracy: quantifying trial-by-trial behaviour of {CNNs} and humans by measuring error consistency},
  author = {Geirhos, Robert and Meding, Kristof and Wichmann, Felix A.},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {33},
  year = {2020}
}";
const FRANKLE: &str = "@inproceedings{frankle2020linear,
  title = {Linear Mode Connectivity and the Lottery Ticket Hypothesis},
  author = {Frankle, Jonathan and Dziugaite, Gintare Karolina and Roy, Daniel M. and Carbin, Michael},
  booktitle = {International Conference on Machine Learning},
  year = {2020}
}";
const JUNEJA: &str = "@inproceedings{juneja2023linear,
  title = {Linear Connectivity Reveals Generalization Strategies},
  author = {Juneja, Jeevesh and Bansal, Rachit and Cho, Kyunghyun and Sedoc, Jo{\\~a}o and Saphra, Naomi},
  booktitle = {International Conference on Learning Representations},
  year = {2023}
}";
const WORTSMAN: &str = "@inproceedings{wortsman2022model,
  title = {Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time},
  author = {Wortsman, Mitchell and Ilharco, Gabriel and Gadre, Samir Ya and Roelofs, Rebecca and Gontijo-Lopes, Raphael and
    Morcos, Ari S. and Namkoong, Hongseok and Farhadi, Ali and Carmon, Yair and Kornblith, Simon and Schmidt, Ludwig},
  booktitle = {International Conference on Machine Learning},
  year = {2022}
}";
const LUBANA: &str = "@inproceedings{lubana2023mechanistic,
  title = {Mechanistic Mode Connectivity},
  author = {Lubana, Ekdeep Singh and Bigelow, Eric J. and Dick, Robert P. and Krueger, David and Tanaka, Hidenori},
  booktitle = {International Conference on Machine Learning},
  year = {2023}
}";
const HOLM: &str = "@article{holm1979simple,
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  author = {Holm, Sture},
  journal = {Scandinavian Journal of Statistics},
  volume = {6},
  number = {2},
  pages = {65--70},
  year = {1979}
}";
const BENJAMINI: &str = "@article{benjamini1995controlling,
  title = {Controlling the False Discovery Rate: A Practical and Powerful Approach to Multiple Testing},
  author = {Benjamini, Yoav and Hochberg, Yosef},
  journal = {Journal of the Royal Statistical Society, Series B},
  volume = {57},
  number = {1},
  pages = {289--300},
  year = {1995}
}";
const SCHUIRMANN: &str = "@article{schuirmann1987comparison,
  title = {A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the Equivalence of Average
    Bioavailability},
  author = {Schuirmann, Donald J.},
  journal = {Journal of Pharmacokinetics and Biopharmaceutics},
  volume = {15},
  number = {6},
  pages = {657--680},
  year = {1987}
}";
const EFRON: &str = "@article{efron1987better,
  title = {Better Bootstrap Confidence Intervals},
  author = {Efron, Bradley},
  journal = {Journal of the American Statistical Association},
  volume = {82},
  number = {397},
  pages = {171--185},
  year = {1987}
}";
const MORGAN: &str = "@article{morgan1939test,
  title = {A Test for the Significance of the Difference Between the Two Variances in a Sample from a Normal Bivariate Population},
  author = {Morgan, W. A.},
  journal = {Biometrika},
  volume = {31},
  number = {1/2},
  pages = {13--19},
  year = {1939}
}";
const PITMAN: &str = "@article{pitman1939note,
  title = {A Note on Normal Correlation},
  author = {Pitman, E. J. G.},
  journal = {Biometrika},
  volume = {31},
  number = {1/2},
  pages = {9--12},
  year = {1939}
}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Fact;
    use crate::synthetic::{Course, Size, study};

    #[test]
    fn seeds_are_listed_as_people_do() {
        assert_eq!(ranges(&[0, 1, 2, 5, 6, 9]), "0 to 2, 5, 6, 9");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn says_what_was_done_and_cites_what_was_used() {
        let mut study = study(Course::Falls, Size { soups: false, ..Size::FULL });
        let fact = |subject: &str, name: &str, value: &str| Fact {
            subject: subject.into(),
            name: name.into(),
            value: value.into(),
        };
        study.observed.facts = vec![
            fact("pretraining", "hidden", "64"),
            fact("fine-tuning", "learning_rate", "0.001"),
            fact("programs", "samebasin", "0.1.0"),
        ];
        let all = paragraphs(&study).join("\n");
        for part in [
            "7 checkpoints (after 0, 100, 300, 600, 1,000, 2,000 and 6,000 steps) of 3 pretraining runs (seeds 0 to 2)",
            "`hidden` 64",
            "6 fine-tuning seeds (seeds 0 to 5) (`learning_rate` 0.001)",
            "`ood` (800)",
            "A run has failed if",
            "corrected by Holm",
            "samebasin 0.1.0",
        ] {
            assert!(all.contains(part), "{part} is not in\n{all}");
        }
        let works = references(&study).concat();
        assert!(works.contains("holm1979") && works.contains("geirhos2020") && !works.contains("wortsman"));
        for work in references(&study) {
            assert_eq!(work.matches('{').count(), work.matches('}').count(), "{work}");
        }
    }
}
