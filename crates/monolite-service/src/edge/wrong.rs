//! What is wrong with a request, and in which field.

use crate::refusal::FieldError;
use std::fmt;

/// What is wrong, and in which field: empty if in none.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) field: String,
    pub(super) what: String,
}

impl Wrong {
    pub(super) fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Wrong { field: field.into(), what: what.into() }
    }

    /// The same, known to be within this field unless a field is named already.
    pub(super) fn within(self, field: &str) -> Self {
        if self.field.is_empty() { Wrong { field: field.to_owned(), ..self } } else { self }
    }

    pub(super) fn into_field(self) -> FieldError {
        FieldError::new(self.field, self.what)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.what)
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Wrong::new("", what.to_string())
    }
    fn missing_field(field: &'static str) -> Self {
        Wrong::new(field, "is missing")
    }
    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Wrong::new(field, "is not known here")
    }
    fn duplicate_field(field: &'static str) -> Self {
        Wrong::new(field, "is given twice")
    }
}
