//! Finds the session of a token; on the way of every authenticated request.

use std::time::Duration;

use monolite_service::{Millis, Outcome, Snapshot, UserId, params};
use serde::Deserialize;

use super::Config;
use super::touches::Touches;
use crate::{Grant, SessionId, SessionOfToken};

pub(super) const GRANT: &str =
    "SELECT id, user_id, credentials_version, last_seen_at, expires_at FROM sessions WHERE token_hash = ?";

/// A session seen this long ago is not touched again: a busy one then needs no lock on most of its requests.
const TOUCH_AFTER: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Row {
    id: SessionId,
    user_id: UserId,
    credentials_version: u64,
    last_seen_at: Millis,
    expires_at: Millis,
}

/// Noting the touch is the one effect of a read here; it may be noted twice, or for a session that ended meanwhile,
/// and neither changes anything.
pub(super) fn session_of_token(
    s: &Snapshot<'_>,
    m: &SessionOfToken,
    config: &Config,
    touches: &Touches,
) -> Outcome<SessionOfToken> {
    let Some(row) = s.one::<Row>(GRANT, params![m.token.as_bytes()])? else { return Ok(None) };
    let now = s.now();
    let idle_since = config.idle_since(now);
    // What waits to be written counts too, but is looked at only where it decides: it may wait long on a full disk.
    let idle = row.last_seen_at <= idle_since && touches.of(&m.token).is_none_or(|seen| seen <= idle_since);
    if idle || row.expires_at <= now {
        return Ok(None);
    }
    if now.since(row.last_seen_at) >= TOUCH_AFTER {
        touches.note(m.token, now);
    }
    Ok(Some(Grant { session: row.id, user: row.user_id, credentials_version: row.credentials_version }))
}
