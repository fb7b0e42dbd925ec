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
        FieldError::new(self.field, for_people(self.what))
    }
}

/// The decoder's words without Rust's types and its own places.
fn for_people(what: String) -> String {
    let (text, place) = what.rsplit_once(" at line ").unwrap_or((&what, ""));
    let is_place = place.split_once(" column ").is_some_and(|(line, column)| {
        [line, column].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    });
    let text = if is_place { text } else { &what };
    let expected = text.strip_prefix("invalid value: integer `").and_then(|rest| rest.split_once("`, expected "));
    match expected.and_then(|(given, kind)| Some((given, range(kind)?))) {
        Some((given, (least, most))) => format!("must be {least} to {most}, not {given}"),
        None => text.to_owned(),
    }
}

fn range(kind: &str) -> Option<(i128, i128)> {
    Some(match kind {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" | "usize" => (0, u64::MAX.into()),
        "i8" => (i8::MIN.into(), i8::MAX.into()),
        "i16" => (i16::MIN.into(), i16::MAX.into()),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => (i64::MIN.into(), i64::MAX.into()),
        _ => return None,
    })
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

#[cfg(test)]
mod tests {
    use super::for_people;

    #[test]
    fn what_a_decoder_says_is_told_without_types_and_places() {
        let told = |what: &str| for_people(what.to_owned());
        assert_eq!(
            told("invalid value: integer `-1`, expected u32 at line 1 column 49"),
            "must be 0 to 4294967295, not -1"
        );
        assert_eq!(told("invalid value: integer `300`, expected i8"), "must be -128 to 127, not 300");
        assert_eq!(told("number out of range at line 1 column 66"), "number out of range");
        for same in ["must be 1 to 1000", "is at line 5", "invalid value: integer `7`, expected a weekday"] {
            assert_eq!(told(same), same);
        }
    }
}
