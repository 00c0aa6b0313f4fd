//! The container of PyTorch 1.6 and later: a zip archive whose entries are stored as they are.

use std::collections::HashMap;

/// The entries of an archive by name, without the folder that all of them are in.
pub(super) struct Archive<'a> {
    entries: HashMap<&'a str, &'a [u8]>,
}

/// What a zip archive begins with.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";

impl<'a> Archive<'a> {
    /// Reads the table of an archive. Every entry must lie within the file and have its checksum: that is where damage
    /// would otherwise become weights.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, String> {
        let (mut at, n) = directory(file)?;
        let mut entries = HashMap::new();
        for _ in 0..n {
            let (name, bytes, next) = entry(file, at)?;
            at = next;
            let inside = name.split_once('/').map_or(name, |(_, inside)| inside);
            if entries.insert(inside, bytes).is_some() {
                return Err(format!("its entry {name:?} is there twice"));
            }
        }
        Ok(Self { entries })
    }

    /// An entry by its name.
    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.entries.get(name).copied()
    }
}

/// Where the table of entries begins, and how many there are.
fn directory(file: &[u8]) -> Result<(usize, usize), String> {
    let truncated = || "it is no whole zip archive: it was truncated on the way".to_owned();
    // The end has a comment of up to 65,535 bytes.
    let tail = file.len().saturating_sub(22 + 0xffff);
    let end = file[tail..].windows(4).rposition(|window| window == END).ok_or_else(truncated)? + tail;
    if file.len() < end + 22 {
        return Err(truncated());
    }
    let (mut n, mut at) = (number(file, end + 10, 2)?, number(file, end + 16, 4)?);
    if n == 0xffff || at == 0xffff_ffff {
        let locator = end.checked_sub(20).ok_or_else(truncated)?;
        let end_64 = number(file, locator + 8, 8)?;
        if file.get(end_64..end_64 + 4) != Some(END_64) {
            return Err(truncated());
        }
        (n, at) = (number(file, end_64 + 32, 8)?, number(file, end_64 + 48, 8)?);
    }
    // Each entry takes 46 bytes of the table and more.
    if n > file.len() / 46 {
        return Err(truncated());
    }
    Ok((at, n))
}

/// The entry at this place of the table: its name, its bytes, and the place of the next.
fn entry(file: &[u8], at: usize) -> Result<(&str, &[u8], usize), String> {
    let wrong = |what: &str| format!("the table of its zip archive is wrong: {what}");
    if file.get(at..at.saturating_add(4)) != Some(CENTRAL) {
        return Err(wrong("an entry is missing"));
    }
    let method = number(file, at + 10, 2)?;
    let checksum = number(file, at + 16, 4)?;
    let (mut packed, mut size) = (number(file, at + 20, 4)?, number(file, at + 24, 4)?);
    let [name_len, extra_len, comment_len] =
        [28, 30, 32].map(|field| number(file, at + field, 2)).map(|n| n.unwrap_or(0));
    let mut local = number(file, at + 42, 4)?;
    let name_at = at + 46;
    let name = file.get(name_at..name_at + name_len).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or_else(|| wrong("a name is no text"))?;
    // Numbers that do not fit into four bytes stand in an extra field, in this order.
    let mut extra = name_at + name_len;
    let extra_end = extra + extra_len;
    while extra + 4 <= extra_end {
        let (kind, len) = (number(file, extra, 2)?, number(file, extra + 2, 2)?);
        let mut field = extra + 4;
        if kind == 1 {
            for value in [&mut size, &mut packed, &mut local] {
                if *value == 0xffff_ffff && field + 8 <= extra + 4 + len {
                    *value = number(file, field, 8)?;
                    field += 8;
                }
            }
        }
        extra += 4 + len;
    }
    if method != 0 || packed != size {
        return Err(format!("its entry {name:?} is compressed, which PyTorch never does"));
    }
    let start = local.checked_add(
        30 + number(file, local.saturating_add(26), 2)? + number(file, local.saturating_add(28), 2)?,
    );
    let bytes = start.and_then(|start| file.get(start..start.checked_add(size)?));
    let bytes = bytes.ok_or_else(|| wrong("an entry lies outside of the file"))?;
    if crc32fast::hash(bytes) as usize != checksum {
        return Err(format!("its entry {name:?} is damaged: it has another checksum"));
    }
    Ok((name, bytes, extra_end + comment_len))
}

/// A number of so many bytes, little-endian.
fn number(file: &[u8], at: usize, n: usize) -> Result<usize, String> {
    let bytes = at.checked_add(n).and_then(|end| file.get(at..end));
    let bytes = bytes.ok_or("it is no whole zip archive: it was truncated on the way")?;
    let number = bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    usize::try_from(number)
        .map_err(|_| "the table of its zip archive is wrong: a number is too large".to_owned())
}
