//! Tables from elsewhere, read as text.

use std::fmt::Display;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, make_array};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::{Columns, Error, Path, Step};

/// The names of the columns of a Parquet file, in order.
///
/// # Errors
/// If the bytes are damaged or too large.
pub fn column_names(bytes: &[u8]) -> Result<Vec<String>, Error> {
    Columns::names(bytes)
}

/// Columns of a Parquet file from elsewhere, as text: numbers as Rust prints them, decimals with all their digits, truth
/// values as `true` and `false`, times as `2020-01-31 12:00:00`, nulls as `None`. One vector per name, in the order of
/// the names. A name that is no column is a [`Path`] to a value within one; where the path leads nowhere, there is a
/// null.
///
/// # Errors
/// If the bytes are damaged or too large, a column is missing, or holds something that has no text form.
pub fn read_text_columns(bytes: &[u8], names: &[&str]) -> Result<Vec<Vec<Option<String>>>, Error> {
    let paths: Vec<Option<Path>> = names.iter().map(|name| Path::parse(name).ok()).collect();
    let mut wanted = names.to_vec();
    wanted.extend(paths.iter().flatten().map(|path| path.column.as_str()));
    let columns = Columns::read(bytes, &wanted)?;
    let read = |(&name, path): (&&str, &Option<Path>)| {
        let whole = Path { column: name.to_owned(), steps: Vec::new() };
        let path = match path {
            Some(path) if !columns.has(name) && columns.has(&path.column) => path,
            _ => &whole,
        };
        let mut cells = Vec::new();
        for array in columns.arrays(&path.column)? {
            let mut array = make_array(array.to_data());
            for step in &path.steps {
                array = part(&array, step, name)?;
            }
            append_text(&array, name, &mut cells)?;
        }
        Ok(cells)
    };
    names.iter().zip(&paths).map(read).collect()
}

/// The place of a row's value among those that a step leads to.
type Place<'a> = Box<dyn Fn(usize) -> Option<usize> + 'a>;

/// The part of each value that a step leads to; null where there is none.
fn part(array: &ArrayRef, step: &Step, column: &str) -> Result<ArrayRef, Error> {
    let nested = || Error::Nested { column: column.into(), found: array.data_type().to_string() };
    let (values, index): (&ArrayRef, Place<'_>) = match (array.data_type(), step) {
        (DataType::Struct(_), Step::Field(name)) => {
            (array.as_struct().column_by_name(name).ok_or_else(nested)?, Box::new(Some))
        }
        (DataType::List(_), Step::Item(item)) => {
            let lists = array.as_list::<i32>();
            let of = |row| {
                let start = lists.value_offsets()[row] as usize;
                Step::index(*item, lists.value_length(row) as usize).map(|index| start + index)
            };
            (lists.values(), Box::new(of))
        }
        _ => return Err(nested()),
    };
    let rows = (0..array.len()).map(|row| array.is_valid(row).then(|| index(row)).flatten());
    let rows: UInt32Array = rows.map(|row| row.and_then(|row| u32::try_from(row).ok())).collect();
    take(values, &rows, None).map_err(|error| Error::Corrupt { reason: error.to_string() })
}

fn append_text(array: &ArrayRef, column: &str, cells: &mut Vec<Option<String>>) -> Result<(), Error> {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256,
        Dictionary, FixedSizeBinary, Float16, Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary,
        LargeUtf8, Null, Time32, Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    fn all<T: Display>(values: impl Iterator<Item = Option<T>>, cells: &mut Vec<Option<String>>) {
        cells.extend(values.map(|cell| cell.map(|cell| cell.to_string())));
    }
    macro_rules! numbers {
        ($type:ident) => {
            all(array.as_primitive::<arrow::datatypes::$type>().iter(), cells)
        };
    }
    match array.data_type() {
        Utf8 => all(array.as_string::<i32>().iter(), cells),
        LargeUtf8 => all(array.as_string::<i64>().iter(), cells),
        Utf8View => all(array.as_string_view().iter(), cells),
        Boolean => all(array.as_boolean().iter(), cells),
        Int8 => numbers!(Int8Type),
        Int16 => numbers!(Int16Type),
        Int32 => numbers!(Int32Type),
        Int64 => numbers!(Int64Type),
        UInt8 => numbers!(UInt8Type),
        UInt16 => numbers!(UInt16Type),
        UInt32 => numbers!(UInt32Type),
        UInt64 => numbers!(UInt64Type),
        Float16 => numbers!(Float16Type),
        Float32 => numbers!(Float32Type),
        Float64 => numbers!(Float64Type),
        Null => cells.resize(cells.len() + array.len(), None),
        // Spark, Hive and Impala write texts as bytes without a word.
        Binary => append_bytes(array.as_binary::<i32>().iter(), column, cells)?,
        LargeBinary => append_bytes(array.as_binary::<i64>().iter(), column, cells)?,
        BinaryView => append_bytes(array.as_binary_view().iter(), column, cells)?,
        FixedSizeBinary(_) => append_bytes(array.as_fixed_size_binary().iter(), column, cells)?,
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) | Date32 | Date64 | Time32(_)
        | Time64(_) | Timestamp(..) => append_formatted(array, cells)?,
        Dictionary(_, values) => {
            let values = cast(array, values).map_err(|error| Error::Corrupt { reason: error.to_string() })?;
            append_text(&values, column, cells)?;
        }
        found if found.is_nested() => {
            return Err(Error::Nested { column: column.into(), found: found.to_string() });
        }
        found => return Err(Error::NoText { column: column.into(), found: found.to_string() }),
    }
    Ok(())
}

