//! Writing: every property of the writer that decides bytes, in one place.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Field;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::cell::data_type;
use crate::{Cell, Error, Kind, Row, Schema};

/// Rows that are turned into arrays at once: bounds the memory beside the rows themselves.
const BATCH_ROWS: usize = 1 << 16;

/// Columns on their way to a file.
#[derive(Default)]
pub struct Arrays {
    arrays: Vec<ArrayRef>,
}

impl Arrays {
    /// Appends a column.
    pub fn push<'a, C: Cell + 'a>(&mut self, cells: impl Iterator<Item = &'a C>) {
        self.arrays.push(C::to_array(cells));
    }
}

/// The Parquet bytes of `rows`: the same rows make the same bytes.
///
/// # Errors
/// [`Error::Write`] if the writer refuses the rows.
pub fn write<R: Row>(rows: &[R]) -> Result<Vec<u8>, Error> {
    let refused = |reason: String| Error::Write { table: R::TABLE.name, reason };
    let schema = Arc::new(arrow_schema(R::TABLE));
    let level = ZstdLevel::try_new(3).map_err(|error| refused(error.to_string()))?;
    let mut bytes = Vec::new();
    let mut written = || -> Result<(), ParquetError> {
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties(R::TABLE, level)))?;
        for rows in rows.chunks(BATCH_ROWS) {
            let mut arrays = Arrays::default();
            R::to_columns(rows, &mut arrays);
            writer.write(&RecordBatch::try_new(schema.clone(), arrays.arrays)?)?;
        }
        writer.close()?;
        Ok(())
    };
    written().map_err(|error| refused(error.to_string()))?;
    Ok(bytes)
}

/// The documentation of a column is the one entry of its metadata: a second would be written in hash order.
fn arrow_schema(table: &Schema) -> arrow::datatypes::Schema {
    let fields = table.fields.iter().map(|field| {
        Field::new(field.name, data_type(field.kind), field.optional)
            .with_metadata(HashMap::from([("doc".to_owned(), field.doc.to_owned())]))
    });
    arrow::datatypes::Schema::new(fields.collect::<Vec<_>>())
}

/// All that decides the bytes beside the rows. Defaults that are written out here have moved in the past or may.
fn properties(table: &Schema, level: ZstdLevel) -> WriterProperties {
    let entry = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let mut builder = WriterProperties::builder()
        .set_created_by("samebasin".into())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_key_value_metadata(Some(vec![entry("table", table.name), entry("doc", table.doc)]))
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(1 << 20))
        .set_max_row_group_bytes(None)
        .set_data_page_size_limit(1 << 20)
        .set_data_page_row_count_limit(20_000)
        .set_dictionary_page_size_limit(1 << 20)
        .set_write_batch_size(1024)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_write_page_header_statistics(false)
        .set_offset_index_disabled(true)
        .set_bloom_filter_enabled(false)
        .set_coerce_types(false)
        .set_encoding(Encoding::PLAIN)
        .set_dictionary_enabled(false);
    for field in table.fields {
        // Names and counts repeat, measurements do not.
        let repeats = matches!(field.kind, Kind::Text | Kind::UInt32 | Kind::UInt64 | Kind::Int64);
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(field.name), repeats);
    }
    builder.build()
}
