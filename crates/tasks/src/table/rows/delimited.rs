//! Cells between tabs or commas, quoted or not.

use std::borrow::Cow;

/// A record: its line, counted from 1, and its cells.
pub(super) type Record<'a> = (u64, Vec<Cow<'a, [u8]>>);

/// A quotation mark opens a cell at this line, and none closes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclosed(pub(super) u64);

/// Splits bytes at the ends of lines: `\n`, `\r\n` or `\r`. Blank lines are left out, the others have their numbers.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = bytes;
    let mut number = 0;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| is_break(byte)).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = &rest[end + break_len(&rest[end..])..];
            number += 1;
            if !line.trim_ascii().is_empty() {
                return Some((number, line));
            }
        }
        None
    })
}

fn is_break(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

/// Length of the line break that stands here.
fn break_len(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [byte, ..] if is_break(*byte) => 1,
        _ => 0,
    }
}

/// Line breaks in a stretch of bytes.
pub(super) fn line_breaks(bytes: &[u8]) -> u64 {
    let mut at = 0;
    let mut breaks = 0;
    while at < bytes.len() {
        let len = break_len(&bytes[at..]);
        breaks += u64::from(len > 0);
        at += len.max(1);
    }
    breaks
}

/// Records of cells in which a quotation mark is a character like any other: one on each line.
pub(super) fn plain(bytes: &[u8], delimiter: u8) -> impl Iterator<Item = Record<'_>> {
    lines(bytes).map(move |(number, line)| {
        (number, line.split(|&byte| byte == delimiter).map(Cow::Borrowed).collect())
    })
}

/// Records of cells that are quoted where they must be (RFC 4180): a cell that begins with a quotation mark ends at the
/// next single one, and may hold delimiters and line breaks. What stands behind that mark belongs to the cell, as in
/// pandas. Blank lines are left out.
pub(super) struct Quoted<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    at: usize,
    line: u64,
}

impl<'a> Quoted<'a> {
    pub(super) fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        Self { bytes, delimiter, at: 0, line: 1 }
    }

    /// The cell that begins here, up to its delimiter or the end of its line.
    fn cell(&mut self) -> Result<Cow<'a, [u8]>, Unclosed> {
        let (bytes, start) = (self.bytes, self.at);
        let quoted = (bytes.get(start) == Some(&b'"')).then(|| self.quoted()).transpose()?;
        let rest = &bytes[self.at..];
        let ends = |byte: &u8| *byte == self.delimiter || is_break(*byte);
        let tail = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
        self.at += tail.len();
        Ok(match quoted {
            None => Cow::Borrowed(tail),
            Some(mut cell) => {
                cell.extend_from_slice(tail);
                Cow::Owned(cell)
            }
        })
    }

    /// What stands between the quotation mark here and the one that closes it.
    fn quoted(&mut self) -> Result<Vec<u8>, Unclosed> {
        let opened = self.line;
        let mut cell = Vec::new();
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let len = rest.iter().position(|&byte| byte == b'"').ok_or(Unclosed(opened))?;
            cell.extend_from_slice(&rest[..len]);
            self.line += line_breaks(&rest[..len]);
            self.at += len + 1;
            if self.bytes.get(self.at) != Some(&b'"') {
                return Ok(cell);
            }
            cell.push(b'"');
            self.at += 1;
        }
    }
}

impl<'a> Iterator for Quoted<'a> {
    type Item = Result<Record<'a>, Unclosed>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.bytes.len() {
            let line = self.line;
            let mut cells = Vec::new();
            loop {
                match self.cell() {
                    Ok(cell) => cells.push(cell),
                    Err(unclosed) => {
                        self.at = self.bytes.len();
                        return Some(Err(unclosed));
                    }
                }
                if self.bytes.get(self.at) != Some(&self.delimiter) {
                    break;
                }
                self.at += 1;
            }
            self.at += break_len(&self.bytes[self.at..]);
            self.line += 1;
            if cells.len() > 1 || !cells[0].trim_ascii().is_empty() {
                return Some(Ok((line, cells)));
            }
        }
        None
    }
}

/// Whether a cell looks as if it had been quoted by a writer: marks at both ends, and only doubled ones between them.
pub(super) fn looks_quoted(cell: &str) -> bool {
    let inner = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.replace("\"\"", "").contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> Result<Vec<(u64, Vec<String>)>, Unclosed> {
        let owned = |cell: Cow<[u8]>| String::from_utf8(cell.into_owned()).unwrap();
        let read = Quoted::new(text.as_bytes(), b',');
        read.map(|record| record.map(|(line, cells)| (line, cells.into_iter().map(owned).collect())))
            .collect()
    }

    fn rows(rows: &[(u64, &[&str])]) -> Result<Vec<(u64, Vec<String>)>, Unclosed> {
        let owned = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect();
        Ok(rows.iter().map(|&(line, cells)| (line, owned(cells))).collect())
    }

    /// As pandas and Python's csv read these.
    #[test]
    fn quoting() {
        assert_eq!(quoted("a,\"b, \"\"c\"\"\"\r\nd,e"), rows(&[(1, &["a", "b, \"c\""]), (2, &["d", "e"])]));
        assert_eq!(quoted("\"a\nb\",c\n\nd,\n"), rows(&[(1, &["a\nb", "c"]), (4, &["d", ""])]));
        assert_eq!(quoted("a\"b,\"c\"d\n\"\",x"), rows(&[(1, &["a\"b", "cd"]), (2, &["", "x"])]));
        assert_eq!(
            quoted("a,b\rc,d\r\re,f\r"),
            rows(&[(1, &["a", "b"]), (2, &["c", "d"]), (4, &["e", "f"])])
        );
        assert_eq!(quoted(","), rows(&[(1, &["", ""])]));
        assert_eq!(quoted(""), rows(&[]));
        assert_eq!(quoted("a\n\"b\nc\n"), Err(Unclosed(2)));
        assert_eq!(quoted("a,\"b\"\"\n"), Err(Unclosed(1)));
    }

    #[test]
    fn lines_end_in_three_ways() {
        let split: Vec<(u64, &[u8])> = lines(b"a\nb\r\n\r\n \nc\rd").collect();
        assert_eq!(split, [(1, &b"a"[..]), (2, b"b"), (5, b"c"), (6, b"d")]);
        assert_eq!(line_breaks(b"a\nb\r\n\r\n \nc\rd"), 5);
    }

    #[test]
    fn quoted_cells_are_noticed() {
        assert!(looks_quoted("\"he said \"\"hi\"\"\"") && looks_quoted("\"\""));
        assert!(!looks_quoted("\"a\" and \"b\"") && !looks_quoted("\"") && !looks_quoted("a"));
    }
}
