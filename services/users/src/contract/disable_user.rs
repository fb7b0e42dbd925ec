//! Disable a user.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{User, UserId};

/// Nobody signs in as this user any more, and their sessions end at once. Doing it again changes nothing. Refused as a
/// conflict `last_admin` if no active admin would be left.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DisableUser {
    /// Whom.
    pub id: UserId,
}

message!(DisableUser => User, version |user| user.version);
