//! A column's value as serde sees it.

use super::wrong::Wrong;
use monolite_store::rusqlite::types::ValueRef;
use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{Deserializer, Visitor};
use uuid::Uuid;

/// The name by which `serde_json::value::RawValue` asks for a text of JSON that it need not check again. It is private to
/// serde_json; a test here fails if it ever changes.
pub(super) const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct ValueReader<'a>(pub(super) ValueRef<'a>);

impl<'a> ValueReader<'a> {
    pub(super) fn is_null(self) -> bool {
        matches!(self.0, ValueRef::Null)
    }

    fn text(self) -> Result<Option<&'a str>, Wrong> {
        match self.0 {
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(e) => Err(Wrong::new(format!("the TEXT is not UTF-8: {e}"))),
            },
            _ => Ok(None),
        }
    }

    fn not(self, asked: &str) -> Wrong {
        let is = match self.0 {
            ValueRef::Null => "NULL",
            ValueRef::Integer(_) => "an INTEGER",
            ValueRef::Real(_) => "a REAL",
            ValueRef::Text(_) => "a TEXT",
            ValueRef::Blob(_) => "a BLOB",
        };
        Wrong::new(format!("it is {is}, not {asked}"))
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            ValueRef::Integer(i) => visitor.visit_i64(i),
            _ => Err(self.not("an INTEGER")),
        }
    }

    fn float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            ValueRef::Real(r) => visitor.visit_f64(r),
            ValueRef::Integer(i) => visitor.visit_i64(i),
            _ => Err(self.not("a REAL")),
        }
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if let Some(text) = self.text()? {
            return visitor.visit_str(text);
        }
        match self.0 {
            ValueRef::Blob(bytes) => match Uuid::from_slice(bytes) {
                Ok(id) => visitor.visit_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
                Err(_) => Err(Wrong::new(format!("it is a BLOB of {} bytes, not a TEXT or an id of 16", bytes.len()))),
            },
            _ => Err(self.not("a TEXT")),
        }
    }

    fn bytes<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => visitor.visit_bytes(bytes),
            _ => Err(self.not("a BLOB")),
        }
    }

    /// A structured value inside a TEXT, as JSON.
    fn json<T>(
        self,
        asked: &str,
        read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'a>>) -> serde_json::Result<T>,
    ) -> Result<T, Wrong> {
        let text = self.text()?.ok_or_else(|| self.not(asked))?;
        let mut json = serde_json::Deserializer::from_str(text);
        let value = read(&mut json).and_then(|value| json.end().map(|()| value));
        value.map_err(|e| Wrong::new(format!("the JSON in it does not fit: {e}")))
    }

    fn raw_json(self) -> Result<String, Wrong> {
        match self.0 {
            ValueRef::Text(_) => Ok(self.text()?.unwrap_or_default().to_owned()),
            ValueRef::Integer(i) => Ok(i.to_string()),
            _ => Err(self.not("JSON in a TEXT")),
        }
    }
}

macro_rules! each_by {
    ($by:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.$by(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for ValueReader<'de> {
    type Error = Wrong;

    each_by! { integer: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }
    each_by! { float: deserialize_f32 deserialize_f64 }
    each_by! { string: deserialize_char deserialize_str deserialize_string deserialize_identifier }
    each_by! { bytes: deserialize_bytes deserialize_byte_buf }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            ValueRef::Null => visitor.visit_none(),
            ValueRef::Integer(i) => visitor.visit_i64(i),
            ValueRef::Real(r) => visitor.visit_f64(r),
            ValueRef::Text(_) => self.string(visitor),
            ValueRef::Blob(bytes) => visitor.visit_bytes(bytes),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            ValueRef::Integer(0) => visitor.visit_bool(false),
            ValueRef::Integer(1) => visitor.visit_bool(true),
            ValueRef::Integer(i) => Err(Wrong::new(format!("it is {i}, a bool is 0 or 1"))),
            _ => Err(self.not("a bool")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        visitor.visit_map(MapDeserializer::new(std::iter::once((RAW_VALUE, self.raw_json()?))))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            ValueRef::Blob(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            _ => self.json("a list", |json| json.deserialize_seq(visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            ValueRef::Blob(_) => self.deserialize_seq(visitor),
            _ => self.json("a list", |json| json.deserialize_tuple(len, visitor)),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.json("an object", |json| json.deserialize_map(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.json("an object", |json| json.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.text()? {
            Some(text) if text.starts_with(['{', '"']) => {
                self.json("an enum", |json| json.deserialize_enum(name, variants, visitor))
            }
            Some(text) => visitor.visit_enum(StrDeserializer::new(text)),
            None => Err(self.not("the name of a variant")),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.is_null() { visitor.visit_unit() } else { Err(self.not("NULL")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }
}
