//! Requests: fields by name, a body, and how they become a message.
//!
//! **Invariants**
//! - A field comes once: from the path, the query, the body, or by convention (`page`, `if_match`).
//! - The types of a message say how a text is read; no schema is looked at with a request.

use super::Takes;
use super::strict::{KnownKey, Strict, Trail};
use super::text::TextReader;
use super::wrong::Wrong;
use crate::failure::Failure;
use crate::upload::Upload;
use serde::de::value::{MapDeserializer, StrDeserializer, U64Deserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// A request as an edge hands it in.
#[derive(Debug, Default)]
pub struct Request<'r> {
    /// Fields from the path and the query, decoded, as text; typed by the message they go to.
    pub fields: &'r [(&'r str, &'r str)],
    /// A body: a JSON object with the other fields, or where the message [takes](Takes::body) it whole, its field `body`.
    pub body: Option<&'r [u8]>,
    /// The version that the caller's precondition names.
    pub if_match: Option<u64>,
    /// An upload.
    pub upload: Option<Upload>,
}

impl Request<'_> {
    /// The message in it; what does not fit is an `Invalid` failure that names the field.
    pub fn read<M: DeserializeOwned>(&self, takes: &Takes) -> Result<M, Failure> {
        M::deserialize(Reader { request: self, takes }).map_err(|wrong| Failure::invalid(vec![wrong.into_field()]))
    }
}

/// Reads a request as an object.
struct Reader<'r> {
    request: &'r Request<'r>,
    takes: &'r Takes,
}

impl<'de> Reader<'de> {
    fn object<V: Visitor<'de>>(self, fields: Option<&'static [&'static str]>, v: V) -> Result<V::Value, Wrong> {
        let trail = Trail::default();
        let mut wrong = None;
        let merged = Merged {
            request: self.request,
            takes: self.takes,
            fields,
            trail: &trail,
            next: Source::Field(0),
            key: None,
        };
        let Some(body) = self.request.body.filter(|b| !b.trim_ascii().is_empty()) else {
            return v.visit_map(WithBody { merged, body: NoBody });
        };
        if self.takes.body {
            return v.visit_map(WithBody { merged, body: WholeBody(Some(body)) });
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = json.deserialize_map(BodyVisitor { visitor: v, merged, wrong: &mut wrong });
        let read = read.and_then(|value| json.end().map(|()| value));
        read.map_err(|e| wrong.unwrap_or_else(|| Wrong::new("", format!("the body is not a JSON object: {e}"))))
    }

    fn nothing<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Wrong> {
        let Nothing = self.object(Some(&[]), NothingVisitor)?;
        v.visit_unit()
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Wrong> {
        self.object(None, v)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Wrong> {
        self.object(Some(fields), v)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, v: V) -> Result<V::Value, Wrong> {
        v.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, v: V) -> Result<V::Value, Wrong> {
        self.nothing(v)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Wrong> {
        self.nothing(v)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

struct Nothing;
struct NothingVisitor;
impl<'de> Visitor<'de> for NothingVisitor {
    type Value = Nothing;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no fields")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Nothing, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Nothing)
    }
}

/// Visits the body's object with the other fields before it.
struct BodyVisitor<'r, 'w, V> {
    visitor: V,
    merged: Merged<'r>,
    wrong: &'w mut Option<Wrong>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for BodyVisitor<'_, '_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, body: A) -> Result<V::Value, A::Error> {
        let read = self.visitor.visit_map(WithBody { merged: self.merged, body });
        read.map_err(|wrong| {
            let error = A::Error::custom(&wrong);
            *self.wrong = Some(wrong);
            error
        })
    }
}

/// Where the next field comes from.
#[derive(Clone, Copy)]
enum Source {
    Field(usize),
    Page,
    IfMatch,
    Body,
}

/// All but the body of a request, one field after another.
struct Merged<'r> {
    request: &'r Request<'r>,
    takes: &'r Takes,
    fields: Option<&'static [&'static str]>,
    trail: &'r Trail,
    next: Source,
    key: Option<&'static str>,
}

struct WithBody<'r, A> {
    merged: Merged<'r>,
    body: A,
}

impl<'r> Merged<'r> {
    fn is_of_page(&self, name: &str) -> bool {
        self.takes.page && matches!(name, "limit" | "cursor")
    }

    /// The field's own name if a caller may give it.
    fn known(&self, name: &str) -> Result<(), Wrong> {
        let by_convention = match name {
            "page" => self.takes.page,
            "if_match" => self.takes.if_match,
            "body" => self.takes.body && !matches!(self.next, Source::Body),
            _ => false,
        };
        if by_convention || self.fields.is_some_and(|fields| !fields.contains(&name)) {
            return Err(Wrong::unknown_field(name, &[]));
        }
        Ok(())
    }

