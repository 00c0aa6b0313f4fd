//! What labels and how many rows a file has, for whoever writes the first task file.

use std::collections::BTreeSet;

use super::Format;
use super::rows::File;
use crate::Error;

/// Labels that a task may have when it is written from a file: beyond this, the column holds something else.
const MOST_LABELS: usize = 100;

/// What a file of examples holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Its labels: numbers in their order, else by name.
    pub labels: Vec<String>,
    /// Its rows.
    pub rows: usize,
}

/// What is in the column `label` of a file that also has the columns `text`.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, lacks a column (the message names those that it has), or has more than
/// 100 labels.
pub fn survey(name: &str, bytes: &[u8], text: &[&str], label: &str) -> Result<Survey, Error> {
    let format = Format::of(name).ok_or_else(|| Error::File {
        file: name.into(),
        line: None,
        reason: "its name ends in none of .jsonl, .json, .tsv, .csv and .parquet".into(),
    })?;
    let file = File { name, bytes, format, header: None, quotes: None, skips: false };
    let chosen: Vec<&str> = std::iter::once(label).chain(text.iter().copied()).collect();
    let rows = file.read(&chosen)?.rows;
    let found: BTreeSet<&str> = rows.iter().map(|row| row.cells[0].as_str()).collect();
    if found.len() > MOST_LABELS {
        let reason = format!("its column `{label}` has {} different values: are they labels?", found.len());
        return Err(file.wrong(None, reason));
    }
    let mut labels: Vec<String> = found.into_iter().map(str::to_owned).collect();
    if labels.iter().all(|label| label.parse::<f64>().is_ok_and(f64::is_finite)) {
        let number = |label: &String| label.parse::<f64>().unwrap_or(0.0);
        labels.sort_by(|a, b| number(a).total_cmp(&number(b)));
    }
    Ok(Survey { labels, rows: rows.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_their_order() {
        let found = |bytes: &str| {
            let found = survey("a.csv", bytes.as_bytes(), &["text"], "label");
            found.map(|found| found.labels).map_err(|error| error.to_string())
        };
        assert_eq!(found("text,label\nx,10\ny,9\nz,10\n").unwrap(), ["9", "10"]);
        assert_eq!(found("text,label\nx,no\ny,maybe\n").unwrap(), ["maybe", "no"]);
        assert!(
            found("question,label\nx,1\n")
                .unwrap_err()
                .contains("no column `text`; it has `question`, `label`")
        );
        let many: String = (0..101).map(|i| format!("x,{i}\n")).collect();
        assert!(found(&format!("text,label\n{many}")).unwrap_err().contains("101 different values"));
        assert!(survey("a.doc", b"", &["text"], "label").unwrap_err().to_string().contains(".parquet"));
    }
}
