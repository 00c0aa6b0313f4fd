//! Running text: plain text, or a column of a table whose rows are documents or lines.

use clap::{Args, ValueEnum};
use serde::Serialize;
use tasks::table::{self, Format};
use versions::Versions;

use crate::data_files::{self, Place};
use crate::stage::{Failure, Work};

/// How text is found in files that are tables. Flatten it into a stage's flags.
#[derive(Args, Clone, Debug, Default, Serialize)]
pub struct Tables {
    /// Column of the text in JSON, TSV, CSV and Parquet files; a path, as in `messages[-1].content`, leads to a nested value
    /// [default: text]
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What a row of a JSON, TSV, CSV or Parquet file is [default: documents]
    #[arg(long, value_enum, value_name = "WHAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowsAre>,
}

/// What a row of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowsAre {
    /// Each is a document of its own, as in C4
    Documents,
    /// Each is a line; blank ones stand between documents, as in WikiText
    Lines,
}

impl Tables {
    /// Writes the defaults out where one of the files is a table, and refuses the flags where none is.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the flag.
    pub(crate) fn resolve<'a>(&mut self, mut files: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
        if files.any(|name| Format::of(name).is_some()) {
            self.column.get_or_insert_with(|| "text".into());
            self.rows.get_or_insert(RowsAre::Documents);
            return Ok(());
        }
        match (&self.column, self.rows) {
            (None, None) => Ok(()),
            (column, _) => {
                let flag = if column.is_some() { "--column" } else { "--rows" };
                Err(Failure::Usage(format!(
                    "{flag} has no effect on plain text: no file is JSON, TSV, CSV or Parquet"
                )))
            }
        }
    }

    /// Versions of what reads the tables, where there are some.
    pub(crate) fn versions(&self) -> Versions {
        if self.column.is_some() { table::versions() } else { Versions::default() }
    }

    /// The texts of files: of a plain one all of it, whose blank lines stand between documents; of a table each document.
    ///
    /// # Errors
    /// As [`data_files::bytes`], and [`Failure::Input`] for what is not text.
    pub(crate) fn texts(
        &self,
        work: &Work<'_>,
        place: &Place,
        names: &[String],
    ) -> Result<Vec<String>, Failure> {
        let mut texts = Vec::new();
        for name in names {
            let bytes = data_files::bytes(work, place, name)?;
            match Format::of(name) {
                None => texts.push(plain(name, bytes)?),
                Some(format) => {
                    let column = self.column.as_deref().unwrap_or("text");
                    let rows = table::column(name, &bytes, format, column)?;
                    match self.rows {
                        Some(RowsAre::Lines) => texts.push(rows.into_iter().map(|row| row + "\n").collect()),
                        _ => texts.extend(rows.iter().map(|row| without_blank_lines(row))),
                    }
                }
            }
        }
        Ok(texts)
    }
}

/// A text that is one document.
fn without_blank_lines(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Plain text. JSON under another name would be learned from with its braces.
fn plain(name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    let text = data_files::utf8(name, bytes)?;
    let first =
        text.trim_start_matches('\u{feff}').lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let is_json =
        |line: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).is_ok();
    match is_json(first) {
        true => Err(Failure::Input(format!(
            "{name} holds JSON and not plain text: give it a name that ends in .jsonl, and its column with --column"
        ))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_for_tables() {
        let resolved = |tables: Tables, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let mut tables = tables;
            tables
                .resolve(names.iter())
                .map(|()| (tables.column, tables.rows))
                .map_err(|error| error.to_string())
        };
        assert_eq!(resolved(Tables::default(), &["a.txt"]), Ok((None, None)));
        let written = Ok((Some("text".into()), Some(RowsAre::Documents)));
        assert_eq!(resolved(Tables::default(), &["a.txt", "b.json.gz"]), written);
        let given = Tables { column: None, rows: Some(RowsAre::Lines) };
        assert!(resolved(given, &["a"]).unwrap_err().starts_with("--rows has no effect"));
    }

    #[test]
    fn documents_have_no_blank_lines() {
        assert_eq!(without_blank_lines("a\n \n\nb"), "a\nb\n");
        assert_eq!(without_blank_lines(" \n"), "");
    }

    #[test]
    fn json_is_no_plain_text() {
        let read = |text: &str| plain("f", text.as_bytes().to_vec()).map_err(|error| error.to_string());
        assert_eq!(read("{braces} are text\n"), Ok("{braces} are text\n".into()));
        assert!(read("\n{\"text\": \"a\"}\n").unwrap_err().contains("holds JSON"));
    }
}
