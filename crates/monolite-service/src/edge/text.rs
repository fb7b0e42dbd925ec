//! A field from a path or a query: a text, read as the type that its message gives it.
//!
//! A list is written with commas: `?ids=a,b`.

use super::wrong::Wrong;
use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};

/// Reads one text.
#[derive(Clone, Copy)]
pub(super) struct TextReader<'r> {
    pub(super) name: &'r str,
    pub(super) text: &'r str,
}

impl<'r> TextReader<'r> {
    fn not(self, asked: &str) -> Wrong {
        Wrong::new(self.name, format!("is not {asked}"))
    }

    fn signed<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let n = self.text.parse().map_err(|_| self.not("a whole number"))?;
        visitor.visit_i64(n).map_err(|e: Wrong| e.within(self.name))
    }

    fn unsigned<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let n = self.text.parse().map_err(|_| self.not("a whole number of at least zero"))?;
        visitor.visit_u64(n).map_err(|e: Wrong| e.within(self.name))
    }

    fn float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.text.parse::<f64>() {
            Ok(n) if n.is_finite() => visitor.visit_f64(n),
            _ => Err(self.not("a number")),
        }
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_str(self.text).map_err(|e: Wrong| e.within(self.name))
    }

    fn inner<'de, V: Visitor<'de>>(self, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::new(self.name, "belongs in the body"))
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let empty = self.text.is_empty();
        let parts = self.text.split(',').filter(|_| !empty).map(|text| TextReader { text, ..self });
        visitor.visit_seq(SeqDeserializer::new(parts)).map_err(|e: Wrong| e.within(self.name))
    }
}

macro_rules! each_by {
    ($by:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.$by(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for TextReader<'_> {
    type Error = Wrong;

    each_by! { signed: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 }
    each_by! { unsigned: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }
    each_by! { float: deserialize_f32 deserialize_f64 }
    each_by! { string: deserialize_any deserialize_char deserialize_str deserialize_string deserialize_identifier
    deserialize_bytes deserialize_byte_buf }
    each_by! { list: deserialize_seq }
    each_by! { inner: deserialize_map deserialize_unit }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.text {
            "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => Err(self.not("true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        if name.starts_with('$') { self.inner(visitor) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let one_of = |_| Wrong::new(self.name, format!("is not one of {}", variants.join(", ")));
        visitor.visit_enum(StrDeserializer::new(self.text)).map_err(|e: Wrong| one_of(e))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.list(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.inner(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        self.inner(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }
}

impl<'de> IntoDeserializer<'de, Wrong> for TextReader<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}
