//! Show a user.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{User, UserId};

/// One user. Somebody else's id is not found, but by admins.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserById {
    /// Whom.
    pub id: UserId,
}

message!(UserById => User, version |user| user.version);
