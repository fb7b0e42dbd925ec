//! Rows of files, and the statements over them.

use super::{Config, may, no_file};
use crate::contract::{File, FileId};
use monolite_service::{Error, Millis, Snapshot, UserId};
use serde::Deserialize;
use std::fmt::Write;

pub(super) const BY_ID: &str =
    "SELECT id, owner_id, name, content_type, size, expected, received, complete, hash, value, created_at, touched_at
        FROM files WHERE id = ?";
pub(super) const INSERTED: &str = "INSERT INTO files (id, owner_id, name, content_type, size, expected, received, complete, hash, value, created_at, touched_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?8, ?9, ?9)";
pub(super) const NEXT_NUMBER: &str = "UPDATE numbers SET next = next + 1 WHERE one = 1 RETURNING next";
pub(super) const UNFINISHED_OF: &str = "SELECT count(*) AS files, ifnull(sum(ifnull(size, received)), 0) AS bytes FROM files WHERE owner_id = ? AND complete = 0";
pub(super) const APPENDED: &str = "UPDATE files SET received = ?2, size = ?3, hash = ?4, touched_at = ?5 WHERE id = ?1";
pub(super) const COMPLETED: &str =
    "UPDATE files SET received = ?2, size = ?2, hash = ?3, complete = 1, touched_at = ?4 WHERE id = ?1";
pub(super) const RESTARTED: &str =
    "UPDATE files SET received = 0, hash = ?2, value = ?3, touched_at = ?4 WHERE id = ?1";
pub(super) const DELETED: &str = "DELETE FROM files WHERE id = ?";
pub(super) const UNTOUCHED_SINCE: &str =
    "SELECT id, value FROM files WHERE complete = 0 AND touched_at <= ?1 ORDER BY touched_at LIMIT ?2";
pub(super) const REMOVING: &str = "INSERT INTO removals VALUES (?)";
pub(super) const REMOVAL: &str = "SELECT value FROM removals ORDER BY value LIMIT 1";
pub(super) const REMOVAL_DONE: &str = "DELETE FROM removals WHERE value = ?";

/// All statements of this service.
pub(super) const STATEMENTS: &[&str] = &[
    BY_ID,
    INSERTED,
    NEXT_NUMBER,
    UNFINISHED_OF,
    APPENDED,
    COMPLETED,
    RESTARTED,
    DELETED,
    UNTOUCHED_SINCE,
    REMOVING,
    REMOVAL,
    REMOVAL_DONE,
];

/// A file as its row has it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    pub(super) id: FileId,
    pub(super) owner_id: UserId,
    pub(super) name: String,
    pub(super) content_type: String,
    pub(super) size: Option<u64>,
    pub(super) expected: Option<Vec<u8>>,
    pub(super) received: u64,
    pub(super) complete: bool,
    pub(super) hash: Vec<u8>,
    pub(super) value: u64,
    pub(super) created_at: Millis,
    pub(super) touched_at: Millis,
}

impl Row {
    /// The row of a file that the caller may see.
    pub(super) fn of(s: &Snapshot<'_>, id: FileId) -> Result<Row, Error> {
        let row: Option<Row> = s.one(BY_ID, [id])?;
        Ok(row.filter(|row| may(s, row.owner_id)).ok_or_else(no_file)?)
    }

    /// What is told of it.
    pub(super) fn file(self, config: &Config) -> File {
        let hash = if self.complete { Some(self.hash) } else { self.expected };
        File {
            id: self.id,
            owner_id: self.owner_id,
            name: self.name,
            content_type: self.content_type,
            size: self.size,
            sha256: hash.map(|hash| hexadecimal(&hash)),
            received: self.received,
            complete: self.complete,
            created_at: self.created_at,
            expires_at: (!self.complete).then(|| config.expires_at(self.touched_at)),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
