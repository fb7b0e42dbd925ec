//! A deserializer around another that refuses unknown fields at any depth and remembers where a value went wrong.
//!
//! serde's derive ignores unknown fields unless each type says otherwise; here the struct's own list of fields decides.
//!
//! **Invariants**
//! - The trail names the innermost failed value; it is written only on the way out of an error.
//! - Raw JSON passes through unparsed.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use std::cell::RefCell;
use std::fmt;

/// Where a value went wrong, innermost first.
#[derive(Debug, Default)]
pub(super) struct Trail(RefCell<Vec<Step>>);

#[derive(Debug)]
enum Step {
    Field(&'static str),
    Item(usize),
}

impl Trail {
    fn left<T, E>(&self, step: Option<Step>, result: Result<T, E>) -> Result<T, E> {
        if let (Err(_), Some(step)) = (&result, step) {
            self.0.borrow_mut().push(step);
        }
        result
    }

    /// `ingredients[2].grams`, with this field before it.
    pub(super) fn after(&self, field: &str) -> String {
        let mut path = field.to_owned();
        for step in self.0.borrow().iter().rev() {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Item(i) => path.push_str(&format!("[{i}]")),
            }
        }
        path
    }
}

type Fields = Option<&'static [&'static str]>;

/// Something of serde's (a deserializer, a visitor, a seed, an access) made strict.
pub(super) struct Strict<'t, T> {
    pub(super) inner: T,
    pub(super) trail: &'t Trail,
    fields: Fields,
    at: usize,
    key: Option<&'static str>,
}

impl<'t, T> Strict<'t, T> {
    pub(super) fn new(inner: T, trail: &'t Trail) -> Self {
        Strict { inner, trail, fields: None, at: 0, key: None }
    }

    fn with<U>(&self, inner: U) -> Strict<'t, U> {
        Strict::new(inner, self.trail)
    }

    fn of(inner: T, trail: &'t Trail, fields: &'static [&'static str]) -> Self {
        Strict { fields: Some(fields), ..Strict::new(inner, trail) }
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<'_, S> {
    type Value = S::Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Strict::new(d, self.trail))
    }
}

macro_rules! passed {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.with(visitor);
            self.inner.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<'_, D> {
    type Error = D::Error;

    passed! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_option deserialize_unit deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, v: V) -> Result<V::Value, D::Error> {
        let v = self.with(v);
        self.inner.deserialize_unit_struct(name, v)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, v: V) -> Result<V::Value, D::Error> {
        if name.starts_with('$') {
            return self.inner.deserialize_newtype_struct(name, v); // serde_json's raw values
        }
        let v = self.with(v);
        self.inner.deserialize_newtype_struct(name, v)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, v: V) -> Result<V::Value, D::Error> {
        let v = self.with(v);
        self.inner.deserialize_tuple(len, v)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        v: V,
    ) -> Result<V::Value, D::Error> {
        let v = self.with(v);
        self.inner.deserialize_tuple_struct(name, len, v)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, D::Error> {
        let v = Strict::of(v, self.trail, fields);
        self.inner.deserialize_struct(name, fields, v)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, D::Error> {
        let v = self.with(v);
        self.inner.deserialize_enum(name, variants, v)
    }
}

macro_rules! visited {
    ($($method:ident($t:ty))*) => {
        $(fn $method<E: Error>(self, value: $t) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visited! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128) visit_f64(f64)
        visit_char(char) visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Strict::new(d, self.trail))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Strict::new(d, self.trail))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, a: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Strict::new(a, self.trail))
    }
    fn visit_map<A: MapAccess<'de>>(self, a: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Strict { fields: self.fields, ..Strict::new(a, self.trail) })
    }
    fn visit_enum<A: EnumAccess<'de>>(self, a: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Strict::new(a, self.trail))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<'_, A> {
    type Error = A::Error;
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let step = Step::Item(self.at);
        self.at += 1;
        let seed = self.with(seed);
        let result = self.inner.next_element_seed(seed);
        self.trail.left(Some(step), result)
    }
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<'_, A> {
    type Error = A::Error;
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(fields) = self.fields else { return self.inner.next_key_seed(seed) };
        self.key = None;
        self.inner.next_key_seed(KnownKey { seed, fields, found: &mut self.key })
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let step = self.key.map(Step::Field);
        let seed = self.with(seed);
        let result = self.inner.next_value_seed(seed);
        self.trail.left(step, result)
    }
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// A key that must be one of a struct's fields.
pub(super) struct KnownKey<'k, S> {
    pub(super) seed: S,
    pub(super) fields: &'static [&'static str],
    pub(super) found: &'k mut Option<&'static str>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for KnownKey<'_, S> {
    type Value = S::Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<S::Value, D::Error> {
        d.deserialize_identifier(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for KnownKey<'_, S> {
    type Value = S::Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<S::Value, E> {
        match self.fields.iter().find(|field| **field == name) {
            Some(field) => *self.found = Some(field),
            None => return Err(E::unknown_field(name, self.fields)),
        }
        self.seed.deserialize(StrDeserializer::new(name))
    }
}

impl<'t, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<'t, A> {
    type Error = A::Error;
    type Variant = Strict<'t, A::Variant>;
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let trail = self.trail;
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Strict::new(variant, trail)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<'_, A> {
    type Error = A::Error;
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, v: V) -> Result<V::Value, A::Error> {
        let v = self.with(v);
        self.inner.tuple_variant(len, v)
    }
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], v: V) -> Result<V::Value, A::Error> {
        let v = Strict::of(v, self.trail, fields);
        self.inner.struct_variant(fields, v)
    }
}
