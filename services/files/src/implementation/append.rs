//! One piece of a content.
//!
//! **Invariants**
//! - It is kept only where the content stands where the sender believes; else nothing changes.
//! - A complete content has the size and the hash that were declared; one with another hash is dropped, and may come again.

use super::create::{has_room, next_number};
use super::rows::{self, Row};
use super::running_hash::RunningHash;
use super::{Config, PIECES};
use crate::contract::FileId;
use monolite_service::{Bytes, Outcome, Refused, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Appends these bytes to a content.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct AppendPiece {
    pub(super) id: FileId,
    /// The content that the sender means; it may have been dropped meanwhile.
    pub(super) value: u64,
    pub(super) offset: u64,
    pub(super) size: Option<u64>,
    /// The running hash with these bytes; of the last ones, the SHA-256 of all.
    pub(super) hash: Vec<u8>,
    /// These are the last ones.
    pub(super) complete: bool,
}

message!(AppendPiece => Appended);

/// What became of it.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Appended {
    /// The content has another hash than was declared, and was dropped.
    pub(super) other_hash: bool,
}

pub(super) fn append(tx: &Tx<'_>, m: AppendPiece, bytes: &Bytes, config: &Config) -> Outcome<AppendPiece> {
    let row = Row::of(tx, m.id)?;
    if row.complete || row.value != m.value || row.received != m.offset {
        return Err(Refused::conflict("other_upload_offset").into());
    }
    let (received, size) = (row.received + bytes.len() as u64, row.size.or(m.size));
    if size.is_some_and(|size| received > size) {
        return Err(Refused::too_large(size.unwrap_or(0)).into());
    }
    if m.complete && size.is_some_and(|size| received != size) {
        return Err(Refused::conflict("other_size").into());
    }
    let added = size.unwrap_or(received).saturating_sub(row.size.unwrap_or(row.received));
    if added > 0 {
        has_room(tx, row.owner_id, 0, added, config)?;
    }
    if m.complete && row.expected.as_ref().is_some_and(|expected| *expected != m.hash) {
        tx.run(rows::REMOVING, [row.value])?;
        let again = params![m.id, RunningHash::new().saved(), next_number(tx)?, tx.now()];
        tx.run(rows::RESTARTED, again)?;
        return Ok(Appended { other_hash: true });
    }
    if !bytes.is_empty() {
        PIECES.append(tx.store(), row.value, row.received, bytes)?;
    }
    if m.complete {
        tx.run(rows::COMPLETED, params![m.id, received, m.hash, tx.now()])?;
    } else {
        tx.run(rows::APPENDED, params![m.id, received, size, m.hash, tx.now()])?;
    }
    Ok(Appended { other_hash: false })
}
