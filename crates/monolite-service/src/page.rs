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
