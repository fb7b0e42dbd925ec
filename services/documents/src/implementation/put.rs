//! Storing: a new document, or new content for one that is there.

use super::{Result, may, owned_words, terms};
use crate::contract::{CreateDocument, DocumentId, NewDocument, ReplaceDocument, Stored};
use monolite_service::{Error, Outcome, Refused, Tx, UserId};
use serde::Deserialize;

const BY_ID: &str = "SELECT seq, id, owner_id, title, version FROM documents WHERE id = ?";
const BY_KEY: &str = "SELECT seq, id, owner_id, title, version FROM documents WHERE owner_id = ? AND key = ?";
const INSERT: &str = "INSERT INTO documents (id, owner_id, key, title, version, created_at, changed_at, body)
    VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?6)";
const UPDATE: &str = "UPDATE documents SET title = ?2, version = ?3, changed_at = ?4, body = ?5 WHERE seq = ?1";

/// What is there of a document, but for its JSON.
#[derive(Deserialize)]
pub(super) struct Present {
    pub(super) seq: i64,
    pub(super) id: DocumentId,
    pub(super) owner_id: UserId,
    pub(super) title: Option<String>,
    pub(super) version: u64,
}

/// Whether a document was new.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    Absent,
    Present,
}

pub(super) fn create(tx: &Tx<'_>, m: CreateDocument, bytes_max: u64) -> Outcome<CreateDocument> {
    let document = NewDocument { title: m.title, key: m.key, body: m.body, prepared: m.prepared };
    fits(&document, bytes_max)?;
    Ok(put(tx, tx.user()?, &document)?.0)
}

pub(super) fn replace(tx: &Tx<'_>, m: ReplaceDocument, bytes_max: u64) -> Outcome<ReplaceDocument> {
    let present = expected(tx, m.id, m.if_match)?;
    let title = m.title.or_else(|| present.title.clone());
    let document = NewDocument { title, key: None, body: m.body, prepared: m.prepared };
    fits(&document, bytes_max)?;
    Ok(overwrite(tx, &present, &document)?)
}

/// The document with this id, if the caller may have it and it is of the version that the caller expects.
pub(super) fn expected(tx: &Tx<'_>, id: DocumentId, if_match: Option<u64>) -> Result<Present, Error> {
    let present: Option<Present> = tx.one(BY_ID, [id])?;
    let present = present.filter(|p| may(tx, p.owner_id)).ok_or_else(|| Refused::not_found("document"))?;
    if if_match.is_some_and(|version| version != present.version) {
        return Err(Refused::stale().into());
    }
    Ok(present)
}

pub(super) fn fits(document: &NewDocument, bytes_max: u64) -> Result<(), Error> {
    if document.body.as_str().len() as u64 > bytes_max { Err(Refused::too_large(bytes_max).into()) } else { Ok(()) }
}

/// Stores a document of an owner, over the one with the same key if there is one.
pub(super) fn put(tx: &Tx<'_>, owner: UserId, document: &NewDocument) -> Result<(Stored, Was)> {
    if let Some(key) = &document.key
        && let Some(present) = tx.one(BY_KEY, (owner, key))?
    {
        return Ok((overwrite(tx, &present, document)?, Was::Present));
    }
    let (id, title) = (tx.id(), document.title.as_deref());
    tx.run(INSERT, (id, owner, &document.key, title, tx.now(), document.body.as_str()))?;
    let seq = tx.store().last_insert_rowid();
    owned_words::add(tx, owner, seq, title, &document.prepared.of(&document.body).words)?;
    terms::add(tx, owner, title)?;
    Ok((Stored { id, version: 1 }, Was::Absent))
}

fn overwrite(tx: &Tx<'_>, present: &Present, document: &NewDocument) -> Result<Stored> {
    let (version, title) = (present.version + 1, document.title.as_deref());
    tx.run(UPDATE, (present.seq, title, version, tx.now(), document.body.as_str()))?;
    owned_words::remove(tx, present.seq)?;
    owned_words::add(tx, present.owner_id, present.seq, title, &document.prepared.of(&document.body).words)?;
    if present.title.as_deref() != title {
        terms::remove(tx, present.owner_id, present.title.as_deref())?;
        terms::add(tx, present.owner_id, title)?;
    }
    Ok(Stored { id: present.id, version })
}
