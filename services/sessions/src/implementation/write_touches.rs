//! Writes behind which sessions were seen: one write a second.
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

/// Sessions in one write: some 10 ms of the writer's time. The rest waits for the next second.
const BATCH_MAX: usize = 4_096;

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
    let taken = touches.take(BATCH_MAX);
    if taken.is_empty() {
        return Ok(());
    }
    let written = f.call(TouchSessions { touches: taken.clone() }).await;
    if written.is_err() {
        touches.put_back(taken);
    }
    written
}

pub(super) fn touch_sessions(tx: &Tx<'_>, m: TouchSessions) -> Outcome<TouchSessions> {
    for (token, at) in &m.touches {
        tx.run(TOUCH, params![token.as_bytes(), at])?;
    }
    Ok(())
}
