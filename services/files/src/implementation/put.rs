//! The content of a file, on its way in.
//!
//! **Invariants**
//! - All that can be refused before the first byte is refused before the first byte.
//! - The hash is computed here, beside the writer; the write only keeps it.

use super::Config;
use super::append::AppendPiece;
use super::rows::Row;
use super::running_hash::RunningHash;
use super::turns::Turns;
use crate::contract::{FileById, FileId, PutContent};
use monolite_service::{Bytes, Error, Failure, Flow, Outcome, Pieces, Refused, Snapshot, Upload, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a content stands.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct Standing {
    id: FileId,
}

message!(Standing => Stands);

/// What one must know to go on with a content.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Stands {
    value: u64,
    size: Option<u64>,
    received: u64,
    complete: bool,
    hash: Vec<u8>,
}

pub(super) fn standing(s: &Snapshot<'_>, m: &Standing) -> Outcome<Standing> {
    let Row { value, size, received, complete, hash, .. } = Row::of(s, m.id)?;
    Ok(Stands { value, size, received, complete, hash })
}

pub(super) async fn put(
    f: Flow,
    m: PutContent,
    mut upload: Upload,
    config: Config,
    turns: Turns,
) -> Outcome<PutContent> {
    let stands = f.call(Standing { id: m.id }).await?;
    let most = fits(&m, &stands, upload.length(), &config)?;
    let mut hash = RunningHash::taken_up(&stands.hash, stands.received)
        .ok_or_else(|| Failure::internal("the running hash of a file does not fit its length"))?;
    let is_end = m.upload_complete.unwrap_or(true);
    let (size, value) = (stands.size.or(m.upload_length), stands.value);
    let (mut received, mut is_done) = (stands.received, false);
    while !is_done {
        let piece = upload.piece(Pieces::room(received)).await?;
        if piece.is_none() && !is_end {
            break;
        }
        // Of an upload that says its length the last piece is known, and completes the file.
        is_done = is_end && upload.length().is_none_or(|l| received + len(&piece) - stands.received == l);
        is_done &= piece.is_none() || upload.length().is_some();
        let bytes = piece.unwrap_or_default();
        let offset = received;
        received += bytes.len() as u64;
        if received > most {
            return Err(Refused::too_large(most).into());
        }
        hash.update(&bytes);
        let hash = if is_done { hash.clone().finished() } else { hash.saved() };
        let turn = turns.take(f.caller().tenant()).await;
        let append = AppendPiece { id: m.id, value, offset, size, hash, complete: is_done };
        let appended = f.call_with(append, bytes).await?;
        drop(turn);
        if appended.other_hash {
            return Err(Refused::conflict("other_sha256").into());
        }
    }
    f.call(FileById { id: m.id }).await
}

fn len(piece: &Option<Bytes>) -> u64 {
    piece.as_ref().map_or(0, |bytes| bytes.len() as u64)
}

/// Refuses what cannot go on from where the content stands; answers the most bytes that the content may have.
fn fits(m: &PutContent, stands: &Stands, length: Option<u64>, config: &Config) -> Result<u64, Error> {
    if stands.complete {
        return Err(Refused::conflict("upload_complete").into());
    }
    if m.upload_offset.unwrap_or(0) != stands.received {
        return Err(Refused::conflict("other_upload_offset").into());
    }
    let declared = stands.size.or(m.upload_length);
    if m.upload_length.is_some() && m.upload_length != declared {
        return Err(Refused::invalid("upload_length", "is not the size that was declared").into());
    }
    let most = declared.unwrap_or(config.bytes_max);
    if most > config.bytes_max {
        return Err(Refused::too_large(config.bytes_max).into());
    }
    let Some(end) = length.map(|length| stands.received.saturating_add(length)) else { return Ok(most) };
    if end > most {
        return Err(Refused::too_large(most).into());
    }
    if m.upload_complete != Some(false) && declared.is_some_and(|size| size != end) {
        return Err(Refused::invalid("upload_length", "is not the size that was declared").into());
    }
    Ok(most)
}
