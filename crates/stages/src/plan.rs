//! `samebasin plan`: how many seeds a study needs, before its results are seen.
//!
//! From the scatter of a pilot, or from given components of variance: the fewest pretraining seeds that detect an effect or
//! show its absence, for several numbers of fine-tuning seeds, and the smallest effect that given designs detect.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use comfy_table::{CellAlignment, Table, presets};
use measures::planner::design::{self, Components};
use measures::planner::effect;
use measures::planner::sd_range;
use report::{Observed, Pilot};
use serde::Serialize;

use crate::stage::{Failure, json, ranges};

/// Say how many seeds a study needs
///
/// The change from early to late rungs has the variance between² + within² / K: `between` is the standard deviation over
/// pretraining seeds, `within` that of one fine-tuning seed, K their number. Both come from the tables of a pilot (--pilot), or are
/// given. The effect to be detected is one that would matter, never the one that the pilot showed.
///
/// Example: samebasin plan --pilot out/world/tables --effect 0.02 --margin 0.01 --finetuning 3 6 12
#[derive(Parser, Clone, Debug)]
#[command(
    name = "samebasin-plan",
    bin_name = "samebasin plan",
    version,
    group = ArgGroup::new("scatter").required(true).multiple(true).args(["pilot", "between"]),
    after_help = "Exit codes: 0 the plan is printed; 1 it failed; 2 the command line is wrong; 3 the tables are missing or not \
        those of a study."
)]
struct Planned {
    /// Folder with the tables of a pilot
    #[arg(long, value_name = "TABLES", conflicts_with_all = ["between", "within"])]
    pilot: Option<PathBuf>,
    /// Measure whose change is planned for (with --pilot)
    #[arg(long, value_name = "NAME", default_value = "ood_path_variance")]
    measure: String,
    /// Standard deviation of the change over pretraining seeds
    #[arg(long, value_name = "SD", requires = "within", value_parser = ranges::number(0.0..=1e9))]
    between: Option<f64>,
    /// Standard deviation of the change that one fine-tuning seed brings
    #[arg(long, value_name = "SD", requires = "between", value_parser = ranges::number(0.0..=1e9))]
    within: Option<f64>,
    /// Smallest change that would matter: it is to be detected
    #[arg(long, value_name = "CHANGE", value_parser = ranges::number(1e-12..=1e9))]
    effect: Option<f64>,
    /// Largest change that counts as none: if there is none, it is to be shown
    #[arg(long, value_name = "CHANGE", value_parser = ranges::number(1e-12..=1e9))]
    margin: Option<f64>,
    /// Numbers of pretraining seeds to compare
    #[arg(long, value_name = "P", num_args = 1.., default_values_t = [3, 6, 12], value_parser = ranges::count(2..=10_000))]
    pretraining: Vec<usize>,
    /// Numbers of fine-tuning seeds of each checkpoint to compare
    #[arg(long, value_name = "K", num_args = 1.., default_values_t = [3, 6, 12], value_parser = ranges::count(1..=10_000))]
    finetuning: Vec<usize>,
    /// Chance to detect the effect, or to show its absence
    #[arg(long, default_value_t = 0.8, value_parser = ranges::number(0.01..=0.999))]
    power: f64,
    /// Level of the tests, two-sided for the effect
    #[arg(long, default_value_t = 0.05, value_parser = ranges::number(1e-6..=0.5))]
    alpha: f64,
    /// Primary measures that Holm's correction is for: the effect is tested at alpha / N
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = ranges::count(1..=1_000))]
    primaries: usize,
    /// Rungs that are fine-tuned from, for the number of runs [default: those of the pilot, or 2]
    #[arg(long, value_name = "N", value_parser = ranges::count(2..=10_000))]
    rungs: Option<usize>,
    /// Minutes that a pretraining run takes
    #[arg(long, value_name = "MINUTES", value_parser = ranges::number(0.0..=1e9))]
    pretraining_minutes: Option<f64>,
    /// Minutes that a fine-tuning run takes, its evaluation and its paths included
    #[arg(long, value_name = "MINUTES", value_parser = ranges::number(0.0..=1e9))]
    finetuning_minutes: Option<f64>,
    /// Last pretraining step of the pilot that counts as early [default: the lower half of the ladder]
    #[arg(long, value_name = "STEP")]
    early_until: Option<u64>,
    /// First pretraining step of the pilot that counts as late [default: the last two rungs]
    #[arg(long, value_name = "STEP")]
    late_from: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// All that is printed.
