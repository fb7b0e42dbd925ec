//! Removes expired sessions, a batch at a time, by walking round the table.
//!
//! Walking needs no index on the times, of which one changes with every touch. An expired session that still lies
//! there grants nothing: the look-up by token checks the times itself.
//!
//! **Invariants**
//! - One batch looks at [`BATCH_MAX`] sessions at most.
//! - Nobody is removed as idle while touches wait longer than their second: the file may not know of their use yet.
//! - Where the walk stands is in memory and may be wrong (a write may run twice): it only decides what is looked at next.

use std::sync::{Arc, Mutex, PoisonError};

use monolite_service::{Outcome, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::touches::Touches;

pub(super) const BATCH: &str = "SELECT max(token_hash) AS last FROM \
     (SELECT token_hash FROM sessions WHERE token_hash > ?1 ORDER BY token_hash LIMIT ?2)";
pub(super) const PRUNE: &str =
    "DELETE FROM sessions WHERE token_hash > ?1 AND token_hash <= ?2 AND (expires_at <= ?3 OR last_seen_at <= ?4)";

/// Sessions looked at in one batch: some 100 microseconds of the writer's time.
const BATCH_MAX: u32 = 512;

/// Where the walk stands: the hash of the last token it looked at, empty at the beginning.
pub(super) type Pruner = Arc<Mutex<Vec<u8>>>;

/// Time to remove a batch of expired sessions.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct PruneSessions {}

message!(PruneSessions => ());

pub(super) fn prune_sessions(
    tx: &Tx<'_>,
    _: PruneSessions,
    config: &Config,
    touches: &Touches,
    pruner: &Pruner,
) -> Outcome<PruneSessions> {
    if touches.behind() {
        return Ok(());
    }
    let mut walked = pruner.lock().unwrap_or_else(PoisonError::into_inner);
    let last: Option<Vec<u8>> = tx.store().query_row(BATCH, params![*walked, BATCH_MAX], |row| row.get(0))?;
    let Some(last) = last else {
        walked.clear(); // past the end: begin again next time
        return Ok(());
    };
    let now = tx.now();
    tx.run(PRUNE, params![*walked, last, now, config.prunable_since(now)])?;
    *walked = last;
    Ok(())
}
