//! The report as one page of HTML that needs nothing else: no network, no script, no file beside it.

mod contrasts;
pub(crate) mod figures;
mod panel;
mod runs;
mod scale;
mod spreads;
mod svg;

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, context};
use serde::Serialize;
use tables::Schema;

use super::rows::Rung;
use super::study::{DEFAULT_ARM, Study, steps_text};
use super::summarise::interval;
use super::summarise::measure::{MEASURES, PRIMARY, Sign};
use super::words::answer::answer;
use super::words::caveats::caveats;
use super::words::counted;
use super::words::methods;

const TEMPLATE: &str = include_str!("report.html.jinja");
const STYLE: &str = include_str!("report.css");

/// A measure at every rung.
#[derive(Serialize)]
struct Ladder {
    label: String,
    cells: Vec<RungCell>,
}

#[derive(Serialize)]
struct RungCell {
    value: String,
    interval: String,
    /// The interval was cut to the values that the measure can take.
    beyond: bool,
}

#[derive(Serialize)]
struct Term {
    label: String,
    primary: bool,
    reading: &'static str,
    meaning: &'static str,
    source: &'static str,
}

#[derive(Serialize)]
struct TableLink {
    doc: &'static str,
    file: String,
    columns: Vec<Column>,
}

#[derive(Serialize)]
struct Column {
    name: &'static str,
    kind: String,
    doc: &'static str,
}

/// Where a page comes from and what lies beside it.
pub struct Edition<'a> {
    /// Key of the report, where it is a result in a store.
    pub key: Option<&'a str>,
    /// The tables that lie beside the page.
    pub tables: &'a [&'static Schema],
}

/// The page.
///
/// # Errors
/// If the template does not fit what it is given, which is a bug.
pub(crate) fn page(study: &Study, edition: &Edition<'_>) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.add_template("report", TEMPLATE)?;
    environment.add_filter("code", code);
    let answer = answer(study);
    let (runs, more_runs) = runs::lines(study);
    let (spreads, more_spreads) = spreads::checkpoints(study);
    environment.get_template("report")?.render(context! {
        style => STYLE,
        title => study.title,
        headline => answer.headline,
        sentences => answer.sentences,
        facts => facts(study),
        any_beyond => contrasts::contrasts(study).iter().any(|contrast| contrast.beyond),
        contrasts => contrasts::contrasts(study),
        spreads => spreads,
        more_spreads => more_spreads,
        early_until => steps_text(study.early_until),
        late_from => steps_text(study.late_from),
        caveats => caveats(study).iter().map(|c| context! { title => c.title, text => c.text }).collect::<Vec<_>>(),
        figures => figures::figures(study),
        methods => methods::paragraphs(study),
        references => methods::references(study),
        runs => runs,
        more_runs => more_runs,
        rungs => rung_heads(study),
        knows_to_go => study.ladder.iter().any(|rung| rung.to_go.is_some()),
        knows_phase => study.ladder.iter().any(|rung| rung.phase.is_some()),
        ladder => ladder(study),
        terms => terms(),
        sources => study.sources.iter().map(|(stage, n)| context! { stage => stage, n => n }).collect::<Vec<_>>(),
        command => command(study, edition),
        key => edition.key,
        method => interval::described(study.interval),
        tables => edition.tables.iter().map(|schema| link(schema)).collect::<Vec<_>>(),
        version => env!("CARGO_PKG_VERSION"),
    })
}

/// Text whose backticks mark code, and two stars what stands out, as markup.
fn code(text: &str) -> minijinja::Value {
    let mut markup = String::new();
    for (i, part) in text.split('`').enumerate() {
        if i % 2 == 1 {
            markup += &format!("<code>{}</code>", svg::escape(part));
            continue;
        }
        for (j, part) in part.split("**").enumerate() {
            let part = svg::escape(part);
            markup += &if j % 2 == 1 { format!("<strong>{part}</strong>") } else { part };
        }
    }
    minijinja::Value::from_safe_string(markup)
}

/// What was done, in one line.
fn facts(study: &Study) -> String {
    let seeds = study.pretraining_seeds().len();
    let steps = study.steps(DEFAULT_ARM);
    let rungs = match (steps.first(), steps.last()) {
        (Some(&first), Some(&last)) if first != last => {
            format!("{} rungs from {} to {} steps", steps.len(), steps_text(first), steps_text(last))
        }
        (Some(_), _) if !study.knows_steps() => "one checkpoint".into(),
        (Some(&only), _) => format!("one rung at {} steps", steps_text(only)),
        _ => "no rung".into(),
    };
    let arms = match study.arms.len() {
        0 | 1 => String::new(),
        n => format!(" · {}", counted(n - 1, "further arm")),
    };
    let runs = study.count_runs(|_| true);
    format!("{} · {} · {rungs}{arms}", counted(runs, "fine-tuning run"), counted(seeds, "pretraining seed"))
}

fn rung_heads(study: &Study) -> Vec<minijinja::Value> {
    let head = |step: u64| {
        let here: Vec<&Rung> = study.ladder.iter().filter(|rung| rung.step == step).collect();
        let mean =
            |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let loss = study.loss_at(step).map_or(String::new(), |loss| format!("{loss:.2}"));
        let to_go = mean(here.iter().filter_map(|rung| rung.to_go).collect());
        let rate = mean(here.iter().filter_map(|rung| rung.learning_rate).collect());
        let phases: BTreeSet<&str> = here.iter().filter_map(|rung| rung.phase.as_deref()).collect();
        context! {
            steps => steps_text(step),
            loss => loss,
            to_go => to_go.map_or(String::new(), |to_go| format!("{to_go:.2}")),
            learning_rate => rate.map_or(String::new(), |rate| format!("{rate:.1e}")),
            phase => phases.into_iter().collect::<Vec<_>>().join(", "),
        }
    };
    study.steps(DEFAULT_ARM).into_iter().map(head).collect()
}

