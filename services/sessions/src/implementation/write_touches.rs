//! Writes behind which sessions were seen: one write a second, more only for more than [`BATCH_MAX`] sessions.
//!
//! **Invariants**
//! - A touch never moves `last_seen_at` back, and never brings an ended session back.
//! - What could not be written waits for the next second.

use std::sync::Arc;

use monolite_service::{Flow, Outcome, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::touches::{Touch, Touches};

pub(super) const TOUCH: &str = "UPDATE sessions SET last_seen_at = ?2 WHERE token_hash = ?1 AND last_seen_at < ?2";

/// Sessions in one write, so that a crowd of them does not keep the writer from others for long: 4,096 at once took 48 ms
/// among 100,000. A round of more is several writes.
const BATCH_MAX: usize = 512;

/// Time to write which sessions were seen.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct WriteTouches {}

/// The sessions that were seen, and when.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct TouchSessions {
    pub(super) touches: Vec<Touch>,
}

message!(WriteTouches => ());
message!(TouchSessions => ());

pub(super) async fn write_touches(f: Flow, _: WriteTouches, touches: Arc<Touches>) -> Outcome<WriteTouches> {
    let taken = touches.take();
    let mut left = &taken[..];
    while !left.is_empty() {
        let (batch, rest) = left.split_at(left.len().min(BATCH_MAX));
        if let Err(failed) = f.call(TouchSessions { touches: batch.to_vec() }).await {
            touches.put_back(left);
            return Err(failed);
        }
        left = rest;
    }
    Ok(())
}

pub(super) fn touch_sessions(tx: &Tx<'_>, m: TouchSessions) -> Outcome<TouchSessions> {
    for (token, at) in &m.touches {
        tx.run(TOUCH, params![token.as_bytes(), at])?;
    }
    Ok(())
}
