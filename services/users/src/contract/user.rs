//! A user as others see them.

use monolite_service::{Millis, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Role;

/// A user. Never holds a password or its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The address they sign in with, as they wrote it; unique without case.
    pub email: String,
    /// How they want to be called.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// A disabled user cannot sign in, and their sessions have ended.
    pub disabled: bool,
    /// When the user was created.
    pub created_at: Millis,
    /// When anything of this was changed last.
    pub changed_at: Millis,
    /// Rises with every change; the `ETag`.
    pub version: u64,
}
