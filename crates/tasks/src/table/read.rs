//! From the rows of a part's files to its examples.

use std::collections::BTreeMap;

use random::Stream;

use super::rows::{File, Row};
use super::{Format, Part, Sample};
use crate::{Content, Error, Examples, Metric};

/// The texts of a column of a file, whatever its format.
///
/// # Errors
/// [`Error::File`] naming the line and what is wrong with it.
pub fn column(name: &str, bytes: &[u8], format: Format, column: &str) -> Result<Vec<String>, Error> {
    let file = File { name, bytes, format, header: None, quotes: None, skips: false };
    Ok(file.read(&[column])?.rows.into_iter().flat_map(|row| row.cells).collect())
}

/// Chosen columns of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Cells {
    /// The cells of each row, in the order in which the columns were asked for.
    pub cells: Vec<Vec<String>>,
    /// The line of each row (of Parquet: the row), from 1.
    pub lines: Vec<u64>,
}

/// The columns `chosen` of a file with a header, in that order, as text.
///
/// # Errors
/// [`Error::File`] naming the file, the line and what is wrong with it.
pub fn cells(name: &str, bytes: &[u8], format: Format, chosen: &[&str]) -> Result<Cells, Error> {
    let file = File { name, bytes, format, header: None, quotes: None, skips: false };
    let (lines, cells) = file.read(chosen)?.rows.into_iter().map(|row| (row.number, row.cells)).unzip();
    Ok(Cells { cells, lines })
}

/// The examples of a part, and what was noticed on the way.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) examples: Examples,
    /// Rows that were left out: damaged ones, and those without a text.
    pub(super) skipped: u64,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// What a row's label is among, and how its example is named.
#[derive(Clone, Copy)]
pub(super) struct Meaning<'a> {
    pub(super) labels: &'a [String],
    pub(super) metric: Metric,
    /// Column of the example's name in the place of the part's own.
    pub(super) pair: Option<&'a str>,
}

/// A row of a file, understood.
#[derive(Clone)]
struct Example {
    id: String,
    text: String,
    text_b: Option<String>,
    label: u32,
    case: String,
}

impl Part {
    pub(super) fn read(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
        meaning: Meaning<'_>,
    ) -> Result<Taken, Error> {
        let id = meaning.pair.or(self.id.as_deref());
        let chosen = self.chosen(id);
        let names = self.file.names();
        let (mut examples, mut skipped, mut notes) = (Vec::new(), 0, Vec::new());
        for name in names {
            let format = self.format(name).map_err(|reason| Error::Specification { reason })?;
            let (header, quotes) = (self.columns.as_deref(), self.quotes);
            let file = File { name, bytes: &files[name], format, header, quotes, skips: self.skip_invalid };
            let read = file.read(&chosen)?;
            skipped += read.skipped;
            notes.extend(read.notes);
            notes.extend(read.first_skipped.map(|first| {
                format!("{name}: {} damaged row(s) were left out; the first is {first}", read.skipped)
            }));
            let prefix = matches!(self.file, super::Files::Many(_)).then_some(name.as_str());
            let before = examples.len();
            let mut empty = 0_u64;
            for row in read.rows {
                let number = row.number;
                let example = self.example(row, id.is_some(), prefix, meaning);
                match example.map_err(|reason| file.wrong(Some(number), reason))? {
                    Some(example) if self.skip_empty && example.is_empty() => empty += 1,
                    example => examples.extend(example),
                }
            }
            if empty > 0 {
                notes.push(format!("{name}: {empty} row(s) without a text were left out"));
                skipped += empty;
            }
            if examples.len() == before && names.len() > 1 {
                notes.push(format!("{name}: no row of it was taken"));
            }
        }
        let wrong = |reason: String| Error::File { file: names.join(", "), line: None, reason };
        if let Some(sample) = self.sample {
            examples = sample.of(examples).map_err(wrong)?;
        }
        match examples.is_empty() {
            true => Err(wrong(format!("{} no row", self.filters()))),
            false => Ok(Taken { examples: columns(examples, self.text_b.is_some()), skipped, notes }),
        }
    }

