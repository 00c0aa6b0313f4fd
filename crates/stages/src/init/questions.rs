//! The questions that are asked where no flag answers them.

use std::io::{BufRead, IsTerminal, Write};

use super::Init;
use crate::stage::{Failure, say};

/// Asks for the data and the ladder, if no flag says anything of either and there is somebody to ask.
pub(super) fn ask(init: &mut Init) -> Result<(), Failure> {
    let said = init.train.is_some() || init.ladder.is_some() || !init.pretrain.is_empty();
    if said || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(());
    }
    answer(init, &mut |question| {
        drop(write!(std::io::stderr(), "{question} "));
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|source| Failure::Io { what: "cannot read the answer".into(), source })?;
        Ok(line.trim().to_owned())
    })
}

/// The questions, in the order in which one answer makes the next one needed.
fn answer(init: &mut Init, ask: &mut dyn FnMut(&str) -> Result<String, Failure>) -> Result<(), Failure> {
    say("An empty answer takes what stands in brackets.");
    let train = ask("Training examples: .csv, .tsv, .jsonl or .parquet [the embedded language]?")?;
    if train.is_empty() {
        return Ok(());
    }
    init.train = Some(train.into());
    init.ood = Some(ask("Examples of another kind, to test on?")?.into());
    let mut column = |question: &str, default: &str| -> Result<String, Failure> {
        let said = ask(question)?;
        Ok(if said.is_empty() { default.to_owned() } else { said })
    };
    init.text = column("Column of the text [text]?", "text")?;
    init.text_b = Some(column("Column of a second text [none]?", "")?).filter(|name| !name.is_empty());
    init.label = column("Column of the label [label]?", "label")?;
    let ladder = ask("A published ladder, such as pythia-70m [pretrain one on my text]?")?;
    match ladder.is_empty() {
        true => init.pretrain = vec![ask("Text file to pretrain on?")?.into()],
        false => {
            init.ladder = Some(ladder);
            let rungs = ask("Which of its steps, separated by commas?")?;
            let step = |text: &str| {
                text.trim().parse().map_err(|_| Failure::Usage(format!("`{text}` is no number of steps")))
            };
            init.rungs = rungs.split(',').map(step).collect::<Result<_, _>>()?;
        }
    }
    init.held_out = Some(ask("Text file that it is not trained on?")?.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn answers_become_flags() {
        let mut init = Init::parse_from(["init", "folder"]);
        let answers = ["a.csv", "b.csv", "question", "", "", "pythia-70m", "0, 1000", "wiki.txt"];
        let mut given = answers.iter();
        answer(&mut init, &mut |_| Ok(given.next().expect("no further question").to_string())).unwrap();
        assert!(given.next().is_none());
        assert_eq!(
            (init.text.as_str(), init.text_b.as_deref(), init.label.as_str()),
            ("question", None, "label")
        );
        assert_eq!((init.ladder.as_deref(), init.rungs.as_slice()), (Some("pythia-70m"), &[0, 1000][..]));
        assert!(init.held_out.is_some() && init.pretrain.is_empty());
        let mut init = Init::parse_from(["init", "folder"]);
        answer(&mut init, &mut |_| Ok(String::new())).unwrap();
        assert!(init.train.is_none());
    }
}
