//! A row as serde sees it: a struct or map by column name, a tuple by position, or its single column.

use super::Columns;
use super::value::{RAW_VALUE, ValueReader};
use super::wrong::Wrong;
use monolite_store::rusqlite::Row;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Reads one row.
pub(super) struct RowReader<'a, 's> {
    row: &'a Row<'s>,
    columns: Columns,
    count: usize,
}

impl<'a, 's> RowReader<'a, 's> {
    pub(super) fn new(row: &'a Row<'s>, columns: Columns) -> Self {
        RowReader { row, columns, count: row.as_ref().column_count() }
    }

    fn name(&self, i: usize) -> &'a str {
        self.row.as_ref().column_name(i).unwrap_or("?")
    }

    fn value(&self, i: usize) -> Result<ValueReader<'a>, Wrong> {
        self.row.get_ref(i).map(ValueReader).map_err(|e| Wrong::new(e.to_string()))
    }

    fn single(&self) -> Result<ValueReader<'a>, Wrong> {
        if self.count != 1 {
            let names: Vec<_> = (0..self.count).map(|i| self.name(i)).collect();
            return Err(Wrong::new(format!("one value was asked for, the columns are {}", names.join(", "))));
        }
        self.value(0)
    }

    /// Columns and fields are the same set; in the same order they are compared one by one.
    fn compare(&self, type_name: &str, fields: &[&str]) -> Result<(), Wrong> {
        if self.count == fields.len() && (0..self.count).all(|i| self.name(i) == fields[i]) {
            return Ok(());
        }
        let has_column = |field: &str| (0..self.count).any(|i| self.name(i) == field);
        for i in 0..self.count {
            let name = self.name(i);
            if !fields.contains(&name) {
                return Err(Wrong::new(format!("the column `{name}` has no field in {type_name}")));
            }
            if (0..i).any(|j| self.name(j) == name) {
                return Err(Wrong::new(format!("two columns `{name}`")));
            }
        }
        match fields.iter().find(|field| !has_column(field)) {
            Some(field) => Err(Wrong::new(format!("no column for the field `{field}` of {type_name}"))),
            None => Ok(()),
        }
    }
}

macro_rules! by_single_column {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.single()?.$method(visitor).map_err(|e| e.in_column(self.name(0)))
        })*
    };
}

impl<'de> Deserializer<'de> for RowReader<'de, '_> {
    type Error = Wrong;

    by_single_column! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.count == 1 { self.single()?.deserialize_any(visitor) } else { self.deserialize_map(visitor) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if self.columns == Columns::Unseen {
            self.compare(name, fields)?;
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(ColumnsInOrder { row: self, next: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Wrong> {
        if self.count == 1 && len != 1 {
            return self.single()?.deserialize_tuple(len, visitor).map_err(|e| e.in_column(self.name(0)));
        }
        if self.count != len {
            return Err(Wrong::new(format!("{len} columns were asked for, there are {}", self.count)));
        }
        visitor.visit_seq(ColumnsInOrder { row: self, next: 0 })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.count == 1 {
            return self.single()?.deserialize_seq(visitor).map_err(|e| e.in_column(self.name(0)));
        }
        visitor.visit_seq(ColumnsInOrder { row: self, next: 0 })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        if name == RAW_VALUE {
            return self.single()?.deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.count == 1 && self.single()?.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.single()?.deserialize_enum(name, variants, visitor).map_err(|e| e.in_column(self.name(0)))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }
}

/// The columns of a row, one after another, with or without their names.
struct ColumnsInOrder<'a, 's> {
    row: RowReader<'a, 's>,
    next: usize,
}

impl<'de> ColumnsInOrder<'de, '_> {
    fn take<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let i = self.next;
        self.next += 1;
        seed.deserialize(self.row.value(i)?).map_err(|e| e.in_column(self.row.name(i)))
    }
}

impl<'de> MapAccess<'de> for ColumnsInOrder<'de, '_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        if self.next == self.row.count {
            return Ok(None);
        }
        seed.deserialize(StrDeserializer::new(self.row.name(self.next))).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        self.take(seed)
    }
}

impl<'de> SeqAccess<'de> for ColumnsInOrder<'de, '_> {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        if self.next == self.row.count {
            return Ok(None);
        }
        self.take(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.row.count - self.next)
    }
}
