//! The sizes that a Parquet file declares, read without believing them.
//!
//! Parquet keeps its metadata in the Thrift compact protocol: a footer for the file and a header before each page.
//! The parquet crate allocates what these declare and recurses as deep as they nest. This reader walks the same
//! bytes with no allocation, so that the declared sizes can be refused first.

use crate::Error;

/// Longest list in the metadata: row groups of a file, columns of a row group, pages of a column index.
const MAX_LIST: u64 = 1 << 16;
/// Deepest nesting of the metadata and of the columns.
const MAX_DEPTH: usize = 24;

/// Field types of the compact protocol.
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Checks that a file footer is well formed, that its lists are short, and that its columns nest little.
pub(crate) fn check_footer(bytes: &[u8]) -> Result<(), Error> {
    const SCHEMA: i64 = 2;
    const NUM_CHILDREN: usize = 5;
    let mut thrift = Thrift { bytes, at: 0 };
    let mut last = 0;
    while let Some((id, kind)) = thrift.field(&mut last)? {
        if (id, kind) != (SCHEMA, LIST) {
            thrift.skip(kind, 0)?;
            continue;
        }
        let (elements, kind) = thrift.list()?;
        if kind != STRUCT {
            return Err(corrupt("the schema is no list of elements"));
        }
        // Children still to come, of every element that is open: the schema is its tree in depth-first order.
        let mut open: Vec<i64> = Vec::new();
        for _ in 0..elements {
            let children = thrift.structure(0)?[NUM_CHILDREN];
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            open.push(children);
            check("nesting of the columns", open.len() as u64, MAX_DEPTH as u64)?;
            while open.last().is_some_and(|&left| left <= 0) {
                open.pop();
            }
        }
    }
    Ok(())
}

/// What a page says of itself.
pub(crate) struct PageHeader {
    /// Length of the header itself (bytes).
    pub(crate) len: usize,
    /// Length of the page after decompression (bytes).
    pub(crate) decoded: u64,
    /// Length of the page in the file (bytes).
    pub(crate) stored: u64,
}

/// The header of the page at the start of `bytes`.
pub(crate) fn page_header(bytes: &[u8]) -> Result<PageHeader, Error> {
    let mut thrift = Thrift { bytes, at: 0 };
    let fields = thrift.structure(0)?;
    let size = |value: i64| u64::try_from(value).map_err(|_| corrupt("a page has a negative size"));
    Ok(PageHeader { len: thrift.at, decoded: size(fields[2])?, stored: size(fields[3])? })
}

/// [`Error::TooLarge`] if `found` is above `limit`.
pub(crate) fn check(what: &'static str, found: u64, limit: u64) -> Result<(), Error> {
    if found > limit { Err(Error::TooLarge { what, found, limit }) } else { Ok(()) }
}

pub(crate) fn corrupt(reason: impl Into<String>) -> Error {
    Error::Corrupt { reason: reason.into() }
}

/// A place in bytes of the compact protocol.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| corrupt("the metadata ends early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn advance(&mut self, len: u64) -> Result<(), Error> {
        if len > (self.bytes.len() - self.at) as u64 {
            return Err(corrupt("the metadata ends early"));
        }
        self.at += len as usize;
        Ok(())
    }

    /// LEB128.
    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(corrupt("a number in the metadata does not end"))
    }

    /// A signed number, zigzag coded.
    fn integer(&mut self) -> Result<i64, Error> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Number and type of the next field of a struct; `None` at its end.
    fn field(&mut self, last: &mut i64) -> Result<Option<(i64, u8)>, Error> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        *last = if byte >> 4 == 0 { self.integer()? } else { last.wrapping_add(i64::from(byte >> 4)) };
        Ok(Some((*last, byte & 0xf)))
    }

    /// Length and element type of a list.
    fn list(&mut self) -> Result<(u64, u8), Error> {
        let byte = self.byte()?;
        let len = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        check("a list in the metadata", len, MAX_LIST)?;
        Ok((len, byte & 0xf))
    }

    /// Passes a struct and returns its whole numbers by field number (0 where absent).
    fn structure(&mut self, depth: usize) -> Result<[i64; 16], Error> {
        let mut numbers = [0; 16];
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            match (kind, usize::try_from(id).ok().and_then(|id| numbers.get_mut(id))) {
                (4..=6, Some(number)) => *number = self.integer()?,
                _ => self.skip(kind, depth + 1)?,
            }
        }
        Ok(numbers)
    }

    /// Passes the value of a field.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Error> {
        check("nesting of the metadata", depth as u64, MAX_DEPTH as u64)?;
        match kind {
            // A truth value lies in the type of its field.
            1 | 2 => Ok(()),
            3 => self.advance(1),
            4..=6 => self.varint().map(drop),
            7 => self.advance(8),
            BINARY => {
                let len = self.varint()?;
                self.advance(len)
            }
            LIST | SET => {
                let (len, kind) = self.list()?;
                (0..len).try_for_each(|_| self.element(kind, depth))
            }
            MAP => {
                let len = self.varint()?;
                check("a map in the metadata", len, MAX_LIST)?;
                let kinds = if len == 0 { 0 } else { self.byte()? };
                (0..len).try_for_each(|_| {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 0xf, depth)
                })
            }
            STRUCT => self.structure(depth).map(drop),
            _ => Err(corrupt(format!("the metadata has a field of type {kind}"))),
        }
    }

    /// Passes an element of a list: as a field, but for truth values, which take a byte here.
    fn element(&mut self, kind: u8, depth: usize) -> Result<(), Error> {
        if kind <= 2 { self.advance(1) } else { self.skip(kind, depth + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 1 is an i32 of 300, field 2 a list of two structs (the first with one child), field 20 is binary.
    #[test]
    fn walks_a_footer() {
        let footer = [0x15, 0xd8, 0x04, 0x19, 0x2c, 0x55, 2, 0, 0x55, 0, 0, 0x08, 40, 2, 7, 7, 0];
        assert!(check_footer(&footer).is_ok());
        for end in 0..footer.len() {
            assert!(check_footer(&footer[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn refuses_deep_columns() {
        let deep = |n: u8| {
            let mut footer = vec![0x29, 0xfc, n];
            for _ in 1..n {
                footer.extend([0x55, 2, 0]);
            }
            footer.extend([0, 0]);
            check_footer(&footer)
        };
        assert!(deep(24).is_ok());
        assert!(matches!(deep(25), Err(Error::TooLarge { found: 25, .. })));
    }

    #[test]
    fn refuses_deep_and_long_metadata() {
        assert!(matches!(
            check_footer(&[0x1c; 4096]),
            Err(Error::TooLarge { what: "nesting of the metadata", .. })
        ));
        let long = [0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(check_footer(&long), Err(Error::TooLarge { what: "a list in the metadata", .. })));
    }

    #[test]
    fn reads_a_page_header() {
        let header = page_header(&[0x15, 0, 0x15, 200, 1, 0x15, 40, 0, 9, 9]).unwrap();
        assert_eq!((header.len, header.decoded, header.stored), (8, 100, 20));
        assert!(page_header(&[0x25, 1, 0]).is_err());
    }
}
