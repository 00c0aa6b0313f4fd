//! The types that a column may have, each with its conversion from and to an Arrow array.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array, ListBuilder,
    PrimitiveBuilder, StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, UInt32Type, UInt64Type};

use crate::Kind;

/// The value of one row in one column.
pub trait Cell: Sized {
    /// Type of the column.
    const KIND: Kind;
    /// True if the value may be absent.
    const OPTIONAL: bool = false;

    /// The column of these values.
    #[doc(hidden)]
    fn to_array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;

    /// Appends the values of `array` to `cells`. The array has the type of `KIND`, and no nulls unless `OPTIONAL`.
    #[doc(hidden)]
    fn append(array: &dyn Array, cells: &mut Vec<Self>);
}

/// The Arrow type of a kind.
pub(crate) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Boolean => DataType::Boolean,
        Kind::UInt32 => DataType::UInt32,
        Kind::UInt64 => DataType::UInt64,
        Kind::Int64 => DataType::Int64,
        Kind::Float32 => DataType::Float32,
        Kind::Float64 => DataType::Float64,
        Kind::Float32List => DataType::List(list_item()),
    }
}

/// What stands in a list: never null.
pub(crate) fn list_item() -> Arc<arrow::datatypes::Field> {
    Arc::new(arrow::datatypes::Field::new("item", DataType::Float32, false))
}

/// A column type and its optional twin. `$view` is an array with `iter()` over `Option`s.
macro_rules! cells {
    ($($type:ty, $kind:ident, $array:ident, $view:expr, $from:expr, $into:expr;)+) => { $(
        impl Cell for $type {
            const KIND: Kind = Kind::$kind;

            fn to_array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(cells.map(|cell| Some($into(cell))).collect::<$array>())
            }

            fn append(array: &dyn Array, cells: &mut Vec<Self>) {
                cells.extend($view(array).iter().flatten().map($from));
            }
        }

        impl Cell for Option<$type> {
            const KIND: Kind = Kind::$kind;
            const OPTIONAL: bool = true;

            fn to_array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(cells.map(|cell| cell.as_ref().map($into)).collect::<$array>())
            }

            fn append(array: &dyn Array, cells: &mut Vec<Self>) {
                cells.extend($view(array).iter().map(|cell| cell.map($from)));
            }
        }
    )+ };
}

cells! {
    String, Text, StringArray, |array: &'_ dyn Array| array.as_string::<i32>().clone(), str::to_owned, String::as_str;
    bool, Boolean, BooleanArray, |array: &'_ dyn Array| array.as_boolean().clone(), bool::from, |cell: &bool| *cell;
    u32, UInt32, UInt32Array, |array: &'_ dyn Array| array.as_primitive::<UInt32Type>().clone(), u32::from, |cell: &u32| *cell;
    u64, UInt64, UInt64Array, |array: &'_ dyn Array| array.as_primitive::<UInt64Type>().clone(), u64::from, |cell: &u64| *cell;
    i64, Int64, Int64Array, |array: &'_ dyn Array| array.as_primitive::<Int64Type>().clone(), i64::from, |cell: &i64| *cell;
    f32, Float32, Float32Array, |array: &'_ dyn Array| array.as_primitive::<Float32Type>().clone(), f32::from, |cell: &f32| *cell;
    f64, Float64, Float64Array, |array: &'_ dyn Array| array.as_primitive::<Float64Type>().clone(), f64::from, |cell: &f64| *cell;
}

impl Cell for Vec<f32> {
    const KIND: Kind = Kind::Float32List;

    fn to_array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let mut builder = ListBuilder::new(PrimitiveBuilder::<Float32Type>::new()).with_field(list_item());
        for cell in cells {
            builder.values().append_slice(cell);
            builder.append(true);
        }
        Arc::new(builder.finish())
    }

    fn append(array: &dyn Array, cells: &mut Vec<Self>) {
        let lists = array.as_list::<i32>().iter().flatten();
        cells.extend(lists.map(|list| list.as_primitive::<Float32Type>().values().to_vec()));
    }
}
