//! Enable a disabled user again.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{User, UserId};

/// The user may sign in again; what sessions they had stay ended. For admins.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EnableUser {
    /// Whom.
    pub id: UserId,
}

message!(EnableUser => User, version |user| user.version);
