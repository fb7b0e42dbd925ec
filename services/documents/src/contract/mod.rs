//! The contract: what can be asked of Documents, and what it answers.
//!
//! **Invariants**
//! - No SQL here. Bounds are constants, checked before a message is queued.

mod document;
mod import;
mod lists;
mod prepared;
mod search;

pub use document::{CreateDocument, DeleteDocument, Document, DocumentById, DocumentId, ReplaceDocument, Stored};
pub use import::{ImportDocuments, ImportReport, Imported, NewDocument};
pub use lists::{DocumentsByOwner, Line};
pub use prepared::Prepared;
pub use search::{DocumentSearch, FOUND_MAX, Found, Order, SUGGESTIONS_MAX, Suggestion, Suggestions, TitleSuggestions};

use crate::words::Scanned;
use monolite_service::Check;
use std::ops::RangeInclusive;

/// The largest document unless the server says otherwise, in bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// The deepest nesting of a document.
pub const DEPTH_MAX: usize = 128;
/// The length of an owner's own key, in bytes.
pub const KEY_BYTES: RangeInclusive<usize> = 1..=512;
/// The longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 1024;
/// The longest text that can be searched for or completed, in bytes.
pub const QUERY_BYTES_MAX: usize = 256;
/// Most documents in one import message: about 5 ms of writer time.
pub const IMPORT_DOCUMENTS_MAX: usize = 128;
/// Most bytes of JSON in one import message beyond its first document.
pub const IMPORT_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with a document's title, key and JSON, by field.
fn problems(title: Option<&str>, key: Option<&str>, scanned: &Scanned) -> Vec<(&'static str, &'static str)> {
    let mut wrong = Vec::new();
    if title.is_some_and(|t| t.len() > TITLE_BYTES_MAX) {
        wrong.push(("title", "is longer than 1024 bytes"));
    }
    if key.is_some_and(|k| !KEY_BYTES.contains(&k.len())) {
        wrong.push(("key", "must have 1 to 512 bytes"));
    }
    if scanned.depth > DEPTH_MAX {
        wrong.push(("body", "nests deeper than 128 levels"));
    }
    wrong
}

fn note(check: &mut Check, wrong: &[(&'static str, &'static str)]) {
    for (field, why) in wrong {
        check.field(field, false, why);
    }
}
