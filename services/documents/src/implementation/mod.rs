//! The implementation: Documents.db and the functions that answer the contract.
//!
//! **Invariants**
//! - A document, its words and its title's terms change in one transaction, or not at all.
//! - What the caller may not see answers as what does not exist.
//! - A user's text reaches SQL as a bound value, and the words' index only after it was folded to letters and digits.

mod import;
mod list;
mod owned_words;
mod put;
mod read;
mod remove;
mod search;
mod suggest;
mod terms;

use crate::contract::{CreateDocument, DOCUMENT_BYTES_MAX, ImportDocuments, ReplaceDocument};
use monolite_service::{DELETE, Failure, GET, POST, PUT, Refused, Service, SignedIn, Snapshot, Tx, UserId, migrations};

/// What a server may set.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest document, in bytes.
    pub document_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { document_bytes_max: DOCUMENT_BYTES_MAX }
    }
}

/// The service with the default limits.
pub fn service() -> Service {
    service_with(Limits::default())
}

/// The service.
pub fn service_with(limits: Limits) -> Service {
    let bytes_max = limits.document_bytes_max;
    Service::new("Documents", migrations![quick "../../migrations/0001_documents.sql"])
        .write(move |tx: &Tx<'_>, m: CreateDocument| put::create(tx, m, bytes_max))
        .at(POST, "/documents", SignedIn)
        .creates("/documents/{id}")
        .body(bytes_max)
        .read(list::by_owner)
        .at(GET, "/documents", SignedIn)
        .read(search::search)
        .at(GET, "/documents/search", SignedIn)
        .read(suggest::suggest)
        .at(GET, "/documents/suggest", SignedIn)
        .read(read::by_id)
        .at(GET, "/documents/{id}", SignedIn)
        .write(move |tx: &Tx<'_>, m: ReplaceDocument| put::replace(tx, m, bytes_max))
        .at(PUT, "/documents/{id}", SignedIn)
        .body(bytes_max)
        .write(remove::delete)
        .at(DELETE, "/documents/{id}", SignedIn)
        .write(move |tx: &Tx<'_>, m: ImportDocuments| import::import(tx, m, bytes_max))
}

/// Whether the caller may see and change what this user owns.
fn may(s: &Snapshot<'_>, owner: UserId) -> bool {
    s.caller().user() == Some(owner) || s.caller().has_role("admin")
}

/// Whose documents a call is about: the caller's own, or those of the user that an admin names.
fn whose(s: &Snapshot<'_>, named: Option<UserId>) -> Result<UserId, monolite_service::Error> {
    match named {
        None => Ok(s.user()?),
        Some(owner) if may(s, owner) => Ok(owner),
        Some(_) => Err(Refused::forbidden("only an admin may name another owner").into()),
    }
}

type Result<T, E = Failure> = std::result::Result<T, E>;
