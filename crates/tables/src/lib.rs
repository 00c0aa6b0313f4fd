//! Typed rows in Parquet.
