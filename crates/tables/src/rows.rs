//! Rows as structs: one macro writes the struct, its schema and both conversions.

use crate::{Arrays, Columns, Error, Schema};

/// A row of a table. Implemented by [`rows!`](crate::rows), not by hand.
pub trait Row: Sized {
    /// Name, documentation and columns of the table.
    const TABLE: &'static Schema;

    /// The rows, column by column, in the order of the schema.
    fn to_columns(rows: &[Self], arrays: &mut Arrays);

    /// The rows again.
    ///
    /// # Errors
    /// Names the column that is missing, has another type, or has nulls where none are allowed.
    fn from_columns(columns: &mut Columns) -> Result<Vec<Self>, Error>;
}

/// Declares tables as structs whose doc comments are the documentation of the table and its columns.
///
/// Fields are `String`, `bool`, `u32`, `u64`, `i64`, `f32`, `f64`, an `Option` of one of them, or `Vec<f32>`.
/// Each struct gets `TABLE` (its [`Schema`]), `write` (to Parquet bytes), `read` (from them), and implements
/// [`Row`](crate::Row).
#[macro_export]
macro_rules! rows {
    ($(
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident in $table:literal {
            $( $(#[doc = $field_doc:literal])+ $field_vis:vis $field:ident : $type:ty ),+ $(,)?
        }
    )+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $field_doc])+ $field_vis $field: $type, )+
        }

        impl $crate::Row for $name {
            const TABLE: &'static $crate::Schema = &$crate::Schema {
                name: $table,
                doc: concat!($($doc),+).trim_ascii(),
                fields: &[ $( $crate::Field {
                    name: stringify!($field),
                    doc: concat!($($field_doc),+).trim_ascii(),
                    kind: <$type as $crate::Cell>::KIND,
                    optional: <$type as $crate::Cell>::OPTIONAL,
                } ),+ ],
            };

            fn to_columns(rows: &[Self], arrays: &mut $crate::Arrays) {
                $( arrays.push(rows.iter().map(|row| &row.$field)); )+
            }

            fn from_columns(columns: &mut $crate::Columns) -> Result<Vec<Self>, $crate::Error> {
                $( let mut $field = columns.take::<$type>(stringify!($field))?.into_iter(); )+
                // The columns of a file have one length; `Columns` has checked it.
                Ok(std::iter::from_fn(|| Some(Self { $( $field: $field.next()? ),+ })).collect())
            }
        }

        impl $name {
            /// Name, documentation and columns of the table.
            $vis const TABLE: &'static $crate::Schema = <Self as $crate::Row>::TABLE;

            /// The Parquet bytes of `rows`: the same rows make the same bytes.
            ///
            /// # Errors
            /// If the writer refuses the rows.
            $vis fn write(rows: &[Self]) -> Result<Vec<u8>, $crate::Error> {
                $crate::write(rows)
            }

            /// The rows in Parquet `bytes`; columns are found by name, further columns are ignored.
            ///
            /// # Errors
            /// If the bytes are damaged or too large, or a column is missing, of another type, or null.
            $vis fn read(bytes: &[u8]) -> Result<Vec<Self>, $crate::Error> {
                $crate::read(bytes)
            }
        }

        // A private table may be only written, or only read.
        const _: () = {
            let _ = ($name::TABLE, $name::write, $name::read);
        };
    )+ };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{Error, Kind};

    rows! {
        /// Every kind of column,
        /// on two lines.
        struct EveryRow in "every" {
            /// Text.
            text: String,
            /// Truth, yes | no.
            flag: bool,
            /// 32 bits.
            small: u32,
            /// 64 bits.
            large: u64,
            /// Signed.
            signed: i64,
            /// Single (seconds).
            single: f32,
            /// Double.
            double: f64,
            /// Values.
            values: Vec<f32>,
            /// Maybe text.
            maybe_text: Option<String>,
            /// Maybe double.
            maybe_double: Option<f64>,
            /// Maybe 64 bits.
            maybe_large: Option<u64>,
        }
        /// One of its columns.
        struct OneRow in "one" {
            /// 32 bits.
            small: u32,
        }
        /// A column that it lacks.
        struct OtherRow in "other" {
            /// Not there.
            other: u32,
        }
        /// A column of another type.
        struct WrongRow in "wrong" {
            /// Text by mistake.
            small: String,
        }
        /// A column with nulls.
        struct NullRow in "null" {
            /// Null at times.
            maybe_double: f64,
        }
    }

    fn row() -> impl Strategy<Value = EveryRow> {
        let plain = (
            any::<String>(),
            any::<bool>(),
            any::<u32>(),
            any::<u64>(),
            any::<i64>(),
            -1e9f32..1e9,
            -1e9f64..1e9,
        );
        let nested = (
            proptest::collection::vec(-1f32..1.0, 0..4),
            proptest::option::of(any::<String>()),
            proptest::option::of(-1f64..1.0),
            proptest::option::of(any::<u64>()),
        );
        (plain, nested).prop_map(|((text, flag, small, large, signed, single, double), nested)| {
            let (values, maybe_text, maybe_double, maybe_large) = nested;
            EveryRow {
                text,
                flag,
                small,
                large,
                signed,
                single,
                double,
                values,
                maybe_text,
                maybe_double,
                maybe_large,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_come_back_and_bytes_are_theirs_alone(rows in proptest::collection::vec(row(), 0..20)) {
            let bytes = EveryRow::write(&rows).unwrap();
            prop_assert_eq!(&EveryRow::write(&rows.clone()).unwrap(), &bytes);
            prop_assert_eq!(EveryRow::read(&bytes).unwrap(), rows);
        }
    }

    fn two() -> Vec<EveryRow> {
        let first = EveryRow {
            text: "a".into(),
            flag: true,
            small: 1,
            large: 2,
            signed: -3,
            single: 0.5,
            double: f64::INFINITY,
            values: vec![1.0, 2.0],
            maybe_text: None,
            maybe_double: None,
            maybe_large: Some(u64::MAX),
        };
        let second =
            EveryRow { maybe_double: Some(1.0), values: vec![], text: String::new(), ..first.clone() };
        vec![first, second]
    }

    #[test]
    fn the_schema_is_the_documentation() {
        assert_eq!(
            (EveryRow::TABLE.name, EveryRow::TABLE.doc),
            ("every", "Every kind of column, on two lines.")
        );
        let field = EveryRow::TABLE.fields[10];
        assert_eq!((field.name, field.kind, field.optional), ("maybe_large", Kind::UInt64, true));
        let page = EveryRow::TABLE.to_string();
        assert!(page.contains("| `flag` | boolean | Truth, yes \\| no. |"), "{page}");
        assert!(page.contains("| `maybe_text` | text, optional | Maybe text. |"), "{page}");
    }

    #[test]
    fn extra_columns_are_ignored_and_the_rest_is_named() {
        let bytes = EveryRow::write(&two()).unwrap();
        assert_eq!(OneRow::read(&bytes).unwrap().len(), 2);
        let message = |result: Result<usize, Error>| result.unwrap_err().to_string();
        assert!(
            message(OtherRow::read(&bytes).map(|rows| rows.len()))
                .starts_with("column `other` (uint32) is missing; the file has `text`, `flag`"),
        );
        assert_eq!(
            message(WrongRow::read(&bytes).map(|rows| rows.len())),
            "column `small` is UInt32, not text"
        );
        assert_eq!(
            message(NullRow::read(&bytes).map(|rows| rows.len())),
            "column `maybe_double` has 1 null(s), and none are allowed"
        );
    }

    #[test]
    fn many_rows_cross_batches_and_row_groups() {
        let rows: Vec<OneRow> = (0..1_100_000).map(|small| OneRow { small }).collect();
        assert_eq!(OneRow::read(&OneRow::write(&rows).unwrap()).unwrap(), rows);
    }

    /// The bytes of a fixed table, by their FNV-1a hash: if they change, the writer changed and `VERSION` must rise.
    #[test]
    fn golden() {
        let bytes = EveryRow::write(&two()).unwrap();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!((bytes.len(), hash), GOLDEN, "the bytes of tables changed: is `VERSION` raised?");
    }

    const GOLDEN: (usize, u64) = (3176, 17_162_896_029_760_610_433);
}