fn ladder(study: &Study) -> Vec<Ladder> {
    let steps = study.steps(DEFAULT_ARM);
    let line = |measure: &super::summarise::measure::Measure| {
        let cells: Vec<RungCell> = steps
            .iter()
            .map(|&step| match study.estimate(DEFAULT_ARM, "rung", Some(step), &measure.id) {
                Some(row) => RungCell {
                    value: measure.show(row.estimate),
                    interval: match (row.lower, row.upper) {
                        (Some(lower), Some(upper)) => {
                            format!("{}…{}", measure.show(lower), measure.show(upper))
                        }
                        _ => String::new(),
                    },
                    beyond: row.beyond_range,
                },
                None => RungCell { value: String::new(), interval: String::new(), beyond: false },
            })
            .collect();
        let any = cells.iter().any(|cell| !cell.value.is_empty());
        any.then(|| Ladder { label: measure.label.to_string(), cells })
    };
    MEASURES.iter().filter_map(line).collect()
}

fn terms() -> Vec<Term> {
    let term = |measure: &super::summarise::measure::Measure| Term {
        label: measure.label.to_string(),
        primary: PRIMARY.contains(&measure.id.as_ref()),
        reading: match measure.sign {
            Sign::Higher => "Higher: the path matters less.",
            Sign::Lower => "Lower: the path matters less.",
            Sign::Neither => "",
        },
        meaning: measure.meaning,
        source: measure.source,
    };
    MEASURES.iter().map(term).collect()
}

fn link(schema: &'static Schema) -> TableLink {
    let columns = schema.fields.iter().map(|field| Column {
        name: field.name,
        kind: format!("{}{}", field.kind, if field.optional { ", optional" } else { "" }),
        doc: field.doc,
    });
    // Predictions are many: they lie in a folder, a part for each checkpoint and arm.
    let file = match schema.name {
        "predictions" => "tables/predictions/".to_owned(),
        name => format!("tables/{name}.parquet"),
    };
    TableLink { doc: schema.doc, file, columns: columns.collect() }
}

/// The command that makes this report again from the same inputs. One rung is neither early nor late.
fn command(study: &Study, edition: &Edition<'_>) -> String {
    let mut command = "samebasin report --out FOLDER".to_owned();
    if study.has_split() {
        command += &format!(" --early-until {} --late-from {}", study.early_until, study.late_from);
    }
    command + if edition.key.is_some() { " --input …" } else { " --tables FOLDER/tables" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Summary;
    use crate::synthetic::{Course, Size, study};

    fn page_of(course: Course, size: Size) -> String {
        let edition = Edition { key: Some("0123456789abcdef"), tables: &[Summary::TABLE] };
        page(&study(course, size), &edition).unwrap()
    }

    #[test]
    fn pages_are_whole_alike_and_without_what_is_no_number() {
        let sizes = [
            Size::FULL,
            Size { pretraining: 1, soups: false, ..Size::FULL },
            Size { finetuning: 2, ladder: false, paths: false, arms: false, ..Size::FULL },
            Size { pretraining: 8, finetuning: 1, ..Size::FULL },
        ];
        for size in sizes {
            let page = page_of(Course::Hump, size);
            assert!(page == page_of(Course::Hump, size), "two pages of one study differ");
            assert!(!page.contains("NaN") && !page.contains("\"inf") && !page.contains(">inf"), "{size:?}");
            assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
            for outside in ["http://", "https://", "<script", "src=", "@import", "url("] {
                assert!(!page.contains(outside), "{outside} in a page that should stand alone");
            }
            for tag in ["svg", "table", "figure", "section", "details", "div", "dl"] {
                let count = |text: &str| page.matches(text).count();
                let open = count(&format!("<{tag} ")) + count(&format!("<{tag}>"));
                assert_eq!(open, count(&format!("</{tag}>")), "{tag}, {size:?}");
            }
            assert_eq!(page.contains("id=\"soups\""), size.soups);
            assert_eq!(page.contains("id=\"lines\""), size.paths && size.finetuning > 1);
            assert_eq!(page.contains("id=\"arms\""), size.arms);
        }
    }

    #[test]
    fn names_cannot_break_the_page() {
        let mut study = study(Course::Falls, Size { arms: false, ..Size::FULL });
        study.title = "</title><u>".into();
        study
            .observed
            .runs
            .iter_mut()
            .filter(|run| run.split == "cue-flipped")
            .for_each(|run| run.split = "ood-<i>".into());
        let edition = Edition { key: None, tables: &[] };
        let page = page(&study, &edition).unwrap();
        assert!(!page.contains("<u>") && !page.contains("<i>") && page.contains("ood-&lt;i&gt;"));
    }

    #[test]
    fn backticks_mark_code() {
        assert_eq!(code("in `a < b` & c").to_string(), "in <code>a &lt; b</code> &amp; c");
        assert_eq!(code("**A.** b `**`").to_string(), "<strong>A.</strong> b <code>**</code>");
    }
}
