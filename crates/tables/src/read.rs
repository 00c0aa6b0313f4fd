//! Reading: by column name, without trust.
//!
//! Own files are named by their digest and checked before they come here; files from elsewhere are not. Either way
//! the sizes that a file declares are checked first (footer, then every page), nothing is allocated beyond them,
//! and a panic of the decoder is an error.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;

use crate::cell::data_type;
use crate::thrift::{check, check_footer, corrupt, page_header};
use crate::{Cell, Error, Kind, Row, guarded};

/// Longest footer (bytes).
const MAX_FOOTER: u64 = 16 << 20;
/// Largest page after decompression (bytes).
const MAX_PAGE: u64 = 128 << 20;
/// All pages after decompression (bytes).
const MAX_DECODED: u64 = 4 << 30;
/// Rows of a file.
const MAX_ROWS: u64 = 1 << 28;
/// A batch may hold this much where every value is as large as the largest page (bytes).
const MAX_BATCH: u64 = 256 << 20;

/// The chosen columns of a file.
pub struct Columns {
    batches: Vec<RecordBatch>,
    present: Vec<String>,
}

/// The rows in Parquet `bytes`; columns are found by name, further columns are ignored.
///
/// # Errors
/// If the bytes are damaged or too large, or a column is missing, of another type, or null where none are allowed.
pub fn read<R: Row>(bytes: &[u8]) -> Result<Vec<R>, Error> {
    let names: Vec<&str> = R::TABLE.fields.iter().map(|field| field.name).collect();
    R::from_columns(&mut Columns::read(bytes, &names)?)
}

impl Columns {
    /// The columns of these names; those that the file lacks are missed by [`Columns::take`].
    pub(crate) fn read(bytes: &[u8], names: &[&str]) -> Result<Self, Error> {
        check_envelope(bytes)?;
        guarded(|| decode(bytes, names)).unwrap_or_else(|panic| Err(corrupt(panic)))
    }

    /// The names of all columns of a file, in order.
    pub(crate) fn names(bytes: &[u8]) -> Result<Vec<String>, Error> {
        Self::read(bytes, &[]).map(|columns| columns.present)
    }

    /// True if the file has a column of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.present.iter().any(|present| present == name)
    }

    /// A column by name.
    ///
    /// # Errors
    /// If it is missing, of another type, or has nulls where none are allowed.
    pub fn take<C: Cell>(&mut self, name: &str) -> Result<Vec<C>, Error> {
        let mut cells = Vec::new();
        for array in self.pieces(name, Some(C::KIND))? {
            if !is(array.data_type(), C::KIND) {
                let found = array.data_type().to_string();
                return Err(Error::WrongType { column: name.into(), found, expected: C::KIND });
            }
            let nulls = if C::OPTIONAL { 0 } else { array.null_count() }
                + array.as_list_opt::<i32>().map_or(0, |lists| lists.values().null_count());
            if nulls > 0 {
                return Err(Error::Nulls { column: name.into(), nulls });
            }
            C::append(array, &mut cells);
        }
        Ok(cells)
    }

    /// The pieces of a column.
    pub(crate) fn arrays(&self, name: &str) -> Result<Vec<&dyn Array>, Error> {
        self.pieces(name, None)
    }

    fn pieces(&self, name: &str, expected: Option<Kind>) -> Result<Vec<&dyn Array>, Error> {
        if !self.has(name) {
            let (column, present) = (name.into(), self.present.clone());
            return Err(Error::MissingColumn { column, expected, present });
        }
        let column = |batch: &'_ RecordBatch| batch.schema_ref().index_of(name).ok();
        let arrays = self.batches.iter().filter_map(|batch| Some(batch.column(column(batch)?).as_ref()));
        Ok(arrays.collect())
    }
}

/// True if a column of this Arrow type is of this kind; the name of a list's items does not matter.
fn is(found: &DataType, kind: Kind) -> bool {
    match found {
        DataType::List(item) => kind == Kind::Float32List && item.data_type() == &DataType::Float32,
        found => *found == data_type(kind),
    }
}

/// Checks the magic words and the footer, before any of it is parsed.
fn check_envelope(bytes: &[u8]) -> Result<(), Error> {
    const MAGIC: &[u8] = b"PAR1";
    if bytes.len() < 12 || !bytes.starts_with(MAGIC) || !bytes.ends_with(MAGIC) {
        return Err(corrupt("it does not begin and end with `PAR1`"));
    }
    let end = bytes.len() - 8;
    let len = u32::from_le_bytes([bytes[end], bytes[end + 1], bytes[end + 2], bytes[end + 3]]);
    check("length of the footer", len.into(), MAX_FOOTER)?;
    let start = end.checked_sub(len as usize).ok_or_else(|| corrupt("the footer is longer than the file"))?;
    check_footer(&bytes[start..end])
}

/// Decodes the columns of these names. May panic on damaged bytes.
fn decode(bytes: &[u8], names: &[&str]) -> Result<Columns, Error> {
    let failed = |error: &dyn std::fmt::Display| corrupt(error.to_string());
    // The decoder wants to own what it reads.
    let bytes = Bytes::copy_from_slice(bytes);
    // Types come from Parquet's own schema: what a writer noted about its own memory is neither needed nor parsed.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options)
        .map_err(|error| failed(&error))?;
    let present: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let roots = (0..present.len()).filter(|&root| names.contains(&present[root].as_str()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let largest_page = check_pages(&bytes, builder.metadata(), &mask)?;
    let batch_rows = (MAX_BATCH / largest_page.max(1)).clamp(1, 8192) as usize;
    let reader =
        builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(|error| failed(&error))?;
    let mut batches = Vec::new();
    let mut held = 0;
    for batch in reader {
        let batch = batch.map_err(|error| failed(&error))?;
        held += batch.get_array_memory_size() as u64;
        check("size of the decoded columns", held, MAX_DECODED)?;
        batches.push(batch);
    }
    Ok(Columns { batches, present })
}

/// Walks the pages of the chosen columns and returns the size of the largest.
fn check_pages(bytes: &[u8], metadata: &Arc<ParquetMetaData>, mask: &ProjectionMask) -> Result<u64, Error> {
    let rows =
        u64::try_from(metadata.file_metadata().num_rows()).map_err(|_| corrupt("negative number of rows"))?;
    check("number of rows", rows, MAX_ROWS)?;
    // The decoder makes room for the rows that a group declares.
    let of_group = |rows: u64, group: &parquet::file::metadata::RowGroupMetaData| {
        u64::try_from(group.num_rows()).ok().and_then(|more| rows.checked_add(more))
    };
    if metadata.row_groups().iter().try_fold(0, of_group) != Some(rows) {
        return Err(corrupt("the rows of its row groups are not those of the file"));
    }
    let (mut largest, mut decoded) = (0, 0);
    for group in metadata.row_groups() {
        let chosen = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        for (_, column) in chosen {
            let (start, len) = column.byte_range();
            let end = start.checked_add(len).filter(|&end| end <= bytes.len() as u64);
            let end = end.ok_or_else(|| corrupt("a column lies outside of the file"))? as usize;
            let mut at = start as usize;
            while at < end {
                let page = page_header(&bytes[at..end])?;
                check("size of a page", page.decoded.max(page.stored), MAX_PAGE)?;
                decoded += page.decoded;
                check("size of all pages", decoded, MAX_DECODED)?;
                largest = largest.max(page.decoded);
                at += page.len + page.stored as usize;
            }
        }
    }
    Ok(largest)
}