    /// The columns to read, in the order in which [`Part::example`] takes their cells.
    fn chosen<'a>(&'a self, id: Option<&'a str>) -> Vec<&'a str> {
        let mut chosen: Vec<&str> = self.only.iter().flatten().map(|(column, _)| column.as_str()).collect();
        chosen.push(&self.text);
        chosen.extend(self.label.as_deref());
        chosen.extend(self.text_b.as_deref());
        chosen.extend(id);
        chosen.extend(self.case.as_deref());
        chosen
    }

    /// What may have left no row, as the subject of a sentence.
    fn filters(&self) -> String {
        let filters = [
            ("`where`", self.only.is_some()),
            ("`drop`", !self.drop.is_empty()),
            ("`skip_invalid`", self.skip_invalid),
            ("`skip_empty`", self.skip_empty),
        ];
        let given: Vec<&str> =
            filters.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
        if given.len() > 1 {
            format!("{} leave", given.join(" and "))
        } else {
            format!("{} leaves", given.concat())
        }
    }

    /// The example of a row; `None` if it is to be left out.
    fn example(
        &self,
        row: Row,
        has_id: bool,
        prefix: Option<&str>,
        meaning: Meaning<'_>,
    ) -> Result<Option<Example>, String> {
        let mut cells = row.cells.into_iter();
        let mut next = || cells.next().unwrap_or_default();
        for values in self.only.iter().flat_map(BTreeMap::values) {
            if !values.hold(&next()) {
                return Ok(None);
            }
        }
        let text = next();
        let label = match self.label {
            None => None,
            Some(_) => match self.label(&next(), meaning.labels, meaning.metric)? {
                None => return Ok(None),
                label => label,
            },
        };
        let text_b = self.text_b.as_ref().map(|_| next());
        let id = match (has_id, prefix) {
            (true, _) => next(),
            (false, None) => row.number.to_string(),
            (false, Some(file)) => format!("{file}:{}", row.number),
        };
        let (text, text_b, label) = match label {
            Some(label) => (text, text_b, label),
            None => sides(text, text_b, &id),
        };
        let case = self.case.as_ref().map(|_| next()).or_else(|| self.case_value.clone()).unwrap_or_default();
        Ok(Some(Example { id, text, text_b, label, case }))
    }
}

impl Example {
    /// Whether it has no text at all.
    fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.text_b.as_ref().is_none_or(|text| text.trim().is_empty())
    }
}

/// The texts of a pair whose first is preferred, and the label of that one. A coin that depends on the example's name says
/// which is told first: if it were always the same, a model need not read to be right.
fn sides(preferred: String, other: Option<String>, id: &str) -> (String, Option<String>, u32) {
    match Stream::new(0, &format!("table/sides/{id}")).bernoulli(0.5) {
        true => (other.unwrap_or_default(), Some(preferred), 1),
        false => (preferred, other, 0),
    }
}