    /// Moves on to the next field that is there, and answers its name; none once only the body is left.
    fn next_name(&mut self) -> Result<Option<&'r str>, Wrong> {
        loop {
            match self.next {
                Source::Field(i) => match self.request.fields.get(i) {
                    Some((name, _)) if self.is_of_page(name) => self.next = Source::Field(i + 1),
                    Some((name, _)) => {
                        self.known(name)?;
                        return Ok(Some(name));
                    }
                    None => self.next = Source::Page,
                },
                Source::Page if self.takes.page => return Ok(Some("page")),
                Source::Page => self.next = Source::IfMatch,
                Source::IfMatch if self.takes.if_match && self.request.if_match.is_some() => {
                    return Ok(Some("if_match"));
                }
                Source::IfMatch => self.next = Source::Body,
                Source::Body => return Ok(None),
            }
        }
    }

    fn page<'de, S: DeserializeSeed<'de>>(&self, seed: S) -> Result<S::Value, Wrong> {
        let of_page = |(name, _): &&(&'r str, &'r str)| self.is_of_page(name);
        let entries = self.request.fields.iter().filter(of_page);
        seed.deserialize(MapDeserializer::new(entries.map(|&(name, text)| (name, TextReader { name, text }))))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithBody<'_, A> {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        if let Some(name) = self.merged.next_name()? {
            return seed.deserialize(StrDeserializer::new(name)).map(Some);
        }
        self.merged.key = None;
        let Some(fields) = self.merged.fields else {
            return self.body.next_key_seed(seed).map_err(|e| Wrong::new("", e.to_string()));
        };
        let mut unknown = None;
        let found = &mut self.merged.key;
        let key = self.body.next_key_seed(BodyKey { key: KnownKey { seed, fields, found }, unknown: &mut unknown });
        match (key, unknown) {
            (Err(_), Some(name)) => Err(Wrong::unknown_field(&name, fields)),
            (Err(e), None) => Err(Wrong::new("", e.to_string())),
            (Ok(None), _) => Ok(None),
            (Ok(Some(key)), _) => {
                self.merged.known(self.merged.key.unwrap_or_default())?;
                Ok(Some(key))
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let merged = &mut self.merged;
        match merged.next {
            Source::Field(i) => {
                let (name, text) = merged.request.fields[i];
                merged.next = Source::Field(i + 1);
                seed.deserialize(TextReader { name, text }).map_err(|e| e.within(name))
            }
            Source::Page => {
                merged.next = Source::IfMatch;
                merged.page(seed)
            }
            Source::IfMatch => {
                merged.next = Source::Body;
                let version = merged.request.if_match.unwrap_or_default();
                seed.deserialize(SomeVersion(version)).map_err(|e| e.within("if_match"))
            }
            Source::Body => {
                let value = self.body.next_value_seed(Strict::new(seed, merged.trail));
                value.map_err(|e| Wrong::new(merged.trail.after(merged.key.unwrap_or_default()), e.to_string()))
            }
        }
    }
}

/// A key of the body; an unknown one is remembered by name.
struct BodyKey<'k, S> {
    key: KnownKey<'k, S>,
    unknown: &'k mut Option<String>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for BodyKey<'_, S> {
    type Value = S::Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<S::Value, D::Error> {
        d.deserialize_identifier(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for BodyKey<'_, S> {
    type Value = S::Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.expecting(f)
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<S::Value, E> {
        if !self.key.fields.contains(&name) {
            *self.unknown = Some(name.to_owned());
        }
        self.key.visit_str(name)
    }
}

/// A version that is there, for a field `Option<u64>`.
struct SomeVersion(u64);

impl<'de> Deserializer<'de> for SomeVersion {
    type Error = Wrong;
    fn deserialize_any<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Wrong> {
        U64Deserializer::new(self.0).deserialize_any(v)
    }
    fn deserialize_option<V: Visitor<'de>>(self, v: V) -> Result<V::Value, Wrong> {
        v.visit_some(self)
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq tuple
        tuple_struct map enum identifier ignored_any unit unit_struct newtype_struct struct
    }
}

/// A request without a body.
struct NoBody;

impl<'de> MapAccess<'de> for NoBody {
    type Error = Wrong;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, _: S) -> Result<Option<S::Value>, Wrong> {
        Ok(None)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, _: S) -> Result<S::Value, Wrong> {
        Err(Wrong::new("", "there is no body"))
    }
}

/// A request whose body, any JSON, is the one field `body`.
struct WholeBody<'r>(Option<&'r [u8]>);

impl<'de> MapAccess<'de> for WholeBody<'de> {
    type Error = Wrong;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        match self.0 {
            Some(_) => seed.deserialize(StrDeserializer::new("body")).map(Some),
            None => Ok(None),
        }
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let body = self.0.take().ok_or_else(|| Wrong::new("body", "is given once"))?;
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        read.map_err(|e| Wrong::new("body", format!("is not the JSON that fits here: {e}")))
    }
}
