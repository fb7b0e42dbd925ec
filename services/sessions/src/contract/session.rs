//! A session as its user sees it.

use monolite_service::{Millis, UserId, Uuid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of a session. It names a session and grants nothing: that is the token's part.
pub type SessionId = Uuid;

/// A session. Never holds its token or its token's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When it began.
    pub created_at: Millis,
    /// When it was last used, to about two seconds.
    pub last_seen_at: Millis,
    /// When it ends at the latest.
    pub expires_at: Millis,
}
