//! Find a user by e-mail address.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::User;

/// One user by address, without case. Somebody else's address is not found, but by admins.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserByEmail {
    /// The address.
    pub email: String,
}

message!(UserByEmail => User, version |user| user.version);
