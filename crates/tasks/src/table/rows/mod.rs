//! Reading columns by name from each of the formats.

mod delimited;
mod json;

use std::borrow::Cow;

use tables::Path;

use self::delimited::{Quoted, Unclosed, line_breaks, lines, looks_quoted, plain};
use self::json::{Json, Reader};
use super::spec::names;
use super::{Format, Quotes};
use crate::Error;

/// Chosen columns of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// The rows, in the order of the file.
    pub(super) rows: Vec<Row>,
    /// Rows that were left out because they are damaged, and why the first was.
    pub(super) skipped: u64,
    pub(super) first_skipped: Option<String>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// A row of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name where no column gives one: its line, of Parquet and of a list in JSON its place, from 1.
    pub(super) number: u64,
    /// Its cells, in the order in which the columns were asked for.
    pub(super) cells: Vec<String>,
}

/// A file that is to be read.
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) format: Format,
    /// Names of the columns, if it has no header.
    pub(super) header: Option<&'a [String]>,
    /// What a quotation mark means; else what is usual for the format.
    pub(super) quotes: Option<Quotes>,
    /// Whether damaged rows are left out.
    pub(super) skips: bool,
}

/// A row, or what is wrong with it.
type Read = Result<Row, String>;

impl File<'_> {
    /// The columns `chosen`, in that order.
    pub(super) fn read(&self, chosen: &[&str]) -> Result<Rows, Error> {
        let mut rows = Rows { rows: Vec::new(), skipped: 0, first_skipped: None, notes: Vec::new() };
        match self.format {
            Format::Jsonl | Format::Json => self.json(chosen, &mut rows),
            Format::Tsv => self.delimited(b'\t', self.quotes.unwrap_or(Quotes::None), chosen, &mut rows),
            Format::Csv => self.delimited(b',', self.quotes.unwrap_or(Quotes::Rfc4180), chosen, &mut rows),
            Format::Parquet => self.parquet(chosen, &mut rows),
        }?;
        if rows.rows.is_empty() && rows.skipped == 0 {
            return Err(self.wrong(None, "it has no row"));
        }
        Ok(rows)
    }

    pub(super) fn wrong(&self, line: Option<u64>, reason: impl Into<String>) -> Error {
        Error::File { file: self.name.into(), line, reason: reason.into() }
    }

    /// Takes a row in, or leaves it out if it is damaged and that was asked for.
    fn take(&self, line: u64, read: Read, rows: &mut Rows) -> Result<(), Error> {
        match read {
            Ok(row) => rows.rows.push(row),
            Err(reason) if !self.skips => return Err(self.wrong(Some(line), reason)),
            Err(reason) => {
                rows.skipped += 1;
                rows.first_skipped.get_or_insert(self.wrong(Some(line), reason).to_string());
            }
        }
        Ok(())
    }

    /// The bytes without a byte order mark.
    fn content(&self) -> Result<&[u8], Error> {
        match self.bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(self.wrong(
                Some(1),
                "it is not UTF-8 but UTF-16: convert it, as with `iconv -f UTF-16 -t UTF-8`",
            )),
            _ => Ok(self.bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(self.bytes)),
        }
    }

    fn json(&self, chosen: &[&str], rows: &mut Rows) -> Result<(), Error> {
        let content = self.content()?;
        let mut halves = 0;
        if content.trim_ascii_start().starts_with(b"[") {
            self.json_list(content, chosen, rows, &mut halves)?;
        } else {
            for (number, line) in lines(content) {
                let read = utf8(line).and_then(|line| {
                    let mut reader = Reader::new(line);
                    let value = reader.only().map_err(|reason| format!("no JSON object: {reason}"))?;
                    halves += reader.halves;
                    Ok(Row { number, cells: cells_of(value, chosen)? })
                });
                self.take(number, read, rows)?;
            }
        }
        if halves > 0 {
            rows.notes.push(format!("{}: {halves} half surrogate pair(s) were read as U+FFFD", self.name));
        }
        Ok(())
    }

    /// The items of a list of objects.
    fn json_list(
        &self,
        content: &[u8],
        chosen: &[&str],
        rows: &mut Rows,
        halves: &mut u64,
    ) -> Result<(), Error> {
        let text = std::str::from_utf8(content).map_err(|error| {
            self.wrong(Some(line_breaks(&content[..error.valid_up_to()]) + 1), "it is not UTF-8")
        })?;
        let mut reader = Reader::new(text);
        let broken =
            |reader: &Reader, reason: String| self.wrong(Some(reader.line()), format!("no JSON: {reason}"));
        reader.takes(b'[');
        let mut number = 0;
        if !reader.takes(b']') {
            loop {
                number += 1;
                reader.peek();
                let line = reader.line();
                let value = reader.value(1).map_err(|reason| broken(&reader, reason))?;
                let read = cells_of(value, chosen).map(|cells| Row { number, cells });
                self.take(line, read.map_err(|reason| format!("item {number}: {reason}")), rows)?;
                if reader.takes(b']') {
                    break;
                }
                if !reader.takes(b',') {
                    return Err(broken(&reader, format!("`,` or `]` should be behind item {number}")));
                }
            }
        }
        *halves += reader.halves;
        match reader.peek() {
            None => Ok(()),
            Some(_) => Err(broken(&reader, "something stands behind the list".into())),
        }
    }

    fn delimited(
        &self,
        delimiter: u8,
        quotes: Quotes,
        chosen: &[&str],
        rows: &mut Rows,
    ) -> Result<(), Error> {
        let content = self.content()?;
        let unclosed = |Unclosed(line): Unclosed| {
            self.wrong(
                Some(line),
                "a quotation mark opens a cell and nothing closes it; if quotation marks are plain characters here, say \
                 `quotes = \"none\"`",
            )
        };
        let mut records: Box<dyn Iterator<Item = Result<_, Error>>> = match quotes {
            Quotes::None => Box::new(plain(content, delimiter).map(Ok)),
            Quotes::Rfc4180 => {
                Box::new(Quoted::new(content, delimiter).map(|record| record.map_err(unclosed)))
            }
        };
        let header: Vec<String> = match self.header {
            Some(header) => header.to_vec(),
            None => match records.next().transpose()? {
                None => Vec::new(),
                Some((line, cells)) => {
                    let names = cells.iter().map(|cell| utf8(cell).map(str::to_owned));
                    names.collect::<Result<_, _>>().map_err(|reason| self.wrong(Some(line), reason))?
                }
            },
        };
        let places = self.places(&header, chosen)?;
        let mut quoted = 0_u64;
        for record in records {
            let (number, cells) = record?;
            let read = row(&cells, &header, &places, quotes).map(|cells| Row { number, cells });
            if let (None, Quotes::None, Ok(row)) = (self.quotes, quotes, &read) {
                quoted += u64::from(row.cells.iter().any(|cell| looks_quoted(cell)));
            }
            self.take(number, read, rows)?;
        }
        if quoted > 0 {
            rows.notes.push(format!(
                "{}: {quoted} row(s) have a cell between quotation marks, which were read as they stand; if the file was \
                 written with quoting, as pandas does, say `quotes = \"rfc4180\"`, and else `quotes = \"none\"`",
                self.name
            ));
        }
        Ok(())
    }

    /// Where the chosen columns are in a header.
    fn places(&self, header: &[String], chosen: &[&str]) -> Result<Vec<usize>, Error> {
        let place = |&name: &&str| {
            let mut places = (0..header.len()).filter(|&place| header[place] == name);
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (Some(_), Some(_)) => Err(self.wrong(None, format!("it has several columns `{name}`"))),
                (None, _) => {
                    Err(self.wrong(None, format!("it has no column `{name}`; it has {}", names(header))))
                }
            }
        };
        chosen.iter().map(place).collect()
    }

    fn parquet(&self, chosen: &[&str], rows: &mut Rows) -> Result<(), Error> {
        let columns = tables::read_text_columns(self.bytes, chosen)
            .map_err(|error| self.wrong(None, error.to_string()))?;
        let n_rows = columns.first().map_or(0, Vec::len);
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for number in 1..=n_rows as u64 {
            let cells: Vec<Option<String>> =
                columns.iter_mut().map(|column| column.next().flatten()).collect();
            let null = cells.iter().position(Option::is_none);
            let read = match null {
                Some(null) => Err(format!("`{}` is null", chosen[null])),
                None => Ok(Row { number, cells: cells.into_iter().flatten().collect() }),
            };
            self.take(number, read, rows)?;
        }
        Ok(())
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

/// The chosen cells of an object.
fn cells_of(value: Json, chosen: &[&str]) -> Result<Vec<String>, String> {
    let Json::Object(fields) = value else { return Err(format!("no JSON object: it is {}", value.kind())) };
    let cell = |&name: &&str| {
        let path = Path::parse(name).ok();
        match Json::field(&fields, name, path.as_ref()) {
            Some(value) => value.text().map_err(|reason| format!("`{name}` {reason}")),
            None => {
                let keys: Vec<String> = fields.keys().cloned().collect();
                Err(format!("it has no `{name}`; it has {}", names(&keys)))
            }
        }
    };
    chosen.iter().map(cell).collect()
}

/// The chosen cells of a record.
fn row(
    cells: &[Cow<[u8]>],
    header: &[String],
    places: &[usize],
    quotes: Quotes,
) -> Result<Vec<String>, String> {
    if cells.len() != header.len() {
        let opens = |cell: &Cow<[u8]>| cell.starts_with(b"\"") && (cell.len() == 1 || !cell.ends_with(b"\""));
        let hint = match quotes == Quotes::None && cells.iter().any(opens) {
            true => "; a cell begins with a quotation mark: should this be `quotes = \"rfc4180\"`?",
            false => "",
        };
        return Err(format!("it has {} cells, but there are {} columns{hint}", cells.len(), header.len()));
    }
    places.iter().map(|&place| utf8(&cells[place]).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
