//! Any JSON, passed through unparsed.
//!
//! **Invariants**
//! - The text is valid JSON; it leaves byte for byte as it came.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Any JSON value, as its text. From TEXT in files; itself in JSON.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Checks that a text is JSON.
    pub fn parse(text: impl Into<String>) -> Result<Json, serde_json::Error> {
        RawValue::from_string(text.into()).map(Json)
    }

    /// The JSON of a value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Json, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Json)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Reads it as a type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(d).map(Json)
    }
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_passes_byte_for_byte() {
        #[derive(Serialize, Deserialize)]
        struct Document {
            content: Json,
        }
        let text = r#"{"content":{ "b": 1.0e5, "a":[null , "\u00e9"]}}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        assert_eq!(document.content.as_str(), r#"{ "b": 1.0e5, "a":[null , "\u00e9"]}"#);
        assert_eq!(serde_json::to_string(&document).unwrap(), text);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{} {}", "nul", "'x'", "{\"a\":}"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert_eq!(Json::parse("[1, 2]").unwrap().to::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(Json::of(&[1, 2]).unwrap().as_str(), "[1,2]");
    }
}
