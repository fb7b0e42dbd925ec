//! The role of a user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a user may do beyond their own things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, for everybody.
    Admin,
    /// Their own things.
    #[default]
    Member,
}

impl Role {
    /// The word of a role, as in JSON, in the file and in [`monolite_service::Caller`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Member => "member",
        }
    }
}
