//! Rows by serde: a row becomes a value by the names of its columns.
//!
//! | column | becomes |
//! |---|---|
//! | INTEGER | integers (in range), `bool` (0, 1), floats |
//! | REAL | floats |
//! | TEXT | texts, unit enums by name, `Json` unparsed; structs, lists and maps by their JSON |
//! | BLOB | `Bytes`, `Vec<u8>`; of 16 bytes also `Uuid` and what is written as one |
//! | NULL | `None` |
//!
//! **Invariants**
//! - Of a struct, columns and fields are the same set: a missing or extra column is an error that names it.
//! - A statement's columns are compared with the fields once, at its first row.
//!
//! Never here: statements, transactions.

mod row;
mod value;
mod wrong;

use crate::failure::Failure;
use monolite_store::rusqlite::Row;
use row::RowReader;
use serde::de::DeserializeOwned;
use wrong::Wrong;

/// Whether a row's columns were compared with the type's fields before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    Unseen,
    Known,
}

/// The value of a row.
pub(crate) fn read<T: DeserializeOwned>(row: &Row<'_>, columns: Columns) -> Result<T, Failure> {
    T::deserialize(RowReader::new(row, columns)).map_err(|wrong: Wrong| {
        Failure::internal(format!("a row does not fit {}: {wrong}", std::any::type_name::<T>()))
    })
}

#[cfg(test)]
mod tests;
