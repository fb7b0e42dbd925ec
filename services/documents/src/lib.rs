//! Documents: JSON of any shape, found again by id, by the owner's own key, by its words, by its title.
//!
//! A document belongs to the user who created it; only the owner and admins see it, for all others it does not exist.
//! The JSON is kept as the text that came in. Its string values are indexed for full-text search in the same
//! transaction, so a document is found as soon as its creation is answered.
//!
//! ```text
//! POST   /documents?title=&key=      create, or replace the caller's document with this key
//! GET    /documents                  the caller's documents, newest first
//! GET    /documents/{id}             one document
//! PUT    /documents/{id}?title=      replace its JSON (`If-Match` refuses where it has changed since)
//! DELETE /documents/{id}
//! GET    /documents/search?q=        ranked full-text search; the last word may be unfinished
//! GET    /documents/suggest?prefix=  completions of the last word from the caller's titles
//! ```
//!
//! Absent on purpose: versions of the past, sharing between users, queries into the JSON.

#![warn(clippy::too_many_lines)]

mod contract;
mod implementation;
pub mod words;

pub use contract::*;
pub use implementation::{Limits, service, service_with};
