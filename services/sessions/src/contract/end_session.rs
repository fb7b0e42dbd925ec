//! End one session.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SessionId;

/// Ends a session, at once. Somebody else's is not found, but by admins.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EndSession {
    /// Which.
    pub id: SessionId,
}

message!(EndSession => ());