#[derive(Debug, Serialize)]
struct Plan {
    measure: String,
    scatter: Scatter,
    /// Level at which the effect is tested, after division for the primary measures.
    alpha_of_effect: f64,
    /// Level at which its absence is tested.
    alpha_of_margin: f64,
    power: f64,
    effect: Option<f64>,
    margin: Option<f64>,
    /// The fewest pretraining seeds for each number of fine-tuning seeds.
    needed: Vec<Needed>,
    /// The smallest effect of each design.
    smallest: Vec<Detected>,
}

/// Components of the change, and what they come from.
#[derive(Debug, Serialize)]
struct Scatter {
    between: f64,
    within: f64,
    /// Pretraining seeds of the pilot; none where the components were given.
    pilot_seeds: Option<usize>,
    /// 95 % range of the pilot's standard deviation, as factors of it.
    sd_factors: Option<(f64, f64)>,
}

#[derive(Debug, Serialize)]
struct Needed {
    finetuning: usize,
    /// Standard deviation of a change over pretraining seeds.
    sd: f64,
    for_effect: Option<usize>,
    for_margin: Option<usize>,
    /// Fine-tuning runs of the larger of both.
    runs: Option<usize>,
    minutes: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Detected {
    pretraining: usize,
    finetuning: usize,
    effect: f64,
    /// With the pilot's standard deviation at the ends of its interval.
    interval: Option<(f64, f64)>,
}

/// The command line of the program.
#[must_use]
pub(crate) fn command() -> clap::Command {
    <Planned as clap::CommandFactory>::command()
}

/// The body of the program.
#[must_use]
pub fn main() -> ExitCode {
    crate::stage::exit(run(&Planned::parse()), "samebasin plan")
}

fn run(planned: &Planned) -> Result<(), Failure> {
    let plan = planned.plan()?;
    let text = match planned.json {
        true => format!("{:#}\n", json(&plan)?),
        false => plan.text(),
    };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::printing)
}

impl Planned {
    fn plan(&self) -> Result<Plan, Failure> {
        let pilot = self.pilot.as_ref().map(|folder| self.read(folder)).transpose()?;
        let components = match &pilot {
            Some(pilot) => {
                Components::of_pilot(&pilot.changes, pilot.within.unwrap_or(0.0), pilot.finetuning).map_err(
                    |error| Failure::Input(format!("the pilot has no scatter to plan from: {error}")),
                )?
            }
            None => {
                Components::new(self.between.unwrap_or(0.0), self.within.unwrap_or(0.0)).map_err(refused)?
            }
        };
        let pilot_seeds = pilot.as_ref().map(|pilot| pilot.changes.len());
        let sd_factors = pilot_seeds.map(|seeds| sd_range(seeds, 0.95)).transpose().map_err(refused)?;
        let alpha_of_effect = self.alpha / self.primaries as f64;
        let rungs = self.rungs.or(pilot.as_ref().map(|pilot| pilot.rungs)).unwrap_or(2);
        let needed = self.finetuning.iter().map(|&k| self.needed(k, components, alpha_of_effect, rungs));
        let mut smallest = Vec::new();
        for &pretraining in &self.pretraining {
            for &finetuning in &self.finetuning {
                let standard_error = components.sd(finetuning) / (pretraining as f64).sqrt();
                let df = (pretraining - 1) as f64;
                let effect =
                    effect::detectable(standard_error, df, alpha_of_effect, self.power).map_err(refused)?;
                let interval = sd_factors.map(|(low, high)| (low * effect, high * effect));
                smallest.push(Detected { pretraining, finetuning, effect, interval });
            }
        }
        Ok(Plan {
            measure: pilot.map_or("the change".into(), |pilot| pilot.label),
            scatter: Scatter {
                between: components.between,
                within: components.within,
                pilot_seeds,
                sd_factors,
            },
            alpha_of_effect,
            alpha_of_margin: self.alpha,
            power: self.power,
            effect: self.effect,
            margin: self.margin,
            needed: needed.collect::<Result<_, _>>()?,
            smallest,
        })
    }

