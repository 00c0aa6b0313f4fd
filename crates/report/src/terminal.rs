//! The answer in a terminal: the sentences and the primary contrast.

use comfy_table::{CellAlignment, Table, presets};

use super::summarise::measure::MEASURES;
use super::words::answer::answer;
use super::words::change_text;
use super::words::verdict::{Direction, direction};
use crate::study::{DEFAULT_ARM, Study};

/// The answer and a table, as wide as a terminal.
pub(crate) fn text(study: &Study) -> String {
    let answer = answer(study);
    let mut text = format!("\n{}\n", answer.headline);
    for sentence in &answer.sentences {
        text += &format!("{sentence}\n");
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["measure", "early", "late", "late − early [95 % interval]", "the path matters"]);
    let mut any = false;
    for measure in MEASURES {
        let of = |kind| study.estimate(DEFAULT_ARM, kind, None, &measure.id);
        let (Some(early), Some(late), Some(change)) = (of("early"), of("late"), of("late - early")) else {
            continue;
        };
        any = true;
        let reading = match (measure.toward_one_basin() == 0.0, direction(measure, change)) {
            (true, _) => "",
            (false, Direction::Less) => "less",
            (false, Direction::More) => "more",
            (false, Direction::Open) => "inconclusive",
        };
        table.add_row([
            measure.label.to_string(),
            measure.show(early.estimate),
            measure.show(late.estimate),
            change_text(measure, change),
            reading.to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if any {
        text += &format!("\n{table}\n");
    }
    text
}