fn columns(examples: Vec<Example>, pairs: bool) -> Examples {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let (mut ids, mut labels, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    for example in examples {
        ids.push(example.id);
        first.push(example.text);
        second.extend(example.text_b);
        labels.push(example.label);
        cases.push(example.case);
    }
    Examples { ids, content: Content::Text { first, second: pairs.then_some(second) }, labels, cases }
}

impl Sample {
    /// The sampled rows, in the order of the file.
    pub(crate) fn of<T>(self, rows: Vec<T>) -> Result<Vec<T>, String> {
        let wanted = self.skip.checked_add(self.take).filter(|&wanted| wanted <= rows.len());
        let Some(wanted) = wanted else {
            return Err(format!(
                "`sample` skips {} and takes {} of {} rows",
                self.skip,
                self.take,
                rows.len()
            ));
        };
        let mut order: Vec<usize> = (0..rows.len()).collect();
        Stream::new(self.seed, "table/sample").shuffle(&mut order);
        let mut chosen = vec![false; rows.len()];
        for &row in &order[self.skip..wanted] {
            chosen[row] = true;
        }
        Ok(rows.into_iter().zip(chosen).filter_map(|(row, chosen)| chosen.then_some(row)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this changes, the table's `VERSION` must rise.
    #[test]
    fn golden_sample() {
        let sample = Sample { seed: 1, skip: 3, take: 5 };
        assert_eq!(sample.of((0..20).collect::<Vec<_>>()).unwrap(), [4, 5, 6, 14, 16]);
    }

    fn taken(keys: &str, files: &[(&str, &str)]) -> Result<Taken, String> {
        let part: Part = toml::from_str(keys).unwrap();
        let files = files.iter().map(|&(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect();
        let labels = ["no".to_owned(), "yes".to_owned()];
        let meaning = Meaning { labels: &labels, metric: Metric::Accuracy, pair: None };
        part.read(&files, meaning).map_err(|error| error.to_string())
    }

    #[test]
    fn only_some_rows() {
        let table = "a\ty\tside\nb\tno\told\nc\tyes\tnew\nd\tyes\t1\n";
        let keys = "file = \"f.tsv\"\ntext = \"a\"\nlabel = \"y\"\nwhere = ";
        let ids =
            |only: &str| taken(&format!("{keys}{only}"), &[("f.tsv", table)]).map(|taken| taken.examples.ids);
        assert_eq!(ids("{ side = \"new\" }"), Ok(vec!["3".into()]));
        assert_eq!(ids("{ side = [\"old\", 1] }"), Ok(vec!["2".into(), "4".into()]));
        assert_eq!(ids("{ side = \"new\", y = \"no\" }"), Err("f.tsv: `where` leaves no row".into()));
        assert!(ids("{ none = 1 }").unwrap_err().contains("it has no column `none`"));
    }

    #[test]
    fn several_files_and_their_names() {
        let keys =
            "file = [\"a.jsonl\", \"b.tsv\"]\ntext = \"a\"\nlabel = \"y\"\nsample = { seed = 0, take = 3 }";
        let files = [("a.jsonl", "{\"a\": \"x\", \"y\": \"no\"}\n"), ("b.tsv", "y\ta\nyes\tz\nno\tw\n")];
        let taken = taken(keys, &files).unwrap();
        assert_eq!(taken.examples.ids, ["a.jsonl:1", "b.tsv:2", "b.tsv:3"]);
        assert_eq!(taken.examples.labels, [0, 1, 0]);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let keys = "file = \"f.tsv\"\ntext = \"a\"\nlabel = \"y\"\nskip_invalid = true\nskip_empty = true";
        let taken = taken(keys, &[("f.tsv", "a\ty\nb\tno\nshort\n \tyes\nc\tyes\n")]).unwrap();
        assert_eq!((taken.examples.ids, taken.skipped), (vec!["2".into(), "5".into()], 2));
        assert_eq!(taken.notes.len(), 2);
        assert!(
            taken.notes[0].contains("1 damaged row(s) were left out; the first is f.tsv, line 3"),
            "{:?}",
            taken.notes
        );
        assert!(taken.notes[1].contains("1 row(s) without a text"));
        let message = super::tests::taken(keys, &[("f.tsv", "a\ty\nshort\n")]).unwrap_err();
        assert_eq!(message, "f.tsv: `skip_invalid` and `skip_empty` leave no row");
    }

    #[test]
    fn a_column_of_any_format() {
        let of = |format, text: &str| {
            column("f", text.as_bytes(), format, "text").map_err(|error| error.to_string())
        };
        let texts = Ok(vec!["a\n\nb".to_owned(), "c".to_owned()]);
        assert_eq!(of(Format::Jsonl, "{\"text\": \"a\\n\\nb\"}\n{\"text\": \"c\"}\n"), texts);
        assert_eq!(of(Format::Csv, "text,x\n\"a\n\nb\",1\nc,2\n"), texts);
        assert!(of(Format::Csv, "content\na\n").unwrap_err().contains("it has no column `text`"));
    }
}
