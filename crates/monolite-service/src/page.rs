//! Pages: lists by key, never by offset, and without a count.
//!
//! **Invariants**
//! - A page begins strictly after the last row of the page before it, whatever was inserted or removed meanwhile.
//! - A cursor fits only the query that made it; any other text is refused, never guessed at.

use crate::cursor;
use crate::failure::Failure;
use crate::query::{Query, value_of};
use crate::refusal::FieldError;
use crate::rows;
use crate::snapshot::Snapshot;
use monolite_store::rusqlite::params_from_iter;
use monolite_store::rusqlite::types::Value;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Rows of a page where the caller does not say.
pub const PAGE_DEFAULT: u32 = 50;
/// Most rows of a page.
pub const PAGE_MAX: u32 = 200;

/// Which page of a list is asked for. At the edge it is filled from `limit` and `cursor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageOf {
    /// Most items to answer with; 50 unless given, 200 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of the page before; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl PageOf {
    /// The first so many items.
    pub fn first(limit: u32) -> Self {
        PageOf { limit: Some(limit), cursor: None }
    }

    /// The page of the same size after a cursor.
    pub fn after(&self, cursor: impl Into<String>) -> Self {
        PageOf { limit: self.limit, cursor: Some(cursor.into()) }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// The cursor of the next page; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page with other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// One key of a page's order.
struct Key<'k> {
    /// As in the statement, qualified if need be: `r.title`.
    expression: &'k str,
    /// The column's name in the row.
    column: &'k str,
    descends: bool,
}

impl<'k> Key<'k> {
    fn parse(text: &'k str) -> Self {
        let lower = text.to_ascii_lowercase();
        let (expression, descends) = match text.len().checked_sub(5).filter(|at| lower[*at..] == *" desc") {
            Some(at) => (&text[..at], true),
            None => (text, false),
        };
        Key { expression, column: expression.rsplit('.').next().unwrap_or(expression), descends }
    }

    fn beyond(&self) -> &'static str {
        if self.descends { "<" } else { ">" }
    }
}

pub(crate) fn read<T: DeserializeOwned>(
    snapshot: &Snapshot<'_>,
    query: Query,
    keys: &[&str],
    of: &PageOf,
) -> Result<Page<T>, Failure> {
    let limit = limit(of)?;
    let keys: Vec<_> = keys.iter().map(|k| Key::parse(k)).collect();
    if let Some(wrong) = query.wrong {
        return Err(Failure::internal(format!("a value cannot be bound: {wrong}")));
    }
    let (mut text, mut values) = (query.text, query.values);
    let made_by = keys.iter().fold(cursor::sum(0, text.as_bytes()), |sum, key| {
        cursor::sum(sum, key.expression.as_bytes()).wrapping_add(u64::from(key.descends))
    });
    if let Some(cursor) = &of.cursor {
        let after = cursor::decode(made_by, cursor).filter(|after| after.len() == keys.len());
        let after = after.ok_or_else(|| wrong("cursor", "is not a cursor of this list"))?;
        push_after(&mut text, &keys, values.len());
        values.extend(after);
    }
    push_order(&mut text, &keys, limit + 1);
    rows_of(snapshot, &text, values, &keys, limit, made_by)
}

fn rows_of<T: DeserializeOwned>(
    snapshot: &Snapshot<'_>,
    text: &str,
    values: Vec<Value>,
    keys: &[Key<'_>],
    limit: u32,
    made_by: u64,
) -> Result<Page<T>, Failure> {
    let mut statement = snapshot.prepare_composed(text)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = Vec::new();
    let mut columns = rows::Columns::Unseen;
    while let Some(row) = rows.next()? {
        if page.items.len() == limit as usize {
            page.next = Some(cursor::encode(made_by, &last).ok_or_else(null_key)?);
            break;
        }
        page.items.push(rows::read(row, columns)?);
        columns = rows::Columns::Known;
        if page.items.len() == limit as usize {
            for key in keys {
                let value = row.get_ref(key.column).map_err(|_| no_key_column(key))?;
                last.push(value_of(value));
            }
        }
    }
    Ok(page)
}

fn limit(of: &PageOf) -> Result<u32, Failure> {
    match of.limit {
        None => Ok(PAGE_DEFAULT),
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(wrong("limit", &format!("must be 1 to {PAGE_MAX}"))),
    }
}

/// `AND (a, b) > (?3, ?4)`; where directions differ, `AND (a > ?3 OR (a = ?3 AND b < ?4))`.
fn push_after(text: &mut String, keys: &[Key<'_>], bound: usize) {
    let place = |i: usize| format!("?{}", bound + i + 1);
    if keys.iter().all(|k| k.descends == keys[0].descends) {
        let names: Vec<_> = keys.iter().map(|k| k.expression).collect();
        let places: Vec<_> = (0..keys.len()).map(place).collect();
        let _ = write!(text, " AND ({}) {} ({})", names.join(", "), keys[0].beyond(), places.join(", "));
        return;
    }
    let alternatives: Vec<_> = (0..keys.len())
        .map(|n| {
            let mut all: Vec<_> = (0..n).map(|i| format!("{} = {}", keys[i].expression, place(i))).collect();
            all.push(format!("{} {} {}", keys[n].expression, keys[n].beyond(), place(n)));
            format!("({})", all.join(" AND "))
        })
        .collect();
    let _ = write!(text, " AND ({})", alternatives.join(" OR "));
}

fn push_order(text: &mut String, keys: &[Key<'_>], limit: u32) {
    text.push_str(" ORDER BY ");
    for (i, key) in keys.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let direction = if key.descends { " DESC" } else { "" };
        let _ = write!(text, "{comma}{}{direction}", key.expression);
    }
    let _ = write!(text, " LIMIT {limit}");
}

fn wrong(field: &str, what: &str) -> Failure {
    Failure::invalid(vec![FieldError::new(field, what)])
}

fn null_key() -> Failure {
    Failure::internal("a key of a page is NULL; page by columns that are NOT NULL")
}

fn no_key_column(key: &Key<'_>) -> Failure {
    Failure::internal(format!("the key `{}` of a page is not among the query's columns", key.column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(keys: &[&str]) -> String {
        let keys: Vec<_> = keys.iter().map(|k| Key::parse(k)).collect();
        let mut text = String::new();
        push_after(&mut text, &keys, 2);
        push_order(&mut text, &keys, 11);
        text
    }

    #[test]
    fn keys_of_one_direction_are_compared_as_a_row() {
        assert_eq!(after(&["title", "id"]), " AND (title, id) > (?3, ?4) ORDER BY title, id LIMIT 11");
        assert_eq!(after(&["at desc", "r.id DESC"]), " AND (at, r.id) < (?3, ?4) ORDER BY at DESC, r.id DESC LIMIT 11");
    }

    #[test]
    fn keys_of_two_directions_are_compared_one_by_one() {
        let expected = " AND ((at < ?3) OR (at = ?3 AND id > ?4)) ORDER BY at DESC, id LIMIT 11";
        assert_eq!(after(&["at desc", "id"]), expected);
    }

    #[test]
    fn a_limit_has_bounds() {
        assert_eq!(limit(&PageOf::default()).unwrap(), PAGE_DEFAULT);
        assert_eq!(limit(&PageOf::first(PAGE_MAX)).unwrap(), PAGE_MAX);
        for bad in [0, PAGE_MAX + 1] {
            assert_eq!(limit(&PageOf::first(bad)).unwrap_err().fields()[0].field, "limit");
        }
    }
}
