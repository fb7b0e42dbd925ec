//! The content of a file, on its way out.

use super::PIECES;
use super::rows::Row;
use crate::contract::FileContent;
use monolite_service::{LargeBlob, Outcome, Progress, Snapshot};

/// A content never changes, so all of them have the same version.
const VERSION: u64 = 1;

pub(super) fn content(s: &Snapshot<'_>, m: &FileContent) -> Outcome<FileContent> {
    let row = Row::of(s, m.id)?;
    let progress = Progress { offset: row.received, complete: row.complete, length: row.size };
    let blob = LargeBlob::new(row.content_type, &PIECES, row.value, row.received);
    let blob = blob.attached(row.name).with_progress(progress);
    Ok(if row.complete { blob.with_version(VERSION) } else { blob })
}
