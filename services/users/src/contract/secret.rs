//! Text that must not be seen: a password, a token, a hash of one.
//!
//! **Invariants**
//! - `Debug` never shows the text nor its length.
//! - There is no `Display`: the text leaves only through [`Secret::expose`] and serialisation.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A text that logs, refusals and `Debug` never show. Its schema says `"format": "password"`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself; each use of this is a place to look at twice.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_neither_the_text_nor_its_length() {
        let (short, long) = (Secret::new("hunter2"), Secret::new("correct horse battery staple"));
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
        assert!(!format!("{short:#?}").contains("hunter2"));
    }

    #[test]
    fn json_is_the_plain_text() {
        let secret: Secret = serde_json::from_str("\"tiger\\u0000\"").unwrap();
        assert_eq!(secret.expose(), "tiger\0");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"tiger\\u0000\"");
    }
}
