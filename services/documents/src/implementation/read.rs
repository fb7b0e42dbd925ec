//! One document, whole.

use super::may;
use crate::contract::{Document, DocumentById, DocumentId};
use monolite_service::{Json, Millis, Outcome, Refused, Snapshot, UserId};
use serde::Deserialize;

// One statement for a document of up to 64 KiB; a larger one's text is fetched only after the gate.
const HEAD: &str = "SELECT owner_id, key, title, version, created_at, changed_at, octet_length(body) AS bytes,
        CASE WHEN octet_length(body) <= 65536 THEN body END AS body
    FROM documents WHERE id = ?";
const BODY: &str = "SELECT body FROM documents WHERE id = ?";

#[derive(Deserialize)]
struct Head {
    owner_id: UserId,
    key: Option<String>,
    title: Option<String>,
    version: u64,
    created_at: Millis,
    changed_at: Millis,
    bytes: u64,
    body: Option<Json>,
}

pub(super) fn by_id(s: &Snapshot<'_>, m: &DocumentById) -> Outcome<DocumentById> {
    let head: Option<Head> = s.one(HEAD, [m.id])?;
    let Head { owner_id, key, title, version, created_at, changed_at, bytes, body } =
        head.filter(|h| may(s, h.owner_id)).ok_or_else(|| Refused::not_found("document"))?;
    let body = match body {
        Some(body) => body,
        None => large(s, m.id, bytes)?,
    };
    Ok(Document { id: m.id, owner_id, key, title, version, created_at, changed_at, body })
}

fn large(s: &Snapshot<'_>, id: DocumentId, bytes: u64) -> Result<Json, monolite_service::Error> {
    s.gate(bytes)?;
    s.one(BODY, [id])?.ok_or_else(|| Refused::not_found("document").into())
}
