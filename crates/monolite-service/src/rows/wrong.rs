//! What does not fit between a row and a type.

use std::fmt;

/// What does not fit, and in which column.
#[derive(Debug)]
pub(super) struct Wrong {
    column: Option<String>,
    what: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Wrong { column: None, what: what.into() }
    }

    pub(super) fn in_column(mut self, name: &str) -> Self {
        self.column.get_or_insert_with(|| name.to_owned());
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(name) => write!(f, "column `{name}`: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Wrong::new(what.to_string())
    }
    fn missing_field(field: &'static str) -> Self {
        Wrong::new(format!("no column for the field `{field}`"))
    }
    fn duplicate_field(field: &'static str) -> Self {
        Wrong::new(format!("two columns `{field}`"))
    }
}
