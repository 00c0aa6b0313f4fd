//! Tables from elsewhere, read as text.

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::{Columns, Error};

/// The names of the columns of a Parquet file, in order.
///
/// # Errors
/// If the bytes are damaged or too large.
pub fn column_names(bytes: &[u8]) -> Result<Vec<String>, Error> {
    Columns::names(bytes)
}

/// Columns of a Parquet file from elsewhere, as text: numbers as Rust prints them, truth values as `true` and
/// `false`, nulls as `None`. One vector per name, in the order of the names.
///
/// # Errors
/// If the bytes are damaged or too large, a column is missing, or has a type that is no text, number or truth value.
pub fn read_text_columns(bytes: &[u8], names: &[&str]) -> Result<Vec<Vec<Option<String>>>, Error> {
    let columns = Columns::read(bytes, names)?;
    names
        .iter()
        .map(|&name| {
            let mut cells = Vec::new();
            for array in columns.arrays(name)? {
                append_text(array, name, &mut cells)?;
            }
            Ok(cells)
        })
        .collect()
}

fn append_text(array: &dyn Array, column: &str, cells: &mut Vec<Option<String>>) -> Result<(), Error> {
    fn numbers<T>(array: &dyn Array, cells: &mut Vec<Option<String>>)
    where
        T: ArrowPrimitiveType,
        T::Native: std::fmt::Display,
    {
        let array: &PrimitiveArray<T> = array.as_primitive();
        cells.extend(array.iter().map(|cell| cell.map(|number| number.to_string())));
    }
    match array.data_type() {
        DataType::Utf8 => cells.extend(array.as_string::<i32>().iter().map(|cell| cell.map(str::to_owned))),
        DataType::LargeUtf8 => {
            cells.extend(array.as_string::<i64>().iter().map(|cell| cell.map(str::to_owned)))
        }
        DataType::Boolean => {
            cells.extend(array.as_boolean().iter().map(|cell| cell.map(|truth| truth.to_string())))
        }
        DataType::Int8 => numbers::<Int8Type>(array, cells),
        DataType::Int16 => numbers::<Int16Type>(array, cells),
        DataType::Int32 => numbers::<Int32Type>(array, cells),
        DataType::Int64 => numbers::<Int64Type>(array, cells),
        DataType::UInt8 => numbers::<UInt8Type>(array, cells),
        DataType::UInt16 => numbers::<UInt16Type>(array, cells),
        DataType::UInt32 => numbers::<UInt32Type>(array, cells),
        DataType::UInt64 => numbers::<UInt64Type>(array, cells),
        DataType::Float32 => numbers::<Float32Type>(array, cells),
        DataType::Float64 => numbers::<Float64Type>(array, cells),
        found => return Err(Error::NoText { column: column.into(), found: found.to_string() }),
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
        assert!(matches!(read_text_columns(&bytes, &["values"]), Err(Error::NoText { .. })));
        assert!(matches!(read_text_columns(&bytes, &["nothing"]), Err(Error::MissingColumn { .. })));
    }
}