/// Bytes that are text.
fn append_bytes<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    column: &str,
    cells: &mut Vec<Option<String>>,
) -> Result<(), Error> {
    for bytes in values {
        let not_utf8 = |_| Error::NotUtf8 { column: column.into(), row: cells.len() + 1 };
        let text = bytes.map(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
        let text = text.transpose().map_err(not_utf8)?;
        cells.push(text);
    }
    Ok(())
}

/// Decimals and times, as pandas and SQL print them.
fn append_formatted(array: &ArrayRef, cells: &mut Vec<Option<String>>) -> Result<(), Error> {
    let options = FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
        .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let corrupt = |error: &dyn Display| Error::Corrupt { reason: error.to_string() };
    // In Parquet a time zone is UTC or none, and names of zones are not known here.
    let in_utc = match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => Some(
            cast(array, &DataType::Timestamp(*unit, Some("+00:00".into())))
                .map_err(|error| corrupt(&error))?,
        ),
        _ => None,
    };
    let array = in_utc.as_ref().unwrap_or(array);
    let formatter = ArrayFormatter::try_new(array, &options).map_err(|error| corrupt(&error))?;
    for row in 0..array.len() {
        let text = array.is_valid(row).then(|| formatter.value(row).try_to_string());
        cells.push(text.transpose().map_err(|error| corrupt(&error))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::rows! {
        /// A foreign table.
        struct ForeignRow in "foreign" {
            /// Text.
            text: Option<String>,
            /// A number.
            label: i64,
            /// A fraction.
            score: f64,
            /// A truth value.
            flag: bool,
            /// No text.
            values: Vec<f32>,
        }
    }

    #[test]
    fn reads_what_is_text_or_nearly() {
        let row = |text: Option<&str>, label| ForeignRow {
            text: text.map(str::to_owned),
            label,
            score: 0.5,
            flag: true,
            values: vec![1.0],
        };
        let bytes = ForeignRow::write(&[row(Some("a\tb"), -1), row(None, 2)]).unwrap();
        assert_eq!(column_names(&bytes).unwrap(), ["text", "label", "score", "flag", "values"]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read_text_columns(&bytes, &["label", "text", "score", "flag"]).unwrap(),
            [
                [some("-1"), some("2")],
                [some("a\tb"), None],
                [some("0.5"), some("0.5")],
                [some("true"), some("true")]
            ]
        );
        assert!(matches!(read_text_columns(&bytes, &["values"]), Err(Error::Nested { .. })));
        assert!(matches!(read_text_columns(&bytes, &["nothing"]), Err(Error::MissingColumn { .. })));
    }

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/inputs/parquet");

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{FOLDER}/{name}")).unwrap()
    }

    #[test]
    fn every_codec_is_unpacked() {
        let read =
            |codec: &str| read_text_columns(&file(&format!("{codec}.parquet")), &["text", "label"]).unwrap();
        let plain = read("none");
        assert_eq!((plain[0].len(), plain[0][1].as_deref()), (40, Some("naïve 電影")));
        for codec in ["gzip", "brotli", "lz4", "snappy", "zstd"] {
            assert_eq!(read(codec), plain, "{codec}");
        }
    }

    /// `expected.json` is what pandas reads.
    #[test]
    fn every_type_reads_as_in_pandas() {
        let expected: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&file("expected.json")).unwrap();
        assert!(expected.len() > 20);
        for (name, cells) in &expected {
            let table = if name == "int96" { "int96.parquet" } else { "types.parquet" };
            let read = read_text_columns(&file(table), &[name]).unwrap().remove(0);
            let cells: Vec<Option<String>> =
                cells.as_array().unwrap().iter().map(|cell| cell.as_str().map(str::to_owned)).collect();
            match name.as_str() {
                // A whole number has no fraction here.
                "float16" => assert_eq!(read[2].as_deref(), Some("-2")),
                _ => assert_eq!(read, cells, "{name}"),
            }
        }
    }

    #[test]
    fn values_with_parts_are_named_by_a_path() {
        let types = file("types.parquet");
        let message = |name: &str| read_text_columns(&types, &[name]).unwrap_err().to_string();
        for whole in
            ["messages", "messages[0]", "record.inner", "messages.content", "record[0]", "record.none"]
        {
            assert!(message(whole).contains("name one value of it by its path"), "{}", message(whole));
        }
        assert!(message("other[0].x").contains("column `other[0].x` is missing"));
    }
}
