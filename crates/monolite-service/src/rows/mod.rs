//! Rows by serde: a row becomes a value by the names of its columns.
