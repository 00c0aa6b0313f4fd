//! What a table says about itself.

use std::fmt;

/// A table: its name, what a row is, and its columns in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Name of the table.
    pub name: &'static str,
    /// What one row is.
    pub doc: &'static str,
    /// The columns, in order.
    pub fields: &'static [Field],
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the column.
    pub name: &'static str,
    /// What it holds, with its unit.
    pub doc: &'static str,
    /// Type of its values.
    pub kind: Kind,
    /// True if a value may be absent.
    pub optional: bool,
}

/// Type of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// True or false.
    Boolean,
    /// Unsigned, 32 bits.
    UInt32,
    /// Unsigned, 64 bits.
    UInt64,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754, 32 bits.
    Float32,
    /// IEEE 754, 64 bits.
    Float64,
    /// A list of 32-bit floats.
    Float32List,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::UInt32 => "uint32",
            Self::UInt64 => "uint64",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Float32List => "list of float32",
        })
    }
}

/// A Markdown section: the name, what a row is, and a table of the columns.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### `{}`\n\n{}\n\n| column | type | meaning |\n|---|---|---|", self.name, self.doc)?;
        for field in self.fields {
            let optional = if field.optional { ", optional" } else { "" };
            // A bar would end the cell.
            let doc = field.doc.replace('|', "\\|");
            writeln!(f, "| `{}` | {}{optional} | {doc} |", field.name, field.kind)?;
        }
        Ok(())
    }
}
