//! Reading columns by name from each of the formats.

use super::Format;
use super::spec::names;
use crate::Error;

/// Chosen columns of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// The cells of each row, in the order in which the columns were asked for.
    pub(super) cells: Vec<Vec<String>>,
    /// The line of each row (of Parquet: the row), from 1.
    pub(super) lines: Vec<u64>,
}

/// A file that is to be read.
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    /// Names of the columns, if it has no header.
    pub(super) header: Option<&'a [String]>,
}

impl File<'_> {
    /// The columns `chosen`, in that order.
    pub(super) fn read(&self, format: Format, chosen: &[&str]) -> Result<Rows, Error> {
        let rows = match format {
            Format::Jsonl => self.jsonl(chosen),
            Format::Tsv => self.tsv(chosen),
            Format::Csv => self.csv(chosen),
            Format::Parquet => self.parquet(chosen),
        }?;
        if rows.cells.is_empty() { Err(self.wrong(None, "it has no row")) } else { Ok(rows) }
    }

    pub(super) fn wrong(&self, line: Option<u64>, reason: impl Into<String>) -> Error {
        Error::File { file: self.name.into(), line, reason: reason.into() }
    }

    fn text(&self) -> Result<&str, Error> {
        let text = std::str::from_utf8(self.bytes).map_err(|error| {
            let line =
                self.bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
            self.wrong(Some(line), "it is not UTF-8")
        })?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// Lines that are not blank, with their numbers.
    fn lines(&self) -> Result<impl Iterator<Item = (u64, &str)>, Error> {
        Ok((1..).zip(self.text()?.lines()).filter(|(_, line)| !line.trim().is_empty()))
    }

    /// Where the chosen columns are in a header.
    fn places(&self, header: &[String], chosen: &[&str]) -> Result<Vec<usize>, Error> {
        let place = |&name: &&str| {
            let missing = || self.wrong(None, format!("it has no column `{name}`; it has {}", names(header)));
            header.iter().position(|column| column == name).ok_or_else(missing)
        };
        chosen.iter().map(place).collect()
    }

    fn jsonl(&self, chosen: &[&str]) -> Result<Rows, Error> {
        let mut rows = Rows { cells: Vec::new(), lines: Vec::new() };
        for (number, line) in self.lines()? {
            let wrong = |reason: String| self.wrong(Some(number), reason);
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).map_err(|error| wrong(format!("no JSON object: {error}")))?;
            let cell = |&name: &&str| match object.get(name) {
                Some(serde_json::Value::String(text)) => Ok(text.clone()),
                Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                    Ok(value.to_string())
                }
                Some(value) => Err(wrong(format!("`{name}` is {value}, not a text, number or truth value"))),
                None => {
                    let mut keys: Vec<String> = object.keys().cloned().collect();
                    keys.sort_unstable();
                    Err(wrong(format!("it has no `{name}`; it has {}", names(&keys))))
                }
            };
            rows.cells.push(chosen.iter().map(cell).collect::<Result<_, _>>()?);
            rows.lines.push(number);
        }
        Ok(rows)
    }

    fn tsv(&self, chosen: &[&str]) -> Result<Rows, Error> {
        let mut lines = self.lines()?;
        let header: Vec<String> = match self.header {
            Some(header) => header.to_vec(),
            None => lines
                .next()
                .map(|(_, line)| line.split('\t').map(str::to_owned).collect())
                .unwrap_or_default(),
        };
        let places = self.places(&header, chosen)?;
        let mut rows = Rows { cells: Vec::new(), lines: Vec::new() };
        for (number, line) in lines {
            let cells: Vec<&str> = line.split('\t').collect();
            if cells.len() != header.len() {
                let reason = format!("it has {} cells, but there are {} columns", cells.len(), header.len());
                return Err(self.wrong(Some(number), reason));
            }
            rows.cells.push(places.iter().map(|&place| cells[place].to_owned()).collect());
            rows.lines.push(number);
        }
        Ok(rows)
    }

    fn csv(&self, chosen: &[&str]) -> Result<Rows, Error> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(self.text()?.as_bytes());
        let mut records = reader.records();
        let line = |record: &csv::StringRecord| record.position().map(csv::Position::line);
        let malformed =
            |error: csv::Error| self.wrong(error.position().map(csv::Position::line), error.to_string());
        let header: Vec<String> = match self.header {
            Some(header) => header.to_vec(),
            None => match records.next() {
                Some(record) => record.map_err(malformed)?.iter().map(str::to_owned).collect(),
                None => Vec::new(),
            },
        };
        let places = self.places(&header, chosen)?;
        let mut rows = Rows { cells: Vec::new(), lines: Vec::new() };
        for record in records {
            let record = record.map_err(malformed)?;
            if record.len() != header.len() {
                let reason = format!("it has {} cells, but there are {} columns", record.len(), header.len());
                return Err(self.wrong(line(&record), reason));
            }
            rows.cells.push(places.iter().map(|&place| record[place].to_owned()).collect());
            rows.lines.push(line(&record).unwrap_or(0));
        }
        Ok(rows)
    }

    fn parquet(&self, chosen: &[&str]) -> Result<Rows, Error> {
        let columns = tables::read_text_columns(self.bytes, chosen)
            .map_err(|error| self.wrong(None, error.to_string()))?;
        let n_rows = columns.first().map_or(0, Vec::len);
        let mut rows = Rows { cells: vec![Vec::new(); n_rows], lines: (1..=n_rows as u64).collect() };
        for (name, column) in chosen.iter().zip(columns) {
            for ((row, cell), line) in rows.cells.iter_mut().zip(column).zip(1..) {
                row.push(cell.ok_or_else(|| self.wrong(Some(line), format!("`{name}` is null")))?);
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, bytes: &[u8], chosen: &[&str]) -> Result<Rows, String> {
        File { name: "f", bytes, header: None }.read(format, chosen).map_err(|error| error.to_string())
    }

    fn rows(cells: &[&[&str]], lines: &[u64]) -> Result<Rows, String> {
        let cells = cells.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect();
        Ok(Rows { cells, lines: lines.to_vec() })
    }

    #[test]
    fn jsonl() {
        let bytes = "\u{feff}{\"a\": \"x\\ty\", \"y\": 1}\n\n{\"y\": true, \"a\": \"z\"}\r\n".as_bytes();
        assert_eq!(read(Format::Jsonl, bytes, &["a", "y"]), rows(&[&["x\ty", "1"], &["z", "true"]], &[1, 3]));
        assert_eq!(
            read(Format::Jsonl, b"{\"a\": 1}\n{\"b\": 1, \"c\": 2}", &["a"]),
            Err("f, line 2: it has no `a`; it has `b`, `c`".into())
        );
        assert!(
            read(Format::Jsonl, b"{\"a\": 1}\n{\"a\": ", &["a"])
                .unwrap_err()
                .starts_with("f, line 2: no JSON object")
        );
        assert!(read(Format::Jsonl, b"{\"a\": null}", &["a"]).unwrap_err().contains("`a` is null"));
        assert!(read(Format::Jsonl, b"[1]", &["a"]).is_err());
    }

    #[test]
    fn tsv() {
        let bytes = b"a\ty\n\"x\" said\t1\nz\t0\n";
        assert_eq!(
            read(Format::Tsv, bytes, &["y", "a"]),
            rows(&[&["1", "\"x\" said"], &["0", "z"]], &[2, 3])
        );
        assert_eq!(
            read(Format::Tsv, b"a\ty\nx\n", &["a"]),
            Err("f, line 2: it has 1 cells, but there are 2 columns".into())
        );
        assert_eq!(
            read(Format::Tsv, b"a\ty\nx\t1\n", &["b"]),
            Err("f: it has no column `b`; it has `a`, `y`".into())
        );
        let header = ["a".to_owned(), "y".to_owned()];
        let file = File { name: "f", bytes: b"x\t1\n", header: Some(&header) };
        assert_eq!(file.read(Format::Tsv, &["a"]).map_err(|error| error.to_string()), rows(&[&["x"]], &[1]));
    }

    #[test]
    fn csv() {
        let bytes = b"a,y\n\"x, \"\"y\"\"\nz\",1\nw,0\n";
        assert_eq!(
            read(Format::Csv, bytes, &["a", "y"]),
            rows(&[&["x, \"y\"\nz", "1"], &["w", "0"]], &[2, 4])
        );
        let short = read(Format::Csv, b"a,y\nx,1\nx\n", &["a"]).unwrap_err();
        assert!(short.starts_with("f, line 3: "), "{short}");
    }

    #[test]
    fn nothing_and_noise_are_errors() {
        for format in [Format::Jsonl, Format::Tsv, Format::Csv, Format::Parquet] {
            assert!(read(format, b"", &["a"]).is_err());
            assert!(read(format, b"\xff\xfe\n", &["a"]).is_err());
        }
        assert_eq!(read(Format::Jsonl, b"\n\n", &["a"]), Err("f: it has no row".into()));
        assert_eq!(read(Format::Tsv, b"a\ty\n", &["a"]), Err("f: it has no row".into()));
        assert_eq!(read(Format::Tsv, b"a\ty\nx\t\xff\n", &["a"]), Err("f, line 2: it is not UTF-8".into()));
    }

    tables::rows! {
        /// As on the hub.
        struct HubRow in "hub" {
            /// Text.
            sentence: Option<String>,
            /// Label.
            label: i64,
        }
    }

    #[test]
    fn parquet() {
        let row = |sentence: Option<&str>, label| HubRow { sentence: sentence.map(str::to_owned), label };
        let bytes = HubRow::write(&[row(Some("a"), 1), row(Some("b"), -1)]).unwrap();
        assert_eq!(
            read(Format::Parquet, &bytes, &["label", "sentence"]),
            rows(&[&["1", "a"], &["-1", "b"]], &[1, 2])
        );
        let bytes = HubRow::write(&[row(Some("a"), 1), row(None, 0)]).unwrap();
        assert_eq!(read(Format::Parquet, &bytes, &["sentence"]), Err("f, line 2: `sentence` is null".into()));
        assert!(read(Format::Parquet, &bytes, &["text"]).unwrap_err().contains("column `text` is missing"));
    }
}