    fn read(&self, folder: &std::path::Path) -> Result<Pilot, Failure> {
        let plan = report::Plan {
            title: String::new(),
            early_until: self.early_until,
            late_from: self.late_from,
            interval: measures::estimate::Interval::SeedT,
            margin: 0.01,
        };
        Ok(Pilot::read(&Observed::read(folder)?, plan, &self.measure)?)
    }

    fn needed(
        &self,
        finetuning: usize,
        components: Components,
        alpha_of_effect: f64,
        rungs: usize,
    ) -> Result<Needed, Failure> {
        let sd = components.sd(finetuning);
        let seeds = |change: Option<f64>, of: &dyn Fn(f64) -> Result<usize, measures::Error>| {
            change.map(of).transpose().map_err(refused)
        };
        let for_effect =
            seeds(self.effect, &|effect| design::seeds_for_effect(sd, effect, alpha_of_effect, self.power))?;
        let for_margin =
            seeds(self.margin, &|margin| design::seeds_for_margin(sd, margin, self.alpha, self.power))?;
        let pretraining = for_effect.max(for_margin);
        let runs = pretraining.map(|seeds| seeds * finetuning * rungs);
        let minutes = pretraining.zip(runs).zip(self.pretraining_minutes.zip(self.finetuning_minutes));
        let minutes = minutes.map(|((seeds, runs), (each, run))| seeds as f64 * each + runs as f64 * run);
        Ok(Needed { finetuning, sd, for_effect, for_margin, runs, minutes })
    }
}

/// Numbers that the planner refuses come from the command line.
fn refused(error: measures::Error) -> Failure {
    Failure::Usage(error.to_string())
}

impl Plan {
    fn text(&self) -> String {
        let Scatter { between, within, pilot_seeds, sd_factors } = &self.scatter;
        let mut text = format!(
            "{}, late less early: standard deviation {} between pretraining seeds, {} of one fine-tuning seed",
            self.measure,
            short(*between),
            short(*within)
        );
        if let (Some(seeds), Some((low, high))) = (pilot_seeds, sd_factors) {
            text += &format!(
                " (pilot of {seeds} pretraining seeds, which leaves a standard deviation open by a factor of {low:.2} to {high:.2})"
            );
        }
        text += ".\n";
        if self.effect.or(self.margin).is_some() {
            text += &format!(
                "\nFewest pretraining seeds for a power of {}:\n{}\n",
                self.power,
                self.needed_table()
            );
        }
        text += &format!(
            "\nSmallest change that a design detects with this power (test at {}):\n{}\n",
            short(self.alpha_of_effect),
            self.smallest_table()
        );
        text
    }

    fn needed_table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let mut header = vec!["fine-tuning seeds".to_owned(), "sd of a change".into()];
        header.extend(self.effect.map(|effect| format!("to detect {effect}")));
        header.extend(self.margin.map(|margin| format!("to show it within {margin}")));
        header.push("fine-tuning runs".into());
        let timed = self.needed.iter().any(|needed| needed.minutes.is_some());
        header.extend(timed.then(|| "hours".to_owned()));
        table.set_header(header);
        for needed in &self.needed {
            let mut row = vec![needed.finetuning.to_string(), short(needed.sd)];
            row.extend(self.effect.and(needed.for_effect).map(|seeds| seeds.to_string()));
            row.extend(self.margin.and(needed.for_margin).map(|seeds| seeds.to_string()));
            row.push(needed.runs.map_or(String::new(), |runs| runs.to_string()));
            row.extend(needed.minutes.map(|minutes| format!("{:.1}", minutes / 60.0)));
            table.add_row(row);
        }
        right(table)
    }

    fn smallest_table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header([
            "pretraining seeds",
            "fine-tuning seeds",
            "smallest change",
            "if the pilot's sd is off",
        ]);
        for found in &self.smallest {
            let interval = found
                .interval
                .map_or(String::new(), |(low, high)| format!("{} to {}", short(low), short(high)));
            let seeds = [found.pretraining.to_string(), found.finetuning.to_string()];
            let [pretraining, finetuning] = seeds;
            table.add_row([pretraining, finetuning, short(found.effect), interval]);
        }
        right(table)
    }
}

fn right(mut table: Table) -> Table {
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Three significant digits.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{value:.decimals$}")
}
